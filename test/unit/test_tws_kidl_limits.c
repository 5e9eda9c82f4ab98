/* Hostile specs: each must end with an error that names the limit, soon and without much memory. */
#include "t.h"

#include "shared/base/clock.h"
#include "tws/kidl/kidl.h"

static const struct kidl_limits limits = KIDL_LIMITS_DEFAULT;

struct result {
    int rc;
    struct err err;
    struct arena arena;
    struct kidl_unit unit;
    bool lexical;
};

static struct result compile_with(struct slice text, kidl_include_fn *include, void *ctx,
                                  const struct kidl_limits *l)
{
    struct result r = { .err = ERR_INIT, .arena = ARENA_INIT };

    r.rc = kidl_compile(text, include, ctx, l, &r.arena, &r.unit, &r.lexical, &r.err);
    return r;
}

static void release(struct result *r)
{
    arena_release(&r->arena);
    err_clear(&r->err);
}

static void expect_limit(const struct sbuf *spec, const char *part)
{
    struct result r = compile_with(sbuf_slice(spec), NULL, NULL, &limits);

    if (r.rc != -ERR_LIMIT || !strstr(err_text(&r.err), part))
        fail_msg("%d: %s", r.rc, err_text(&r.err));
    release(&r);
}

static void repeat(struct sbuf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        sbuf_adds(out, text);
}

static void test_spec_bytes(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);

    repeat(&spec, " ", limits.max_spec_bytes + 1);
    expect_limit(&spec, "max_spec_bytes");
}

static void test_nesting(void **state UNUSED)
{
    static const char *const openings[] = { "list<",  "mapping<int,", "mapping<",
                                            "tuple<", "tuple<int,",   "structure{" };

    for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
        AUTO_SBUF(spec, SBUF_NO_LIMIT);
        sbuf_adds(&spec, "module M { typedef ");
        repeat(&spec, openings[i], 80000);
        expect_limit(&spec, "max_depth");
    }
}

static void test_depth_is_allowed_up_to_the_limit(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);
    size_t lists = limits.max_depth - 2; /* the typedef and the int count */

    sbuf_adds(&spec, "module M { typedef ");
    repeat(&spec, "list<", lists);
    sbuf_adds(&spec, "int");
    repeat(&spec, ">", lists);
    sbuf_adds(&spec, " T; };");
    struct result r = compile_with(sbuf_slice(&spec), NULL, NULL, &limits);
    assert_int_equal(r.rc, 0);
    release(&r);
}

static void test_chain_of_typedefs(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);

    sbuf_adds(&spec, "module M { typedef int A0;\n");
    for (int i = 1; i < 20000; i++)
        sbuf_addf(&spec, "typedef A%d A%d;\n", i - 1, i);
    sbuf_adds(&spec, "};");
    expect_limit(&spec, "max_depth");
}

/* Adds `form` with each % replaced by the number, each ~ by the number before it. */
static void add_numbered(struct sbuf *out, const char *form, unsigned number)
{
    for (const char *c = form; *c; c++) {
        if (*c == '%')
            sbuf_addf(out, "%u", number);
        else if (*c == '~')
            sbuf_addf(out, "%u", number - 1);
        else
            sbuf_addc(out, *c);
    }
}

/* Each typedef doubles what the one before expands to. */
static void add_doubling(struct sbuf *spec, const char *form, unsigned count)
{
    for (unsigned i = 1; i <= count; i++)
        add_numbered(spec, form, i);
}

static void test_doubling(void **state UNUSED)
{
    static const char *const forms[] = { "typedef tuple<A~, A~> A%;\n", "typedef mapping<A~, A~> A%;\n",
                                         "typedef structure { A~ a; A~ b; } A%;\n" };

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_SBUF(spec, SBUF_NO_LIMIT);
        sbuf_adds(&spec, "module M { typedef int A0;\n");
        add_doubling(&spec, forms[i], 90);
        sbuf_adds(&spec, "};");
        expect_limit(&spec, "max_output_bytes");
    }
}

/* Keys of mappings show in the tree only, so the schemas alone would not stop this. */
static void test_doubling_in_keys(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);

    sbuf_adds(&spec, "module M { typedef int A0;\n");
    add_doubling(&spec, "typedef mapping<mapping<A~, int>, mapping<A~, int>> A%;\n", 30);
    sbuf_adds(&spec, "};");
    expect_limit(&spec, "parse tree");
}

static void test_doubling_then_functions(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);

    sbuf_adds(&spec, "module M { typedef int A0;\n");
    add_doubling(&spec, "typedef tuple<A~, A~> A%;\n", 14);
    for (int i = 0; i < 20000; i++)
        sbuf_addf(&spec, "funcdef f%d(A14) returns (A14);\n", i);
    sbuf_adds(&spec, "};");
    expect_limit(&spec, "max_output_bytes");
}

