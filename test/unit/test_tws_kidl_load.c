/* Stored parse trees, references, spec_def, texts with odd units. */
#include "t.h"

#include "tws/kidl/kidl.h"

static const struct kidl_limits limits = KIDL_LIMITS_DEFAULT;

#define P "Bio::KBase::KIDL::KBT::"
#define INT_NODE "{\"!\":\"" P "Scalar\",\"annotations\":{},\"scalar_type\":\"int\"}"

static void compile(struct arena *arena, struct slice text, struct kidl_unit *ret_unit)
{
    AUTO_ERR(err);

    if (kidl_compile(text, NULL, NULL, &limits, arena, ret_unit, NULL, &err) < 0)
        fail_msg("%s", err_text(&err));
}

static const struct kidl_node *load_type(struct arena *arena, const char *spec, const char *name)
{
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    struct kidl_unit unit;
    const struct kidl_node *node;

    compile(arena, slice_str(spec), &unit);
    const struct kidl_node *fresh = kidl_find_type(&unit.modules[unit.module_count - 1], slice_str(name));
    assert_non_null(fresh);
    assert_int_equal(kidl_tree_text(fresh, &limits, &tree, NULL), 0);
    assert_int_equal(kidl_load(sbuf_slice(&tree), arena, &node, NULL), 0);
    return node;
}

/* Damaged records. */

static void test_damaged_records(void **state UNUSED)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        { "", "A stored parse tree is not valid JSON" },
        { "[]", "No property in the map: !" },
        { "{}", "No property in the map: !" },
        { "{\"!\":5}", "Property of a stored parse tree has the wrong type: !" },
        { "{\"!\":\"" P "Cat\"}", "Unknown kind of type" },
        { "{\"!\":\"" P "Scalar\",\"scalar_type\":\"bool\"}", "Unknown scalar type" },
        { "{\"!\":\"" P "Scalar\"}", "No property in the map: scalar_type" },
        { "{\"!\":\"" P "List\"}", "No property in the map: element_type" },
        { "{\"!\":\"" P "List\",\"element_type\":null}", "No property in the map: element_type" },
        { "{\"!\":\"" P "Mapping\",\"key_type\":" INT_NODE "}", "No property in the map: value_type" },
        { "{\"!\":\"" P "Tuple\",\"element_names\":[],\"element_types\":[" INT_NODE "]}",
          "not as many names as types" },
        { "{\"!\":\"" P "Tuple\",\"element_names\":[\"a\"],\"element_types\":[7]}",
          "No property in the map: !" },
        { "{\"!\":\"" P "Struct\",\"items\":[]}", "No property in the map: name" },
        { "{\"!\":\"" P "Struct\",\"name\":\"a\",\"items\":[1]}", "No property in the map: item_type" },
        { "{\"!\":\"" P "Typedef\",\"name\":\"a\",\"module\":\"m\"}", "No property in the map: comment" },
        { "{\"!\":\"" P "Typedef\",\"name\":\"a\",\"module\":\"m\",\"comment\":\"\",\"annotations\":{}}",
          "No property in the map: alias_type" },
        { "{\"!\":\"" P
          "Typedef\",\"name\":\"a\",\"module\":\"m\",\"comment\":\"\",\"annotations\":{\"id\":{}}}",
          "No property in the map: type" },
        { "{\"!\":\"" P "Typedef\",\"name\":\"a\",\"module\":\"m\",\"comment\":\"\",\"annotations\":{"
          "\"range\":{\"maximum\":"
          "\"x\"}}}",
          "Character x" },
        { "{\"!\":\"" P
          "Funcdef\",\"name\":\"a\",\"authentication\":\"none\",\"comment\":\"\",\"parameters\":[{}]}",
          "No property in the map: type" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        const struct kidl_node *node;
        assert_true(kidl_load(slice_str(rows[i].text), &arena, &node, &err) < 0);
        assert_int_equal(err.code, ERR_STORE);
        if (!strstr(err_text(&err), rows[i].error))
            fail_msg("%s: %s", rows[i].text, err_text(&err));
    }
}

static void test_deep_record(void **state UNUSED)
{
    AUTO_ARENA(arena);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_ERR(err);
    const struct kidl_node *node;

    for (int i = 0; i < 1500; i++)
        sbuf_adds(&text, "{\"!\":\"" P "List\",\"element_type\":");
    sbuf_adds(&text, INT_NODE);
    for (int i = 0; i < 1500; i++)
        sbuf_addc(&text, '}');
    assert_int_equal(kidl_load(sbuf_slice(&text), &arena, &node, &err), -ERR_LIMIT);
}

