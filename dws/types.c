#include "dws/types.h"

#include <pthread.h>

#include "shared/base/uth.h"

enum {
    MAX_KEY = 1024,
    NEGATIVE_LIMIT = 1 << 20, /* bytes of the cache of definite failures */
};

/* So that a time before the start of the machine (from a snapshot) is a positive number. */
#define CLOCK_BASE ((uint64_t)1 << 52)
/* After the target could not be asked, expired mappings serve without asking again for so long. */
#define TROUBLE_US ((uint64_t)1000000)

struct waiter {
    struct waiter *next;
    types_done_fn *done;
    void *ctx;
};

/* A load that is under way. */
struct flight {
    struct types *types;
    struct type_id id; /* points into key */
    struct waiter *waiters;
    uint64_t generation, clusters; /* as they were when the question went out */
    bool overtaken;                /* meanwhile `floor` was seen to be released */
    struct semver floor;
    UT_hash_handle hh;
    size_t key_len;
    char key[];
};

struct types {
    struct types_options options;
    struct schemas *schemas;
    struct mappings *mappings;
    struct cache *negatives; /* value: the error's code in one byte, its text */
    atomic_ullong schema_loads, mapping_loads, failed_loads, negative_hits, stale_serves, changes;
    atomic_ullong trouble_until;

    pthread_mutex_t lock; /* guards what follows, and that a load and a flush do not mix */
    struct flight *flights;
    uint64_t generation; /* of flushes */
    uint64_t clusters;   /* how often the cluster became another one */
    char cluster[HOPS_ID_LEN + 1];
};

struct types *types_new(const struct types_options *options)
{
    const struct config *config = options->config;
    struct types *types = xcalloc(1, sizeof(*types));
    const struct cache_options negative = {
        .limit = config->type_negative_cache_time ? NEGATIVE_LIMIT : 0,
        .shards = 1,
        .ttl = (uint64_t)config->type_negative_cache_time,
    };

    types->options = *options;
    types->schemas = schemas_new((size_t)config->type_schema_cache_max_size);
    types->mappings =
        mappings_new((size_t)config->type_mapping_cache_max_size, (uint64_t)config->type_mapping_cache_time,
                     (uint64_t)config->type_mapping_max_stale);
    types->negatives = cache_new(&negative);
    pthread_mutex_init(&types->lock, NULL);
    return types;
}

void types_free(struct types *types)
{
    if (!types)
        return;
    schemas_free(types->schemas);
    mappings_free(types->mappings);
    cache_free(types->negatives);
    pthread_mutex_destroy(&types->lock);
    free(types);
}

uint64_t types_now(struct types *types)
{
    return CLOCK_BASE + types->options.clock();
}