static void test_searchable_on_doubling(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);

    sbuf_adds(&spec, "module M { typedef structure { int a; } A0;\n");
    add_doubling(&spec,
                 "/* @searchable ws_subset x.(x.(x.a,y),y) */ typedef structure { A~ x; A~ y; int a; } A%;\n",
                 60);
    struct result r = compile_with(sbuf_slice(&spec), NULL, NULL, &limits);
    assert_int_not_equal(r.rc, 0);
    release(&r);
}

static void test_range_of_many_digits(void **state UNUSED)
{
    static const char *const ranges[] = { "1e2000000000", "-1e2000000000,", ",1e2000000000", "1e10000" };

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        AUTO_SBUF(spec, SBUF_NO_LIMIT);
        sbuf_addf(&spec, "module M { /* @range %s */ typedef int T; };", ranges[i]);
        expect_limit(&spec, "digits");
    }
}

static void test_float_range_of_any_exponent(void **state UNUSED)
{
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    struct result r = compile_with(
        SLICE("module M { /* @range 1e-2000000000,1e2000000000 */ typedef float T; };"), NULL, NULL, &limits);

    assert_int_equal(r.rc, 0);
    assert_int_equal(kidl_schema(kidl_find_type(&r.unit.modules[0], SLICE("T")), &limits, &schema, NULL), 0);
    assert_non_null(strstr(schema.p, "\"maximum\" : 1E+2000000000"));
    assert_non_null(strstr(schema.p, "\"minimum\" : 1E-2000000000"));
    release(&r);
}

/* Includes. */

static int endless_include(void *ctx, struct slice name UNUSED, struct slice *ret_text,
                           struct err *err UNUSED)
{
    struct sbuf *texts = ctx; /* an array that is long enough */
    static size_t next;
    struct sbuf *text = &texts[next++ % 4096];

    sbuf_addf(text, "#include <M%zu.types>\nmodule X { };", next);
    *ret_text = sbuf_slice(text);
    return 0;
}

static void test_include_depth(void **state UNUSED)
{
    struct sbuf *texts = xcalloc(4096, sizeof(*texts));

    for (size_t i = 0; i < 4096; i++)
        texts[i] = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    struct result r =
        compile_with(SLICE("#include <A.types>\nmodule M { };"), endless_include, texts, &limits);
    assert_int_equal(r.rc, -ERR_LIMIT);
    assert_non_null(strstr(err_text(&r.err), "deeper than 40 (limit max_include_depth)"));
    release(&r);
    for (size_t i = 0; i < 4096; i++)
        sbuf_release(&texts[i]);
    free(texts);
}

static int own_include(void *ctx, struct slice name UNUSED, struct slice *ret_text, struct err *err UNUSED)
{
    *ret_text = *(const struct slice *)ctx;
    return 0;
}

static void test_include_of_itself(void **state UNUSED)
{
    struct slice text = SLICE("#include <A.types>\nmodule A { };");
    struct result r = compile_with(text, own_include, &text, &limits);

    assert_int_equal(r.rc, -ERR_SPEC);
    assert_non_null(strstr(err_text(&r.err), "Includes run in a circle: module [A]"));
    release(&r);
}

static void test_number_of_includes(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);
    struct slice empty = SLICE("");

    for (size_t i = 0; i <= limits.max_includes; i++)
        sbuf_addf(&spec, "#include <M%zu.types>\n", i);
    struct result r = compile_with(sbuf_slice(&spec), own_include, &empty, &limits);
    assert_int_equal(r.rc, -ERR_LIMIT);
    assert_non_null(strstr(err_text(&r.err), "max_includes"));
    release(&r);
}

static void test_one_document_included_often(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);
    struct slice module = SLICE("module A { typedef int a; };");

    for (size_t i = 0; i < 3 * limits.max_includes; i++)
        sbuf_adds(&spec, "#include <A.types>\n");
    sbuf_adds(&spec, "module M { typedef A.a b; };");
    struct result r = compile_with(sbuf_slice(&spec), own_include, &module, &limits);
    assert_int_equal(r.rc, 0);
    release(&r);
}

static void test_bytes_of_all_includes(void **state UNUSED)
{
    AUTO_SBUF(spec, SBUF_NO_LIMIT);
    AUTO_SBUF(large, SBUF_NO_LIMIT);

    repeat(&large, " ", limits.max_spec_bytes);
    for (size_t i = 0; i < 100; i++)
        sbuf_addf(&spec, "#include <M%zu.types>\n", i);
    struct slice text = sbuf_slice(&large);
    struct result r = compile_with(sbuf_slice(&spec), own_include, &text, &limits);
    assert_int_equal(r.rc, -ERR_LIMIT);
    assert_non_null(strstr(err_text(&r.err), "max_total_bytes"));
    release(&r);
}