/* Records of other writers: members in any order, unknown ones, annotations left out. */
static void test_foreign_record(void **state UNUSED)
{
    AUTO_ARENA(arena);
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    const struct kidl_node *node;
    const char *text = " { \"name\": \"t\\u0041\", \"comment\": \"a\\nb\", \"extra\": [1], \"module\": "
                       "\"M\", \"!\": \"Typedef\",\n"
                       " \"alias_type\": " INT_NODE "}";

    assert_int_equal(kidl_load(slice_str(text), &arena, &node, NULL), 0);
    kidl_parsing_structure(node, &out);
    assert_string_equal(out.p, "{\"!\":\"" P "Typedef\",\"alias_type\":" INT_NODE
                               ",\"annotations\":{\"metadata\":{},\"searchable_ws_subset\":{},"
                               "\"unknown_annotations\":{}},"
                               "\"comment\":\"a\\nb\",\"module\":\"M\",\"name\":\"tA\"}");
    assert_slice(kidl_node_comment(node), "a\nb");
}

/* Annotations that a record does not have stay away; empty ones are completed. */
static void test_annotations_of_older_records(void **state UNUSED)
{
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        { "{}", "{\"metadata\":{},\"searchable_ws_subset\":{},\"unknown_annotations\":{}}" },
        { "{\"metadata\":{}}",
          "{\"metadata\":{\"ws\":{}},\"searchable_ws_subset\":{},\"unknown_annotations\":{}}" },
        { "{\"searchable_ws_subset\":{\"keys\":{\"k\":{}}}}",
          "{\"metadata\":{},\"searchable_ws_subset\":{\"fields\":{},\"keys\":{\"k\":{}}},"
          "\"unknown_annotations\":{}}" },
        { "{\"unknown_annotations\":{\"x\":[]},\"metadata\":{\"ws\":{\"n\":\"e\"}},\"searchable_ws_subset\":{"
          "}}",
          "{\"metadata\":{\"ws\":{\"n\":\"e\"}},\"searchable_ws_subset\":{\"fields\":{},\"keys\":{}},"
          "\"unknown_annotations\":{\"x\":[]}}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_SBUF(out, SBUF_NO_LIMIT);
        const struct kidl_node *node;
        const char *text = arena_printf(&arena,
                                        "{\"!\":\"Typedef\",\"name\":\"t\",\"module\":\"m\",\"comment\":\"\","
                                        "\"annotations\":%s,\"alias_type\":" INT_NODE "}",
                                        rows[i].in);
        const char *want = arena_printf(&arena, ",\"annotations\":%s,\"comment\"", rows[i].out);
        assert_int_equal(kidl_load(slice_str(text), &arena, &node, NULL), 0);
        kidl_parsing_structure(node, &out);
        if (!strstr(out.p, want))
            fail_msg("%s gave %s", rows[i].in, out.p);
    }
}

/* Lone surrogates and NUL. */

static void test_odd_units_survive(void **state UNUSED)
{
    static const char spec[] =
        "module M { /* \xed\xa0\xbd x\0y \xed\xb0\x80 \xf0\x9f\x90\x88 \xed\x9f\xbf\n@a \xed\xa0\xbd */"
        " typedef int T; };";
    static const char comment[] =
        "\xed\xa0\xbd x\0y \xed\xb0\x80 \xf0\x9f\x90\x88 \xed\x9f\xbf\n@a \xed\xa0\xbd";
    AUTO_ARENA(arena);
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    AUTO_SBUF(direct, SBUF_NO_LIMIT);
    AUTO_SBUF(through_text, SBUF_NO_LIMIT);
    struct kidl_unit unit;
    const struct kidl_node *loaded;

    compile(&arena, slice_of(spec, sizeof(spec) - 1), &unit);
    const struct kidl_node *fresh = kidl_find_type(&unit.modules[0], SLICE("T"));
    assert_true(slice_eq(unit.modules[0].components[0].type.comment, slice_of(comment, sizeof(comment) - 1)));
    assert_int_equal(kidl_tree_text(fresh, &limits, &tree, NULL), 0);
    assert_int_equal(kidl_load(sbuf_slice(&tree), &arena, &loaded, NULL), 0);
    assert_true(slice_eq(kidl_node_comment(loaded), slice_of(comment, sizeof(comment) - 1)));
    kidl_parsing_structure(kidl_reload(fresh, &arena), &direct);
    kidl_parsing_structure(loaded, &through_text);
    assert_true(slice_eq(sbuf_slice(&direct), sbuf_slice(&through_text)));
}

static void test_columns_of_lone_surrogates(void **state UNUSED)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct kidl_unit unit;
    bool lexical = false;

    assert_int_equal(kidl_compile(SLICE("/*\xed\xa0\xbd*/ \xed\xa0\xbd;"), NULL, NULL, &limits, &arena, &unit,
                                  &lexical, &err),
                     -ERR_SPEC);
    assert_string_equal(err_text(&err),
                        "Lexical error at line 1, column 7.  Encountered: \"\\ud83d\" (55357), after : \"\"");
    assert_true(lexical);
}

