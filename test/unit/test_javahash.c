#include "test/unit/t.h"

#include "shared/base/javahash.h"

/* Expected orders are what a HashMap of a real JDK printed. */
static void check_order(const struct slice *keys, size_t n, uint32_t capacity, const size_t *want)
{
    size_t order[64];

    assert_true(n <= ARRAY_LEN(order));
    java_hash_order(keys, n, capacity, order);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(order[i], want[i]);
}

static void test_hash(void **state)
{
    (void)state;
    assert_int_equal(java_hash(SLICE("")), 0);
    assert_int_equal(java_hash(SLICE("gr\xc3\xb6\xc3\x9f"
                                     "e")),
                     0x5e2fbf3);
    assert_int_equal(java_hash(SLICE("\xf0\x9f\x98\x80")), 0x1b0d78);
    assert_int_equal(java_hash(SLICE("\xed\xa0\xbd")), 0xd83d);
    assert_int_equal(java_hash(SLICE("a\0b")), 0x16c82);
    assert_int_equal(java_hash(SLICE("\xe6\x97\xa5\xe6\x9c\xac")), 0xcbdeb);
}

static void test_order_that_grows(void **state)
{
    static const struct slice keys[] = {
        SLICE("zeta"),  SLICE("alpha"), SLICE("Genome"), SLICE("Feature"), SLICE("mid"),
        SLICE("Beta"),  SLICE("x1"),    SLICE("x2"),     SLICE("x3"),      SLICE("Contig"),
        SLICE("Reads"), SLICE("yy"),    SLICE("Taxon"),  SLICE("Media"),
    };
    static const size_t want[] = { 0, 11, 12, 13, 4, 3, 5, 10, 9, 1, 6, 7, 8, 2 };

    (void)state;
    check_order(keys, ARRAY_LEN(keys), 16, want);
}

static void test_order_of_many(void **state)
{
    static const size_t want[] = { 0,  31, 34, 17, 12, 1,  37, 22, 33, 3,  25, 36, 6,  16,
                                   9,  19, 30, 2,  5,  28, 39, 8,  13, 21, 32, 24, 35, 15,
                                   10, 18, 29, 11, 14, 27, 38, 23, 26, 20, 4,  7 };
    struct slice keys[40];
    char text[40][16];

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        snprintf(text[i], sizeof(text[i]), "key%zu", i * 7);
        keys[i] = slice_str(text[i]);
    }
    check_order(keys, 40, 16, want);
}

static void test_order_of_odd_keys(void **state)
{
    static const struct slice keys[] = {
        SLICE("gr\xc3\xb6\xc3\x9f"
              "e"),
        SLICE("\xf0\x9f\x98\x80"),
        SLICE("\xed\xa0\xbd"),
        SLICE("a\0b"),
        SLICE(""),
        SLICE("\xce\xbb"),
        SLICE("\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87"),
        SLICE("\xe6\x97\xa5\xe6\x9c\xac"),
    };
    static const size_t want[] = { 4, 3, 0, 6, 1, 5, 7, 2 };

    (void)state;
    check_order(keys, ARRAY_LEN(keys), 16, want);
    check_order(keys, 0, 16, NULL);
}

static void test_putall(void **state)
{
    static const struct slice keys[] = { SLICE("author"), SLICE("version") };
    static const size_t inserted[] = { 0, 1 }, copied[] = { 1, 0 };

    (void)state;
    check_order(keys, 2, 16, inserted);
    check_order(keys, 2, java_hash_putall_capacity(2), copied);
    static const struct {
        size_t n;
        uint32_t capacity;
    } rows[] = { { 0, 1 },  { 1, 2 },   { 2, 4 },   { 3, 8 },   { 5, 8 },
                 { 6, 16 }, { 11, 16 }, { 12, 32 }, { 23, 32 }, { 24, 64 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(java_hash_putall_capacity(rows[i].n), rows[i].capacity);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),          cmocka_unit_test(test_order_that_grows),
        cmocka_unit_test(test_order_of_many), cmocka_unit_test(test_order_of_odd_keys),
        cmocka_unit_test(test_putall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
