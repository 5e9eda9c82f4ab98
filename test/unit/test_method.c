#include "test/unit/t.h"

#include "shared/rpc/type_methods.h"

static int run_nothing(struct call *call, struct sbuf *ret_result, struct err *err)
{
    (void)call;
    (void)ret_result;
    (void)err;
    return 0;
}

#define SERVICE_ROW(n, auth, flags, sig, result, doc) \
    METHOD_ROW("TypeService", n, auth, flags, sig, result, run_nothing, doc)
#define TYPE_ROW(n, auth, flags, sig, result, doc) \
    METHOD_ROW("Workspace", n, auth, flags, sig, result, run_nothing, doc)

static const struct method rows[] = { SERVICE_METHODS(SERVICE_ROW) TYPE_METHODS(TYPE_ROW) };
static const struct method_table table = { rows, ARRAY_LEN(rows) };

/* What upstream's server has, as its own specification lists it. */
static const struct {
    const char *name;
    enum auth_need auth;
    size_t params;
    enum param_kind kind;
    enum result_kind result;
    unsigned flags;
} wanted[] = {
    { "TypeService.describe", AUTH_NONE, 0, PARAM_ANY, RESULT_LIST, METHOD_LOCAL },
    { "Workspace.ver", AUTH_NONE, 0, PARAM_ANY, RESULT_LIST, METHOD_LOCAL },
    { "Workspace.status", AUTH_NONE, 0, PARAM_ANY, RESULT_LIST, METHOD_LOCAL },
    { "Workspace.request_module_ownership", AUTH_REQUIRED, 1, PARAM_STRING, RESULT_VOID, METHOD_WRITE },
    { "Workspace.register_typespec", AUTH_REQUIRED, 1, PARAM_STRUCT, RESULT_LIST, METHOD_WRITE },
    { "Workspace.register_typespec_copy", AUTH_REQUIRED, 1, PARAM_STRUCT, RESULT_LIST, METHOD_WRITE },
    { "Workspace.release_module", AUTH_REQUIRED, 1, PARAM_STRING, RESULT_LIST, METHOD_WRITE },
    { "Workspace.list_modules", AUTH_NONE, 1, PARAM_STRUCT, RESULT_LIST, METHOD_NO_TOKEN },
    { "Workspace.list_module_versions", AUTH_OPTIONAL, 1, PARAM_STRUCT, RESULT_LIST, 0 },
    { "Workspace.get_module_info", AUTH_OPTIONAL, 1, PARAM_STRUCT, RESULT_LIST, 0 },
    { "Workspace.get_jsonschema", AUTH_OPTIONAL, 1, PARAM_STRING, RESULT_LIST, 0 },
    { "Workspace.translate_from_MD5_types", AUTH_NONE, 1, PARAM_STRING_LIST, RESULT_LIST, METHOD_NO_TOKEN },
    { "Workspace.translate_to_MD5_types", AUTH_OPTIONAL, 1, PARAM_STRING_LIST, RESULT_LIST, 0 },
    { "Workspace.get_type_info", AUTH_OPTIONAL, 1, PARAM_STRING, RESULT_LIST, 0 },
    { "Workspace.get_all_type_info", AUTH_OPTIONAL, 1, PARAM_STRING, RESULT_LIST, 0 },
    { "Workspace.get_func_info", AUTH_OPTIONAL, 1, PARAM_STRING, RESULT_LIST, 0 },
    { "Workspace.get_all_func_info", AUTH_OPTIONAL, 1, PARAM_STRING, RESULT_LIST, 0 },
    { "Workspace.grant_module_ownership", AUTH_REQUIRED, 1, PARAM_STRUCT, RESULT_VOID, METHOD_WRITE },
    { "Workspace.remove_module_ownership", AUTH_REQUIRED, 1, PARAM_STRUCT, RESULT_VOID, METHOD_WRITE },
    { "Workspace.list_all_types", AUTH_OPTIONAL, 1, PARAM_STRUCT, RESULT_LIST, METHOD_ANY_USER },
    { "Workspace.get_admin_role", AUTH_REQUIRED, 0, PARAM_ANY, RESULT_LIST,
      METHOD_LOCAL | METHOD_NEEDS_ROLE },
    { "Workspace.administer", AUTH_REQUIRED, 1, PARAM_ANY, RESULT_LIST, METHOD_WRITE | METHOD_NEEDS_ROLE },
};

static void test_every_method_is_listed(void **state)
{
    (void)state;
    assert_true(method_table_valid(&table));
    assert_int_equal(table.count, ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const struct method *m = method_find(&table, slice_str(wanted[i].name));
        assert_non_null(m);
        assert_string_equal(m->name, wanted[i].name);
        assert_int_equal(m->auth, wanted[i].auth);
        assert_int_equal(m->param_count, wanted[i].params);
        assert_int_equal(m->params->kind, wanted[i].kind);
        assert_int_equal(m->result, wanted[i].result);
        assert_int_equal(m->flags, wanted[i].flags);
    }
}

static void test_unknown_names(void **state)
{
    static const struct slice names[] = {
        SLICE(""),
        SLICE("Workspace.Ver"),
        SLICE("Workspace.ve"),
        SLICE("Workspace.verx"),
        SLICE("ver"),
        SLICE("A.a"),
        SLICE("Workspace.zzz"),
        SLICE("Workspace.ver\0"),
        SLICE(" Workspace.ver"),
        SLICE("Zz.z"),
    };
    AUTO_ERR(err);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_null(method_find(&table, names[i]));
    assert_null(method_find(&(struct method_table){ NULL, 0 }, SLICE("Workspace.ver")));
    assert_int_equal(method_set_unknown(&err, SLICE("Workspace.version")), -ERR_METHOD);
    assert_string_equal(
        err.text,
        "Can not find method [Workspace.version] in server class us.kbase.workspace.WorkspaceServer");
}

static void test_invalid_tables(void **state)
{
    struct method two[2] = { rows[1], rows[2] };
    struct method_table t = { two, 2 };

    (void)state;
    assert_true(method_table_valid(&t));
    two[0] = rows[2];
    assert_false(method_table_valid(&t));
    two[1] = rows[1];
    assert_false(method_table_valid(&t));
    two[0] = rows[0];
    assert_true(method_table_valid(&t));
    two[1].run = NULL;
    assert_false(method_table_valid(&t));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_method_is_listed),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_invalid_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