static void test_only_lexical_errors_are_lexical(void **state UNUSED)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct kidl_unit unit;
    bool lexical = true;

    assert_int_equal(kidl_compile(SLICE("module"), NULL, NULL, &limits, &arena, &unit, &lexical, &err),
                     -ERR_SPEC);
    assert_false(lexical);
}

/* References. */

struct visits {
    struct sbuf text;
    const char *edge;   /* stops at these names */
    const char *broken; /* sets an error there */
};

static bool visit(void *ctx, struct slice module, struct slice name, struct err *err)
{
    struct visits *v = ctx;

    sbuf_add_slice(&v->text, module);
    sbuf_addc(&v->text, '.');
    sbuf_add_slice(&v->text, name);
    sbuf_addc(&v->text, ' ');
    if (v->broken && slice_is(name, v->broken))
        err_set(err, ERR_SPEC, "broken");
    return v->edge && slice_is(name, v->edge);
}

static const char refs_spec[] = "module A { typedef int a; };"
                                "module M { typedef A.a x; typedef list<x> y; typedef string key;"
                                " typedef structure { y f; mapping<key, tuple<A.a, x>> g; y h; } T; };";

static void expect_visits(const char *edge, const char *broken, const char *want, int rc)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct visits v = { SBUF_INIT(SBUF_NO_LIMIT), edge, broken };

    assert_int_equal(kidl_references(load_type(&arena, refs_spec, "T"), visit, &v, &err), rc);
    assert_string_equal(v.text.p, want);
    sbuf_release(&v.text);
}

static void test_references(void **state UNUSED)
{
    expect_visits(NULL, NULL, "M.y M.x A.a A.a M.x A.a M.y M.x A.a ", 0);
    expect_visits("x", NULL, "M.y M.x A.a M.x M.y M.x ", 0);
    expect_visits("y", NULL, "M.y A.a M.x A.a M.y ", 0);
    expect_visits(NULL, "x", "M.y M.x ", -ERR_SPEC);
}

/* spec_def. */

static bool version(void *ctx, struct slice module, struct slice name, int *ret_major, int *ret_minor)
{
    const char *versioned = ctx;
    char *full = xasprintf(" %.*s.%.*s ", (int)module.n, module.p, (int)name.n, name.p);
    bool has = strstr(versioned, full) != NULL;

    free(full);
    *ret_major = 2;
    *ret_minor = 13;
    return has;
}

static void expect_spec_def(const char *spec, const char *name, const char *versioned, const char *want)
{
    AUTO_ARENA(arena);
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    char *ctx = xstrdup(versioned);

    kidl_spec_def(load_type(&arena, spec, name), SLICE("M"), version, ctx, &out);
    assert_string_equal(out.p, want);
    free(ctx);
}

static void test_spec_def(void **state UNUSED)
{
    static const char spec[] = "module A { typedef int a; };"
                               "module M { /* an x */ typedef A.a x; typedef list<x> y; typedef string key;"
                               " /* The\n  T. */ typedef structure { y f; mapping<key, tuple<A.a n, x>> g;"
                               " UnspecifiedObject u; y h; } T; };";

    expect_spec_def(spec, "T", " A.a M.x M.y M.key ",
                    "/*\nThe\nT.\n*/\ntypedef structure {\n  #M.y-2.13# f;\n  mapping<#M.key-2.13#, "
                    "tuple<#A.a-2.13#, #M.x-2.13#>>"
                    " g;\n  UnspecifiedObject u;\n  #M.y-2.13# h;\n} T;");
    expect_spec_def(
        spec, "T", "",
        "/*\nan x\n*/\ntypedef A.a x;\n\ntypedef list<x> y;\n\ntypedef string "
        "key;\n\n/*\nThe\nT.\n*/\ntypedef "
        "structure {\n  y f;\n  mapping<key, tuple<A.a, x>> g;\n  UnspecifiedObject u;\n  y h;\n} T;");
    expect_spec_def(
        spec, "T", " M.x ",
        "typedef list<#M.x-2.13#> y;\n\ntypedef string key;\n\n/*\nThe\nT.\n*/\ntypedef structure {\n  y f;\n"
        "  mapping<key, tuple<A.a, #M.x-2.13#>> g;\n  UnspecifiedObject u;\n  y h;\n} T;");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_records),
        cmocka_unit_test(test_deep_record),
        cmocka_unit_test(test_foreign_record),
        cmocka_unit_test(test_annotations_of_older_records),
        cmocka_unit_test(test_odd_units_survive),
        cmocka_unit_test(test_columns_of_lone_surrogates),
        cmocka_unit_test(test_only_lexical_errors_are_lexical),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_spec_def),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
