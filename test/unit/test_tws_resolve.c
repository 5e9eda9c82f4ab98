#include "test/unit/test_tws_registry.h"

/* Who sees which version of what: owner, stranger and anonymous, at each point of a module's life. */

#define TYPE_NOT_YET \
    "!This type wasn't released yet and you should be an owner to access unreleased version information"
#define FUNC_NOT_YET \
    "!This function wasn't released yet and you should be an owner to access unreleased version information"
#define BAD_FUNC_VERSION "!Wrong version number format, use <major>.<minor>"

static void test_life(void **state)
{
    static const struct step steps[] = {
        { TYPE, NULL, "Sea.T", .want = "!Module doesn't exist: Sea" },
        { TYPE, "ann", "Sea.T-1.0", .want = "!Module doesn't exist: Sea" },
        { FUNC, "ann", "Sea.f", .want = "!Module doesn't exist: Sea" },
        { FUNC, "ann", "Sea.f-1", .want = "!Module doesn't exist: Sea" },
        { MODULE, "ann", "Sea", .want = "!Module doesn't exist: Sea" },
        { MAKE, "ann", "Sea" },
        { SAVE, NULL, "Sea", .add = "0" },
        { TYPE, NULL, "Sea.T", .want = "!Unable to locate type: Sea.T" },
        { TYPE, "ann", "Sea.T-", .want = "!Unable to locate type: Sea.T" },
        { FUNC, "ann", "Sea.f", .want = "!Unable to locate function: 'Sea.f'" },
        { MODULE, "ann", "Sea", .want = "!Module wasn't uploaded: Sea" },
        { MODULE, NULL, "Sea", .want = "!Module wasn't uploaded: Sea" },
        { MODULE, "bob", "Sea", .add = "$0", .want = "!Module wasn't uploaded: Sea" },
        { MODULE, "bob", "Sea", .add = "7",
          .want = "!There is no information about module Sea for version 7" },

        { REGISTER, "ann",
          .spec = "module Sea { typedef structure { int a; } T; funcdef f(T t) returns (); };", .add = "T" },
        { SAVE, NULL, "Sea", .add = "1" },
        { MODULE, "ann", "Sea", .want = "$1" },
        { MODULE, "bob", "Sea", .want = "!Module wasn't uploaded: Sea" },
        { MODULE, NULL, "Sea", .add = "$1", .want = "$1" },
        { TYPE, "ann", "Sea.T", .want = "T-0.1" },
        { TYPE, "ann", "Sea.T-0", .want = "T-0.1" },
        { TYPE, "bob", "Sea.T", .want = TYPE_NOT_YET },
        { TYPE, NULL, "Sea.T-0", .want = TYPE_NOT_YET },
        { TYPE, NULL, "Sea.T-1", .want = "!Unable to locate type: Sea.T-1" },
        { TYPE, NULL, "Sea.T-+0.01", .want = "T-0.1" },
        { TYPE, NULL, "Sea.T-0.2", .want = "!Unable to locate type: Sea.T-0.2" },
        { TYPE, NULL, "Sea.U", .want = "!Unable to locate type: Sea.U" },
        { TYPE_MD5, NULL, "Sea.T", .want = "!Unable to locate type: Sea.T" },
        { TYPE_MD5, "ann", "Sea.T", .want = "T-0.1" },
        { TYPE_MD5, NULL, "Sea.T-0.1", .want = "T-0.1" },
        { TYPE_MD5, NULL, "Sea.T-7.7", .want = "!Type schema record was not found for Sea.T.7.7" },
        { TYPE_MD5, NULL, "Sea.T-00000000000000000000000000000000",
          .want = "!Unable to locate type: Sea.T-00000000000000000000000000000000" },
        { FUNC, "ann", "Sea.f", .want = "f-0.1" },
        { FUNC, "bob", "Sea.f", .want = FUNC_NOT_YET },
        { FUNC, NULL, "Sea.f-0.1", .want = "f-0.1" },
        { FUNC, NULL, "Sea.f-9.9", .want = "!Function parse record was not found for Sea.f.9.9" },
        { FUNC, NULL, "Sea.g-9.9", .want = "!Function parse record was not found for Sea.g.9.9" },
        { FUNC, NULL, "Sea.g", .want = "!Unable to locate function: 'Sea.g'" },
        { FUNC, "ann", "Sea.f-0", .want = BAD_FUNC_VERSION },
        { FUNC, "ann", "Sea.f-00000000000000000000000000000000", .want = BAD_FUNC_VERSION },

        { RELEASE, "ann", "Sea", .want = "T-1.0" },
        { SAVE, NULL, "Sea", .add = "2" },
        { MODULE, NULL, "Sea", .want = "$2" },
        { TYPE, NULL, "Sea.T", .want = "T-1.0" },
        { TYPE, NULL, "Sea.T-1", .want = "T-1.0" },
        { TYPE, NULL, "Sea.T-0", .want = TYPE_NOT_YET },
        { TYPE, "ann", "Sea.T-0", .want = "T-0.1" },
        { FUNC, NULL, "Sea.f", .want = "f-1.0" },

        { REGISTER, "ann",
          .spec = "module Sea { typedef structure { string a; } T; funcdef f(T t) returns (); };",
          .want = "Sea.T-2.0" },
        { SAVE, NULL, "Sea", .add = "3" },
        { MODULE, "ann", "Sea", .want = "$3" },
        { MODULE, NULL, "Sea", .want = "$2" },
        { TYPE, "ann", "Sea.T", .want = "T-2.0" },
        { TYPE, NULL, "Sea.T", .want = "T-1.0" },
        { TYPE, NULL, "Sea.T-1", .want = "T-1.0" },
        { TYPE, NULL, "Sea.T-2", .want = TYPE_NOT_YET },
        { TYPE, NULL, "Sea.T-2.0", .want = "T-2.0" },
        { FUNC, "ann", "Sea.f", .want = "f-2.0" },
        { FUNC, NULL, "Sea.f", .want = "f-1.0" },
        { GRANT, "ann", "Sea", "bob" },
        { TYPE, "bob", "Sea.T", .want = "T-2.0" },
        { REMOVE, "ann", "Sea", "bob" },
        { TYPE, "bob", "Sea.T", .want = "T-1.0" },

        { RELEASE, "ann", "Sea", .want = "T-2.0" },
        { TYPE, NULL, "Sea.T", .want = "T-2.0" },
        { TYPE, NULL, "Sea.T-2", .want = "T-2.0" },

        { REGISTER, "ann", .spec = "module Sea { typedef int other; };", .want = "" },
        { TYPE, "ann", "Sea.T", .want = "!Unable to locate type: Sea.T" },
        { TYPE, NULL, "Sea.T", .want = "T-2.0" },
        { TYPE, "ann", "Sea.T-2", .want = "T-2.0" },
        { FUNC, "ann", "Sea.f", .want = "!Unable to locate function: 'Sea.f'" },
        { RELEASE, "ann", "Sea", .want = "T-2.0" },
        { TYPE, NULL, "Sea.T", .want = "!Unable to locate type: Sea.T" },
        { TYPE, NULL, "Sea.T-1", .want = "T-1.0" },
        { TYPE, NULL, "Sea.T-2.0", .want = "T-2.0" },
        { FUNC, NULL, "Sea.f", .want = "!Unable to locate function: 'Sea.f'" },
        { FUNC, NULL, "Sea.f-2.0", .want = "f-2.0" },
    };

    (void)state;
    RUN(steps);
}

