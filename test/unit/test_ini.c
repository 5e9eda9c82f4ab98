#include "test/unit/t.h"

#include "shared/base/ini.h"
#include "shared/base/sbuf.h"

/* The pairs of section S as `key=value|key=value`, or the error's text. */
static void show(struct slice text, struct sbuf *out)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct ini_section section;

    if (ini_read(text, "S", &arena, &section, &err) < 0) {
        assert_int_equal(err.code, ERR_CONFIG);
        sbuf_adds(out, err_text(&err));
        return;
    }
    sbuf_adds(out, section.found ? "" : "(none)");
    for (size_t i = 0; i < section.count; i++) {
        sbuf_adds(out, i ? "|" : "");
        sbuf_add_slice(out, section.pairs[i].key);
        sbuf_addc(out, '=');
        sbuf_add_slice(out, section.pairs[i].value);
    }
}

#define AT(line) "parse error (at line: " #line "): "

static const struct {
    const char *text, *want;
} cases[] = {
    { "[S]\na = 1\nb:2\n c\t= x y \n", "a=1|b=2|c=x y" },
    { "[S]\nurl = http://h:1/p?q=1\nc : k = v", "url=http://h:1/p?q=1|c=k = v" },
    { "[S]\na =\nb=\n", "a=|b=" },
    { "# x\n; y\n\n [S] \n  # z\n\t; z = 1\na = 1 # kept ; too\n", "a=1 # kept ; too" },
    { "[ S ]\na=1\n[T]\na=2\nb=3\n[S]\nb=4\na=5\n", "a=1|b=4|a=5" },
    { "[S]\r\na=1\r\nb=2\rc=3", "a=1|b=2|c=3" },
    { "\xEF\xBB\xBF[S]\na=1", "a=1" },
    { "[S]\na = \"quoted\" 'too'\n", "a=\"quoted\" 'too'" },
    { "[S]\na = x\\ty\\n\\\\z\\q\\:\n", "a=x\ty\n\\zq:" },
    { "[S]\na = \\x41\\o102\\u00e9\\u20AC\n", "a=AB\xC3\xA9\xE2\x82\xAC" },
    { "[S]\na = one \\\n   two\\\n# three\nb = 1\n", "a=one two# three|b=1" },
    { "[S]\na = one \\\n\n two\n", "a=one two" },
    { "[S]\na = even \\\\\nb = 1\n", "a=even \\|b=1" },
    { "[S]\na = last \\", "a=last" },
    { "[S]\n\\u0061b = \\ 1 \n", "ab=1" },
    { "[T]\na = 1\n", "(none)" },
    { "[s]\na = 1\n", "(none)" },
    { "[S]", "" },
    { "", "(none)" },
    { "# only\n", "(none)" },
    { "[S]\na = 1\nnonsense\nb = 2\n", AT(3) "a line without = or :" },
    { "[T]\nnonsense\n[S]\na=1", AT(2) "a line without = or :" },
    { "[S]\n = 1\n", AT(2) "a line without a key" },
    { "a = 1\n[S]\n", AT(1) "text before the first section" },
    { "[S\na = 1\n", AT(1) "a section header without ]" },
    { "\n[S] x\n", AT(2) "a section header without ]" },
    { "[]\n", AT(1) "a section without a name" },
    { "[\n", AT(1) "a section header without ]" },
    { "[S]\na = \\xZZ\n", AT(2) "a backslash that is followed by no valid escape" },
    { "[S]\na = \\u12", AT(2) "a backslash that is followed by no valid escape" },
    { "[S]\na = \\o9", AT(2) "a backslash that is followed by no valid escape" },
    { "[S]\na = one\\\ntwo\nnonsense\n", AT(4) "a line without = or :" },
};

static void test_cases(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(out, SBUF_NO_LIMIT);
        show(slice_str(cases[i].text), &out);
        assert_string_equal(out.p ? out.p : "", cases[i].want);
    }
}

static void test_nul_is_a_byte_like_others(void **state UNUSED)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct ini_section section;

    assert_int_equal(ini_read(SLICE("[S]\na = x\0y\nb = \\x00z\n"), "S", &arena, &section, &err), 0);
    assert_int_equal(section.count, 2);
    assert_int_equal(section.pairs[0].value.n, 3);
    assert_int_equal(section.pairs[0].line, 2);
    /* Java's trim() takes it off the ends */
    assert_true(slice_is(section.pairs[1].value, "z"));
}

static void test_too_many_lines(void **state UNUSED)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_adds(&text, "[S]\n");
    for (int i = 0; i <= INI_MAX_PAIRS; i++)
        sbuf_adds(&text, "a=1\n");
    show(sbuf_slice(&text), &out);
    assert_string_equal(out.p, AT(10002) "too many lines");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_nul_is_a_byte_like_others),
        cmocka_unit_test(test_too_many_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
