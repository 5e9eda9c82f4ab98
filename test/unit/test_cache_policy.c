/* Hit rates of the cache on mixes of requests, beside a plain LRU of the same size. The mixes are always the
 * same. */
#include "test/unit/t.h"

#include <math.h>
#include <stdio.h>

#include "shared/base/cache.h"

enum {
    POPULAR = 2000,   /* keys that are asked for by popularity */
    SCANNED = 60000,  /* keys of scans, each asked for once */
    REQUESTS = 60000, /* by popularity */
    KEYS = POPULAR + SCANNED,
    LEAST_BYTES = 500,
    MOST_BYTES = 9500,
    LIMIT = 1 << 20,
};

struct mix {
    const char *name;
    double skew;     /* exponent of the popularity */
    int scan_every;  /* requests between scans; 0: none */
    int scan_length; /* keys of a scan */
};

/* ---- the mix ---- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t bytes_of(int key)
{
    uint64_t state = (uint64_t)key * 77;

    return LEAST_BYTES + next_random(&state) % (MOST_BYTES - LEAST_BYTES);
}

static int popular_key(const double *sums, uint64_t *state)
{
    double at = (double)(next_random(state) >> 11) / 9007199254740992.0 * sums[POPULAR - 1];
    int low = 0, high = POPULAR - 1;

    while (low < high) {
        int mid = (low + high) / 2;
        if (sums[mid] < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t record(const struct mix *mix, int *trace)
{
    double *sums = xcalloc(POPULAR, sizeof(*sums)), sum = 0;
    uint64_t state = 42;
    int scanned = 0;
    size_t n = 0;

    for (int i = 0; i < POPULAR; i++)
        sums[i] = sum += 1 / pow(i + 1, mix->skew);
    for (int i = 0; i < REQUESTS; i++) {
        trace[n++] = popular_key(sums, &state);
        if (!mix->scan_every || i % mix->scan_every != mix->scan_every - 1)
            continue;
        for (int k = 0; k < mix->scan_length; k++)
            trace[n++] = POPULAR + scanned++ % SCANNED;
    }
    free(sums);
    return n;
}

/* ---- plain LRU over numbers ---- */

struct lru {
    int next[KEYS + 1], prev[KEYS + 1]; /* a ring through KEYS; next is less recently used */
    bool there[KEYS];
    size_t cost[KEYS], used, limit;
};

static void lru_unlink(struct lru *l, int key)
{
    l->next[l->prev[key]] = l->next[key];
    l->prev[l->next[key]] = l->prev[key];
}

static void lru_to_front(struct lru *l, int key)
{
    l->next[key] = l->next[KEYS];
    l->prev[key] = KEYS;
    l->prev[l->next[KEYS]] = key;
    l->next[KEYS] = key;
}

static bool lru_ask(struct lru *l, int key, size_t cost)
{
    bool hit = l->there[key];

    if (hit)
        lru_unlink(l, key);
    else
        l->used += l->cost[key] = cost;
    l->there[key] = true;
    lru_to_front(l, key);
    while (l->used > l->limit) {
        int oldest = l->prev[KEYS];
        lru_unlink(l, oldest);
        l->there[oldest] = false;
        l->used -= l->cost[oldest];
    }
    return hit;
}

/* ---- both ---- */

static bool ask(struct cache *cache, int key)
{
    char name[64];
    struct cache_stats stats;

    snprintf(name, sizeof(name), "Module.Type%d-1.0", key);
    AUTO(blob_unref_auto) struct blob *found = cache_get(cache, slice_str(name), 0);
    if (found)
        return true;
    AUTO(free_str_auto) char *bytes = xcalloc(1, bytes_of(key));
    AUTO(blob_unref_auto) struct blob *blob = blob_new(slice_of(bytes, bytes_of(key)));
    assert_true(cache_put(cache, slice_str(name), blob, 0));
    cache_get_stats(cache, &stats);
    assert_true(stats.bytes <= LIMIT);
    return false;
}

static void rates(const struct mix *mix, double *ret_ours, double *ret_lru)
{
    enum { OVERHEAD = 240 }; /* of an entry, near enough what the cache counts */
    int *trace = xcalloc((size_t)REQUESTS * 10, sizeof(*trace));
    size_t n = record(mix, trace), ours = 0, plain = 0, popular = 0;
    struct lru *lru = xcalloc(1, sizeof(*lru));
    AUTO(cache_free_auto) struct cache *cache = cache_new(&(struct cache_options){ .limit = LIMIT });

    lru->limit = LIMIT;
    lru->next[KEYS] = lru->prev[KEYS] = KEYS;
    for (size_t i = 0; i < n; i++) {
        bool hit = ask(cache, trace[i]);
        bool lru_hit = lru_ask(lru, trace[i], bytes_of(trace[i]) + OVERHEAD);
        if (trace[i] >= POPULAR)
            continue;
        popular++;
        ours += hit;
        plain += lru_hit;
    }
    *ret_ours = (double)ours / (double)popular;
    *ret_lru = (double)plain / (double)popular;
    print_message("%-24s ours %.3f   plain LRU %.3f\n", mix->name, *ret_ours, *ret_lru);
    free(trace);
    free(lru);
}

static void better_with_scans(void **state)
{
    static const struct mix mixes[] = {
        { "skew 0.9, small scans", 0.9, 500, 150 },
        { "skew 0.9, large scans", 0.9, 2000, 1000 },
        { "skew 0.7, large scans", 0.7, 2000, 1000 },
    };
    double ours, lru;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++) {
        rates(&mixes[i], &ours, &lru);
        assert_true(ours > lru * 1.05);
    }
}

static void not_worse_without(void **state)
{
    static const struct mix mixes[] = {
        { "skew 0.7", 0.7, 0, 0 },
        { "skew 0.9", 0.9, 0, 0 },
        { "skew 1.1", 1.1, 0, 0 },
    };
    double ours, lru;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++) {
        rates(&mixes[i], &ours, &lru);
        assert_true(ours >= lru);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(better_with_scans),
        cmocka_unit_test(not_worse_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
