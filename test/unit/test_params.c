#include "test/unit/t.h"

#include "shared/rpc/admin_command.h"
#include "shared/rpc/envelope.h"
#include "shared/rpc/method.h"

static const struct json_limits limits = { .max_depth = 1000, .max_nodes = 1000000 };

/* A call with one parameter, of a method `M.m` with the given signature. */
struct fixture {
    struct arena arena;
    struct sbuf body;
    struct envelope env;
    const union param_value *values;
    struct err err;
};

static void release(struct fixture *f)
{
    arena_release(&f->arena);
    sbuf_release(&f->body);
    err_clear(&f->err);
}

#define FIXTURE(name) \
    AUTO(release) \
    struct fixture name = { .arena = ARENA_INIT, .body = SBUF_INIT(SBUF_NO_LIMIT), .err = ERR_INIT }

static int convert(struct fixture *f, const struct param_spec *spec, size_t count, struct slice params)
{
    struct method method = { .name = "M.m", .params = spec, .param_count = count };

    sbuf_adds(&f->body, "{\"params\":[");
    sbuf_add_slice(&f->body, params);
    sbuf_adds(&f->body, "],\"method\":\"M.m\"}");
    assert_int_equal(envelope_read(sbuf_slice(&f->body), &limits, &f->arena, &f->env, NULL), 0);
    return params_convert(&f->env, &method, &f->arena, &f->values, &f->err);
}

#define WRONG "Wrong type of parameter 0 for method M.m ("
#define AT(column) "\n at [Source: (InputStreamReader); line: 1, column: " #column "]"

static void assert_refused(const struct param_spec *spec, struct slice param, const char *text)
{
    FIXTURE(f);

    assert_int_equal(convert(&f, spec, 1, param), -ERR_PARAMS);
    assert_string_equal(f.err.text, text);
    assert_true(params_has_trace(&f.err));
}

static void test_count(void **state)
{
    static const struct {
        const char *params;
        size_t count;
        int rc;
    } rows[] = { { "", 0, 0 },
                 { "1", 1, 0 },
                 { "null", 1, 0 },
                 { "", 1, -ERR_PARAMS },
                 { "1,2", 1, -ERR_PARAMS },
                 { "{}", 0, -ERR_PARAMS } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        assert_int_equal(convert(&f, param_spec_ANY, rows[i].count, slice_str(rows[i].params)), rows[i].rc);
        if (rows[i].rc) {
            assert_string_equal(f.err.text, "Wrong parameter count for method M.m");
            assert_false(params_has_trace(&f.err));
        }
    }
}

static void test_params_twice(void **state)
{
    static const struct {
        const char *body, *text; /* of the string, or of the error; NULL: null */
        int rc;
    } rows[] = {
        { "{\"params\":[\"a\"],\"method\":\"M.m\",\"params\":[\"b\"]}", "a", 0 },
        { "{\"params\":[\"a\",\"c\"],\"params\":[{}]}", "a", 0 },
        { "{\"params\":[\"a\"],\"params\":[\"b\"],\"params\":[\"c\"]}", "a", 0 },
        { "{\"params\":null,\"params\":[\"b\"]}", "b", 0 },
        { "{\"params\":[null],\"params\":[\"b\"]}", NULL, 0 },
        { "{\"params\":[\"a\"],\"params\":[null]}", NULL, 0 },
        { "{\"params\":[],\"params\":[null]}", NULL, 0 },
        { "{\"params\":[[]],\"params\":[\"b\"]}",
          WRONG "Cannot deserialize instance of `java.lang.String` out of START_ARRAY token" AT(12) ")",
          -ERR_PARAMS },
        { "{\"params\":[ ],\"params\":[\"b\"]}", WRONG "No content to map due to end-of-input" AT(13) ")",
          -ERR_PARAMS },
        { "{\"params\":[\"a\"],\"params\":[]}", "Wrong parameter count for method M.m", -ERR_PARAMS },
        { "{\"params\":[\"a\"],\"params\":[1,2]}", "Wrong parameter count for method M.m", -ERR_PARAMS },
    };
    static const struct method method = { .name = "M.m", .params = param_spec_STRING, .param_count = 1 };
    static const struct method raw = { .name = "M.r", .params = param_spec_RAW, .param_count = 1 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        assert_int_equal(envelope_read(slice_str(rows[i].body), &limits, &f.arena, &f.env, NULL), 0);
        assert_int_equal(params_convert(&f.env, &method, &f.arena, &f.values, &f.err), rows[i].rc);
        if (rows[i].rc) {
            assert_string_equal(f.err.text, rows[i].text);
            continue;
        }
        assert_int_equal(f.values[0].text.given, rows[i].text != NULL);
        if (rows[i].text)
            assert_true(slice_is(f.values[0].text.text, rows[i].text));
    }
    FIXTURE(f);
    assert_int_equal(
        envelope_read_outline(SLICE("{\"params\":[1,2],\"params\":[3]}"), &limits, &f.arena, &f.env, NULL),
        0);
    assert_int_equal(params_convert(&f.env, &raw, &f.arena, &f.values, &f.err), -ERR_PARAMS);
    assert_string_equal(f.err.text, "Wrong parameter count for method M.r");
}