static void test_limit_inside_names_the_module(void **state UNUSED)
{
    AUTO_SBUF(inside, SBUF_NO_LIMIT);

    sbuf_adds(&inside, "module A {\n typedef ");
    repeat(&inside, "list<", limits.max_depth + 1);
    struct slice text = sbuf_slice(&inside);
    struct result r = compile_with(SLICE("#include <A.types>\nmodule M { };"), own_include, &text, &limits);
    assert_int_equal(r.rc, -ERR_LIMIT);
    assert_string_equal(err_text(&r.err),
                        "In module A: Error at line 2, column 1010: Types are nested deeper than 200 "
                        "(limit max_depth)");
    release(&r);
}

/* An error of the callback ends the compilation as it is. */
static int failing_include(void *ctx UNUSED, struct slice name UNUSED, struct slice *ret_text UNUSED,
                           struct err *err)
{
    return err_set(err, ERR_STORE, "no disk");
}

static void test_include_that_fails(void **state UNUSED)
{
    struct result r = compile_with(SLICE("#include <A.types>"), failing_include, NULL, &limits);

    assert_int_equal(r.rc, -ERR_STORE);
    assert_string_equal(err_text(&r.err), "no disk");
    release(&r);
}

/* Work that must not grow with the square of the spec. */

static void fill(struct sbuf *spec, const char *head, const char *form, const char *tail)
{
    sbuf_adds(spec, head);
    for (unsigned i = 1; spec->len + 64 < limits.max_spec_bytes; i++)
        add_numbered(spec, form, i);
    sbuf_adds(spec, tail);
}

static void test_large_specs_take_little_time(void **state UNUSED)
{
    static const struct {
        const char *head, *form, *tail;
        int rc;
    } shapes[] = {
        { "module M {", "typedef int n%;", "};", 0 },
        { "module M { typedef structure {", "int n%;", "} T; };", 0 },
        { "module M { typedef tuple<int", ",int n%", "> T; };", 0 },
        { "module M { typedef tuple<int", ",int a", "> T; };", 0 },
        { "module M { funcdef f(int", ",int n%", ") returns (); };", 0 },
        { "module M { /*", "\n@optional n%", "*/ typedef int T; };", 0 },
        { "module M { /*", "\n@n% x", "*/ typedef int T; };", 0 },
        { "module M { /*", "\n@id n%", "*/ typedef int T; };", 0 },
        { "module M { /* @optional ", "n% ", "*/ typedef structure { } T; };", -ERR_SPEC },
        { "module M { /* ", "\n@metadata ws a as n%", "*/ typedef structure { int a; } T; };", 0 },
        { "module M { /* @searchable ws_subset a", ",a.a", "*/ typedef structure { int a; } T; };",
          -ERR_SPEC },
        { "module M { /* @searchable ws_subset ", "(", "*/ typedef structure { int a; } T; };", -ERR_SPEC },
        { "module M { /* @searchable ws_subset a", ",a", "*/ typedef structure { int a; } T; };", 0 },
        { "module M { /* @searchable ws_subset a.a", ".a", "*/ typedef structure { int a; } T; };",
          -ERR_SPEC },
        { "module M { /* @range 1", "1111", "*/ typedef int T; };", -ERR_LIMIT },
        { "module M { /*", "\n\n", "*/ typedef int T; };", 0 },
        { "module M { ", "/**/", "};", 0 },
        { "", "module n% {};", "", 0 },
        { "", "#include <n% ", ">", -ERR_SPEC },
        { "module M { ", "typedef an% ", "};", -ERR_SPEC },
        { "", "authentication { ( < @", "", -ERR_SPEC },
        { "", "/*", "", -ERR_SPEC },
        { "", "\xed\xa0\x80", "", -ERR_SPEC },
    };

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        AUTO_SBUF(spec, SBUF_NO_LIMIT);
        fill(&spec, shapes[i].head, shapes[i].form, shapes[i].tail);
        uint64_t start = clock_us();
        struct result r = compile_with(sbuf_slice(&spec), NULL, NULL, &limits);
        uint64_t took = (clock_us() - start) / 1000;
        if (r.rc != shapes[i].rc || took > 5000)
            fail_msg("%s%s...: %d after %llu ms: %.200s", shapes[i].head, shapes[i].form, r.rc,
                     (unsigned long long)took, err_text(&r.err));
        release(&r);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_bytes),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_depth_is_allowed_up_to_the_limit),
        cmocka_unit_test(test_chain_of_typedefs),
        cmocka_unit_test(test_doubling),
        cmocka_unit_test(test_doubling_in_keys),
        cmocka_unit_test(test_doubling_then_functions),
        cmocka_unit_test(test_searchable_on_doubling),
        cmocka_unit_test(test_range_of_many_digits),
        cmocka_unit_test(test_float_range_of_any_exponent),
        cmocka_unit_test(test_include_depth),
        cmocka_unit_test(test_include_of_itself),
        cmocka_unit_test(test_number_of_includes),
        cmocka_unit_test(test_one_document_included_often),
        cmocka_unit_test(test_bytes_of_all_includes),
        cmocka_unit_test(test_limit_inside_names_the_module),
        cmocka_unit_test(test_include_that_fails),
        cmocka_unit_test(test_large_specs_take_little_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
