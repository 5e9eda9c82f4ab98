#include "test/unit/t.h"

#include "shared/base/digest.h"

static void test_md5(void **state)
{
    char hex[MD5_HEX + 1];

    (void)state;
    md5_hex(SLICE(""), hex);
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
    md5_hex((struct slice){ NULL, 0 }, hex);
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
    md5_hex(SLICE("abc"), hex);
    assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
}

/* A lone surrogate counts as a question mark, other characters that share its first byte as they are. */
static void test_md5_of_java_bytes(void **state)
{
    char one[MD5_HEX + 1], other[MD5_HEX + 1];

    (void)state;
    md5_hex(SLICE("a\xed\xa0\x80z"), one);
    md5_hex(SLICE("a?z"), other);
    assert_string_equal(one, other);
    md5_hex(SLICE("\xed\x95\x9c"), one);
    assert_string_equal(one, "f7ad7dea32e2e9f801a2e8472e4089a5");
}

static void test_sha256(void **state)
{
    unsigned char raw[SHA256_BYTES];
    char hex[SHA256_HEX + 1];

    (void)state;
    sha256_hex(SLICE("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(SLICE("abc"), raw);
    assert_int_equal(raw[0], 0xba);
    assert_int_equal(raw[31], 0xad);
}

static void test_random(void **state)
{
    char one[RANDOM_ID_HEX + 1], other[RANDOM_ID_HEX + 1], long_one[2 * 70 + 1];

    (void)state;
    random_id(one);
    random_id(other);
    assert_string_not_equal(one, other);
    assert_int_equal(strspn(one, "0123456789abcdef"), RANDOM_ID_HEX);
    assert_int_equal(strlen(one), RANDOM_ID_HEX);
    random_hex(long_one, 70);
    assert_int_equal(strspn(long_one, "0123456789abcdef"), 140);
    assert_int_equal(strlen(long_one), 140);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_md5_of_java_bytes),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