static void test_string(void **state)
{
    static const struct {
        struct slice json;
        bool given;
        struct slice text;
    } rows[] = {
        { SLICE("\"a\\u0000b\""), true, SLICE("a\0b") },
        { SLICE("\"\""), true, SLICE("") },
        { SLICE("12.50"), true, SLICE("12.50") },
        { SLICE("1E+2"), true, SLICE("1E+2") },
        { SLICE("-0"), true, SLICE("-0") },
        { SLICE("123456789012345678901234567890"), true, SLICE("123456789012345678901234567890") },
        { SLICE("true"), true, SLICE("true") },
        { SLICE("false"), true, SLICE("false") },
        { SLICE("null"), false, SLICE("") },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        assert_int_equal(convert(&f, param_spec_STRING, 1, rows[i].json), 0);
        assert_int_equal(f.values[0].text.given, rows[i].given);
        assert_true(slice_eq(f.values[0].text.text, rows[i].text));
    }
    assert_refused(param_spec_STRING, SLICE("{}"),
                   WRONG
                   "Cannot deserialize instance of `java.lang.String` out of START_OBJECT token" AT(12) ")");
    assert_refused(param_spec_STRING, SLICE(" [1]"),
                   WRONG
                   "Cannot deserialize instance of `java.lang.String` out of START_ARRAY token" AT(13) ")");
    assert_refused(param_spec_STRING, SLICE("\n []"),
                   WRONG "Cannot deserialize instance of `java.lang.String` out of START_ARRAY token\n"
                         " at [Source: (InputStreamReader); line: 2, column: 2])");
}

static const struct param_spec int_spec[1] = { { PARAM_INT, NULL } };

static void test_int(void **state)
{
    static const struct {
        const char *json;
        bool given;
        int64_t value;
    } rows[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "1394148853532", true, 1394148853532 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "\"12\"", true, 12 },
        { "\" \\t-12\\n\"", true, -12 },
        { "\"+5\"", true, 5 },
        { "\"\xd9\xa1\xd9\xa2\"", true, 12 },
        { "\"\"", false, 0 },
        { "\"  \"", false, 0 },
        { "\"null\"", false, 0 },
        { "null", false, 0 },
        { "0.4", true, 0 },
        { "1.5", true, 1 },
        { "-1.9", true, -1 },
        { "1e3", true, 1000 },
        { "9.3e17", true, 930000000000000000 },
        { "9.223372036854775807e18", true, INT64_MAX },
        { "-9.223372036854775808e18", true, INT64_MIN },
        { "1e-400", true, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        if (convert(&f, int_spec, 1, slice_str(rows[i].json)))
            fail_msg("%s: %s", rows[i].json, f.err.text);
        assert_int_equal(f.values[0].integer.given, rows[i].given);
        assert_true(f.values[0].integer.value == rows[i].value);
    }
}

