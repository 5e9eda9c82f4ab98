#include "test/unit/t.h"

#include "tws/answers.h"
#include "tws/edges.h"
#include "tws/history.h"

/*
 * Module Mod: T 0.1 in 10; T 1.0 in 20 (released) and 30; T 1.1 in 40; removed in 50.  f 0.1 in 30, gone
 * in 40. Version 5 is the approval's.  60 is flagged as released, but lies above the released pointer.
 */
#define V(major, minor) \
    { \
        (major), (minor) \
    }
#define SLICE_INIT(text) \
    { \
        (text), sizeof(text) - 1 \
    }

static const struct rec_entry types_10[] = { { SLICE_INIT("T"), V(0, 1), true } };
static const struct rec_entry types_20[] = { { SLICE_INIT("T"), V(1, 0), true },
                                             { SLICE_INIT("U"), V(1, 0), false } };
static const struct rec_entry types_40[] = { { SLICE_INIT("T"), V(1, 1), true },
                                             { SLICE_INIT("U"), V(1, 0), false } };
static const struct rec_entry types_50[] = { { SLICE_INIT("T"), V(1, 1), false },
                                             { SLICE_INIT("U"), V(1, 0), false } };
static const struct rec_entry types_60[] = { { SLICE_INIT("T"), V(2, 0), true } };
static const struct rec_entry funcs_30[] = { { SLICE_INIT("f"), V(0, 1), true } };
static const struct rec_entry funcs_40[] = { { SLICE_INIT("f"), V(0, 1), false } };

static const struct cat_version v5 = { .version = 5, .first = true, .released = true };
static const struct cat_version v10 = { .version = 10, .has_spec = true, .type_count = 1, .types = types_10 };
static const struct cat_version v20 = {
    .version = 20, .released = true, .has_spec = true, .type_count = 2, .types = types_20
};
static const struct cat_version v30 = {
    .version = 30, .has_spec = true, .type_count = 2, .types = types_20, .func_count = 1, .funcs = funcs_30
};
static const struct cat_version v40 = {
    .version = 40, .has_spec = true, .type_count = 2, .types = types_40, .func_count = 1, .funcs = funcs_40
};
static const struct cat_version v50 = { .version = 50, .has_spec = true, .type_count = 2, .types = types_50 };
static const struct cat_version v60 = {
    .version = 60, .released = true, .has_spec = true, .type_count = 1, .types = types_60
};
static const struct cat_version *const versions[] = { &v5, &v10, &v20, &v30, &v40, &v50, &v60 };

