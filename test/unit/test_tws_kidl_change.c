/* Change classes: one edit per row, and what it does to the type and to a function that takes it. */
#include "t.h"

#include "tws/kidl/kidl.h"

static const struct kidl_limits limits = KIDL_LIMITS_DEFAULT;

#define SAME KIDL_NO_CHANGE
#define MINOR KIDL_COMPATIBLE
#define MAJOR KIDL_INCOMPATIBLE

static const struct edit {
    const char *name;
    const char *before;
    const char *after;
    enum kidl_change type;
    bool schema_differs;
    enum kidl_change func;
} edits[] = {
    { "nothing", "typedef structure { int a; } T;", "typedef structure { int a; } T;", SAME, false, SAME },
    { "own comment", "/* a */ typedef int T;", "/* b */ typedef int T;", SAME, true, SAME },
    { "comment of an inner type", "/* a */ typedef int I; typedef list<I> T;",
      "/* b */ typedef int I; typedef list<I> T;", SAME, false, SAME },
    { "id added to a string", "typedef string T;", "/* @id ws A */ typedef string T;", MAJOR, true, MAJOR },
    { "id type of a string", "/* @id ws A */ typedef string T;", "/* @id kb A */ typedef string T;", MAJOR,
      true, MAJOR },
    { "order of the attributes of an id", "/* @id ws A B */ typedef string T;",
      "/* @id ws B A */ typedef string T;", MAJOR, true, MAJOR },
    { "id of an inner string", "typedef string I; typedef list<I> T;",
      "/* @id ws */ typedef string I; typedef list<I> T;", MAJOR, true, MAJOR },
    { "id of a mapping key", "typedef string I; typedef mapping<I, int> T;",
      "/* @id ws */ typedef string I; typedef mapping<I, int> T;", MAJOR, true, MAJOR },
    { "id added to an int", "typedef int T;", "/* @id ws */ typedef int T;", SAME, true, SAME },
    { "id on an alias of a string", "typedef string I; typedef I T;",
      "typedef string I; /* @id ws */ typedef I T;", SAME, true, SAME },
    { "range", "/* @range 1,2 */ typedef int T;", "/* @range 1,3 */ typedef int T;", SAME, true, SAME },
    { "metadata", "typedef structure { int a; } T;", "/* @metadata ws a */ typedef structure { int a; } T;",
      SAME, true, SAME },
    { "searchable paths", "typedef structure { int a; } T;",
      "/* @searchable ws_subset a */ typedef structure { int a; } T;", MAJOR, true, SAME },
    { "searchable paths of an alias", "typedef structure { int a; } I; typedef I T;",
      "typedef structure { int a; } I; /* @searchable ws_subset a */ typedef I T;", MAJOR, true, SAME },
    { "searchable without paths", "typedef structure { int a; } T;",
      "/* @searchable ws_subset */ typedef structure { int a; } T;", SAME, true, SAME },
    { "order of searchable paths", "/* @searchable ws_subset a b */ typedef structure { int a; int b; } T;",
      "/* @searchable ws_subset b a */ typedef structure { int a; int b; } T;", SAME, true, SAME },
    { "searchable paths of an inner type", "typedef structure { int a; } I; typedef list<I> T;",
      "/* @searchable ws_subset a */ typedef structure { int a; } I; typedef list<I> T;", SAME, false, SAME },
    { "alias replaced by its type", "typedef int I; typedef list<I> T;",
      "typedef int I; typedef list<int> T;", MAJOR, false, MAJOR },
    { "alias replaced by another", "typedef int I; typedef list<I> T;", "typedef int J; typedef list<J> T;",
      MAJOR, false, MAJOR },
    { "optional field added", "typedef structure { int a; } T;",
      "/* @optional b */ typedef structure { int a; int b; } T;", MINOR, true, MINOR },
    { "optional field added inside", "typedef structure { int a; } I; typedef list<I> T;",
      "/* @optional b */ typedef structure { int a; int b; } I; typedef list<I> T;", MINOR, true, MINOR },
    { "required field added", "typedef structure { int a; } T;", "typedef structure { int a; int b; } T;",
      MAJOR, true, MAJOR },
    { "optional field removed", "/* @optional b */ typedef structure { int a; int b; } T;",
      "typedef structure { int a; } T;", MAJOR, true, MAJOR },
    { "field renamed", "typedef structure { int a; } T;", "typedef structure { int b; } T;", MAJOR, true,
      MAJOR },
    { "field made optional", "typedef structure { int a; } T;",
      "/* @optional a */ typedef structure { int a; } T;", MAJOR, true, MAJOR },
    { "field made required", "/* @optional a */ typedef structure { int a; } T;",
      "typedef structure { int a; } T;", MAJOR, true, MAJOR },
    { "fields in another order", "typedef structure { int a; int b; } T;",
      "typedef structure { int b; int a; } T;", SAME, true, SAME },
    { "names of tuple elements", "typedef tuple<int a> T;", "typedef tuple<int b> T;", SAME, false, SAME },
    { "names in a mapping", "typedef mapping<int a, int b> T;", "typedef mapping<int, int> T;", SAME, false,
      SAME },
    { "tuple length", "typedef tuple<int> T;", "typedef tuple<int, int> T;", MAJOR, true, MAJOR },
    { "scalar kind", "typedef int T;", "typedef float T;", MAJOR, true, MAJOR },
    { "scalar kind in a tuple", "typedef tuple<int, int> T;", "typedef tuple<int, string> T;", MAJOR, true,
      MAJOR },
    { "scalar kind of a mapping key", "typedef mapping<int, int> T;", "typedef mapping<string, int> T;",
      MAJOR, false, MAJOR },
    { "list to tuple", "typedef list<int> T;", "typedef tuple<int> T;", MAJOR, true, MAJOR },
    { "unspecified to mapping", "typedef UnspecifiedObject T;", "typedef mapping<int, int> T;", MAJOR, true,
      MAJOR },
    { "unspecified stays", "typedef UnspecifiedObject T;", "typedef UnspecifiedObject T;", SAME, false,
      SAME },
    { "unknown annotation", "typedef int T;", "/* @author me */ typedef int T;", SAME, true, SAME },
    { "minor in a mapping value", "typedef structure { int a; } I; typedef mapping<string, I> T;",
      "/* @optional b */ typedef structure { int a; int b; } I; typedef mapping<string, I> T;", MINOR, true,
      MINOR },
};