static void test_unsupported(void **state)
{
    static const struct step steps[] = {
        { MAKE, "ann", "Sea" },
        { REGISTER, "ann", .spec = "module Sea { typedef int T; funcdef f(T t) returns (); };", .add = "T" },
        { RELEASE, "ann", "Sea" },
        { SAVE, NULL, "Sea", .add = "1" },
        { SUPPORT_OFF, NULL, "Sea" },
        { TYPE, "ann", "Sea.T", .want = "!Unable to locate type: Sea.T" },
        { TYPE, NULL, "Sea.T", .want = "!Unable to locate type: Sea.T" },
        { TYPE, "ann", "Sea.T-1", .want = "!Unable to locate type: Sea.T-1" },
        { TYPE, NULL, "Sea.T-1", .want = "!Unable to locate type: Sea.T-1" },
        { TYPE, NULL, "Sea.T-1.0", .want = "T-1.0" },
        { FUNC, NULL, "Sea.f", .want = FUNC_NOT_YET },
        { FUNC, "ann", "Sea.f", .want = "f-1.0" },
        { FUNC, NULL, "Sea.f-1.0", .want = "f-1.0" },
        { MODULE, NULL, "Sea", .want = "!Module Sea is no longer supported" },
        { MODULE, "ann", "Sea", .want = "!Module Sea is no longer supported" },
        { MODULE, NULL, "Sea", .add = "$1", .want = "$1" },
        { GRANT, "ann", "Sea", "bob" },
    };

    (void)state;
    RUN(steps);
}

