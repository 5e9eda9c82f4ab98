#include "test/unit/t.h"

#include "dws/validate/wstyped_check.h"
#include "shared/base/sbuf.h"

/* One structure with a field of every kind; what is said of values that fit and that do not. */
#define ID(type, more) "{\"type\":\"string\",\"id-reference\":{\"id-type\":\"" type "\"" more "}}"
static const char schema[] =
    "{\"type\":\"object\",\"original-type\":\"kidl-structure\",\"additionalProperties\":true,\"required\":["
    "\"q\",\"p\"],"
    "\"properties\":{\"q\":{\"type\":\"string\"},\"p\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},"
    "\"f\":{\"type\":\"number\"},\"ri\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9007199254740992},"
    "\"rf\":{\"type\":\"number\",\"minimum\":0.5,\"maximum\":10,\"exclusiveMinimum\":false},"
    "\"rn\":{\"type\":\"number\",\"maximum\":-0,\"exclusiveMaximum\":null},"
    "\"big\":{\"type\":\"integer\",\"minimum\":-99999999999999999999,\"exclusiveMinimum\":true},"
    "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},"
    "\"t\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":[{\"type\":\"integer\"},{\"type\":"
    "\"string\"}]},"
    "\"u\":{\"type\":\"object\",\"original-type\":\"kidl-UnspecifiedObject\"},"
    "\"o\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"additionalProperties\":true,"
    "\"required\":[\"a\"]},"
    "\"c\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},"
    "\"additionalProperties\":false},"
    "\"n\":{\"type\":\"object\",\"id-reference\":{\"id-type\":\"ws\"},\"additionalProperties\":{\"type\":"
    "\"array\","
    "\"items\":{\"type\":\"object\",\"id-reference\":{\"id-type\":\"ws\"},\"additionalProperties\":" ID(
        "ws",
        "") "}}},"
            "\"h\":" ID("handle", "") ",\"b\":" ID("bytestream", "") ",\"s\":" ID("sample", "") ",\"k\":" ID(
                "kb", "") ","
                          "\"r\":{\"type\":\"array\",\"items\":" ID(
                              "ws", ",\"attributes\":[\"M.A\"]") "},"
                                                                 "\"m\":{\"type\":\"object\",\"id-"
                                                                 "reference\":{\"id-type\":"
                                                                 "\"ws\"},\"additionalProperties\":" ID(
                                                                     "ws", "") "}},"
                                                                               "\"metadata-ws\":{\"len\":"
                                                                               "\"length(q)\",\"q\":\"q\","
                                                                               "\"n\":\"f\",\"a\":\"o.a\","
                                                                               "\"count\":\"length(l)\"}}";

static struct check_program *compile(void)
{
    char *problem = NULL;
    struct check_program *p = check_program_new((struct check_text){ schema, sizeof(schema) - 1 }, &problem);

    if (!p)
        fail_msg("%s", problem);
    return p;
}

static const struct check_text types[] = {
    { "ws", 2 }, { "handle", 6 }, { "bytestream", 10 }, { "sample", 6 }
};

/* Ends in check_json(), or in what is wrong with the JSON. The options are those of the row. */
static char *answer(const char *object, struct check_options options)
{
    struct check_program *program = compile();
    const struct check_result *result;
    size_t n;
    char *json;

    if (!options.id_types) {
        options.id_types = types;
        options.id_type_count = ARRAY_LEN(types);
    }
    struct check_job *job = check_begin(program, &options);
    check_program_unref(program);
    check_feed(job, object, strlen(object), &n);
    if (check_end(job, &result) == CHECK_DONE) {
        json = result->outcome == CHECK_VALID ? check_json(result, (struct check_text){ "M.T-1.0", 7 }, &n)
                                              : check_message(result, (struct check_text){ "O", 1 }, &n);
    } else {
        json = xmemdup(check_problem(job).p, check_problem(job).n);
    }
    check_free(job);
    return json;
}

#define FIELDS "\"q\":\"\",\"p\":\"\","
#define FAILED "O failed type checking:\n"
#define V1(found, wanted, at) \
    "instance type (" found ") does not match any allowed primitive type (allowed: [\"" wanted "\"]), " \
    "at " at

static void test_messages(void **state)
{
    static const struct {
        const char *object, *message;
    } rows[] = {
        { "[]", FAILED V1("array", "object", "") },
        { "null", FAILED V1("null", "object", "") },
        { "{}", FAILED "Object doesn't have required fields : [q, p], at " },
        { "{\"p\":1}",
          FAILED V1("integer", "string", "/p") "\nObject doesn't have required fields : [q], at " },
        { "{\"q\":\"\",\"q\":\"\",\"p\":\"\"}", FAILED "Object doesn't have required fields : [], at " },
        { "{" FIELDS "\"i\":1.0,\"f\":true}",
          FAILED V1("float", "integer", "/i") "\n" V1("boolean", "float", "/f") },
        { "{" FIELDS "\"i\":{\"x\":[1]},\"f\":\"\"}",
          FAILED V1("object", "integer", "/i") "\n" V1("string", "float", "/f") },
        { "{" FIELDS "\"u\":[],\"i\":\"\"}", FAILED V1("array", "object", "/u") },
        { "{" FIELDS "\"l\":[1,null,{},\"\"]}",
          FAILED V1("object", "integer", "/l/2") "\n" V1("string", "integer", "/l/3") },
        { "{" FIELDS "\"t\":[1]}", FAILED "Array contains less than 2 items, at /t" },
        { "{" FIELDS "\"t\":[1,\"\",2,3]}",
          FAILED "Array contains more than 2 items, at /t\nArray contains more than 2 items, at /t" },
        { "{" FIELDS "\"o\":{\"A/b\":1}}", FAILED "Object doesn't have required fields : [a], at /o" },
        { "{" FIELDS "\"c\":{\"x\":1}}",
          FAILED "Object field name [x] is not in allowed object properties: [a, b], at /c/x" },
        { "{" FIELDS "\"ri\":-1}",
          FAILED "Number value given (-1.0) was less than minimum value accepted (0, inclusive) at /ri" },
        { "{" FIELDS "\"ri\":9007199254740994}", FAILED
          "Number value given (9.007199254740994E15) was more than maximum value accepted (9007199254740992, "
          "inclusive) at /ri" },
        { "{" FIELDS "\"ri\":99999999999999999999}", FAILED
          "Number value given (99999999999999999999) was more than maximum value accepted (9007199254740992, "
          "inclusive) at /ri" },
        { "{" FIELDS "\"rf\":0.5,\"big\":-99999999999999999999}",
          FAILED "Number value given (0.5) was less than minimum value accepted (0.5, exclusive) at /rf\n"
                 "Number value given (-99999999999999999999) was less than minimum value accepted "
                 "(-99999999999999999999, exclusive) at /big" },
        { "{" FIELDS "\"rf\":1e400}", FAILED
          "Number value given (Infinity) was more than maximum value accepted (10.0, inclusive) at /rf" },
        { "{" FIELDS "\"rf\":-0,\"rn\":-0}",
          FAILED "Number value given (0.0) was less than minimum value accepted (0.5, exclusive) at /rf" },
        { "{" FIELDS "\"rf\":-0.0,\"rn\":0.5}",
          FAILED "Number value given (-0.0) was less than minimum value accepted (0.5, exclusive) at /rf\n"
                 "Number value given (0.5) was more than maximum value accepted (0.0, inclusive) at /rn" },
        { "{" FIELDS "\"h\":null,\"k\":3}",
          FAILED "instance type (null) not allowed for ID reference (allowed: [\"string\"]), at /h\n"
                 "instance type (integer) not allowed for ID reference (allowed: [\"string\"]), at /k" },
        { "{" FIELDS "\"h\":\" \\u0000\",\"b\":\"x\"}", FAILED "Unparseable id  " },
        { "{" FIELDS "\"b\":\"01234567-89AB-cdef-0123-456789abcdef\"}", FAILED
          "Unparseable id 01234567-89AB-cdef-0123-456789abcdef of type bytestream: Illegal bytestream ID: "
          "01234567-89AB-cdef-0123-456789abcdef at /b" },
        { "{" FIELDS "\"m\":{\"\":\"1/1\"}}",
          FAILED "Unparseable id  of type ws: IDs may not be null or the empty string at /m/" },
        { "{" FIELDS "\"m\":{\"a\":1,\"z\":[]}}",
          FAILED "instance type (integer) not allowed for ID reference (allowed: [\"string\"]), at /m/a\n"
                 "instance type (array) not allowed for ID reference (allowed: [\"string\"]), at /m/z" },
        { "{" FIELDS "\"x\":1,\"x\":2}",
          "O: Two references in a single hash are identical when resolved, resulting in a loss of data: "
          "Duplicated key 'x' was found at /" },
        { "{" FIELDS "\"x\":1", "Unexpected end-of-input: expected close marker for Object (start marker at "
                                "[Source: (InputStreamReader); line: 1, column: 1])\n"
                                " at [Source: (InputStreamReader); line: 1, column: 21]" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free_str_auto) char *got = answer(rows[i].object, (struct check_options){ .max_ids = 0 });
        if (strchr(rows[i].object, '\\'))
            assert_memory_equal(got, rows[i].message, strlen(rows[i].message));
        else
            assert_string_equal(got, rows[i].message);
    }
}

static void test_ten_errors_at_most(void **state)
{
    AUTO(free_str_auto)
    char *soft = answer("{\"l\":[{},{},{},{},{},{},{},{},{},{},{}]}", (struct check_options){ .max_ids = 0 });
    AUTO(free_str_auto)
    char *fatal = answer("{\"l\":[{},{}],\"u\":1,\"i\":\"\"}", (struct check_options){ .max_ids = 0 });

    (void)state;
    assert_non_null(strstr(soft, "at /l/9"));
    assert_null(strstr(soft, "at /l/10"));
    assert_null(strstr(soft, "required"));
    assert_string_equal(fatal, FAILED V1("object", "integer", "/l/0") "\n" V1(
                                   "object", "integer", "/l/1") "\n" V1("integer", "object", "/u"));
}

static bool map_id(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped)
{
    (void)ctx;
    if (type.n != 2 || id.n != 1)
        return false;
    *ret_mapped = id.p[0] == 'a' ? (struct check_text){ "9/9/9", 5 } : (struct check_text){ "1/2/3", 5 };
    return true;
}

static void test_results(void **state)
{
    static const struct {
        const char *object, *json;
        bool mapped;
    } rows[] = {
        { "{\"p\":\"\\u00e9\",\"q\":\"\\ud83d\\ude00\",\"f\":1.50,\"l\":[1,2],\"o\":{\"a\":-0}}",
          "\"type\":\"M.T-1.0\",\"valid\":1,\"errors\":[],\"ids\":{},\"metadata\":{\"len\":\"2\",\"q\":"
          "\"\\uD83D\\uDE00\","
          "\"n\":\"1.5\",\"a\":\"0\",\"count\":\"2\"},\"size\":59,\"md5\":\"",
          false },
        { "{" FIELDS "\"k\":\"\",\"h\":\"x\",\"r\":[\"a\",\"b\",\"a\"],\"m\":{\"c\":\"a\"}}",
          "\"type\":\"M.T-1.0\",\"valid\":1,\"errors\":[],\"ids\":{\"handle\":[{\"id\":\"x\",\"attributes\":["
          "],\"location\":"
          "\"/h\"}],\"ws\":[{\"id\":\"a\",\"attributes\":[\"M.A\"],\"location\":\"/r/"
          "0\"},{\"id\":\"b\",\"attributes\":"
          "[\"M.A\"],\"location\":\"/r/1\"},{\"id\":\"a\",\"attributes\":[],\"location\":\"/m/"
          "c\"},{\"id\":\"c\","
          "\"attributes\":[],\"location\":\"/m/"
          "c\"}]},\"metadata\":null,\"size\":null,\"md5\":null,\"final\":0",
          false },
        { "{" FIELDS "\"m\":{\"b\":\"x/y\",\"a\":\"b\"},\"f\":1e400}",
          "\"type\":\"M.T-1.0\",\"valid\":1,\"errors\":[],\"ids\":{\"ws\":[{\"id\":\"x/"
          "y\",\"attributes\":[],\"location\":"
          "\"/m/b\"},{\"id\":\"b\",\"attributes\":[],\"location\":\"/m/"
          "b\"},{\"id\":\"a\",\"attributes\":[],\"location\":"
          "\"/m/a\"}]},\"metadata\":{\"len\":\"0\",\"q\":\"\",\"n\":\"Infinity\"},\"size\":66,\"md5\":\"",
          true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free_str_auto)
        char *got =
            answer(rows[i].object, (struct check_options){ .map_id = rows[i].mapped ? map_id : NULL });
        if (strncmp(got, rows[i].json, strlen(rows[i].json)) != 0)
            assert_string_equal(got, rows[i].json);
    }
}

/* Where ids are said to be is the first place in the document, and a key stands before its value. */
static void test_places(void **state)
{
    static const struct {
        const char *object, *ids;
    } rows[] = {
        { "\"n\":{\"a\":[{\"a\":\"b\"}]}", "b /n/a/0/a a /n/a " },
        { "\"n\":{\"a\":[{\"b\":\"a\"},{\"a\":\"b\"}],\"b\":[]}", "a /n/a b /n/a/0/b " },
        { "\"n\":{\"a/0\":[],\"a\":[{\"a/0\":\"a\"}]}", "a/0 /n/a/0 a /n/a " },
        { "\"m\":{\"a\":\"x\"},\"n\":{\"a\":[{\"y\":\"a\"}]}", "x /m/a a /m/a y /n/a/0/y " },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct check_program *program = compile();
        struct check_job *job =
            check_begin(program, &(struct check_options){ .id_types = types, .id_type_count = 1 });
        const struct check_result *result;
        AUTO(free_str_auto) char *object = xasprintf("{" FIELDS "%s}", rows[i].object);
        AUTO_SBUF(ids, SBUF_NO_LIMIT);
        size_t n;
        check_feed(job, object, strlen(object), &n);
        assert_int_equal(check_end(job, &result), CHECK_DONE);
        for (size_t k = 0; k < result->id_count; k++) {
            const struct check_id *id = &result->ids[k];
            sbuf_addf(&ids, "%.*s %.*s ", (int)id->id.n, id->id.p, (int)id->location.n, id->location.p);
        }
        assert_string_equal(ids.p, rows[i].ids);
        check_free(job);
        check_program_unref(program);
    }
}

static void test_limits(void **state)
{
    static const struct {
        const char *object, *message;
        struct check_options options;
    } rows[] = {
        { "{" FIELDS "\"r\":[\"1\",\"2\",\"3\"]}",
          "O failed type checking - the number of unique IDs in the saved objects exceeds the maximum "
          "allowed, 2",
          { .max_ids = 2 } },
        { "{" FIELDS "\"x\":1}", "O data size 21 exceeds limit of 20", { .max_object_size = 20 } },
        { "{" FIELDS "\"f\":12345}",
          "O: Extracted metadata from object exceeds limit of 29B",
          { .max_metadata = 29 } },
        { "{" FIELDS "\"f\":12345}",
          "O: Total size of metadata key + value exceeds maximum of 5B for key n",
          { .max_metadata_pair = 5 } },
        { "{\"p\":\"\",\"q\":\"\\ud800\\ud800\\udc00 \\udc00\\ud800.\"}",
          "O: Total size of metadata key + value exceeds maximum of 9B for key q",
          { .max_metadata_pair = 9 } },
        { "{\"p\":\"\",\"q\":\"\\ud800\\ud800\\udc00 \\udc00\\ud800.\"}",
          "O: Extracted metadata from object exceeds limit of 26B",
          { .max_metadata = 26, .max_metadata_pair = 10 } },
        { "{" FIELDS "\"s\":\"x\"}",
          "O failed type checking:\nInvalid id x of type sample: Found sample id x. The workspace service "
          "currently does not "
          "have a connection to the sample service and so cannot process objects containing sample IDs. at "
          "/s",
          { .unavailable_id_types = &types[3], .unavailable_id_type_count = 1 } },
        { "{" FIELDS "\"h\":\"xxxxxxxxx\"}", "An id of the object is too long", { .max_text = 8 } },
        { "{" FIELDS "\"abcdefghi\":1}", "A key is longer than 8 bytes", { .max_text = 8 } },
        { "{" FIELDS "\"x\":{\"abcd\":{\"efgh\":1}}}",
          "The keys that lead to a value of the object are too long",
          { .max_path = 12 } },
        { "{" FIELDS "\"r\":[\"1\",\"2\"]}",
          "The ids of the object and their locations take up too much memory",
          { .max_id_bytes = 100 } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free_str_auto) char *got = answer(rows[i].object, rows[i].options);
        assert_string_equal(got, rows[i].message);
    }
    /* a lone surrogate counts as one byte */
    AUTO(free_str_auto)
    char *fits = answer("{\"p\":\"\",\"q\":\"\\ud800\\ud800\\udc00 \\udc00\\ud800.\"}",
                        (struct check_options){ .max_metadata = 27, .max_metadata_pair = 10 });
    assert_non_null(strstr(fits, "\"valid\":1"));
}

/* Ids that are not handled are only looked at; the counter goes on from object to object. */
static void test_counter(void **state)
{
    struct check_counter counter = { 0, 0 };

    (void)state;
    for (int i = 1; i <= 2; i++) {
        AUTO(free_str_auto)
        char *got = answer("{" FIELDS "\"h\":\"x\",\"r\":[\"x\",\"x\"]}",
                           (struct check_options){ .counter = &counter });
        assert_non_null(strstr(got, "\"valid\":1"));
        assert_int_equal(counter.unique_ids, 2 * i);
    }
    AUTO(free_str_auto)
    char *got = answer("{" FIELDS "\"h\":\"\",\"r\":[\" \"]}",
                       (struct check_options){ .id_types = types, .id_type_count = 0 });
    assert_non_null(strstr(got, "\"ids\":{}"));
    assert_non_null(strstr(got, "\"final\":1"));
}

/* The value's end is found, what stands behind it is left alone. */
static void test_inside_a_request(void **state)
{
    struct check_program *program = compile();
    const char text[] = " {\"p\":\"\",\"q\":\"\"} , \"name\":1}";
    struct check_options options = { .line = 4, .column = 7 };
    struct check_job *job = check_begin(program, &options);
    const struct check_result *result;
    size_t n;

    (void)state;
    assert_int_equal(check_feed(job, text, sizeof(text) - 1, &n), CHECK_DONE);
    assert_int_equal(n, 16);
    assert_int_equal(check_end(job, &result), CHECK_DONE);
    assert_int_equal(result->size, 15);
    check_free(job);
    job = check_begin(program, &options);
    assert_int_equal(check_feed(job, "{x", 2, &n), CHECK_JSON);
    assert_non_null(strstr(check_problem(job).p, "line: 4, column: 9]"));
    check_free(job);
    check_program_unref(program);
}

static void test_only_structures(void **state)
{
    static const char other[] = "{\"type\":\"object\",\"original-type\":\"kidl-mapping\"}";
    char *problem = NULL;
    struct check_program *program =
        check_program_new((struct check_text){ other, sizeof(other) - 1 }, &problem);
    struct check_job *job = check_begin(program, &(struct check_options){ .max_ids = 0 });
    const struct check_result *result;
    size_t n;

    (void)state;
    check_program_unref(program);
    check_feed(job, "{}", 2, &n);
    assert_int_equal(check_end(job, &result), CHECK_DONE);
    assert_int_equal(result->error_count, 1);
    assert_string_equal(result->errors[0].code, "V13");
    assert_true(result->errors[0].fatal);
    check_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),         cmocka_unit_test(test_ten_errors_at_most),
        cmocka_unit_test(test_results),          cmocka_unit_test(test_places),
        cmocka_unit_test(test_limits),           cmocka_unit_test(test_counter),
        cmocka_unit_test(test_inside_a_request), cmocka_unit_test(test_only_structures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
