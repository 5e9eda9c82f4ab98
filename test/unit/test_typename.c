#include "test/unit/t.h"

#include "shared/base/typename.h"

static void assert_text(const struct err *err, const char *want, size_t n)
{
    assert_int_equal(err->len, n);
    assert_memory_equal(err->text, want, n);
}

static void test_semver(void **state)
{
    static const struct {
        const char *text;
        bool fine;
        int major, minor;
    } rows[] = {
        { "0.1", true, 0, 1 },           { "12.345", true, 12, 345 }, { "2147483647.0", true, 2147483647, 0 },
        { "2147483648.0", false, 0, 0 }, { "1", false, 0, 0 },        { "1.", false, 0, 0 },
        { ".1", false, 0, 0 },           { "", false, 0, 0 },         { "1.2.3", false, 0, 0 },
        { "+1.2", false, 0, 0 },         { "-1.2", false, 0, 0 },     { "1.x", false, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct semver v = { -1, -1 };
        assert_int_equal(semver_parse(slice_str(rows[i].text), &v), rows[i].fine);
        assert_int_equal(v.major, rows[i].fine ? rows[i].major : -1);
        assert_int_equal(v.minor, rows[i].fine ? rows[i].minor : -1);
    }
    assert_true(semver_compare((struct semver){ 1, 9 }, (struct semver){ 2, 0 }) < 0);
    assert_true(semver_compare((struct semver){ 1, 10 }, (struct semver){ 1, 9 }) > 0);
    assert_int_equal(semver_compare((struct semver){ 1, 9 }, (struct semver){ 1, 9 }), 0);
}

static void test_long(void **state)
{
    static const struct {
        const char *text;
        bool fine;
        int64_t value;
    } rows[] = {
        { "+5", true, 5 },
        { "-0", true, 0 },
        { "-", false, 0 },
        { "+", false, 0 },
        { "\xd9\xa1\xd9\xa2", true, 12 },
        { "\xef\xbc\x91", true, 1 },
        { "-\xe0\xb1\xa7", true, -1 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 },
        { "", false, 0 },
        { " 1", false, 0 },
        { "1_0", false, 0 },
        { "0x1", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 77;
        assert_int_equal(java_parse_long(slice_str(rows[i].text), &value), rows[i].fine);
        assert_int_equal(value, rows[i].fine ? rows[i].value : 77);
    }
}

static void test_name(void **state)
{
    char name[300];

    (void)state;
    memset(name, 'n', sizeof(name));
    assert_int_equal(name_check(SLICE("a_Z09"), false, "Module name", NULL), 0);
    assert_int_equal(name_check(SLICE("0"), false, "Module name", NULL), 0);
    assert_int_equal(name_check(slice_of(name, 255), false, "Module name", NULL), 0);

    static const struct {
        struct slice name;
        bool is_null;
        struct slice text;
    } rows[] = {
        { SLICE(""), false, SLICE("Type name cannot be null or the empty string") },
        { SLICE(""), true, SLICE("Type name cannot be null or the empty string") },
        { SLICE("a-b c"), false, SLICE("Illegal character in Type name a-b c: -") },
        { SLICE("\xc3\xa9"), false, SLICE("Illegal character in Type name \xc3\xa9: \xc3\xa9") },
        { SLICE("x\xf0\x9f\x98\x80"), false,
          SLICE("Illegal character in Type name x\xf0\x9f\x98\x80: \xf0\x9f\x98\x80") },
        { SLICE("x\0y"), false, SLICE("Illegal character in Type name x\0y: \0") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ERR(err);
        assert_int_equal(name_check(rows[i].name, rows[i].is_null, "Type name", &err), -ERR_ARGUMENT);
        assert_text(&err, rows[i].text.p, rows[i].text.n);
    }
    AUTO_ERR(err);
    assert_int_equal(name_check(slice_of(name, 256), false, "Function name", &err), -ERR_ARGUMENT);
    assert_string_equal(err.text, "Function name size is > 255 bytes");
}

/* Length counts Java's bytes: 86 lone surrogates take 258 of ours and 86 of its. */
static void test_name_length_in_java_bytes(void **state)
{
    AUTO_SBUF(name, 1000);
    AUTO_ERR(err);

    (void)state;
    for (int i = 0; i < 86; i++)
        sbuf_adds(&name, "\xed\xa0\x80");
    assert_int_equal(name_check(sbuf_slice(&name), false, "Type name", &err), -ERR_ARGUMENT);
    assert_memory_equal(err.text, "Illegal character", 17);
}

static void test_username(void **state)
{
    char name[101];

    (void)state;
    memset(name, 'u', sizeof(name));
    assert_int_equal(username_check(SLICE("a-Z_9"), false, NULL), 0);
    assert_int_equal(username_check(slice_of(name, 100), false, NULL), 0);
    static const struct {
        const char *name;
        bool is_null;
        const char *text;
    } rows[] = {
        { "", false, "Username cannot be null or the empty string" },
        { "", true, "Username cannot be null or the empty string" },
        { "a*b", false, "Illegal character in user name a*b: *" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ERR(err);
        assert_int_equal(username_check(slice_str(rows[i].name), rows[i].is_null, &err), -ERR_ARGUMENT);
        assert_string_equal(err.text, rows[i].text);
    }
    AUTO_ERR(err);
    assert_int_equal(username_check(slice_of(name, 101), false, &err), -ERR_ARGUMENT);
    assert_string_equal(err.text, "Username exceeds the maximum length of 100");
}

/* Accepted ids and the form they are quoted in. */
static void test_type_ids(void **state)
{
    static const struct {
        const char *text, *normal;
        enum type_id_form form;
    } rows[] = {
        { "Mod.Typ", "Mod.Typ", TYPE_ID_NONE },
        { "Mod.Typ-", "Mod.Typ", TYPE_ID_NONE },
        { "Mod.Typ--", "Mod.Typ", TYPE_ID_NONE },
        { "Mod.Typ.", "Mod.Typ", TYPE_ID_NONE },
        { "Mod.Typ.-1", "Mod.Typ-1", TYPE_ID_MAJOR },
        { "Mod.Typ-2", "Mod.Typ-2", TYPE_ID_MAJOR },
        { "Mod.Typ-2.", "Mod.Typ-2", TYPE_ID_MAJOR },
        { "Mod.Typ-+1", "Mod.Typ-1", TYPE_ID_MAJOR },
        { "Mod.Typ-2.1", "Mod.Typ-2.1", TYPE_ID_FULL },
        { "Mod.Typ-2.1.", "Mod.Typ-2.1", TYPE_ID_FULL },
        { "Mod.Typ-2.1-", "Mod.Typ-2.1", TYPE_ID_FULL },
        { "Mod.Typ-+1.+2", "Mod.Typ-1.2", TYPE_ID_FULL },
        { "Mod.Typ-01.002", "Mod.Typ-1.2", TYPE_ID_FULL },
        { "Mod.Typ-\xd9\xa1.\xd9\xa2", "Mod.Typ-1.2", TYPE_ID_FULL },
        { "Mod.Typ-2147483647.0", "Mod.Typ-2147483647.0", TYPE_ID_FULL },
        { "Mod.Typ-00112233445566778899aabbccddeeff", "Mod.Typ-00112233445566778899aabbccddeeff",
          TYPE_ID_MD5 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(out, 1000);
        struct type_id id;
        assert_int_equal(type_id_parse(slice_str(rows[i].text), false, &id, NULL), 0);
        assert_int_equal(id.form, rows[i].form);
        type_id_put(&out, &id);
        assert_string_equal(out.p, rows[i].normal);
    }
}

static void test_type_ids_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "", "Typestring cannot be null or the empty string" },
        { "-", "Could not parse typestring - into module/type and version portions" },
        { "--", "Could not parse typestring -- into module/type and version portions" },
        { "Mod.Typ-2.1-3", "Could not parse typestring Mod.Typ-2.1-3 into module/type and version portions" },
        { "Mod.Typ--1", "Could not parse typestring Mod.Typ--1 into module/type and version portions" },
        { "-2.1", "Moduletype cannot be null or the empty string" },
        { "Mod", "Type Mod could not be split into a module and name" },
        { "Mod.", "Type Mod. could not be split into a module and name" },
        { ".", "Type . could not be split into a module and name" },
        { "Mod..Typ", "Type Mod..Typ could not be split into a module and name" },
        { "a.b.c-1", "Type a.b.c could not be split into a module and name" },
        { ".Typ", "Module name cannot be null or the empty string" },
        { " Mod.Typ", "Illegal character in Module name  Mod:  " },
        { "Mod.Ty+p", "Illegal character in Type name Ty+p: +" },
        { "Mod.Typ-2.1.3", "Type version string 2.1.3 could not be parsed to a version" },
        { "Mod.Typ-n", "Type version string n could not be parsed to a version" },
        { "Mod.Typ-1.n", "Type version string 1.n could not be parsed to a version" },
        { "Mod.Typ-.1", "Type version string .1 could not be parsed to a version" },
        { "Mod.Typ-.", "Type version string . could not be parsed to a version" },
        { "Mod.Typ-1 .0", "Type version string 1 .0 could not be parsed to a version" },
        { "Mod.Typ-2147483648", "Type version string 2147483648 could not be parsed to a version" },
        { "Mod.Typ-0.2147483648", "Type version string 0.2147483648 could not be parsed to a version" },
        { "Mod.Typ-00112233445566778899AABBCCDDEEFF", "Type version string could not be parsed to a version: "
                                                      "00112233445566778899AABBCCDDEEFF is not a valid MD5 "
                                                      "string" },
        { "Mod.Typ-00112233445566778899aabbccddeefg", "Type version string could not be parsed to a version: "
                                                      "00112233445566778899aabbccddeefg is not a valid MD5 "
                                                      "string" },
        { "Mod.Typ-00112233445566778899aabbccddeef",
          "Type version string 00112233445566778899aabbccddeef could not be parsed to a version" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ERR(err);
        struct type_id id;
        assert_int_equal(type_id_parse(slice_str(rows[i].text), false, &id, &err), -ERR_ARGUMENT);
        assert_string_equal(err.text, rows[i].error);
    }
    AUTO_ERR(err);
    struct type_id id;
    assert_int_equal(type_id_parse(SLICE("Mod.Typ"), true, &id, &err), -ERR_ARGUMENT);
    assert_string_equal(err.text, "Typestring cannot be null or the empty string");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_semver),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_name_length_in_java_bytes),
        cmocka_unit_test(test_username),
        cmocka_unit_test(test_type_ids),
        cmocka_unit_test(test_type_ids_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
