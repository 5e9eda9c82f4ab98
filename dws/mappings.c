#include "dws/mappings.h"

enum { MAX_KEY = 1024 };

struct mappings {
    struct cache *cache;
};

struct mappings *mappings_new(size_t limit, uint64_t ttl, uint64_t max_stale)
{
    /* the cache takes 0 for "for ever" */
    const struct cache_options options = { .limit = ttl || max_stale ? limit : 0,
                                           .ttl = ttl ? ttl : 1,
                                           .stale = max_stale };
    struct mappings *mappings = xcalloc(1, sizeof(*mappings));

    mappings->cache = cache_new(&options);
    return mappings;
}

void mappings_free(struct mappings *mappings)
{
    if (!mappings)
        return;
    cache_free(mappings->cache);
    free(mappings);
}

bool mappings_find(struct mappings *mappings, struct slice key, uint64_t now, struct cache_found *ret_found)
{
    return cache_find(mappings->cache, key, now, ret_found);
}

bool mappings_peek(struct mappings *mappings, struct slice key, uint64_t now, struct cache_found *ret_found)
{
    return cache_peek(mappings->cache, key, now, ret_found);
}

/* Behind the last dash stands major.minor. */
static bool version_of(struct slice absolute, struct semver *ret_version)
{
    const char *dash = memrchr(absolute.p, '-', absolute.n);

    return dash &&
           semver_parse(slice_of(dash + 1, absolute.n - (size_t)(dash + 1 - absolute.p)), ret_version);
}

static bool is_newer(const struct semver *version, const struct blob *there)
{
    struct semver old;

    return !version_of(blob_slice(there), &old) || semver_compare(*version, old) > 0;
}

static bool may_put(void *ctx, const struct blob *there)
{
    const struct semver *version = ctx;
    struct semver old;

    return !there || !version_of(blob_slice(there), &old) || semver_compare(*version, old) >= 0;
}

static bool may_advance(void *ctx, const struct blob *there)
{
    return there && is_newer(ctx, there);
}

void mappings_put(struct mappings *mappings, struct slice key, struct slice absolute, uint64_t now)
{
    struct semver version = { 0, 0 };
    struct blob *value = blob_new(absolute);

    if (version_of(absolute, &version))
        cache_put_if(mappings->cache, key, value, now, may_put, &version);
    blob_unref(value);
}

static bool advance_one(struct mappings *mappings, const struct type_id *key_id,
                        const struct type_id *absolute, uint64_t now)
{
    AUTO_SBUF(key, MAX_KEY);
    AUTO_SBUF(text, MAX_KEY);
    struct semver version = absolute->version;
    struct cache_found found;

    type_id_put(&key, key_id);
    /* nearly always there is nothing to do, so look before making room for a new entry */
    if (!cache_peek(mappings->cache, sbuf_slice(&key), now, &found))
        return false;
    bool wanted = !found.expired && is_newer(&version, found.value);
    blob_unref(found.value);
    if (!wanted)
        return false;
    type_id_put(&text, absolute);
    AUTO(blob_unref_auto) struct blob *value = blob_new(sbuf_slice(&text));
    return cache_put_if(mappings->cache, sbuf_slice(&key), value, now, may_advance, &version);
}

bool mappings_advance(struct mappings *mappings, const struct type_id *absolute, uint64_t now)
{
    struct type_id key = *absolute;

    key.form = TYPE_ID_MAJOR;
    bool moved = advance_one(mappings, &key, absolute, now);
    key.form = TYPE_ID_NONE;
    return advance_one(mappings, &key, absolute, now) || moved;
}

void mappings_drop(struct mappings *mappings, struct slice key)
{
    cache_drop(mappings->cache, key);
}

struct cache *mappings_cache(struct mappings *mappings)
{
    return mappings->cache;
}