/* The highest version wins, counted as numbers, whether by major or by md5. */
static void test_highest(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f);
    static const struct step make = { MAKE, "ann", "Sea" };
    run_steps(&f, &make, 1);
    for (int i = 0; i < 11; i++) {
        char spec[128];
        snprintf(spec, sizeof(spec), "module Sea { /* %c */ typedef int T; };", i % 2 ? 'a' : 'b');
        const struct step reg = { REGISTER, "ann", .spec = spec, .add = i ? NULL : "T" };
        run_steps(&f, &reg, 1);
    }
    static const struct step look[] = {
        { TYPE, "ann", "Sea.T", .want = "T-0.11" },
        { TYPE, "ann", "Sea.T-0", .want = "T-0.11" },
        { ENTRIES, NULL, "Sea", .want = " types[T-0.11] funcs[]" },
    };
    run_steps(&f, look, ARRAY_LEN(look));
    const struct catalogue *cat = registry_snapshot(f.reg);
    const struct cat_name *name = cat_find_type(cat_find_module(cat, SLICE("Sea")), SLICE("T"));
    assert_int_equal(name->row_count, 11);
    for (size_t i = 0; i < 11; i++) {
        struct resolved_type found;
        char text[64];
        struct type_id id;
        AUTO_ERR(err);
        snprintf(text, sizeof(text), "Sea.T-%s", name->rows[i].md5);
        assert_int_equal(type_id_parse(slice_str(text), false, &id, &err), 0);
        assert_int_equal(registry_resolve_type(cat, NULL, &id, false, &found, &err), 0);
        assert_int_equal(found.row->version.minor, i % 2 ? 10 : 11);
        assert_int_equal(name->rows[i].version.minor, i + 1);
    }
    catalogue_unref(cat);
    fixture_close(&f);
}

static void test_owner_guards(void **state)
{
    struct fixture f;
    static const struct step steps[] = { { MAKE, "ann", "Sea" }, { GRANT, "ann", "Sea", "bob" } };
    static const struct {
        const char *user, *module;
        bool grant;
        const char *want;
    } rows[] = {
        { "ann", "Sea", true, NULL },
        { "bob", "Sea", false, NULL },
        { "bob", "Sea", true, "User bob can not change privileges for module Sea" },
        { "cat", "Sea", false, "User cat is not in list of owners of module Sea" },
        { "ann", "Land", false, "User ann is not in list of owners of module Land" },
        { "ann", NULL, false, "User ann is not in list of owners of module null" },
    };

    (void)state;
    fixture_open(&f);
    run_steps(&f, steps, ARRAY_LEN(steps));
    const struct catalogue *cat = registry_snapshot(f.reg);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ERR(err);
        int rc = registry_need_owner(cat, rows[i].user, or_nothing(rows[i].module), rows[i].grant, &err);
        assert_int_equal(rc, rows[i].want ? -ERR_PRIVILEGE : 0);
        assert_string_equal(err_text(&err), rows[i].want ? rows[i].want : "");
    }
    assert_true(registry_is_owner(cat_find_module(cat, SLICE("Sea")), "bob"));
    assert_false(registry_is_owner(cat_find_module(cat, SLICE("Sea")), NULL));
    catalogue_unref(cat);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_highest),
        cmocka_unit_test(test_owner_guards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
