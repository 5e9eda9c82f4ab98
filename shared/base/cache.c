#include "shared/base/cache.h"

#include <assert.h>
#include <pthread.h>

#include "shared/base/uth.h"

enum {
    DEFAULT_SHARDS = 16,
    /* what malloc and uthash's bucket arrays cost an entry and its blob, roughly */
    HIDDEN_BYTES = 64,
};

enum segment { PROBATION, PROTECTED, SEGMENT_COUNT };

struct entry {
    struct entry *next, *prev; /* in its segment; next is less recently used */
    struct blob *value;
    uint64_t put_at;
    uint64_t stamp;   /* when it came on probation */
    uint64_t used_at; /* in hits of the shard: when it last came to the front of the protected */
    size_t cost;
    enum segment segment;
    UT_hash_handle hh;
    char key[];
};

struct segment_list {
    struct entry *head, *tail;
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct entry *table;
    struct segment_list segments[SEGMENT_COUNT];
    atomic_ullong oldest; /* stamp of the last one on probation; NOTHING if there is none */
    uint64_t hits, misses, evictions, expired;
};

struct cache {
    size_t limit;
    size_t protected_limit;
    unsigned shard_count;
    uint64_t ttl, stale;
    atomic_size_t used; /* bytes of all entries, and of those about to be put in */
    atomic_size_t protected_bytes;
    atomic_uint next_shard; /* where the next search for something protected to evict begins */
    atomic_ullong stamps, refused;
    struct shard *shards;
};

#define NOTHING UINT64_MAX

struct blob *blob_new_with(struct slice bytes, const struct attachment *attached)
{
    struct blob *blob = xmalloc(sizeof(*blob) + bytes.n + 1);

    atomic_init(&blob->refs, 1);
    blob->n = bytes.n;
    blob->attached = *attached;
    if (bytes.n)
        memcpy(blob->bytes, bytes.p, bytes.n);
    blob->bytes[bytes.n] = '\0';
    return blob;
}

struct blob *blob_new(struct slice bytes)
{
    return blob_new_with(bytes, &(struct attachment){ .object = NULL });
}

struct blob *blob_ref(struct blob *blob)
{
    atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}

void blob_unref(struct blob *blob)
{
    if (!blob || atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (blob->attached.object)
        blob->attached.free_object(blob->attached.object);
    free(blob);
}

struct cache *cache_new(const struct cache_options *options)
{
    struct cache *cache = xcalloc(1, sizeof(*cache));

    cache->shard_count = options->shards ? options->shards : DEFAULT_SHARDS;
    assert((cache->shard_count & (cache->shard_count - 1)) == 0);
    cache->limit = options->limit;
    cache->protected_limit = cache->limit / 5 * 4;
    cache->ttl = options->ttl;
    cache->stale = options->stale;
    cache->shards = aligned_alloc(_Alignof(struct shard), cache->shard_count * sizeof(struct shard));
    if (!cache->shards)
        abort();
    memset(cache->shards, 0, cache->shard_count * sizeof(struct shard));
    for (unsigned i = 0; i < cache->shard_count; i++) {
        pthread_mutex_init(&cache->shards[i].lock, NULL);
        atomic_init(&cache->shards[i].oldest, NOTHING);
    }
    return cache;
}

static void note_oldest(struct shard *shard)
{
    const struct entry *tail = shard->segments[PROBATION].tail;

    atomic_store_explicit(&shard->oldest, tail ? tail->stamp : NOTHING, memory_order_relaxed);
}

static void list_add(struct cache *cache, struct shard *shard, enum segment segment, struct entry *e)
{
    struct segment_list *list = &shard->segments[segment];

    e->segment = segment;
    e->prev = NULL;
    e->next = list->head;
    if (list->head)
        list->head->prev = e;
    else
        list->tail = e;
    list->head = e;
    if (segment == PROTECTED) {
        atomic_fetch_add_explicit(&cache->protected_bytes, e->cost, memory_order_relaxed);
    } else {
        e->stamp = atomic_fetch_add_explicit(&cache->stamps, 1, memory_order_relaxed);
        note_oldest(shard);
    }
}

static void list_remove(struct cache *cache, struct shard *shard, struct entry *e)
{
    struct segment_list *list = &shard->segments[e->segment];

    if (e->prev)
        e->prev->next = e->next;
    else
        list->head = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        list->tail = e->prev;
    if (e->segment == PROTECTED)
        atomic_fetch_sub_explicit(&cache->protected_bytes, e->cost, memory_order_relaxed);
    else
        note_oldest(shard);
}

/* The shard's lock is held, as in all functions that take a shard. */
static void remove_entry(struct cache *cache, struct shard *shard, struct entry *e)
{
    list_remove(cache, shard, e);
    HASH_DELETE(hh, shard->table, e);
    atomic_fetch_sub(&cache->used, e->cost);
    blob_unref(e->value);
    free(e);
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        for (int s = 0; s < SEGMENT_COUNT; s++)
            while (shard->segments[s].tail)
                remove_entry(cache, shard, shard->segments[s].tail);
        pthread_mutex_destroy(&shard->lock);
    }
    free(cache->shards);
    free(cache);
}