/* The signature stands for the whole function. */
static const struct signature {
    const char *before;
    const char *after;
    enum kidl_change want;
} signatures[] = {
    { "f(int a) returns ()", "f(int b) returns () authentication required", SAME },
    { "f(int a) returns ()", "f(int a, int b) returns ()", MAJOR },
    { "f() returns (int)", "f() returns ()", MAJOR },
    { "f() returns (int)", "f() returns (string)", MAJOR },
    { "f(int) returns (int)", "f(float) returns (int)", MAJOR },
};

struct side {
    struct arena arena;
    struct kidl_unit unit;
    struct sbuf schema;
    const struct kidl_node *type;
    const struct kidl_node *func;
};

/* by_text: load from the printed tree, as the old side of a registration is. */
static const struct kidl_node *load(struct side *s, const struct kidl_node *fresh, bool by_text)
{
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    const struct kidl_node *node;

    if (!by_text)
        return kidl_reload(fresh, &s->arena);
    assert_int_equal(kidl_tree_text(fresh, &limits, &tree, NULL), 0);
    assert_int_equal(kidl_load(sbuf_slice(&tree), &s->arena, &node, NULL), 0);
    return node;
}

static void open_side(struct side *s, const char *components, bool by_text)
{
    AUTO_ERR(err);

    *s = (struct side){ .arena = ARENA_INIT, .schema = SBUF_INIT(SBUF_NO_LIMIT) };
    const char *text = arena_printf(&s->arena, "module M { %s };", components);
    int rc = kidl_compile(slice_str(text), NULL, NULL, &limits, &s->arena, &s->unit, NULL, &err);
    if (rc < 0)
        fail_msg("%s: %s", text, err_text(&err));
    const struct kidl_module *m = &s->unit.modules[0];
    const struct kidl_node *type = kidl_find_type(m, SLICE("T"));
    if (type) {
        assert_int_equal(kidl_schema(type, &limits, &s->schema, &err), 0);
        s->type = load(s, type, by_text);
    }
    for (size_t i = 0; i < m->component_count; i++)
        if (m->components[i].is_func)
            s->func = load(s, m->components[i].func.node, by_text);
}

