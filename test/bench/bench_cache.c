/*
 * bench_cache: what a hit costs: one type name resolved out of the caches, and cache reads by 1, 2 and 8
 * threads beside one hash table under one lock.  Ratios from one run, the median of several turns.
 */
#include <pthread.h>
#include <stdio.h>

#include "dws/types.h"
#include "shared/base/clock.h"
#include "shared/base/uth.h"

enum { KEYS = 1000, TURNS = 7, CALLS = 200000, MAX_THREADS = 8 };

static const char schema_text[] =
    "{\"type\":\"object\",\"original-type\":\"kidl-structure\",\"properties\":{\"a\":{\"type\":"
    "\"string\",\"original-type\":\"kidl-string\"}},\"additionalProperties\":true}";
static char names[KEYS][64];

/* ---- what is compared with ---- */

struct plain_entry {
    UT_hash_handle hh;
    struct blob *blob;
    const char *key;
};

static struct {
    pthread_mutex_t lock;
    struct plain_entry *table;
} plain = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct blob *plain_get(struct slice key)
{
    struct plain_entry *e;

    pthread_mutex_lock(&plain.lock);
    HASH_FIND(hh, plain.table, key.p, key.n, e);
    struct blob *blob = e ? blob_ref(e->blob) : NULL;
    pthread_mutex_unlock(&plain.lock);
    return blob;
}

/* ---- subjects: one call each ---- */

static struct cache *cache;
static struct types *types;

static void read_cache(size_t i)
{
    blob_unref(cache_get(cache, slice_str(names[i % KEYS]), 0));
}

static void read_plain(size_t i)
{
    blob_unref(plain_get(slice_str(names[i % KEYS])));
}

static void resolve(size_t i)
{
    struct type_found found;

    if (types_resolve(types, slice_str(names[i % KEYS]), &found, NULL, NULL, NULL) == 0)
        blob_unref(found.schema);
    else
        abort();
}

/* ---- measuring ---- */

struct run {
    void (*call)(size_t i);
    size_t seed;
};

static void *run_main(void *arg)
{
    const struct run *run = arg;

    for (size_t i = 0; i < CALLS; i++)
        run->call(run->seed + i * 7);
    return NULL;
}

/* Calls per microsecond of all threads together. */
static double rate(void (*call)(size_t i), int threads)
{
    pthread_t ids[MAX_THREADS];
    struct run runs[MAX_THREADS];
    uint64_t begin = clock_us();

    for (int i = 0; i < threads; i++) {
        runs[i] = (struct run){ call, (size_t)i * 131 };
        if (pthread_create(&ids[i], NULL, run_main, &runs[i]) != 0)
            abort();
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return (double)threads * CALLS / (double)(clock_us() - begin);
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
    qsort(values, TURNS, sizeof(*values), compare_doubles);
    return values[TURNS / 2];
}

static void compare(const char *name, void (*subject)(size_t i), void (*reference)(size_t i), int threads)
{
    double ratios[TURNS], subjects[TURNS], references[TURNS];

    for (int i = 0; i < TURNS; i++) {
        subjects[i] = rate(subject, threads);
        references[i] = rate(reference, threads);
        ratios[i] = subjects[i] / references[i];
    }
    printf("%-58s %6.2f   (%4.0f ns : %4.0f ns a call and thread)\n", name, median(ratios),
           1000 * threads / median(subjects), 1000 * threads / median(references));
}

/* ---- filling ---- */

static void answer(void *ctx, struct slice ref, loader_done_fn *done, void *done_ctx)
{
    struct loaded loaded = { .schema = slice_str(schema_text), .released = true };
    AUTO(free_str_auto) char *absolute = xasprintf("%.*s-1.0", (int)ref.n, ref.p);

    (void)ctx;
    if (type_id_parse(slice_str(absolute), false, &loaded.id, NULL) < 0)
        abort();
    done(done_ctx, 0, &loaded, NULL);
}

static void release(void *ctx, int rc, struct type_found *found, struct err *err)
{
    (void)ctx;
    (void)err;
    if (rc < 0)
        abort();
    blob_unref(found->schema);
}

static void fill(const struct config *config)
{
    const struct types_options options = { config, answer, NULL, clock_us };
    struct type_found found;

    cache = cache_new(&(struct cache_options){ .limit = 64 << 20 });
    types = types_new(&options);
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof(names[i]), "KBaseModule%zu.SomeType", i);
        struct blob *blob = blob_new(slice_str(schema_text));
        cache_put(cache, slice_str(names[i]), blob, 0);
        struct plain_entry *e = xcalloc(1, sizeof(*e));
        e->blob = blob;
        e->key = names[i];
        HASH_ADD_KEYPTR(hh, plain.table, e->key, strlen(e->key), e);
        if (types_resolve(types, slice_str(names[i]), &found, release, NULL, NULL) != TYPES_LATER)
            abort();
    }
}

static void empty(void)
{
    struct plain_entry *e, *next;

    HASH_ITER (hh, plain.table, e, next) {
        HASH_DELETE(hh, plain.table, e);
        blob_unref(e->blob);
        free(e);
    }
    cache_free(cache);
    types_free(types);
}

int main(void)
{
    static const int threads[] = { 1, 2, 8 };
    static const struct config config = { .type_schema_cache_max_size = 64 << 20,
                                          .type_mapping_cache_max_size = 64 << 20,
                                          .type_mapping_cache_time = 300000000 };
    char name[64];

    fill(&config);
    compare("resolve a type name / one table under one lock", resolve, read_plain, 1);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        snprintf(name, sizeof(name), "cache / one table under one lock, %d threads", threads[i]);
        compare(name, read_cache, read_plain, threads[i]);
    }
    empty();
    return 0;
}
