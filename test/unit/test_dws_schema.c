#include "test/unit/t.h"

#include "dws/validate/program.h"
#include "shared/base/sbuf.h"

static struct check_program *compile(const char *schema)
{
    char *problem = NULL;
    struct check_program *p = check_program_new((struct check_text){ schema, strlen(schema) }, &problem);

    if (!p)
        fail_msg("%s: %s", schema, problem);
    return p;
}

#define ID(inside) "{\"type\":\"string\",\"id-reference\":{" inside "}}"

static void test_refused(void **state)
{
    static const struct {
        const char *schema, *problem;
    } rows[] = {
        { "{\"type\":\"boolean\"}",
          "No enum constant us.kbase.typedobj.core.JsonTokenValidationSchema.Type.boolean" },
        { "{}", "No enum constant us.kbase.typedobj.core.JsonTokenValidationSchema.Type.null" },
        { ID("\"attributes\":[]"), "ID reference in type schema is missing type" },
        { ID("\"id-type\":\"ws\",\"attributes\":[],\"valid-typedef-names\":[]"),
          "ID reference in type schema with valid-typedef-names and attributes both set is illegal" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"x\"}}}",
          "No enum constant us.kbase.typedobj.core.JsonTokenValidationSchema.Type.x" },
    };
    static const char *const unreadable[] = {
        "",
        "[",
        "[]",
        "{\"type\":\"array\"}",
        "{\"type\":\"array\",\"items\":[1]}",
        "{\"type\":\"object\",\"properties\":{\"a\":1}}",
        "{\"type\":\"array\",\"items\":[],\"minItems\":1.5}",
        "{\"type\":\"integer\",\"minimum\":\"x\"}",
        "{\"type\":\"string\",\"id-reference\":1}",
    };
    char *problem;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_null(
            check_program_new((struct check_text){ rows[i].schema, strlen(rows[i].schema) }, &problem));
        assert_string_equal(problem, rows[i].problem);
        free(problem);
    }
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        assert_null(check_program_new((struct check_text){ unreadable[i], strlen(unreadable[i]) }, &problem));
        assert_int_equal(strncmp(problem, "Could not parse type schema document: ", 38), 0);
        free(problem);
    }
}

static void test_equal_id_references_are_one(void **state)
{
    struct check_program *p = compile("{\"type\":\"array\",\"items\":[" ID(
        "\"id-type\":\"ws\",\"attributes\":["
        "\"A.B\"]") "," ID("\"id-type\":"
                           "\"ws\",\"valid-"
                           "typedef-names\":["
                           "\"A.B\"]") "," ID("\"id-type\":\"ws\"") "," ID("\"id-type\":\"kb\"") "]}");

    (void)state;
    assert_int_equal(p->id_ref_count, 3);
    assert_int_equal(check_program_id_type_count(p), 2);
    assert_memory_equal(check_program_id_type(p, 1).p, "kb", 2);
    assert_true(check_program_bytes(p) > sizeof(*p));
    check_program_unref(check_program_ref(p));
    check_program_unref(p);
}

/* Few keys are looked up one by one, many in a table. */
static void test_properties(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 100; n += 9) {
        AUTO_SBUF(schema, SBUF_NO_LIMIT);
        uint32_t guess = 0;
        char key[20];
        sbuf_adds(&schema,
                  "{\"type\":\"object\",\"required\":[\"key0\",\"other\",\"key0\"],\"properties\":{");
        for (unsigned i = 0; i < n; i++)
            sbuf_addf(&schema, "%s\"key%u\":{\"type\":\"integer\"}", i ? "," : "", i);
        sbuf_adds(&schema, "}}");
        struct check_program *p = compile(schema.p);
        const struct node *root = program_node(p, 1);
        assert_int_equal(root->required_count, 2);
        assert_int_equal(root->property_count, n ? n + 1 : 2);
        for (unsigned i = 0; i < n + 1; i++) {
            snprintf(key, sizeof(key), "key%u", i);
            const struct property *found = program_property(root, slice_str(key), &guess);
            assert_true((found && found->node) == (i < n));
            assert_true((found && found->required) == (i == 0));
        }
        assert_non_null(program_property(root, SLICE("other"), &guess));
        assert_null(program_property(root, SLICE(""), &guess));
        check_program_unref(p);
    }
}

static void test_bounds(void **state)
{
    struct check_program *p = compile("{\"type\":\"integer\",\"minimum\":-9223372036854775808,"
                                      "\"maximum\":9223372036854775808,\"exclusiveMinimum\":false}");
    const struct bound *bounds = program_node(p, 1)->bounds;

    (void)state;
    assert_true(bounds[0].set && bounds[0].exclusive && bounds[0].fits);
    assert_true(bounds[1].set && !bounds[1].exclusive && !bounds[1].fits);
    check_program_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_equal_id_references_are_one),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