/* uthash uses the low half of the hash for its buckets, the shards use the high one. */
static struct shard *shard_of(struct cache *cache, uint64_t hash)
{
    return &cache->shards[(hash >> 32) & (cache->shard_count - 1)];
}

static struct entry *find(struct shard *shard, struct slice key, uint64_t hash)
{
    struct entry *e;

    HASH_FIND_BYHASHVALUE(hh, shard->table, key.p, key.n, (unsigned)hash, e);
    return e;
}

/* To the front of the protected segment. */
static void protect(struct cache *cache, struct shard *shard, struct entry *e)
{
    list_remove(cache, shard, e);
    list_add(cache, shard, PROTECTED, e);
    e->used_at = shard->hits;
}

/*
 * The limit is one for all shards, and only the shard at hand gives something back; the entry itself never
 * does. So the protected segment may be too large by one entry of each shard.
 */
static void promote(struct cache *cache, struct shard *shard, struct entry *e)
{
    struct segment_list *list = &shard->segments[PROTECTED];

    /* one that came to the front lately is near it still: most hits write nothing but counters */
    if (e->segment == PROTECTED) {
        if (shard->hits - e->used_at > HASH_CNT(hh, shard->table) / 8)
            protect(cache, shard, e);
        return;
    }
    protect(cache, shard, e);
    while (list->tail != e &&
           atomic_load_explicit(&cache->protected_bytes, memory_order_relaxed) > cache->protected_limit) {
        struct entry *oldest = list->tail;
        list_remove(cache, shard, oldest);
        list_add(cache, shard, PROBATION, oldest);
    }
}

static bool is_older(const struct entry *e, uint64_t now, uint64_t age)
{
    return now >= e->put_at && now - e->put_at >= age;
}

static bool is_expired(const struct cache *cache, const struct entry *e, uint64_t now)
{
    return cache->ttl && is_older(e, now, cache->ttl);
}

bool cache_find(struct cache *cache, struct slice key, uint64_t now, struct cache_found *ret_found)
{
    uint64_t hash = uth_hash(key.p, key.n);
    struct shard *shard = shard_of(cache, hash);

    pthread_mutex_lock(&shard->lock);
    struct entry *e = find(shard, key, hash);
    bool expired = e && is_expired(cache, e, now);
    if (expired)
        shard->expired++;
    if (!e || expired)
        shard->misses++;
    else
        shard->hits++;
    if (expired && is_older(e, now, cache->ttl + cache->stale)) {
        remove_entry(cache, shard, e);
        e = NULL;
    }
    if (e) {
        promote(cache, shard, e);
        *ret_found = (struct cache_found){ blob_ref(e->value), e->put_at, expired };
    }
    pthread_mutex_unlock(&shard->lock);
    return e != NULL;
}

bool cache_peek(struct cache *cache, struct slice key, uint64_t now, struct cache_found *ret_found)
{
    uint64_t hash = uth_hash(key.p, key.n);
    struct shard *shard = shard_of(cache, hash);

    pthread_mutex_lock(&shard->lock);
    struct entry *e = find(shard, key, hash);
    if (e && cache->ttl && is_older(e, now, cache->ttl + cache->stale))
        e = NULL;
    if (e)
        *ret_found = (struct cache_found){ blob_ref(e->value), e->put_at, is_expired(cache, e, now) };
    pthread_mutex_unlock(&shard->lock);
    return e != NULL;
}

struct blob *cache_get(struct cache *cache, struct slice key, uint64_t now)
{
    struct cache_found found;

    if (!cache_find(cache, key, now, &found))
        return NULL;
    if (!found.expired)
        return found.value;
    blob_unref(found.value);
    return NULL;
}

static bool evict_one(struct cache *cache, struct shard *shard, enum segment segment)
{
    pthread_mutex_lock(&shard->lock);
    struct entry *e = shard->segments[segment].tail;
    if (e) {
        remove_entry(cache, shard, e);
        shard->evictions++;
    }
    pthread_mutex_unlock(&shard->lock);
    return e != NULL;
}

/* The shard that holds what was longest on probation; NULL if nothing is. */
static struct shard *find_oldest(struct cache *cache)
{
    struct shard *found = NULL;
    uint64_t oldest = NOTHING;

    for (unsigned i = 0; i < cache->shard_count; i++) {
        uint64_t stamp = atomic_load_explicit(&cache->shards[i].oldest, memory_order_relaxed);
        if (stamp < oldest) {
            oldest = stamp;
            found = &cache->shards[i];
        }
    }
    return found;
}

/* Evicts one entry somewhere; a protected one, beginning at another shard each time, only if none is on
 * probation. */
static bool evict(struct cache *cache)
{
    for (struct shard *shard; (shard = find_oldest(cache));)
        if (evict_one(cache, shard, PROBATION))
            return true;
    unsigned first = atomic_fetch_add_explicit(&cache->next_shard, 1, memory_order_relaxed);
    for (unsigned i = 0; i < cache->shard_count; i++)
        if (evict_one(cache, &cache->shards[(first + i) & (cache->shard_count - 1)], PROTECTED))
            return true;
    return false;
}

