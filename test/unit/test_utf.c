#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/base/utf.h"

static void assert_slice(struct slice got, const char *want, size_t n)
{
    assert_int_equal(got.n, n);
    if (n)
        assert_memory_equal(got.p, want, n);
}

#define ASSERT_SLICE(got, literal) assert_slice((got), (literal), sizeof(literal) - 1)

/* What JDK's decoder makes of bytes from the network. */
static void test_repair(void **state)
{
    static const struct {
        struct slice in, out;
    } rows[] = {
#define FFFD "\xef\xbf\xbd"
        { SLICE(""), SLICE("") },
        { SLICE("plain text, longer than a word"), SLICE("plain text, longer than a word") },
        { SLICE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), SLICE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80") },
        { SLICE("\"\xed\xa0\x80\""), SLICE("\"" FFFD "\"") },
        { SLICE("\xed\xa0\x80\xed\xb0\x80"), SLICE(FFFD FFFD) },
        { SLICE("\xed\xa0"), SLICE(FFFD) },
        { SLICE("\xed\xff"), SLICE(FFFD FFFD) },
        { SLICE("\xe0\x80\x9f\""), SLICE(FFFD FFFD FFFD "\"") },
        { SLICE("\xf0\x80\x80\x80"), SLICE(FFFD FFFD FFFD FFFD) },
        { SLICE("\xf0\x9f\x98\""), SLICE(FFFD "\"") },
        { SLICE("\xf0\x9f\x98"), SLICE(FFFD) },
        { SLICE("\xf0\x9f"), SLICE(FFFD) },
        { SLICE("\xf0\x8f"), SLICE(FFFD FFFD) },
        { SLICE("\xe2\x82"), SLICE(FFFD) },
        { SLICE("\xe2\x82\""), SLICE(FFFD "\"") },
        { SLICE("\xf5\x80\x80\x80"), SLICE(FFFD FFFD FFFD FFFD) },
        { SLICE("\xf4\x90\x80\x80"), SLICE(FFFD FFFD FFFD FFFD) },
        { SLICE("\xc0\x80"), SLICE(FFFD FFFD) },
        { SLICE("\xff"), SLICE(FFFD) },
        { SLICE("a\x80z"), SLICE("a" FFFD "z") },
        { SLICE("\xc3"), SLICE(FFFD) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(out, 1000);
        utf_repair(rows[i].in, &out);
        assert_slice(sbuf_slice(&out), rows[i].out.p, rows[i].out.n);
    }
}

static void test_code_points_round_trip(void **state)
{
    static const uint32_t cps[] = { 0,      'a',    0x7f,   0x80,   0x7ff,   0x800,   0xd7ff,
                                    0xd800, 0xdfff, 0xe000, 0xffff, 0x10000, 0x10ffff };
    char bytes[4];
    size_t used;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cps); i++) {
        size_t n = utf_encode(cps[i], bytes);
        assert_int_equal(utf_decode(bytes, n, &used), cps[i]);
        assert_int_equal(used, n);
        uint32_t strict = utf_decode_strict(bytes, n, &used);
        assert_int_equal(strict, utf_is_surrogate(cps[i]) ? 0xfffd : cps[i]);
        assert_int_equal(used, n);
    }
    assert_int_equal(utf_join(0xd83d, 0xde00), 0x1f600);
}

static void test_units(void **state)
{
    (void)state;
    assert_int_equal(utf_units(SLICE("")), 0);
    assert_int_equal(utf_units(SLICE("abc")), 3);
    assert_int_equal(utf_units(SLICE("\xc3\xa9\xe2\x82\xac")), 2);
    assert_int_equal(utf_units(SLICE("\xf0\x9f\x98\x80")), 2);
    assert_int_equal(utf_units(SLICE("\xed\xa0\xbd")), 1);
}

/* Ascending by UTF-16 units; bytes alone would order some of them otherwise. */
static void test_compare(void **state)
{
    static const struct slice sorted[] = {
        SLICE(""),
        SLICE("\0"),
        SLICE("A"),
        SLICE("Ab"),
        SLICE("a"),
        SLICE("a\xc3\xa9"),
        SLICE("a\xe2\x82\xac"),
        SLICE("a\xed\x9f\xbf"),
        SLICE("a\xed\xa0\x80"),     /* lone D800 */
        SLICE("a\xed\xa0\x80z"),    /* D800 and z */
        SLICE("a\xf0\x90\x80\x80"), /* D800 DC00 */
        SLICE("a\xf0\x9f\x98\x80"), /* D83D DE00 */
        SLICE("a\xf0\x9f\x98\x81"), /* D83D DE01 */
        SLICE("a\xed\xa0\xbe"),     /* lone D83E */
        SLICE("a\xed\xb0\x80"),     /* lone DC00 */
        SLICE("a\xee\x80\x80"),
        SLICE("a\xef\xbf\xbd"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
        for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
            int c = utf_compare(sorted[i], sorted[k]);
            assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
        }
}

static void test_trim(void **state)
{
    (void)state;
    ASSERT_SLICE(utf_trim(SLICE(" \t\0a b\x1f\n")), "a b");
    ASSERT_SLICE(utf_trim(SLICE(" \r")), "");
    ASSERT_SLICE(utf_trim(SLICE("\xc2\xa0x")), "\xc2\xa0x");
}

static void test_valid(void **state)
{
    (void)state;
    assert_true(utf_valid(SLICE("")));
    assert_true(utf_valid(SLICE("abcdefghijklmnop\xc3\xa9qrstuvwxyz")));
    assert_true(utf_valid(SLICE("\xef\xbf\xbd")));
    assert_true(utf_valid(SLICE("\xed\xa0\x80")));
    assert_false(utf_valid(SLICE("abcdefghijklmnop\xc3")));
    assert_false(utf_valid(SLICE("\xe2\x82z")));
    assert_false(utf_valid(SLICE("\xff")));
}

static void test_java_bytes(void **state)
{
    AUTO_SBUF(out, 1000);

    (void)state;
    utf_put_java_bytes(SLICE("a\xed\xa0\x80z\xed\xb0\x80\xc3\xa9"), &out);
    ASSERT_SLICE(sbuf_slice(&out), "a?z?\xc3\xa9");
    sbuf_reset(&out);
    utf_put_java_bytes(SLICE("\xed\xa0\xbd\xed\xb8\x80\xed\xa0\xbd"), &out);
    ASSERT_SLICE(sbuf_slice(&out), "\xf0\x9f\x98\x80?");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repair),     cmocka_unit_test(test_code_points_round_trip),
        cmocka_unit_test(test_units),      cmocka_unit_test(test_compare),
        cmocka_unit_test(test_trim),       cmocka_unit_test(test_valid),
        cmocka_unit_test(test_java_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
