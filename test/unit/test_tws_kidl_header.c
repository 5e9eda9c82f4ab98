/* What the Workspace does to the include header of an upload. */
#include "t.h"

#include "tws/kidl/kidl.h"

static const struct {
    const char *in;
    const char *out;
    const char *names; /* each with a comma behind it; the error text if out is NULL */
} rows[] = {
    { "module A { };", "module A { };\n", "" },
    { "module A {\r\n\r};\r\n", "module A {\n\n};\n", "" },
    { " \t\r\n\n  module A { };", "\n\n  module A { };\n", "" },
    { "#include <A.types>\nmodule B { };\n", "#include <A.types>\nmodule B { };\n", "A," },
    { "#include<x/y/A.b.c>\nm", "#include <A.types>\nm\n", "A," },
    { "#include\t< zoo/A >  \nm", "#include <A.types>\nm\n", "A," },
    { "#include < zoo / A .spec>\nm", "#include <A.types>\nm\n", "A," },
    { "#include < zoo / A >\nm", "#include < A.types>\nm\n", " A," },
    { "#include < zoo/\t.A >\nm", "#include <.types>\nm\n", "," },
    { "#include < A >\nm", "#include <A.types>\nm\n", "A," },
    { "#include <>\nm", "#include <.types>\nm\n", "," },
    { "#include <A>\n\n#include <B>\n#include <A>\nm",
      "#include <A.types>\n\n#include <B.types>\n#include <A.types>\nm\n", "A,B,A," },
    { "#includeX <A>\nm", NULL, "Wrong include structure (it should be ...<file_path>): X <A>" },
    { "#include <C.types>#include <C.types>\nm", "#include <C.types>\nm\n", "C," },
    { "#include <A> /* c */\nm", NULL, "Wrong include structure (it should be ...<file_path>): <A> /* c */" },
    { "#include \"A\"\nm", NULL, "Wrong include structure (it should be ...<file_path>): \"A\"" },
    { "#include <\nm", NULL, "Wrong include structure (it should be ...<file_path>): <" },
    { " #include <A>\n#include <B>\n", " #include <A>\n#include <B>\n", "" },
    { "/* c */\n#include <A>", "/* c */\n#include <A>\n", "" },
    { "", NULL, "null" },
    { "\n \n", NULL, "null" },
    { "#include <A>\n", NULL, "null" },
};

static void test_headers(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        AUTO_SBUF(joined, SBUF_NO_LIMIT);
        struct slice text, *names;
        size_t count;
        int rc = kidl_correct_includes(slice_str(rows[i].in), &arena, &text, &names, &count, &err);
        if (!rows[i].out) {
            assert_int_equal(rc, -ERR_SPEC);
            assert_string_equal(err_text(&err), rows[i].names);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_slice(text, rows[i].out);
        for (size_t k = 0; k < count; k++) {
            sbuf_add_slice(&joined, names[k]);
            sbuf_addc(&joined, ',');
        }
        assert_slice(sbuf_slice(&joined), rows[i].names);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