static void count(atomic_ullong *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- out of the caches ---- */

typedef bool find_mapping_fn(struct mappings *mappings, struct slice key, uint64_t now,
                             struct cache_found *ret);
typedef bool find_schema_fn(struct schemas *schemas, struct slice key, uint64_t now, struct cache_found *ret);

/* Counted for the first look of a call, not for the second one under the lock. */
static const struct look {
    find_mapping_fn *mapping;
    find_schema_fn *schema;
} counted = { mappings_find, schemas_find }, uncounted = { mappings_peek, schemas_peek };

static uint64_t age(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

static bool look_up_absolute(struct types *types, const struct type_id *id, struct slice key, uint64_t now,
                             const struct look *look, struct type_found *ret)
{
    struct cache_found found;

    if (!look->schema(types->schemas, key, now, &found))
        return false;
    if (schema_of(found.value)->released && mappings_advance(types->mappings, id, now))
        count(&types->changes);
    *ret = (struct type_found){ found.value, TYPE_FROM_CACHE, age(now, found.put_at) };
    return true;
}

/* A mapping and its schema. stale: an expired mapping will do; otherwise only a fresh one will. */
static bool look_up_mapped(struct types *types, struct slice key, uint64_t now, bool stale,
                           const struct look *look, struct type_found *ret, struct cache_found *ret_mapping)
{
    struct cache_found schema;

    if (!look->mapping(types->mappings, key, now, ret_mapping))
        return false;
    if (ret_mapping->expired && !stale)
        return false;
    if (!look->schema(types->schemas, blob_slice(ret_mapping->value), now, &schema))
        return false;
    *ret = (struct type_found){ schema.value, ret_mapping->expired ? TYPE_FROM_STALE : TYPE_FROM_CACHE,
                                age(now, ret_mapping->put_at) };
    if (ret_mapping->expired)
        count(&types->stale_serves);
    return true;
}

static bool in_trouble(struct types *types, uint64_t now)
{
    return now < atomic_load_explicit(&types->trouble_until, memory_order_relaxed);
}

/*
 * True and *ret; or false and what to load in *ret_mapped: the absolute type that a fresh mapping names (its
 * schema was evicted), with a reference, or NULL if it is the name itself.
 */
static bool look_up(struct types *types, const struct type_id *id, struct slice key, const struct look *look,
                    struct type_found *ret, struct blob **ret_mapped)
{
    struct cache_found mapping = { .value = NULL };
    uint64_t now = types_now(types);

    *ret_mapped = NULL;
    if (id->form == TYPE_ID_FULL)
        return look_up_absolute(types, id, key, now, look, ret);
    bool found = look_up_mapped(types, key, now, in_trouble(types, now), look, ret, &mapping);
    if (!found && mapping.value && !mapping.expired)
        *ret_mapped = TAKE(mapping.value);
    blob_unref(mapping.value);
    return found;
}

static int look_up_negative(struct types *types, struct slice key, struct err *err)
{
    AUTO(blob_unref_auto) struct blob *blob = cache_get(types->negatives, key, types_now(types));

    if (!blob)
        return 0;
    count(&types->negative_hits);
    return err_set_text(err, (enum err_code)(unsigned char)blob->bytes[0],
                        slice_of(blob->bytes + 1, blob->n - 1));
}

static void put_negative(struct types *types, struct slice key, const struct err *err, uint64_t now)
{
    AUTO_SBUF(value, SBUF_NO_LIMIT);

    sbuf_addc(&value, (char)err->code);
    sbuf_add(&value, err->text, err->len);
    AUTO(blob_unref_auto) struct blob *blob = blob_new(sbuf_slice(&value));
    cache_put(types->negatives, key, blob, now);
}

/* ---- a load lands ---- */

/* Under the lock: a load of `M.T` or `M.T-major` that is under way may bring an older version than this. */
static void overtake(struct types *types, const struct type_id *absolute, enum type_id_form form)
{
    AUTO_SBUF(key, MAX_KEY);
    struct type_id id = *absolute;
    struct flight *flight;

    id.form = form;
    type_id_put(&key, &id);
    HASH_FIND(hh, types->flights, key.p, key.len, flight);
    if (!flight || (flight->overtaken && semver_compare(absolute->version, flight->floor) <= 0))
        return;
    flight->overtaken = true;
    flight->floor = absolute->version;
}

/* Under the lock. The schema first, so that no mapping leads to nothing. */
static void keep(struct flight *flight, const struct loaded *loaded, struct blob **schema, uint64_t now)
{
    struct types *types = flight->types;

    if (flight->generation != types->generation)
        return;
    *schema = schemas_put(types->schemas, *schema, now);
    count(&types->changes);
    if (flight->id.form != TYPE_ID_FULL) {
        if (!flight->overtaken || semver_compare(loaded->id.version, flight->floor) >= 0)
            mappings_put(types->mappings, slice_of(flight->key, flight->key_len),
                         schema_of(*schema)->absolute, now);
    } else if (loaded->released) {
        mappings_advance(types->mappings, &loaded->id, now);
        overtake(types, &loaded->id, TYPE_ID_MAJOR);
        overtake(types, &loaded->id, TYPE_ID_NONE);
    }
}

/* Under the lock; what the flight still needs afterwards are its waiters. */
static struct waiter *leave(struct flight *flight)
{
    HASH_DELETE(hh, flight->types->flights, flight);
    return TAKE(flight->waiters);
}

static void tell(struct waiter *waiters, int rc, const struct type_found *found, const struct err *err)
{
    for (struct waiter *w = waiters, *next; w; w = next) {
        AUTO_ERR(copy);
        next = w->next;
        if (rc < 0) {
            err_set_text(&copy, err->code, slice_of(err->text, err->len));
            w->done(w->ctx, rc, NULL, &copy);
        } else {
            struct type_found own = *found;
            blob_ref(own.schema);
            w->done(w->ctx, 0, &own, &copy);
        }
        free(w);
    }
}

/* Compiling costs more than all the rest, and the first schema of an absolute type wins anyway. */
static struct blob *known_or_new(struct types *types, struct slice absolute, const struct loaded *loaded)
{
    struct cache_found known;

    if (schemas_peek(types->schemas, absolute, types_now(types), &known))
        return known.value;
    return schema_new(absolute, loaded->schema, loaded->released);
}

static void ask(struct flight *flight);

/* Under the lock. True if the answer may be that of another type database: the question goes out once more.
 */
static bool asked_another(struct flight *flight)
{
    struct types *types = flight->types;

    if (flight->clusters == types->clusters)
        return false;
    flight->clusters = types->clusters;
    flight->generation = types->generation;
    flight->overtaken = false;
    return true;
}

static void landed_well(struct flight *flight, const struct loaded *loaded)
{
    struct types *types = flight->types;
    AUTO_SBUF(absolute, MAX_KEY);
    struct type_found found = { .source = TYPE_FROM_TWS };

    type_id_put(&absolute, &loaded->id);
    atomic_store_explicit(&types->trouble_until, 0, memory_order_relaxed);
    struct blob *schema = known_or_new(types, sbuf_slice(&absolute), loaded);
    pthread_mutex_lock(&types->lock);
    bool again = asked_another(flight);
    if (!again)
        keep(flight, loaded, &schema, types_now(types));
    struct waiter *waiters = again ? NULL : leave(flight);
    pthread_mutex_unlock(&types->lock);
    if (again) {
        blob_unref(schema);
        ask(flight);
        return;
    }
    /* who waits may end the process: nothing of `types` is touched from here on */
    free(flight);
    found.schema = schema;
    tell(waiters, 0, &found, NULL);
    blob_unref(schema);
}

/* True if an expired mapping may take the place of an answer. */
static bool try_stale(struct flight *flight, struct type_found *ret)
{
    struct cache_found mapping = { .value = NULL };
    struct types *types = flight->types;

    if (flight->id.form == TYPE_ID_FULL)
        return false;
    bool found = look_up_mapped(types, slice_of(flight->key, flight->key_len), types_now(types), true,
                                &uncounted, ret, &mapping);
    blob_unref(mapping.value);
    return found;
}

static void note_failure(struct flight *flight, const struct err *err, bool definite)
{
    struct types *types = flight->types;
    struct slice key = slice_of(flight->key, flight->key_len);

    if (!definite) {
        count(&types->failed_loads);
        atomic_store_explicit(&types->trouble_until, types_now(types) + TROUBLE_US, memory_order_relaxed);
    } else if (flight->generation == types->generation) {
        put_negative(types, key, err, types_now(types));
        if (flight->id.form != TYPE_ID_FULL)
            mappings_drop(types->mappings, key);
    }
}

static void landed_badly(struct flight *flight, int rc, const struct err *err)
{
    struct types *types = flight->types;
    struct type_found found = { .schema = NULL };
    bool definite = rc == -ERR_NO_TYPE || rc == -ERR_NO_MODULE;

    pthread_mutex_lock(&types->lock);
    if (definite && asked_another(flight)) {
        pthread_mutex_unlock(&types->lock);
        ask(flight);
        return;
    }
    note_failure(flight, err, definite);
    bool stale = !definite && try_stale(flight, &found);
    struct waiter *waiters = leave(flight);
    pthread_mutex_unlock(&types->lock);
    free(flight);
    tell(waiters, stale ? 0 : rc, &found, err);
    blob_unref(found.schema);
}

static void landed(void *ctx, int rc, const struct loaded *loaded, struct err *err)
{
    if (rc < 0)
        landed_badly(ctx, rc, err);
    else
        landed_well(ctx, loaded);
}

/* ---- asking ---- */

/* The key lives as long as the flight, which may have ended when the question has gone out. */
static void ask(struct flight *flight)
{
    struct types *types = flight->types;
    AUTO(free_str_auto) char *key = xmemdup(flight->key, flight->key_len);
    struct slice ref = slice_of(key, flight->key_len);

    count(flight->id.form == TYPE_ID_FULL ? &types->schema_loads : &types->mapping_loads);
    types->options.load(types->options.load_ctx, ref, landed, flight);
}

static void wait_for(struct flight *flight, types_done_fn *done, void *ctx)
{
    struct waiter *w = xmalloc(sizeof(*w));

    *w = (struct waiter){ flight->waiters, done, ctx };
    flight->waiters = w;
}

static struct flight *flight_new(struct types *types, struct slice key)
{
    struct flight *flight = xcalloc(1, sizeof(*flight) + key.n + 1);

    memcpy(flight->key, key.p, key.n);
    flight->key_len = key.n;
    flight->types = types;
    flight->generation = types->generation;
    flight->clusters = types->clusters;
    if (type_id_parse(slice_of(flight->key, key.n), false, &flight->id, NULL) < 0)
        abort();
    HASH_ADD_KEYPTR(hh, types->flights, flight->key, flight->key_len, flight);
    return flight;
}

/*
 * Joins a load or begins one.  What was missing may have arrived since: then 0 and *ret.  key: normalised.
 */
static int load(struct types *types, struct slice key, struct type_found *ret, types_done_fn *done, void *ctx,
                struct err *err)
{
    struct flight *flight, *begun = NULL;
    struct blob *mapped = NULL;
    struct type_id id;

    if (type_id_parse(key, false, &id, err) < 0)
        return -ERR_ARGUMENT;
    pthread_mutex_lock(&types->lock);
    int rc = look_up(types, &id, key, &uncounted, ret, &mapped) ? 0 : look_up_negative(types, key, err);
    bool missing = rc == 0 && !ret->schema;
    if (missing) {
        HASH_FIND(hh, types->flights, key.p, key.n, flight);
        if (!flight)
            flight = begun = flight_new(types, key);
        wait_for(flight, done, ctx);
    }
    pthread_mutex_unlock(&types->lock);
    blob_unref(mapped);
    if (!missing)
        return rc;
    if (begun)
        ask(begun);
    return TYPES_LATER;
}

/* The common case, a name without version, is its own normal form. */
static struct slice normalise(struct slice ref, const struct type_id *id, struct sbuf *text)
{
    if (id->form == TYPE_ID_NONE && ref.n == id->module.n + 1 + id->name.n)
        return ref;
    type_id_put(text, id);
    return sbuf_slice(text);
}

int types_resolve(struct types *types, struct slice ref, struct type_found *ret, types_done_fn *done,
                  void *ctx, struct err *err)
{
    AUTO_SBUF(text, MAX_KEY);
    struct type_found found = { .schema = NULL };
    struct blob *mapped = NULL;
    struct type_id id;
    int rc = type_id_parse(ref, false, &id, err);

    if (rc < 0)
        return rc;
    if (id.form == TYPE_ID_MD5)
        return err_set(err, ERR_ARGUMENT, "MD5 types are not allowed");
    struct slice key = normalise(ref, &id, &text);
    if (!look_up(types, &id, key, &counted, &found, &mapped))
        rc = load(types, mapped ? blob_slice(mapped) : key, &found, done, ctx, err);
    blob_unref(mapped);
    if (rc == 0)
        *ret = found;
    return rc;
}

/* ---- several at once ---- */

static void close_one(struct types_batch *batch)
{
    if (atomic_fetch_sub(&batch->open, 1) == 1)
        batch->done(batch->ctx);
}

static void item_done(void *ctx, int rc, struct type_found *found, struct err *err)
{
    struct types_wanted *item = ctx;

    item->rc = rc;
    if (rc < 0)
        err_move(&item->err, err);
    else
        item->found = *found;
    close_one(item->batch);
}

int types_resolve_all(struct types *types, struct types_batch *batch)
{
    atomic_store(&batch->open, batch->count + 1);
    for (size_t i = 0; i < batch->count; i++) {
        struct types_wanted *item = &batch->items[i];
        struct type_found found;
        AUTO_ERR(err);
        item->batch = batch;
        /* if the answer comes later, another thread may write the item at once */
        int rc = types_resolve(types, item->ref, &found, item_done, item, &err);
        if (rc == TYPES_LATER)
            continue;
        item->rc = rc;
        if (rc < 0)
            err_move(&item->err, &err);
        else
            item->found = found;
        atomic_fetch_sub(&batch->open, 1);
    }
    return atomic_fetch_sub(&batch->open, 1) == 1 ? 0 : TYPES_LATER;
}

void types_batch_release(struct types_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        err_clear(&batch->items[i].err);
        blob_unref(batch->items[i].found.schema);
        batch->items[i].found.schema = NULL;
    }
}

/* ---- dropping ---- */

static bool is_of_module(void *ctx, const struct cache_view *view)
{
    const struct slice *module = ctx;

    return module->n == 0 || (view->key.n > module->n && view->key.p[module->n] == '.' &&
                              memcmp(view->key.p, module->p, module->n) == 0);
}

/* Under the lock. */
static void flush(struct types *types, struct slice module, struct types_dropped *ret)
{
    uint64_t now = types_now(types);

    types->generation++;
    count(&types->changes);
    ret->mappings = cache_drop_if(mappings_cache(types->mappings), now, is_of_module, &module);
    ret->schemas = cache_drop_if(schemas_cache(types->schemas), now, is_of_module, &module);
    ret->negatives = cache_drop_if(types->negatives, now, is_of_module, &module);
}

void types_flush(struct types *types, struct slice module, struct types_dropped *ret_dropped)
{
    pthread_mutex_lock(&types->lock);
    flush(types, module, ret_dropped);
    pthread_mutex_unlock(&types->lock);
}

static bool is_cluster(const char *cluster)
{
    return cluster[0] && strspn(cluster, "0") != HOPS_ID_LEN;
}

bool types_note_cluster(struct types *types, const char *cluster)
{
    struct types_dropped dropped;
    bool changed = false;

    if (!is_cluster(cluster))
        return false;
    pthread_mutex_lock(&types->lock);
    if (strcmp(types->cluster, cluster) != 0) {
        changed = types->cluster[0] != '\0';
        if (changed) {
            types->clusters++;
            flush(types, SLICE(""), &dropped);
        }
        memcpy(types->cluster, cluster, HOPS_ID_LEN);
    }
    pthread_mutex_unlock(&types->lock);
    return changed;
}

void types_get_cluster(struct types *types, char ret_cluster[HOPS_ID_LEN + 1])
{
    pthread_mutex_lock(&types->lock);
    memcpy(ret_cluster, types->cluster, HOPS_ID_LEN + 1);
    pthread_mutex_unlock(&types->lock);
}

/* ---- for people ---- */

uint64_t types_changes(struct types *types)
{
    return atomic_load(&types->changes);
}

struct schemas *types_schemas(struct types *types)
{
    return types->schemas;
}

struct mappings *types_mappings(struct types *types)
{
    return types->mappings;
}

void types_get_counters(struct types *types, struct types_counters *ret)
{
    ret->schema_loads = atomic_load(&types->schema_loads);
    ret->mapping_loads = atomic_load(&types->mapping_loads);
    ret->failed_loads = atomic_load(&types->failed_loads);
    ret->negative_hits = atomic_load(&types->negative_hits);
    ret->stale_serves = atomic_load(&types->stale_serves);
    pthread_mutex_lock(&types->lock);
    ret->waiting = HASH_COUNT(types->flights);
    pthread_mutex_unlock(&types->lock);
}

static void put_cache(struct sbuf *json, const char *name, struct cache *cache, uint64_t loads)
{
    struct cache_stats stats;

    cache_get_stats(cache, &stats);
    sbuf_addf(json, "\"%s\":{\"entries\":%llu,\"bytes\":%llu,\"limit\":%llu,", name,
              (unsigned long long)stats.entries, (unsigned long long)stats.bytes,
              (unsigned long long)stats.limit);
    sbuf_addf(json, "\"hits\":%llu,\"misses\":%llu,\"loads\":%llu,", (unsigned long long)stats.hits,
              (unsigned long long)stats.misses, (unsigned long long)loads);
    sbuf_addf(json, "\"evictions\":%llu,\"expiries\":%llu,\"too_large\":%llu}",
              (unsigned long long)stats.evictions, (unsigned long long)stats.expired,
              (unsigned long long)stats.refused);
}

void types_put_status(struct types *types, struct sbuf *json)
{
    struct types_counters counters;
    struct cache_stats negatives;

    types_get_counters(types, &counters);
    cache_get_stats(types->negatives, &negatives);
    put_cache(json, "schemas", schemas_cache(types->schemas), counters.schema_loads);
    sbuf_addc(json, ',');
    put_cache(json, "mappings", mappings_cache(types->mappings), counters.mapping_loads);
    sbuf_addf(json, ",\"negative\":{\"entries\":%llu,\"hits\":%llu},", (unsigned long long)negatives.entries,
              (unsigned long long)counters.negative_hits);
    sbuf_addf(json, "\"stale_serves\":%llu,\"failed_loads\":%llu,\"loading\":%llu",
              (unsigned long long)counters.stale_serves, (unsigned long long)counters.failed_loads,
              (unsigned long long)counters.waiting);
}
