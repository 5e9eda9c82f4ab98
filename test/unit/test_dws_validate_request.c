#include "test/unit/t.h"

#include "dws/raw_json.h"
#include "dws/validate_request.h"

static const struct json_limits limits = { .max_depth = 100, .max_nodes = 10000 };

/* ---- walking ---- */

/* The walk finds each child where a reader of the whole finds it. */
static void compare_walk(struct slice text, const struct json_val *container)
{
    AUTO_ARENA(arena);
    struct slice key = SLICE(""), value;
    struct raw_walk walk;

    raw_begin(&walk, slice_of(text.p + container->begin, container->end - container->begin));
    for (const struct json_val *child = container->first; child; child = child->next) {
        assert_true(raw_next(&walk, &key, &value));
        assert_ptr_equal(value.p, text.p + child->begin);
        assert_int_equal(value.n, child->end - child->begin);
        assert_int_equal(raw_kind(value), child->kind);
        if (container->kind == JSON_KIND_OBJECT)
            assert_true(slice_eq(raw_string(key, &arena), child->key));
        if (child->kind == JSON_KIND_STRING)
            assert_true(slice_eq(raw_string(value, &arena), child->text));
        if (child->kind == JSON_KIND_OBJECT || child->kind == JSON_KIND_ARRAY)
            compare_walk(text, child);
    }
    assert_false(raw_next(&walk, &key, &value));
}

static void walks(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        " [ ] ",
        "[1,-2.5e3,true,false,null,\"\",\"a\"]",
        "{\"a\":1,\"b\":[{\"c\":[]},{}],\"a\":\"x\"}",
        " { \"a\" : [ 1 , 2 ] \t,\r\n \"b\" : { \"c\" : null } , \"d\" : \"}]\\\"\" } ",
        "[\"\\\\\",\"\\\\\\\"\",\"\\\"\",\"a\\\\\\\\\",[\"]\"],{\"}\":\"{\"}]",
        "{\"\\u0061\\\"\":\"\\ud83d\\ude00\",\"\xc3\xa9\":\"\xff\",\"\":0}",
        "[1e5,0.1,1E2,-0]",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_ARENA(arena);
        struct json_val *val;
        assert_int_equal(json_read(slice_str(texts[i]), &limits, &arena, &val, NULL, NULL), 0);
        compare_walk(slice_str(texts[i]), val);
    }
}

/* Whatever the text is, nothing outside of it is read (the sanitizer looks). */
static void walks_end(void **state)
{
    static const char text[] = "{\"a\\\\\":[1,{\"b\":\"\\\"\"},tru],\"c\":{\"d\":[[]]}}";
    AUTO_ARENA(arena);
    struct slice key, value;
    struct raw_walk walk;

    (void)state;
    for (size_t n = 1; n < sizeof(text); n++) {
        AUTO(free_str_auto) char *copy = xmalloc(n);
        memcpy(copy, text, n);
        raw_begin(&walk, slice_of(copy, n));
        for (size_t i = 0; i < 100 && raw_next(&walk, &key, &value); i++)
            assert_true(raw_string(value, &arena).n <= n);
    }
}

/* ---- requests ---- */

#define ENTRY "{\"type\":\"M.T\",\"name\":\"n\",\"data\":{}}"
#define OBJECT_NAMED(name) "{\"type\":\"M.T\",\"name\":\"" name "\",\"data\":{}}"

static int read_text(const char *text, struct validate_request *r, struct err *err)
{
    return validate_request_read(r, slice_str(text), err);
}