static void close_side(struct side *s)
{
    sbuf_release(&s->schema);
    arena_release(&s->arena);
}

static void test_edits(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        const struct edit *e = &edits[i];
        struct side before, after;
        char *old_text = xasprintf("%s funcdef f(T) returns ();", e->before);
        char *new_text = xasprintf("%s funcdef f(T) returns ();", e->after);
        open_side(&before, old_text, true);
        open_side(&after, new_text, false);
        enum kidl_change type = kidl_type_change(before.type, after.type);
        enum kidl_change func = kidl_func_change(before.func, after.func);
        bool differs = !slice_eq(sbuf_slice(&before.schema), sbuf_slice(&after.schema));
        if (type != e->type || func != e->func || differs != e->schema_differs)
            fail_msg("%s: type %d, function %d, schema differs %d", e->name, type, func, differs);
        close_side(&before);
        close_side(&after);
        free(old_text);
        free(new_text);
    }
}

static void test_signatures(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        const struct signature *row = &signatures[i];
        struct side before, after;
        char *old_text = xasprintf("funcdef %s;", row->before),
             *new_text = xasprintf("funcdef %s;", row->after);
        open_side(&before, old_text, true);
        open_side(&after, new_text, false);
        enum kidl_change got = kidl_func_change(before.func, after.func);
        if (got != row->want)
            fail_msg("%s -> %s: %d", row->before, row->after, got);
        close_side(&before);
        close_side(&after);
        free(old_text);
        free(new_text);
    }
}

static void test_names_of_types_count_and_modules_do_not(void **state UNUSED)
{
    AUTO_ARENA(arena);
    struct kidl_unit unit;
    const char *text = "module A { typedef int T; typedef int U; }; module B { typedef int T; };";

    assert_int_equal(kidl_compile(slice_str(text), NULL, NULL, &limits, &arena, &unit, NULL, NULL), 0);
    const struct kidl_node *a = kidl_reload(kidl_find_type(&unit.modules[0], SLICE("T")), &arena);
    const struct kidl_node *u = kidl_reload(kidl_find_type(&unit.modules[0], SLICE("U")), &arena);
    const struct kidl_node *b = kidl_reload(kidl_find_type(&unit.modules[1], SLICE("T")), &arena);
    assert_int_equal(kidl_type_change(a, b), KIDL_NO_CHANGE);
    assert_int_equal(kidl_type_change(a, u), KIDL_INCOMPATIBLE);
}

/* As older parsers wrote it, before there were searchable paths. */
static void test_record_without_trees(void **state UNUSED)
{
#define CLASS "Bio::KBase::KIDL::KBT::"
    static const char text[] =
        "{\"!\":\"" CLASS "Typedef\",\"alias_type\":{\"!\":\"" CLASS "Scalar\",\"scalar_type\":\"int\"},"
        "\"annotations\":{\"unknown_annotations\":{}},\"comment\":\"\",\"module\":\"A\",\"name\":\"T\"}";
    AUTO_ARENA(arena);
    struct kidl_unit unit;
    const struct kidl_node *old, *same;

    assert_int_equal(
        kidl_compile(SLICE("module A { typedef int T; };"), NULL, NULL, &limits, &arena, &unit, NULL, NULL),
        0);
    const struct kidl_node *now = kidl_reload(kidl_find_type(&unit.modules[0], SLICE("T")), &arena);
    assert_int_equal(kidl_load(slice_str(text), &arena, &old, NULL), 0);
    assert_int_equal(kidl_load(slice_str(text), &arena, &same, NULL), 0);
    assert_int_equal(kidl_type_change(old, same), KIDL_NO_CHANGE);
    assert_int_equal(kidl_type_change(old, now), KIDL_INCOMPATIBLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_names_of_types_count_and_modules_do_not),
        cmocka_unit_test(test_record_without_trees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