/* Takes the bytes before the entry exists, so that the sum never passes the limit. */
static bool reserve(struct cache *cache, size_t cost)
{
    size_t used = atomic_load(&cache->used);

    if (cost > cache->limit)
        return false;
    for (;;) {
        if (used <= cache->limit - cost) {
            if (atomic_compare_exchange_weak(&cache->used, &used, used + cost))
                return true;
        } else if (evict(cache)) {
            used = atomic_load(&cache->used);
        } else {
            return false;
        }
    }
}

static size_t cost_of(struct slice key, const struct blob *value)
{
    return sizeof(struct entry) + key.n + sizeof(struct blob) + value->n + value->attached.bytes +
           HIDDEN_BYTES;
}

static struct entry *entry_new(struct slice key, struct blob *value, uint64_t now, size_t cost)
{
    struct entry *e = xmalloc(sizeof(*e) + key.n);

    *e = (struct entry){ .value = blob_ref(value), .put_at = now, .cost = cost };
    if (key.n)
        memcpy(e->key, key.p, key.n);
    return e;
}

static void replace(struct cache *cache, struct shard *shard, struct entry *old, struct entry *e,
                    struct slice key, uint64_t hash)
{
    enum segment segment = old ? old->segment : PROBATION;

    if (old)
        remove_entry(cache, shard, old);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->table, e->key, key.n, (unsigned)hash, e);
    list_add(cache, shard, PROBATION, e);
    if (segment == PROTECTED)
        promote(cache, shard, e);
}

bool cache_put_if(struct cache *cache, struct slice key, struct blob *value, uint64_t now,
                  cache_test_fn *test, void *ctx)
{
    size_t cost = cost_of(key, value);

    if (!reserve(cache, cost)) {
        atomic_fetch_add_explicit(&cache->refused, 1, memory_order_relaxed);
        return false;
    }
    uint64_t hash = uth_hash(key.p, key.n);
    struct shard *shard = shard_of(cache, hash);
    struct entry *e = entry_new(key, value, now, cost);

    pthread_mutex_lock(&shard->lock);
    struct entry *old = find(shard, key, hash);
    bool wanted = !test || test(ctx, old && !is_expired(cache, old, now) ? old->value : NULL);
    if (wanted)
        replace(cache, shard, old, e, key, hash);
    pthread_mutex_unlock(&shard->lock);
    if (!wanted) {
        atomic_fetch_sub(&cache->used, cost);
        blob_unref(e->value);
        free(e);
    }
    return wanted;
}

bool cache_put(struct cache *cache, struct slice key, struct blob *value, uint64_t now)
{
    return cache_put_if(cache, key, value, now, NULL, NULL);
}

void cache_drop(struct cache *cache, struct slice key)
{
    uint64_t hash = uth_hash(key.p, key.n);
    struct shard *shard = shard_of(cache, hash);

    pthread_mutex_lock(&shard->lock);
    struct entry *e = find(shard, key, hash);
    if (e)
        remove_entry(cache, shard, e);
    pthread_mutex_unlock(&shard->lock);
}

static struct cache_view view_of(const struct cache *cache, const struct entry *e, uint64_t now)
{
    return (struct cache_view){
        .key = slice_of(e->key, e->hh.keylen),
        .value = e->value,
        .put_at = e->put_at,
        .bytes = e->cost,
        .expired = is_expired(cache, e, now),
    };
}

void cache_each(struct cache *cache, uint64_t now, void (*fn)(void *ctx, const struct cache_view *view),
                void *ctx)
{
    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        struct entry *e, *next;
        pthread_mutex_lock(&shard->lock);
        HASH_ITER (hh, shard->table, e, next) {
            struct cache_view view = view_of(cache, e, now);
            fn(ctx, &view);
        }
        pthread_mutex_unlock(&shard->lock);
    }
}

size_t cache_drop_if(struct cache *cache, uint64_t now, cache_view_fn *fn, void *ctx)
{
    size_t dropped = 0;

    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        struct entry *e, *next;
        pthread_mutex_lock(&shard->lock);
        HASH_ITER (hh, shard->table, e, next) {
            struct cache_view view = view_of(cache, e, now);
            if (!fn(ctx, &view))
                continue;
            remove_entry(cache, shard, e);
            dropped++;
        }
        pthread_mutex_unlock(&shard->lock);
    }
    return dropped;
}

void cache_get_stats(struct cache *cache, struct cache_stats *ret_stats)
{
    struct cache_stats sum = { .limit = cache->limit,
                               .bytes = atomic_load(&cache->used),
                               .refused = atomic_load(&cache->refused) };

    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        sum.hits += shard->hits;
        sum.misses += shard->misses;
        sum.evictions += shard->evictions;
        sum.expired += shard->expired;
        sum.entries += HASH_CNT(hh, shard->table);
        pthread_mutex_unlock(&shard->lock);
    }
    *ret_stats = sum;
}