static void members(void **state)
{
    static const char text[] =
        "{\"return_data\":1,\"max_ids\":7,\"objects\":[{\"data\":{\"a\":[1]},\"hidden\":1,\"meta\":{},"
        "\"objid\":12,"
        "\"type\":\"M.T\",\"provenance_refs\":[\"a\",\"\\u0061\",\"b\"]},{\"name\":\"x\",\"type\":\"M.U\","
        "\"data\":1},"
        "{\"name\":\"y\",\"objid\":null,\"type\":\"M\\u002eT\",\"data\":\"t\"}],"
        "\"id_types\":[\"ws\",\"handle\"],\"unavailable_id_types\":[\"handle\"],\"max_object_size\":100,"
        "\"id_map\":{\"ws\":{\"a\":\"1/2/3\",\"\\u0000\":\"z\"},\"handle\":{}}}";
    AUTO(validate_request_release) struct validate_request r;
    AUTO_SBUF(name, SBUF_NO_LIMIT);
    AUTO_ERR(err);
    struct check_text mapped;
    size_t refs;

    (void)state;
    assert_int_equal(read_text(text, &r, &err), 0);
    assert_false(r.has_problem);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.type_count, 2);
    assert_int_equal(r.objects[0].type, r.objects[2].type);
    assert_slice(r.objects[0].data, "{\"a\":[1]}");
    assert_slice(r.objects[2].data, "\"t\"");
    validate_request_put_name(&r, 0, &name);
    assert_string_equal(name.p, "Object #1, 12");
    assert_int_equal(validate_request_count_refs(&r.objects[0], &refs, &err), 0);
    assert_int_equal(refs, 2);
    assert_int_equal(validate_request_count_refs(&r.objects[1], &refs, &err), 0);
    assert_int_equal(refs, 0);
    assert_int_equal(r.max_ids, 7);
    assert_int_equal(r.max_object_size, 100);
    assert_int_equal(r.id_type_count, 2);
    assert_int_equal(r.unavailable_count, 1);
    assert_true(r.return_data);
    assert_true(id_map_find(r.id_map, check_text_of(SLICE("ws")), check_text_of(SLICE("a")), &mapped));
    assert_int_equal(mapped.n, 5);
    assert_true(id_map_find(r.id_map, check_text_of(SLICE("ws")), check_text_of(SLICE("\0")), &mapped));
    assert_false(id_map_find(r.id_map, check_text_of(SLICE("ws")), check_text_of(SLICE("b")), &mapped));
    assert_false(id_map_find(r.id_map, check_text_of(SLICE("handle")), check_text_of(SLICE("a")), &mapped));
    assert_false(id_map_find(r.id_map, check_text_of(SLICE("x")), check_text_of(SLICE("a")), &mapped));
}

static void last_one_counts(void **state)
{
    AUTO(validate_request_release) struct validate_request r;
    struct check_text mapped;

    (void)state;
    assert_int_equal(
        read_text("{\"objects\":[null],\"objects\":[{\"data\":1,\"name\":\"a\",\"name\":\"b\",\"type\":"
                  "\"M.T\",\"data\":2}],\"id_map\":{\"ws\":{\"a\":\"1\"}},\"id_map\":{\"ws\":{\"a\":"
                  "\"2\",\"a\":\"3\"}},\"max_ids\":1,\"max_ids\":null}",
                  &r, NULL),
        0);
    assert_false(r.has_problem);
    assert_int_equal(r.count, 1);
    assert_slice(r.objects[0].data, "2");
    assert_slice(r.objects[0].id, "b");
    assert_int_equal(r.max_ids, 0);
    assert_true(id_map_find(r.id_map, check_text_of(SLICE("ws")), check_text_of(SLICE("a")), &mapped));
    assert_memory_equal(mapped.p, "3", 1);
}

