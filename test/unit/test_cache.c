#include "test/unit/t.h"

#include <pthread.h>

#include "shared/base/cache.h"
#include "shared/base/uth.h"

static bool put(struct cache *cache, const char *key, size_t n, char fill, uint64_t now)
{
    char *bytes = xmalloc(n + 1);

    memset(bytes, fill, n);
    AUTO(blob_unref_auto) struct blob *blob = blob_new(slice_of(bytes, n));
    free(bytes);
    return cache_put(cache, slice_str(key), blob, now);
}

/* '\0': not there */
static char get(struct cache *cache, const char *key, uint64_t now)
{
    AUTO(blob_unref_auto) struct blob *blob = cache_get(cache, slice_str(key), now);

    return blob ? (blob->n ? blob->bytes[0] : '0') : '\0';
}

static struct cache_stats stats(struct cache *cache)
{
    struct cache_stats s;

    cache_get_stats(cache, &s);
    assert_true(s.bytes <= s.limit);
    return s;
}

static struct cache *make(size_t limit, unsigned shards, uint64_t ttl)
{
    return cache_new(&(struct cache_options){ .limit = limit, .shards = shards, .ttl = ttl });
}

static void put_get_drop(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(100000, 0, 0);

    assert_int_equal(get(cache, "a", 0), '\0');
    assert_true(put(cache, "a", 10, 'x', 0));
    assert_true(put(cache, "", 0, 'y', 0));
    assert_int_equal(get(cache, "a", 0), 'x');
    assert_int_equal(get(cache, "", 0), '0');
    assert_true(put(cache, "a", 20, 'z', 0));
    assert_int_equal(get(cache, "a", 0), 'z');
    struct cache_stats s = stats(cache);
    assert_int_equal(s.entries, 2);
    assert_int_equal(s.hits, 3);
    assert_int_equal(s.misses, 1);
    cache_drop(cache, SLICE("a"));
    cache_drop(cache, SLICE("a"));
    cache_drop(cache, SLICE(""));
    s = stats(cache);
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.bytes, 0);
    assert_int_equal(s.evictions, 0);
}

static void keys_are_bytes(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(100000, 4, 0);
    AUTO(blob_unref_auto) struct blob *one = blob_new(SLICE("1\0one"));
    AUTO(blob_unref_auto) struct blob *two = blob_new(SLICE("2"));

    assert_true(cache_put(cache, SLICE("k\0a"), one, 0));
    assert_true(cache_put(cache, SLICE("k\0b"), two, 0));
    AUTO(blob_unref_auto) struct blob *found = cache_get(cache, SLICE("k\0a"), 0);
    assert_ptr_equal(found, one);
    assert_true(slice_eq(blob_slice(found), SLICE("1\0one")));
    assert_null(cache_get(cache, SLICE("k"), 0));
}

static void a_reference_outlives_the_entry(void **state)
{
    (void)state;
    struct cache *cache = make(100000, 0, 0);

    assert_true(put(cache, "a", 3, 'x', 0));
    struct blob *held = cache_get(cache, SLICE("a"), 0);
    cache_drop(cache, SLICE("a"));
    cache_free(cache);
    assert_non_null(held);
    assert_string_equal(held->bytes, "xxx");
    blob_unref(held);
}

static void too_large_is_refused(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(10000, 16, 0);
    AUTO(cache_free_auto) struct cache *none = make(0, 0, 0);

    assert_true(put(cache, "small", 10, 's', 0));
    assert_false(put(cache, "big", 10000, 'b', 0));
    assert_int_equal(get(cache, "small", 0), 's');
    /* more than a sixteenth, less than all */
    assert_true(put(cache, "half", 5000, 'h', 0));
    assert_int_equal(get(cache, "half", 0), 'h');
    assert_int_equal(stats(cache).refused, 1);
    assert_false(put(none, "a", 0, 'a', 0));
    assert_int_equal(get(none, "a", 0), '\0');
}

static void limit_counts_everything(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(100000, 8, 0);
    char *key = xmalloc(5001);

    memset(key, 'k', 5000);
    key[5000] = '\0';
    for (int i = 0; i < 100; i++) {
        key[0] = (char)('0' + i);
        assert_true(put(cache, key, 0, 'v', 0));
        struct cache_stats s = stats(cache);
        assert_true(s.bytes >= s.entries * 5000);
    }
    struct cache_stats s = stats(cache);
    assert_in_range(s.entries, 15, 19);
    assert_int_equal(s.evictions, 100 - s.entries);
    free(key);
}

