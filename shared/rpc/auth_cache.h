/*
 * auth_cache: answers of the auth service, each trusted for some time, and the questions that are on their
 * way: whoever asks what is being asked already waits for the same answer.  Any thread; nothing is called
 * under its lock.
 *
 * Bounds: entries (when there are more than max, only the newest `keep` stay), questions on their way, and
 * waiters.
 */
#ifndef SHARED_RPC_AUTH_CACHE_H
#define SHARED_RPC_AUTH_CACHE_H

#include "shared/base/arena.h"
#include "shared/rpc/auth.h"

struct auth_cache;

/* What is known of a key; a cache uses one of the two. */
struct auth_answer {
    const char *user;
    enum admin_role role;
};

struct auth_waiter {
    struct auth_waiter *next;
    auth_user_fn *user_done; /* one of the two */
    auth_role_fn *role_done;
    void *ctx;
};

enum auth_cache_state { AUTH_CACHE_HIT, AUTH_CACHE_ASK, AUTH_CACHE_WAIT, AUTH_CACHE_FULL, AUTH_CACHE_CLOSED };

struct auth_cache *auth_cache_new(size_t max, size_t keep, uint64_t trust_us);
/* No question may be on its way. */
void auth_cache_free(struct auth_cache *cache);

/*
 * HIT: *ret_answer (user copied into the arena).  ASK: the waiter was noted and the caller must ask, then
 * auth_cache_end(). WAIT: the waiter was noted.  FULL, CLOSED: nothing happened.  question: what waiters
 * share; key: what is remembered.
 */
enum auth_cache_state auth_cache_get(struct auth_cache *cache, const char *key, const char *question,
                                     const struct auth_waiter *waiter, struct arena *arena,
                                     struct auth_answer *ret_answer);
/* The question was answered (answer NULL: it failed). Returns its waiters, in order, to be freed one by one.
 */
struct auth_waiter *auth_cache_end(struct auth_cache *cache, const char *key, const char *question,
                                   const struct auth_answer *answer) MUST_USE;
/* Everything is CLOSED from now on; returns all waiters. */
struct auth_waiter *auth_cache_close(struct auth_cache *cache) MUST_USE;

struct auth_cache_counts {
    size_t entries;
    uint64_t hits, misses;
};

struct auth_cache_counts auth_cache_count(struct auth_cache *cache);

#endif
