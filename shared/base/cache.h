/*
 * cache: texts by key in a bounded number of bytes.
 *
 * The limit counts keys, values, what was attached to them, and what the cache needs to keep them; it is
 * never passed, not even for a moment.  A value that somebody still holds after it was dropped does not count
 * any more. Entries live in shards, each with its own lock, so readers of different keys do not wait for each
 * other.
 *
 * Replacement is a segmented LRU: a new entry is on probation; a hit moves it to the protected segment, which
 * holds about four fifths of the limit and gives its least recently used entries back to probation.  What was
 * longest on probation goes first, whatever its shard, so that reading through everything once does not drive
 * out what is in use.
 *
 * Threads: all functions but cache_new() and cache_free() from any thread.  Ownership: a blob is shared by
 * reference count and never changes.  Units: bytes; times in whatever unit the caller's `now` has, for
 * example clock_us().
 */
#ifndef SHARED_BASE_CACHE_H
#define SHARED_BASE_CACHE_H

#include <stdatomic.h>

#include "shared/base/base.h"

/* Something that was made from the bytes of a blob and lives as long as it. */
struct attachment {
    void *object; /* NULL: none */
    size_t bytes; /* what it holds in memory */
    void (*free_object)(void *object);
};

struct blob {
    atomic_uint refs;
    size_t n;
    struct attachment attached;
    char bytes[]; /* NUL behind them */
};

/* A copy of the bytes, with one reference. */
struct blob *blob_new(struct slice bytes) MUST_USE;
/* The attachment is taken. */
struct blob *blob_new_with(struct slice bytes, const struct attachment *attached) MUST_USE;
struct blob *blob_ref(struct blob *blob);
void blob_unref(struct blob *blob);

static inline struct slice blob_slice(const struct blob *blob)
{
    return slice_of(blob->bytes, blob->n);
}

DEFINE_AUTO(struct blob, blob_unref);

struct cache;

struct cache_options {
    size_t limit;    /* 0: keeps nothing */
    unsigned shards; /* a power of two; 0: 16 */
    uint64_t ttl;    /* an entry has expired when it was put this long ago; 0: never */
    uint64_t stale;  /* an expired entry is kept for so much longer, for cache_find() */
};

struct cache_stats {
    uint64_t hits, misses; /* finding an expired entry is a miss */
    uint64_t evictions;    /* for want of room */
    uint64_t expired;      /* found too old */
    uint64_t refused;      /* not put, because there was no room to be made */
    uint64_t entries, bytes, limit;
};

/* An entry that was found. */
struct cache_found {
    struct blob *value; /* a reference of the caller's own */
    uint64_t put_at;
    bool expired;
};

/* An entry that is shown; valid during the call. */
struct cache_view {
    struct slice key;
    struct blob *value;
    uint64_t put_at;
    size_t bytes;
    bool expired;
};

struct cache *cache_new(const struct cache_options *options) MUST_USE;
void cache_free(struct cache *cache);
/* A reference of the caller's own, or NULL; never an expired one. */
struct blob *cache_get(struct cache *cache, struct slice key, uint64_t now) MUST_USE;
/* The same, but gives also what has expired and is still kept. */
bool cache_find(struct cache *cache, struct slice key, uint64_t now, struct cache_found *ret_found) MUST_USE;
/* As cache_find(), but counts for nothing. */
bool cache_peek(struct cache *cache, struct slice key, uint64_t now, struct cache_found *ret_found) MUST_USE;
/*
 * Replaces what is there under the key.  The cache takes a reference of its own.  False if the value is
 * larger than the cache (or room for it is taken by others just now): then nothing has changed, but for
 * evictions.
 */
bool cache_put(struct cache *cache, struct slice key, struct blob *value, uint64_t now);
/*
 * Puts it if test(ctx, there) says so, in one step; there is NULL if nothing is there or it has expired. test
 * is called under a lock: it must not call the cache, and returns at once.
 */
typedef bool cache_test_fn(void *ctx, const struct blob *there);
bool cache_put_if(struct cache *cache, struct slice key, struct blob *value, uint64_t now,
                  cache_test_fn *test, void *ctx);
void cache_drop(struct cache *cache, struct slice key);

/*
 * Shows the entries, or drops those for which fn says true and returns their number, one shard after the
 * other. Neither counts as a use.  fn is called under a lock: it must not call the cache.
 */
typedef bool cache_view_fn(void *ctx, const struct cache_view *view);
void cache_each(struct cache *cache, uint64_t now, void (*fn)(void *ctx, const struct cache_view *view),
                void *ctx);
size_t cache_drop_if(struct cache *cache, uint64_t now, cache_view_fn *fn, void *ctx);

/* The counters of the shards are read one after the other. */
void cache_get_stats(struct cache *cache, struct cache_stats *ret_stats);

DEFINE_AUTO(struct cache, cache_free);

#endif