static void oldest_goes_first(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(10000, 1, 0);

    for (char key[2] = "a"; key[0] <= 'd'; key[0]++)
        assert_true(put(cache, key, 2000, key[0], 0));
    assert_true(put(cache, "e", 4000, 'e', 0));
    assert_int_equal(get(cache, "a", 0), '\0');
    assert_int_equal(get(cache, "b", 0), '\0');
    assert_int_equal(get(cache, "d", 0), 'd');
    assert_int_equal(get(cache, "e", 0), 'e');
}

static void a_scan_leaves_what_is_used(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(200000, 4, 0);
    char key[32];

    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "hot%d", i);
        assert_true(put(cache, key, 1000, 'h', 0));
        assert_int_equal(get(cache, key, 0), 'h');
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "scan%d", i);
        assert_true(put(cache, key, 1000, 's', 0));
        stats(cache);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "hot%d", i);
        assert_int_equal(get(cache, key, 0), 'h');
    }
}

static void protected_ones_give_way_to_each_other(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(20000, 1, 0);
    char key[32];

    /* all are hit, so all want protection, which holds four fifths */
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_true(put(cache, key, 1000, 'v', 0));
        assert_int_equal(get(cache, key, 0), 'v');
    }
    assert_int_equal(get(cache, "k99", 0), 'v');
    assert_int_equal(get(cache, "k0", 0), '\0');
    assert_true(stats(cache).entries >= 15);
}

static void time_to_live(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(10000, 2, 100);

    assert_true(put(cache, "a", 1, 'x', 1000));
    assert_int_equal(get(cache, "a", 1099), 'x');
    assert_int_equal(get(cache, "a", 1100), '\0');
    assert_int_equal(stats(cache).entries, 0);
    assert_true(put(cache, "a", 1, 'y', 2000));
    assert_true(put(cache, "a", 1, 'z', 2050));
    assert_int_equal(get(cache, "a", 2149), 'z');
    struct cache_stats s = stats(cache);
    assert_int_equal(s.expired, 1);
    assert_int_equal(s.misses, 1);
}

static void stale_ones_are_kept_for_those_who_ask(void **state)
{
    (void)state;
    AUTO(cache_free_auto)
    struct cache *cache = cache_new(&(struct cache_options){ .limit = 10000, .ttl = 100, .stale = 50 });
    struct cache_found found;

    assert_true(put(cache, "a", 1, 'x', 1000));
    assert_true(cache_find(cache, SLICE("a"), 1099, &found));
    assert_false(found.expired);
    blob_unref(found.value);
    assert_int_equal(get(cache, "a", 1100), '\0');
    assert_true(cache_find(cache, SLICE("a"), 1149, &found));
    assert_true(found.expired);
    assert_int_equal(found.put_at, 1000);
    blob_unref(found.value);
    /* an expired entry is as good as none for a test */
    assert_false(cache_find(cache, SLICE("a"), 1150, &found));
    struct cache_stats s = stats(cache);
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.hits, 1);
    assert_int_equal(s.expired, 3);
    /* a time before the beginning is no overflow */
    assert_true(put(cache, "b", 1, 'x', 1000));
    assert_int_equal(get(cache, "b", 10), 'x');
}

static bool only_if_missing(void *ctx, const struct blob *there)
{
    ++*(int *)ctx;
    return !there;
}

static void put_if(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(10000, 0, 100);
    AUTO(blob_unref_auto) struct blob *one = blob_new(SLICE("1")), *two = blob_new(SLICE("2"));
    int asked = 0;

    assert_true(cache_put_if(cache, SLICE("k"), one, 0, only_if_missing, &asked));
    uint64_t bytes = stats(cache).bytes;
    assert_false(cache_put_if(cache, SLICE("k"), two, 0, only_if_missing, &asked));
    assert_int_equal(stats(cache).bytes, bytes);
    assert_int_equal(get(cache, "k", 0), '1');
    assert_true(cache_put_if(cache, SLICE("k"), two, 100, only_if_missing, &asked));
    assert_int_equal(get(cache, "k", 100), '2');
    assert_int_equal(asked, 3);
    assert_int_equal(stats(cache).bytes, bytes);
}