static void problems(void **state)
{
    static const struct {
        const char *entry, *text;
    } cases[] = {
        { "null", "Object #2: is null" },
        { "{}", "Object #2: Must provide one and only one of object name (was: null) or id (was: null)" },
        { "{\"name\":\"a\",\"objid\":3}",
          "Object #2: Must provide one and only one of object name (was: a) or id (was: 3)" },
        { "{\"objid\":-3}", "Object #2: Object id must be > 0" },
        { OBJECT_NAMED(""), "Object #2: Object name cannot be null or the empty string" },
        { OBJECT_NAMED("a/b"), "Object #2: Illegal character in object name a/b: /" },
        { OBJECT_NAMED("a\xc3\xa9"), "Object #2: Illegal character in object name a\xc3\xa9: \xc3\xa9" },
        { OBJECT_NAMED("-12"), "Object #2: Object names cannot be integers: -12" },
        { OBJECT_NAMED("00123456789012345678901"),
          "Object #2: Object names cannot be integers: 00123456789012345678901" },
        { "{\"name\":\"n\"}", "Object #2, n: no data" },
        { "{\"name\":\"n\",\"data\":null}", "Object #2, n: no data" },
        { "{\"objid\":\"5\",\"x\":1,\"a\":2,\"x\":3}",
          "Object #2, 5: Unexpected arguments in ObjectSaveData: a x" },
        { "{\"name\":5.5,\"data\":1}", "Object #2, 5.5: Typestring cannot be null or the empty string" },
        { "{\"name\":\"n\",\"data\":1,\"type\":\"M.T-x\"}",
          "Object #2, n: Type version string x could not be parsed to a version" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(validate_request_release) struct validate_request r;
        AUTO_ERR(err);
        AUTO(free_str_auto) char *text = xasprintf("{\"objects\":[" ENTRY ",%s,null]}", cases[i].entry);
        assert_int_equal(read_text(text, &r, &err), 0);
        assert_true(r.has_problem);
        assert_int_equal(r.problem.number, 2);
        assert_string_equal(r.problem.text.p, cases[i].text);
    }
}

static void wrong_forms(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *problem;
    } cases[] = {
        { "[]", -ERR_PARAMS, "an object is wanted" },
        { "null", -ERR_PARAMS, "an object is wanted" },
        { "{}", -ERR_ARGUMENT, "No data provided" },
        { "{\"objects\":[]}", -ERR_ARGUMENT, "No data provided" },
        { "{\"objects\":null}", -ERR_PARAMS, "objects must be a list" },
        { "{\"objects\":[[]]}", -ERR_PARAMS, "each of objects must be an object" },
        { "{\"objects\":[" ENTRY "],\"Objects\":1}", -ERR_ARGUMENT,
          "Unexpected arguments in ValidateObjectsParams: Objects" },
        { "{\"objects\":[{\"name\":[]}]}", -ERR_PARAMS, "name must be a string" },
        { "{\"objects\":[{\"objid\":1.5}]}", -ERR_PARAMS, "objid must be an integer" },
        { "{\"objects\":[{\"objid\":1,\"data\":1,\"type\":{}}]}", -ERR_PARAMS, "type must be a string" },
        { "{\"max_ids\":\"5\"}", -ERR_PARAMS, "max_ids must be an integer above 0" },
        { "{\"max_ids\":0}", -ERR_PARAMS, "max_ids must be an integer above 0" },
        { "{\"max_object_size\":99999999999999999999}", -ERR_PARAMS,
          "max_object_size must be an integer above 0" },
        { "{\"return_data\":\"1\"}", -ERR_PARAMS, "return_data must be 0 or 1" },
        { "{\"id_types\":[1]}", -ERR_PARAMS, "id_types must be a list of strings" },
        { "{\"unavailable_id_types\":{}}", -ERR_PARAMS, "unavailable_id_types must be a list of strings" },
        { "{\"id_map\":[]}", -ERR_PARAMS, "id_map must be an object of at most 2000000 values" },
        { "{\"id_map\":{\"ws\":1}}", -ERR_PARAMS, "id_map must map texts to texts for each id type" },
        { "{\"id_map\":{\"ws\":{\"a\":null}}}", -ERR_PARAMS,
          "id_map must map texts to texts for each id type" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(validate_request_release) struct validate_request r;
        AUTO_ERR(err);
        assert_int_equal(read_text(cases[i].text, &r, &err), cases[i].rc);
        assert_string_equal(err_text(&err), cases[i].problem);
    }
}

static void too_many_types(void **state)
{
    AUTO(validate_request_release) struct validate_request r;
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_ERR(err);

    (void)state;
    sbuf_adds(&text, "{\"objects\":[" ENTRY);
    for (int i = 0; i < REQUEST_MAX_TYPES; i++)
        sbuf_addf(&text, ",{\"type\":\"M.T%d\",\"name\":\"n\",\"data\":{}}", i);
    sbuf_adds(&text, "]}");
    assert_int_equal(validate_request_read(&r, sbuf_slice(&text), &err), -ERR_LIMIT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks),           cmocka_unit_test(walks_end), cmocka_unit_test(members),
        cmocka_unit_test(last_one_counts), cmocka_unit_test(problems),  cmocka_unit_test(wrong_forms),
        cmocka_unit_test(too_many_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
