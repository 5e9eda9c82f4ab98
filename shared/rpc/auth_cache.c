#include "shared/rpc/auth_cache.h"

#include <pthread.h>

#include "shared/base/clock.h"
#include "shared/base/uth.h"

enum { MAX_QUESTIONS = 1024, MAX_WAITERS = 100000 };

struct entry {
    UT_hash_handle hh; /* its list is in the order of insertion */
    char *key;
    char *user;
    enum admin_role role;
    uint64_t expires_us;
};

struct question {
    UT_hash_handle hh;
    char *text;
    struct auth_waiter *first, **end;
};

struct auth_cache {
    pthread_mutex_t lock;
    size_t max, keep;
    uint64_t trust_us;
    struct entry *entries;
    struct question *questions;
    size_t waiter_count;
    bool closed;
    uint64_t hits, misses;
};

struct auth_cache *auth_cache_new(size_t max, size_t keep, uint64_t trust_us)
{
    struct auth_cache *cache = xcalloc(1, sizeof(*cache));

    pthread_mutex_init(&cache->lock, NULL);
    cache->max = max;
    cache->keep = keep;
    cache->trust_us = trust_us;
    return cache;
}

static void drop_entry(struct auth_cache *cache, struct entry *entry)
{
    HASH_DEL(cache->entries, entry);
    free(entry->key);
    free(entry->user);
    free(entry);
}

void auth_cache_free(struct auth_cache *cache)
{
    if (!cache)
        return;
    while (cache->entries)
        drop_entry(cache, cache->entries);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static bool find_entry(struct auth_cache *cache, const char *key, struct arena *arena,
                       struct auth_answer *ret_answer)
{
    struct entry *entry;

    HASH_FIND_STR(cache->entries, key, entry);
    if (!entry)
        return false;
    if (clock_us() >= entry->expires_us) {
        drop_entry(cache, entry);
        return false;
    }
    ret_answer->user = entry->user ? arena_strdup(arena, entry->user) : NULL;
    ret_answer->role = entry->role;
    return true;
}

static struct question *new_question(struct auth_cache *cache, const char *text)
{
    struct question *question = xcalloc(1, sizeof(*question));

    question->text = xstrdup(text);
    question->end = &question->first;
    HASH_ADD_KEYPTR(hh, cache->questions, question->text, strlen(question->text), question);
    return question;
}

static void add_waiter(struct auth_cache *cache, struct question *question, const struct auth_waiter *waiter)
{
    struct auth_waiter *copy = xmalloc(sizeof(*copy));

    *copy = *waiter;
    copy->next = NULL;
    *question->end = copy;
    question->end = &copy->next;
    cache->waiter_count++;
}

static enum auth_cache_state wait_for(struct auth_cache *cache, const char *text,
                                      const struct auth_waiter *waiter)
{
    struct question *question;

    HASH_FIND_STR(cache->questions, text, question);
    if (cache->waiter_count >= MAX_WAITERS || (!question && HASH_COUNT(cache->questions) >= MAX_QUESTIONS))
        return AUTH_CACHE_FULL;
    enum auth_cache_state state = question ? AUTH_CACHE_WAIT : AUTH_CACHE_ASK;
    if (!question)
        question = new_question(cache, text);
    add_waiter(cache, question, waiter);
    return state;
}

enum auth_cache_state auth_cache_get(struct auth_cache *cache, const char *key, const char *question,
                                     const struct auth_waiter *waiter, struct arena *arena,
                                     struct auth_answer *ret_answer)
{
    enum auth_cache_state state = AUTH_CACHE_CLOSED;

    pthread_mutex_lock(&cache->lock);
    if (find_entry(cache, key, arena, ret_answer)) {
        cache->hits++;
        state = AUTH_CACHE_HIT;
    } else if (!cache->closed) {
        cache->misses++;
        state = wait_for(cache, question, waiter);
    }
    pthread_mutex_unlock(&cache->lock);
    return state;
}

static void remember(struct auth_cache *cache, const char *key, const struct auth_answer *answer)
{
    struct entry *entry;

    HASH_FIND_STR(cache->entries, key, entry);
    if (entry)
        drop_entry(cache, entry);
    entry = xcalloc(1, sizeof(*entry));
    entry->key = xstrdup(key);
    entry->user = answer->user ? xstrdup(answer->user) : NULL;
    entry->role = answer->role;
    entry->expires_us = clock_us() + cache->trust_us;
    HASH_ADD_KEYPTR(hh, cache->entries, entry->key, strlen(entry->key), entry);
    if (HASH_COUNT(cache->entries) > cache->max)
        while (HASH_COUNT(cache->entries) > cache->keep)
            drop_entry(cache, cache->entries);
}

static struct auth_waiter *drop_question(struct auth_cache *cache, struct question *question)
{
    struct auth_waiter *first = question->first;

    for (const struct auth_waiter *w = first; w; w = w->next)
        cache->waiter_count--;
    HASH_DEL(cache->questions, question);
    free(question->text);
    free(question);
    return first;
}

struct auth_waiter *auth_cache_end(struct auth_cache *cache, const char *key, const char *text,
                                   const struct auth_answer *answer)
{
    struct question *question;

    pthread_mutex_lock(&cache->lock);
    HASH_FIND_STR(cache->questions, text, question);
    struct auth_waiter *waiters = question ? drop_question(cache, question) : NULL;
    if (answer)
        remember(cache, key, answer);
    pthread_mutex_unlock(&cache->lock);
    return waiters;
}

struct auth_waiter *auth_cache_close(struct auth_cache *cache)
{
    struct auth_waiter *all = NULL, **end = &all;

    pthread_mutex_lock(&cache->lock);
    cache->closed = true;
    while (cache->questions) {
        *end = drop_question(cache, cache->questions);
        while (*end)
            end = &(*end)->next;
    }
    pthread_mutex_unlock(&cache->lock);
    return all;
}

struct auth_cache_counts auth_cache_count(struct auth_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    struct auth_cache_counts counts = { HASH_COUNT(cache->entries), cache->hits, cache->misses };
    pthread_mutex_unlock(&cache->lock);
    return counts;
}