static const struct cat_row rows_T[] = {
    { .version = V(0, 1),
      .module_version = 10,
      .has_schema = true,
      .has_parse = true,
      .md5 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    { .version = V(1, 0),
      .module_version = 20,
      .has_schema = true,
      .has_parse = true,
      .md5 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    { .version = V(1, 1),
      .module_version = 40,
      .has_schema = true,
      .has_parse = true,
      .md5 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" },
    { .version = V(2, 0),
      .module_version = 60,
      .has_schema = true,
      .has_parse = true,
      .md5 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
};
static const struct cat_row rows_U[] = { { .version = V(1, 0), .module_version = 20, .has_schema = true } };
static const struct cat_row rows_f[] = { { .version = V(0, 1), .module_version = 30, .has_parse = true } };
static const struct cat_name type_names[] = { { SLICE_INIT("T"), 4, rows_T },
                                              { SLICE_INIT("U"), 1, rows_U } };
static const struct cat_name func_names[] = { { SLICE_INIT("f"), 1, rows_f } };
static const struct cat_owner owners[] = { { SLICE_INIT("ann"), true } };

#define EDGE(is_func, in_module, called, major, minor) \
    { \
        .name = SLICE_INIT("T"), .version = V(1, 0), .dep_is_func = (is_func), \
        .other_module = SLICE_INIT(in_module), .other_name = SLICE_INIT(called), \
        .other_version = V(major, minor) \
    }

static const struct cat_edge in_edges[] = {
    EDGE(false, "Mod", "T", 0, 1),      EDGE(false, "User", "A", 0, 2), EDGE(false, "User", "A", 0, 10),
    EDGE(false, "User", "B", 1, 0),     EDGE(true, "User", "g", 2, 0),  EDGE(true, "User", "g", 10, 0),
    EDGE(true, "User", "hidden", 0, 1),
};
static const struct cat_edge out_edges[] = {
    EDGE(false, "User", "A", 0, 10), EDGE(false, "User", "A", 0, 2), EDGE(false, "User", "Z", 0, 1),
    EDGE(true, "User", "Z", 0, 1),   EDGE(true, "User", "A", 0, 10), EDGE(true, "User", "A", 0, 2),
};

static const struct cat_module mod = {
    .name = SLICE_INIT("Mod"),
    .last = 60,
    .released = 20,
    .supported = true,
    .owner_count = 1,
    .owners = owners,
    .version_count = ARRAY_LEN(versions),
    .versions = versions,
    .type_count = 2,
    .types = type_names,
    .func_count = 1,
    .funcs = func_names,
    .out_count = ARRAY_LEN(out_edges),
    .out = out_edges,
    .in_count = ARRAY_LEN(in_edges),
    .in = in_edges,
};

/* What uses Mod.T: A 0.2, 0.10 and B 1.0, functions g 2.0 and 10.0 are released, `hidden` is not; bob owns
 * it. */
static const struct rec_entry user_1[] = { { SLICE_INIT("A"), V(0, 2), true },
                                           { SLICE_INIT("B"), V(1, 0), false } };
static const struct rec_entry user_2[] = { { SLICE_INIT("A"), V(0, 10), true } };
static const struct rec_entry user_funcs_1[] = { { SLICE_INIT("g"), V(2, 0), false } };
static const struct rec_entry user_funcs_2[] = { { SLICE_INIT("g"), V(10, 0), true } };
static const struct rec_entry user_funcs_3[] = { { SLICE_INIT("g"), V(10, 0), true },
                                                 { SLICE_INIT("hidden"), V(0, 1), true } };
static const struct cat_version u1 = {
    .version = 1, .released = true, .type_count = 2, .types = user_1, .func_count = 1, .funcs = user_funcs_1
};
static const struct cat_version u2 = {
    .version = 2, .released = true, .type_count = 1, .types = user_2, .func_count = 1, .funcs = user_funcs_2
};
static const struct cat_version u3 = { .version = 3, .func_count = 2, .funcs = user_funcs_3 };
static const struct cat_version *const user_versions[] = { &u1, &u2, &u3 };
static const struct cat_owner user_owners[] = { { SLICE_INIT("bob"), false } };
static const struct cat_module user_module = {
    .name = SLICE_INIT("User"),
    .last = 3,
    .released = 2,
    .supported = true,
    .owner_count = 1,
    .owners = user_owners,
    .version_count = 3,
    .versions = user_versions,
};

static const struct cat_module empty = { .name = SLICE_INIT("Empty"),
                                         .last = 5,
                                         .released = 5,
                                         .supported = true,
                                         .version_count = 1,
                                         .versions = versions };
static const struct cat_module damaged = {
    .name = SLICE_INIT("Damaged"), .last = 9, .released = 9, .supported = true, .damaged = true
};
static const struct cat_module gone = { .name = SLICE_INIT("Gone"),
                                        .last = 5,
                                        .released = 5,
                                        .version_count = 1,
                                        .versions = versions,
                                        .owner_count = 1,
                                        .owners = owners };
static const struct cat_module *const modules[] = { &damaged, &empty, &gone, &mod, &user_module };
static const struct catalogue cat = { .module_count = ARRAY_LEN(modules), .modules = modules };

static struct resolved_type type_of(size_t row)
{
    return (struct resolved_type){ &mod, &type_names[0], &rows_T[row] };
}

static void test_ints(void **state UNUSED)
{
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 7, "7" },
        { -1, "-1" },
        { 1795159932371, "1795159932371" },
        { INT64_MAX, "9223372036854775807" },
        { INT64_MIN, "-9223372036854775808" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(out, 100);
        answer_put_int(&out, cases[i].value);
        assert_string_equal(out.p, cases[i].text);
    }
}

static void test_ids(void **state UNUSED)
{
    AUTO_SBUF(out, 100);

    answer_put_id(&out, SLICE("M"), SLICE("q\"\n"), (struct semver){ 12, 345 });
    assert_string_equal(out.p, "\"M.q\\\"\\n-12.345\"");
}

static void test_history(void **state UNUSED)
{
    AUTO_ARENA(arena);
    struct resolved_type type = type_of(1);
    struct history history;

    history_of(&type, false, &arena, &history);
    assert_int_equal(history.holder_count, 2);
    assert_true(history.any_released);
    assert_int_equal(history_first(&history, true), 20);
    assert_int_equal(history.holders[1]->version, 30);
    assert_int_equal(history.seen_count, 4);
    /* the version of 60 is above the released one */
    static const bool released[] = { false, true, false, false };
    for (size_t i = 0; i < history.seen_count; i++) {
        assert_int_equal(semver_compare(history.seen[i].version, rows_T[i].version), 0);
        assert_int_equal(history.seen[i].released, released[i]);
    }
}

static void test_history_of_removed(void **state UNUSED)
{
    AUTO_ARENA(arena);
    struct resolved_type removed = { &mod, &type_names[1], &rows_U[0] },
                         func = { &mod, &func_names[0], &rows_f[0] };
    struct history history;

    history_of(&removed, false, &arena, &history);
    assert_int_equal(history.holder_count, 0);
    assert_int_equal(history.seen_count, 1);
    /* a function is held also where it is removed */
    history_of(&func, true, &arena, &history);
    assert_int_equal(history.holder_count, 2);
    assert_false(history.any_released);
    assert_int_equal(history_first(&history, false), 30);
}

static void expect_edges(const struct edge_list *list, const char *want)
{
    AUTO_SBUF(out, 4096);

    for (size_t i = 0; i < list->count; i++) {
        const struct cat_edge *e = list->items[i];
        sbuf_addf(&out, "%s%.*s.%.*s-%d.%d", i ? " " : "", (int)e->other_module.n, e->other_module.p,
                  (int)e->other_name.n, e->other_name.p, e->other_version.major, e->other_version.minor);
    }
    assert_string_equal(sbuf_slice(&out).p, want);
}

static void test_edges(void **state UNUSED)
{
    static const struct {
        const char *user;
        bool funcs;
        const char *want;
    } using[] = {
        /* Mod.T-0.1 was never released; User.B only as a removed one, which counts for functions, not for
           types */
        { NULL, false, "User.A-0.10 User.A-0.2" },
        { "ann", false, "Mod.T-0.1 User.A-0.10 User.A-0.2" },
        { "bob", false, "User.A-0.10 User.A-0.2 User.B-1.0" },
        { NULL, true, "User.g-2.0 User.g-10.0" },
        { "ann", true, "User.g-2.0 User.g-10.0" },
        { "bob", true, "User.g-2.0 User.g-10.0 User.hidden-0.1" },
    };
    AUTO_ARENA(arena);
    struct resolved_type type = type_of(1);
    struct edge_list list;

    for (size_t i = 0; i < ARRAY_LEN(using); i++) {
        edges_using(&cat, using[i].user, &type, using[i].funcs, &arena, &list);
        expect_edges(&list, using[i].want);
    }
    edges_used(&cat, false, &type, false, &arena, &list);
    expect_edges(&list, "User.A-0.10 User.A-0.2");
    edges_used(&cat, true, &type, false, &arena, &list);
    expect_edges(&list, "User.A-0.10 User.A-0.2 User.Z-0.1");
    edges_used(&cat, false, &type, true, &arena, &list);
    expect_edges(&list, "User.A-0.2 User.A-0.10");
    edges_used(&cat, true, &type, true, &arena, &list);
    expect_edges(&list, "User.A-0.2 User.A-0.10 User.Z-0.1");
}

/* Answers that need no texts. */
static void test_lists(void **state UNUSED)
{
    static const struct slice ann = SLICE_INIT("ann"), nobody = SLICE_INIT("nobody");
    AUTO_ARENA(arena);
    AUTO_SBUF(out, 4096);
    struct answers a = { .cat = &cat, .arena = &arena },
                   by_ann = { .cat = &cat, .arena = &arena, .user = "ann" };

    answer_module_names(&a, NULL, &out);
    answer_module_names(&a, &ann, &out);
    answer_module_names(&a, &nobody, &out);
    assert_string_equal(out.p, "[\"Damaged\",\"Empty\",\"Mod\",\"User\"][\"Mod\"][]");
    sbuf_reset(&out);
    answer_versions(&a, &mod, &out);
    answer_versions(&by_ann, &mod, &out);
    answer_versions(&a, &empty, &out);
    assert_string_equal(out.p, "{\"mod\":\"Mod\",\"vers\":[20]}{\"mod\":\"Mod\",\"vers\":[10,20,30,40,50,60]}"
                               "{\"mod\":\"Empty\",\"vers\":[]}");
    sbuf_reset(&out);
    answer_released_types(&a, false, &out);
    assert_string_equal(out.p, "{\"Mod\":{\"T\":\"1.0\",\"U\":\"1.0\"},\"User\":{\"A\":\"0.10\"}}");
    sbuf_reset(&out);
    answer_released_types(&a, true, &out);
    assert_string_equal(out.p, "{\"Damaged\":{},\"Empty\":{},\"Mod\":{\"T\":\"1.0\",\"U\":\"1.0\"},"
                               "\"User\":{\"A\":\"0.10\"}}");
}

static void test_versions_of_type(void **state UNUSED)
{
    static const struct {
        size_t row;
        const char *user;
        bool absolute;
        const char *want;
    } cases[] = {
        { 1, NULL, false, "[20]" }, { 1, NULL, true, "[20]" },  { 1, "ann", false, "[20,30]" },
        { 0, NULL, true, "[10]" },  { 0, NULL, false, "[]" },   { 0, "ann", true, "[10]" },
        { 2, NULL, true, "[40]" },  { 2, "ann", true, "[40]" }, { 3, NULL, true, "[60]" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_ARENA(arena);
        AUTO_SBUF(out, 4096);
        AUTO_SBUF(want, 4096);
        struct resolved_type type = type_of(cases[i].row);
        struct answers a = { .cat = &cat, .arena = &arena, .user = cases[i].user };
        answer_versions_of_type(&a, &type, cases[i].absolute, &out);
        sbuf_addf(&want, "{\"mod\":\"Mod\",\"vers\":%s}", cases[i].want);
        assert_string_equal(out.p, want.p);
    }
}

static void test_md5(void **state UNUSED)
{
    static const struct {
        const char *id, *want;
    } cases[] = {
        { "Mod.T-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[\"Mod.T-0.1\",\"Mod.T-1.0\",\"Mod.T-2.0\"]" },
        { "Mod.T-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "[\"Mod.T-1.1\"]" },
        { "Mod.T-cccccccccccccccccccccccccccccccc", "[]" },
        { "Mod.Nope-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[]" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(out, 4096);
        struct type_id id;
        assert_int_equal(type_id_parse(slice_str(cases[i].id), false, &id, NULL), 0);
        answer_md5_versions(&mod, &id, &out);
        assert_string_equal(out.p, cases[i].want);
    }
}

/* Only of a removed type's row: no module version supports it. */
static void test_unsupported_row(void **state UNUSED)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    AUTO_SBUF(out, 4096);
    struct resolved_type removed = { &mod, &type_names[1], &rows_U[0] };
    struct answers a = { .cat = &cat, .arena = &arena, .user = "ann" };

    assert_int_equal(answer_type_info(&a, &removed, &out, &err), -ERR_NO_TYPE);
    assert_string_equal(err_text(&err), "Unable to locate type: Mod.U-1.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ints),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_history_of_removed),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_versions_of_type),
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_unsupported_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
