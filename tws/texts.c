#include "tws/texts.h"

#include "shared/base/cache.h"
#include "shared/base/json.h"

struct texts {
    struct store *store;
    struct cache *cache;
};

/* Record names begin with a kind, derived ones with a character. */
struct name_head {
    int64_t module_version, extra;
    int32_t major, minor;
    uint32_t module_bytes;
    char what;
};

struct texts *texts_new(struct store *store, size_t max_bytes)
{
    struct texts *texts = xmalloc(sizeof(*texts));
    struct cache_options options = { .limit = max_bytes };

    texts->store = store;
    texts->cache = cache_new(&options);
    return texts;
}

void texts_free(struct texts *texts)
{
    if (!texts)
        return;
    cache_free(texts->cache);
    free(texts);
}

struct slice texts_name(char what, const struct text_key *key, int64_t extra, struct arena *arena)
{
    struct name_head head;
    size_t n = sizeof(head) + key->module.n + key->name.n;
    char *p = arena_alloc(arena, n);

    memset(&head, 0, sizeof(head));
    head.what = what;
    head.extra = extra;
    head.module_version = key->module_version;
    head.major = key->version.major;
    head.minor = key->version.minor;
    head.module_bytes = (uint32_t)key->module.n;
    memcpy(p, &head, sizeof(head));
    if (key->module.n)
        memcpy(p + sizeof(head), key->module.p, key->module.n);
    if (key->name.n)
        memcpy(p + sizeof(head) + key->module.n, key->name.p, key->name.n);
    return slice_of(p, n);
}

bool texts_find(struct texts *texts, struct slice name, struct sbuf *out)
{
    struct blob *blob = cache_get(texts->cache, name, 0);

    if (!blob)
        return false;
    sbuf_add_slice(out, blob_slice(blob));
    blob_unref(blob);
    return true;
}

void texts_keep(struct texts *texts, struct slice name, struct slice text)
{
    struct blob *blob = blob_new(text);

    cache_put(texts->cache, name, blob, 0);
    blob_unref(blob);
}

static int missing(const struct text_key *key, struct err *err)
{
    static const char *const records[] = {
        [TEXT_SCHEMA] = "Type schema",
        [TEXT_TYPE_PARSE] = "Type parse",
        [TEXT_FUNC_PARSE] = "Function parse",
    };

    if (key->kind == TEXT_SPEC)
        return err_set(err, ERR_NO_MODULE, "Module wasn't uploaded: %.*s", (int)key->module.n, key->module.p);
    return err_set(err, ERR_STORE, "%s record was not found for %.*s.%.*s.%d.%d", records[key->kind],
                   (int)key->module.n, key->module.p, (int)key->name.n, key->name.p, key->version.major,
                   key->version.minor);
}

int texts_read(struct texts *texts, const struct text_key *key, struct sbuf *ret_raw, struct err *err)
{
    int rc = store_read_text(texts->store, key, ret_raw, err);

    if (rc < 0)
        return rc;
    return rc ? 0 : missing(key, err);
}

int texts_put(struct texts *texts, const struct text_key *key, bool may_block, struct arena *scratch,
              struct sbuf *out, struct err *err)
{
    struct slice name = texts_name((char)key->kind, key, 0, scratch);

    if (texts_find(texts, name, out))
        return 0;
    if (!may_block)
        return -ERR_AGAIN;

    AUTO_SBUF(raw, SBUF_NO_LIMIT);
    int rc = texts_read(texts, key, &raw, err);
    if (rc < 0)
        return rc;
    AUTO_SBUF(ready, SBUF_NO_LIMIT);
    json_put_string(&ready, sbuf_slice(&raw));
    texts_keep(texts, name, sbuf_slice(&ready));
    sbuf_add_slice(out, sbuf_slice(&ready));
    return 0;
}

void texts_status(struct texts *texts, struct sbuf *json)
{
    struct cache_stats stats;

    cache_get_stats(texts->cache, &stats);
    sbuf_addf(
        json, ",\"texts\":{\"bytes\":%llu,\"limit\":%llu,\"entries\":%llu,\"hits\":%llu,\"misses\":%llu}",
        (unsigned long long)stats.bytes, (unsigned long long)stats.limit, (unsigned long long)stats.entries,
        (unsigned long long)stats.hits, (unsigned long long)stats.misses);
}