static void test_int_refused(void **state)
{
#define NOT_LONG(text) \
    WRONG "Cannot deserialize value of type `java.lang.Long` from String \"" text "\": not a valid Long " \
          "value"
#define RANGE(n) \
    WRONG "Numeric value (" n ") out of range of long (-9223372036854775808 - 9223372036854775807)"
#define TOKEN(t) WRONG "Cannot deserialize instance of `java.lang.Long` out of " t " token"
    static const struct {
        const char *json, *text;
    } rows[] = {
        { "\"abc\"", NOT_LONG("abc") AT(12) ")" },
        { "\" 1 2 \"", NOT_LONG("1 2") AT(12) ")" },
        { "\"1.5\"", NOT_LONG("1.5") AT(12) ")" },
        { "\"9223372036854775808\"", NOT_LONG("9223372036854775808") AT(12) ")" },
        { "true", TOKEN("VALUE_TRUE") AT(12) ")" },
        { "false", TOKEN("VALUE_FALSE") AT(12) ")" },
        { "{}", TOKEN("START_OBJECT") AT(12) ")" },
        { "[1]", TOKEN("START_ARRAY") AT(12) ")" },
        { "9223372036854775808", RANGE("9223372036854775808") AT(31) ")" },
        { "-9223372036854775809", RANGE("-9223372036854775809") AT(32) ")" },
        { "1e19", RANGE("1e19") AT(16) ")" },
        { "1e400", RANGE("1e400") AT(17) ")" },
        { "-9.3e18", RANGE("-9.3e18") AT(19) ")" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_refused(int_spec, slice_str(rows[i].json), rows[i].text);
}

static void test_string_list(void **state)
{
    (void)state;
    {
        FIXTURE(f);
        assert_int_equal(convert(&f, param_spec_STRING_LIST, 1, SLICE("[\"a\",null,5,1.50,true]")), 0);
        const struct param_texts *texts = &f.values[0].texts;
        static const char *const want[] = { "a", NULL, "5", "1.50", "true" };
        assert_true(texts->given);
        assert_int_equal(texts->count, 5);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(texts->items[i].given, want[i] != NULL);
            if (want[i])
                assert_true(slice_is(texts->items[i].text, want[i]));
        }
    }
    {
        FIXTURE(f);
        assert_int_equal(convert(&f, param_spec_STRING_LIST, 1, SLICE("null")), 0);
        assert_false(f.values[0].texts.given);
        assert_int_equal(f.values[0].texts.count, 0);
    }
    static const struct {
        const char *json, *token;
    } rows[] = { { "\"a\"", "VALUE_STRING" },     { "\"\"", "VALUE_STRING" }, { "1", "VALUE_NUMBER_INT" },
                 { "1.0", "VALUE_NUMBER_FLOAT" }, { "true", "VALUE_TRUE" },   { "{}", "START_OBJECT" } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        AUTO_SBUF(text, 1000);
        assert_int_equal(convert(&f, param_spec_STRING_LIST, 1, slice_str(rows[i].json)), -ERR_PARAMS);
        sbuf_addf(&text,
                  WRONG "Cannot deserialize instance of `java.util.ArrayList` out of %s token" AT(12) ")",
                  rows[i].token);
        assert_string_equal(f.err.text, text.p);
    }
    assert_refused(param_spec_STRING_LIST, SLICE("[\"a\",[]]"),
                   WRONG "Cannot deserialize instance of `java.lang.String` out of START_ARRAY token" AT(
                       17) " (through reference chain: java.util.ArrayList[1]))");
}

static const struct param_spec map_spec[1] = { { PARAM_INT_MAP, NULL } };

static void test_int_map(void **state)
{
    (void)state;
    {
        FIXTURE(f);
        assert_int_equal(convert(&f, map_spec, 1, SLICE("{\"b\":1,\"a\":null,\"b\":\"7\",\"c\":2.9}")), 0);
        const struct param_int_map *map = &f.values[0].map;
        assert_true(map->given);
        assert_int_equal(map->count, 3);
        assert_true(slice_is(map->items[0].key, "b"));
        assert_int_equal(map->items[0].value.value, 7);
        assert_true(slice_is(map->items[1].key, "a"));
        assert_false(map->items[1].value.given);
        assert_int_equal(map->items[2].value.value, 2);
    }
    {
        FIXTURE(f);
        assert_int_equal(convert(&f, map_spec, 1, SLICE("null")), 0);
        assert_false(f.values[0].map.given);
    }
    assert_refused(
        map_spec, SLICE("[]"),
        WRONG "Cannot deserialize instance of `java.util.LinkedHashMap` out of START_ARRAY token" AT(12) ")");
    assert_refused(
        map_spec, SLICE("5"),
        WRONG
        "Cannot deserialize instance of `java.util.LinkedHashMap` out of VALUE_NUMBER_INT token" AT(12) ")");
    assert_refused(
        map_spec, SLICE("\"x\""),
        WRONG
        "Cannot construct instance of `java.util.LinkedHashMap` (although at least one Creator exists): no "
        "String-argument constructor/factory method to deserialize from String value ('x')" AT(12) ")");
    assert_refused(
        map_spec, SLICE("{\"a\":\"x\",\"a\":1}"),
        WRONG
        "Cannot deserialize value of type `java.lang.Long` from String \"x\": not a valid Long value" AT(
            17) " (through reference chain: java.util.LinkedHashMap[\"a\"]))");
}

static void test_register_typespec(void **state)
{
    FIXTURE(f);

    (void)state;
    assert_int_equal(
        convert(&f, param_spec_REGISTER_TYPESPEC, 1,
                SLICE("{\"spec\":\"first\",\"spec\":\"text\",\"mod\":null,\"new_types\":[\"A\",\"B\"],"
                      "\"remove_types\":[],\"dependencies\":{\"I\":3},\"dryrun\":0,\"prev_ver\":\"5\"}")),
        0);
    const struct register_typespec_params *p = f.values[0].object;
    assert_true(slice_is(p->spec.text, "text"));
    assert_false(p->mod.given);
    assert_int_equal(p->new_types.count, 2);
    assert_true(slice_is(p->new_types.items[1].text, "B"));
    assert_true(p->remove_types.given);
    assert_int_equal(p->remove_types.count, 0);
    assert_int_equal(p->dependencies.count, 1);
    assert_int_equal(p->dependencies.items[0].value.value, 3);
    assert_true(p->dryrun.given);
    assert_int_equal(p->prev_ver.value, 5);
    assert_int_equal(params_check_unexpected(&p->head, NULL), 0);
    assert_string_equal(p->head.type->name, "RegisterTypespecParams");
}

/* Every field of the other structures goes to its own place. */
static void test_other_structs(void **state)
{
    (void)state;
#define READ(signature, json, type, check) \
    { \
        FIXTURE(f); \
        assert_int_equal(convert(&f, param_spec_##signature, 1, SLICE(json)), 0); \
        const struct type *p = f.values[0].object; \
        assert_int_equal(p->head.unknown_count, 0); \
        assert_true(check); \
    }
    READ(REGISTER_TYPESPEC_COPY, "{\"external_workspace_url\":\"u\",\"mod\":\"m\",\"version\":4}",
         register_typespec_copy_params,
         slice_is(p->external_workspace_url.text, "u") && slice_is(p->mod.text, "m") && p->version.value == 4)
    READ(LIST_MODULES, "{\"owner\":\"o\"}", list_modules_params, slice_is(p->owner.text, "o"))
    READ(LIST_MODULES, "{}", list_modules_params, !p->owner.given)
    READ(LIST_MODULE_VERSIONS, "{\"mod\":\"m\",\"type\":\"t\"}", list_module_versions_params,
         slice_is(p->mod.text, "m") && slice_is(p->type.text, "t"))
    READ(GET_MODULE_INFO, "{\"mod\":\"m\",\"ver\":7}", get_module_info_params,
         slice_is(p->mod.text, "m") && p->ver.value == 7)
    READ(GRANT_MODULE_OWNERSHIP, "{\"mod\":\"m\",\"new_owner\":\"o\",\"with_grant_option\":1}",
         grant_module_ownership_params,
         slice_is(p->mod.text, "m") && slice_is(p->new_owner.text, "o") && p->with_grant_option.value == 1)
    READ(REMOVE_MODULE_OWNERSHIP, "{\"mod\":\"m\",\"old_owner\":\"o\"}", remove_module_ownership_params,
         slice_is(p->mod.text, "m") && slice_is(p->old_owner.text, "o"))
    READ(LIST_ALL_TYPES, "{\"with_empty_modules\":1}", list_all_types_params,
         p->with_empty_modules.value == 1)
    FIXTURE(f);
    assert_int_equal(convert(&f, param_spec_LIST_ALL_TYPES, 1, SLICE("null")), 0);
    assert_null(f.values[0].object);
}

static void test_struct_refused(void **state)
{
#define CONSTRUCT \
    WRONG "Cannot construct instance of `us.kbase.workspace.ListModulesParams` (although at least one " \
          "Creator exists): "
    static const struct {
        const char *json, *text;
    } rows[] = {
        { "[]", WRONG
          "Cannot deserialize instance of `us.kbase.workspace.ListModulesParams` out of START_ARRAY token" AT(
              12) ")" },
        { "\"x\"", CONSTRUCT
          "no String-argument constructor/factory method to deserialize from String value ('x')" AT(12) ")" },
        { "5", CONSTRUCT
          "no int/Int-argument constructor/factory method to deserialize from Number value (5)" AT(12) ")" },
        { "-2147483649", CONSTRUCT "no long/Long-argument constructor/factory method to deserialize from "
                                   "Number value (-2147483649)" AT(12) ")" },
        { "9223372036854775808", CONSTRUCT
          "no suitable creator method found to deserialize from Number value (9223372036854775808)" AT(
              12) ")" },
        { "2e1", CONSTRUCT
          "no double/Double-argument constructor/factory method to deserialize from Number value (20.0)" AT(
              12) ")" },
        { "true", CONSTRUCT "no boolean/Boolean-argument constructor/factory method to deserialize from "
                            "boolean value (true)" AT(12) ")" },
        { "{\"owner\":{}}",
          WRONG "Cannot deserialize instance of `java.lang.String` out of START_OBJECT token" AT(
              21) " (through reference chain: us.kbase.workspace.ListModulesParams[\"owner\"]))" },
        { "{\"owner\":[],\"owner\":\"x\"}",
          WRONG "Cannot deserialize instance of `java.lang.String` out of START_ARRAY token" AT(
              21) " (through reference chain: us.kbase.workspace.ListModulesParams[\"owner\"]))" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_refused(param_spec_LIST_MODULES, slice_str(rows[i].json), rows[i].text);
    assert_refused(
        param_spec_REGISTER_TYPESPEC, SLICE("{\"dependencies\":{\"A\":\"x\"}}"),
        WRONG
        "Cannot deserialize value of type `java.lang.Long` from String \"x\": not a valid Long value" AT(
            33) " (through reference chain: us.kbase.workspace.RegisterTypespecParams[\"dependencies\"]->"
                "java.util.LinkedHashMap[\"A\"]))");
    assert_refused(
        param_spec_REGISTER_TYPESPEC, SLICE("{\"new_types\":[\"A\",{}]}"),
        WRONG "Cannot deserialize instance of `java.lang.String` out of START_OBJECT token" AT(
            30) " (through reference chain: us.kbase.workspace.RegisterTypespecParams[\"new_types\"]->"
                "java.util.ArrayList[1]))");
    assert_refused(
        param_spec_REGISTER_TYPESPEC, SLICE("{\"dryrun\":true}"),
        WRONG "Cannot deserialize instance of `java.lang.Long` out of VALUE_TRUE token" AT(
            22) " (through reference chain: us.kbase.workspace.RegisterTypespecParams[\"dryrun\"]))");
    assert_refused(param_spec_GET_MODULE_INFO, SLICE("{\"ver\":10000000000000000000}"),
                   WRONG
                   "Numeric value (10000000000000000000) out of range of long (-9223372036854775808 - "
                   "9223372036854775807)" AT(39)
                       AT(19) " (through reference chain: us.kbase.workspace.GetModuleInfoParams[\"ver\"]))");
}

/* Positions count UTF-16 units; long texts are quoted only in part. */
static void test_odd_texts(void **state)
{
    AUTO_SBUF(json, 10000);
    FIXTURE(f);

    (void)state;
    assert_refused(
        param_spec_REGISTER_TYPESPEC, SLICE("{\"spec\":\"\xc3\xa9\xf0\x9f\x98\x80\",\"dryrun\":true}"),
        WRONG "Cannot deserialize instance of `java.lang.Long` out of VALUE_TRUE token" AT(
            35) " (through reference chain: us.kbase.workspace.RegisterTypespecParams[\"dryrun\"]))");
    sbuf_addc(&json, '"');
    for (int i = 0; i < 600; i++)
        sbuf_adds(&json, i < 300 ? "a" : "\xf0\x9f\x98\x80");
    sbuf_addc(&json, '"');
    assert_int_equal(convert(&f, int_spec, 1, sbuf_slice(&json)), -ERR_PARAMS);
    assert_non_null(strstr(f.err.text, "\x9f\x98\x80]...[\xf0"));
    assert_true(f.err.len < 2500);
}

static void test_unexpected(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        { "{\"foo\":1}", "Unexpected arguments in ListModulesParams: foo" },
        { "{\"foo\":1,\"bar\":null}", "Unexpected arguments in ListModulesParams: bar foo" },
        { "{\"foo\":1,\"owner\":\"x\",\"foo\":{},\"bar\":[]}",
          "Unexpected arguments in ListModulesParams: bar foo" },
        { "{\"Owner\":1}", "Unexpected arguments in ListModulesParams: Owner" },
        { "{\"\":1}", "Unexpected arguments in ListModulesParams: " },
        { "{\"zeta\":1,\"alpha\":1,\"Genome\":1,\"Feature\":1,\"mid\":1,\"Beta\":1,\"x1\":1,\"x2\":1,\"x3\":"
          "1,\"Contig\":1,"
          "\"Reads\":1,\"yy\":1,\"Taxon\":1,\"Media\":1}",
          "Unexpected arguments in ListModulesParams: zeta yy Taxon Media mid Feature Beta Reads Contig "
          "alpha x1 x2 x3 "
          "Genome" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        assert_int_equal(convert(&f, param_spec_LIST_MODULES, 1, slice_str(rows[i].json)), 0);
        const struct list_modules_params *p = f.values[0].object;
        assert_int_equal(params_check_unexpected(&p->head, &f.err), -ERR_ARGUMENT);
        assert_string_equal(f.err.text, rows[i].text);
    }
}

static void test_any(void **state)
{
    static const char *const rows[] = { "null", "1", "\"x\"", "[]", "{\"a\":{}}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        assert_int_equal(convert(&f, param_spec_ANY, 1, slice_str(rows[i])), 0);
        assert_ptr_equal(f.values[0].any, f.env.params->first);
    }
}

static int read_command(struct fixture *f, const char *json, struct admin_command *command)
{
    assert_int_equal(convert(f, param_spec_ANY, 1, slice_str(json)), 0);
    return admin_command_read(f->env.body, f->values[0].any, &f->arena, command, &f->err);
}

static void test_admin_command(void **state)
{
    struct admin_command command;

    (void)state;
    {
        FIXTURE(f);
        assert_int_equal(
            read_command(&f, "{\"command\":\"c\",\"module\":\"m\",\"user\":5,\"params\":{\"mod\":\"x\"}}",
                         &command),
            0);
        assert_true(slice_is(command.command.text, "c"));
        assert_true(slice_is(command.module.text, "m"));
        assert_true(slice_is(command.user.text, "5"));
        assert_int_equal(command.params->kind, JSON_KIND_OBJECT);
    }
    {
        FIXTURE(f);
        assert_int_equal(
            read_command(&f, "{\"command\":\"c\",\"module\":null,\"user\":null,\"params\":null}", &command),
            0);
        assert_false(command.module.given);
        assert_false(command.user.given);
        assert_null(command.params);
    }
    {
        FIXTURE(f);
        assert_int_equal(read_command(&f, "{}", &command), 0);
        assert_false(command.command.given);
    }
    static const char *const bad[] = {
        "null",          "[]", "\"x\"", "5", "true", "{\"cmd\":\"x\"}", "{\"command\":[]}", "{\"module\":{}}",
        "{\"user\":[1]}"
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        FIXTURE(f);
        assert_int_equal(read_command(&f, bad[i], &command), -ERR_ARGUMENT);
        assert_memory_equal(f.err.text,
                            "Unable to deserialize a workspace admin command from the input: ", 64);
        assert_true(f.err.len > 70);
    }
}

static void test_admin_params(void **state)
{
    static const struct {
        const char *params;
        int rc;
        const char *begin;
    } rows[] = {
        { "null", -ERR_ARGUMENT, "Method parameters GrantModuleOwnershipParams may not be null" },
        { "[]", -ERR_ARGUMENT,
          "Unable to deserialize GrantModuleOwnershipParams out of params field: Cannot deserialize instance "
          "of "
          "`us.kbase.workspace.GrantModuleOwnershipParams` out of START_ARRAY token\n at [Source: UNKNOWN; "
          "line: -1, column: -1]" },
        { "\"x\"", -ERR_ARGUMENT,
          "Unable to deserialize GrantModuleOwnershipParams out of params field: Cannot construct instance "
          "of" },
        { "{\"with_grant_option\":true}", -ERR_ARGUMENT,
          "Unable to deserialize GrantModuleOwnershipParams out of params field: Cannot " },
        { "{\"mod\":\"m\",\"new_owner\":\"o\",\"x\":1}", 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FIXTURE(f);
        AUTO_SBUF(json, 1000);
        struct admin_command command;
        const void *object = NULL;
        sbuf_addf(&json, "{\"command\":\"grantModuleOwnership\",\"params\":%s}", rows[i].params);
        assert_int_equal(read_command(&f, json.p, &command), 0);
        int rc = admin_command_params(f.env.body, &command, param_spec_GRANT_MODULE_OWNERSHIP, &f.arena,
                                      &object, &f.err);
        assert_int_equal(rc, rows[i].rc);
        if (rc) {
            assert_memory_equal(f.err.text, rows[i].begin, strlen(rows[i].begin));
            continue;
        }
        const struct grant_module_ownership_params *p = object;
        assert_true(slice_is(p->new_owner.text, "o"));
        assert_int_equal(params_check_unexpected(&p->head, &f.err), -ERR_ARGUMENT);
        assert_string_equal(f.err.text, "Unexpected arguments in GrantModuleOwnershipParams: x");
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count),         cmocka_unit_test(test_params_twice),
        cmocka_unit_test(test_string),        cmocka_unit_test(test_int),
        cmocka_unit_test(test_int_refused),   cmocka_unit_test(test_string_list),
        cmocka_unit_test(test_int_map),       cmocka_unit_test(test_register_typespec),
        cmocka_unit_test(test_other_structs), cmocka_unit_test(test_struct_refused),
        cmocka_unit_test(test_odd_texts),     cmocka_unit_test(test_unexpected),
        cmocka_unit_test(test_any),           cmocka_unit_test(test_admin_command),
        cmocka_unit_test(test_admin_params),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