static void free_attached(void *object)
{
    ++*(int *)object;
}

static void attachments_count_and_go_with_the_blob(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(10000, 0, 0);
    int freed = 0;
    struct blob *blob = blob_new_with(SLICE("text"), &(struct attachment){ &freed, 5000, free_attached });

    assert_true(cache_put(cache, SLICE("k"), blob, 0));
    blob_unref(blob);
    assert_in_range(stats(cache).bytes, 5004, 5400);
    assert_int_equal(freed, 0);
    cache_drop(cache, SLICE("k"));
    assert_int_equal(freed, 1);
    blob = blob_new_with(SLICE("text"), &(struct attachment){ &freed, 10000, free_attached });
    assert_false(cache_put(cache, SLICE("k"), blob, 0));
    blob_unref(blob);
    assert_int_equal(freed, 2);
}

static void add_bytes(void *ctx, const struct cache_view *view)
{
    assert_int_equal(view->value->n, 10);
    *(size_t *)ctx += view->bytes;
}

static bool begins_with_a(void *ctx, const struct cache_view *view)
{
    (void)ctx;
    return view->key.n && view->key.p[0] == 'a';
}

static void listing_and_dropping(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(100000, 0, 0);
    size_t bytes = 0;
    char key[32];

    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "%c%d", i % 5 ? 'b' : 'a', i);
        assert_true(put(cache, key, 10, 'x', 0));
    }
    cache_each(cache, 0, add_bytes, &bytes);
    assert_int_equal(bytes, stats(cache).bytes);
    assert_int_equal(cache_drop_if(cache, 0, begins_with_a, NULL), 10);
    assert_int_equal(stats(cache).entries, 40);
    assert_int_equal(stats(cache).hits + stats(cache).misses, 0);
    assert_int_equal(get(cache, "a0", 0), '\0');
    assert_int_equal(get(cache, "b1", 0), 'x');
}

enum { THREADS = 8, ROUNDS = 4000, KEYS = 400 };

static void *hammer(void *arg)
{
    struct cache *cache = arg;
    unsigned seed = (unsigned)(uintptr_t)pthread_self();
    char key[32];

    for (int i = 0; i < ROUNDS; i++) {
        unsigned k = (unsigned)rand_r(&seed) % KEYS;
        snprintf(key, sizeof(key), "key%u", k);
        char fill = (char)('a' + k % 26);
        char found = get(cache, key, 0);
        assert_true(found == '\0' || found == fill);
        if (!found)
            put(cache, key, 10 + k * 4, fill, 0);
        if (k == 7)
            cache_drop(cache, slice_str(key));
        if (i % 16 == 0)
            stats(cache);
    }
    return NULL;
}

static void threads_keep_the_limit(void **state)
{
    (void)state;
    AUTO(cache_free_auto) struct cache *cache = make(100000, 8, 0);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct cache_stats s = stats(cache);
    assert_int_equal(s.hits + s.misses, THREADS * ROUNDS);
    assert_true(s.evictions > 0);
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key%d", i);
        cache_drop(cache, slice_str(key));
    }
    s = stats(cache);
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.bytes, 0);
}

static void hash_sees_every_byte(void **state)
{
    (void)state;
    char bytes[40] = { 0 };

    for (size_t n = 0; n <= sizeof(bytes); n++) {
        uint64_t hash = uth_hash(bytes, n);
        assert_true(hash == uth_hash(bytes, n));
        assert_true(n == 0 || hash != uth_hash(bytes, n - 1));
        for (size_t i = 0; i < n; i++) {
            bytes[i] ^= 1;
            assert_true(hash != uth_hash(bytes, n));
            bytes[i] ^= 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_drop),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(a_reference_outlives_the_entry),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(limit_counts_everything),
        cmocka_unit_test(oldest_goes_first),
        cmocka_unit_test(a_scan_leaves_what_is_used),
        cmocka_unit_test(protected_ones_give_way_to_each_other),
        cmocka_unit_test(time_to_live),
        cmocka_unit_test(stale_ones_are_kept_for_those_who_ask),
        cmocka_unit_test(put_if),
        cmocka_unit_test(attachments_count_and_go_with_the_blob),
        cmocka_unit_test(listing_and_dropping),
        cmocka_unit_test(threads_keep_the_limit),
        cmocka_unit_test(hash_sees_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
