#include "test/unit/t.h"

#include "shared/base/digest.h"
#include "shared/base/json.h"
#include "test/differential/tree_check.h"

/* Objects of a size at which text leaves the memory: the same as from a tree, whatever way it took. */

static const char schema[] =
    "{\"type\":\"object\",\"original-type\":\"kidl-structure\",\"additionalProperties\":true,"
    "\"properties\":{\"m\":{\"type\":\"object\",\"id-reference\":{\"id-type\":\"ws\"},"
    "\"additionalProperties\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}}},"
    "\"metadata-ws\":{\"count\":\"length(m)\"}}";

static int keep_text(void *ctx, const char *bytes, size_t n)
{
    sbuf_add(ctx, bytes, n);
    return 0;
}

enum way { WAY_KEEP = 1, WAY_REPEATABLE = 2, WAY_MAPPED = 4, WAY_NO_THREADS = 8 };

static struct check_job *begin(unsigned way, struct sbuf *canonical, struct check_counter *counter)
{
    static const struct check_text types[] = { { "ws", 2 } };
    char *problem = NULL;
    struct check_program *program =
        check_program_new((struct check_text){ schema, sizeof(schema) - 1 }, &problem);
    struct check_options options = { .id_types = types,
                                     .id_type_count = 1,
                                     .max_ids = 1000000,
                                     .map_id = way & WAY_MAPPED ? tree_check_map : NULL,
                                     .sink = way & WAY_KEEP ? keep_text : NULL,
                                     .sink_ctx = canonical,
                                     .counter = counter,
                                     .no_threads = way & WAY_NO_THREADS,
                                     .memory = 1,
                                     .repeatable = way & WAY_REPEATABLE };

    assert_non_null(program);
    struct check_job *job = check_begin(program, &options);
    check_program_unref(program);
    return job;
}

/* Fed in pieces of that size. The number of passes it took. */
static int run(struct check_job *job, struct slice object, size_t piece, const struct check_result **ret)
{
    enum check_status status;
    size_t used;

    for (int passes = 1;; passes++) {
        for (size_t at = 0; at < object.n; at += used) {
            size_t n = object.n - at < piece ? object.n - at : piece;
            char *copy = xmemdup(object.p + at, n); /* so that nobody looks at what was fed before */
            status = check_feed(job, copy, n, &used);
            free(copy);
            assert_true(status == CHECK_MORE || (status == CHECK_DONE && at + used == object.n));
        }
        status = check_end(job, ret);
        if (status == CHECK_DONE)
            return passes;
        assert_int_equal(status, CHECK_AGAIN);
    }
}

static void compare_pieces(struct slice object, size_t piece, unsigned way, int passes)
{
    AUTO_SBUF(canonical, SBUF_NO_LIMIT);
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(got, SBUF_NO_LIMIT);
    struct check_counter counter = { 0, 0 };
    const struct check_result *result;
    struct check_job *job = begin(way, &canonical, &counter);

    assert_int_equal(run(job, object, piece, &result), passes);
    tree_check(slice_str(schema), object, way & WAY_MAPPED, &want);
    if (!(way & WAY_KEEP)) {
        /* size, digest, metadata: all but the text */
        const char *line = strstr(want.p, "F "), *text = strchr(strchr(line + 2, ' ') + 1, ' ') + 1;
        const char *end = strchr(text, '\n');
        tree_check_describe(result, slice_of(text, (size_t)(end - text)), &got);
    } else {
        tree_check_describe(result, sbuf_slice(&canonical), &got);
    }
    assert_int_equal(want.len, got.len);
    assert_memory_equal(want.p, got.p, got.len);
    assert_int_equal(counter.bytes, result->size);
    check_free(job);
}

static void compare(struct slice object, unsigned way, int passes)
{
    compare_pieces(object, 10007, way, passes);
}

/* What is canonical as it stands, and what differs from it in one place, cut anywhere. */
static void test_spellings(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"a\":[1,-2,3.5,0.001,1.0E7,\"x\",true,null,{}],\"b\":{\"c\":\"\"},\"c\":[[],[[]]]}",
        " {\"a\":[1,2]}",
        "{ \"a\":[1,2]}",
        "{\"a\" :[1,2]}",
        "{\"a\": [1,2]}",
        "{\"a\":[ 1,2]}",
        "{\"a\":[1 ,2]}",
        "{\"a\":[1, 2]}",
        "{\"a\":[1,2 ]}",
        "{\"a\":[1,2] }",
        "{\"a\":1, \"b\":2}",
        "{\"a\":1 ,\"b\":2}",
        "{\"a\":\"x\", \"b\": \"y\" ,\"c\":[\"p\" , \"q\"]}",
        "{\"a\":[1,-0,2]}",
        "{\"a\":[1,-0.0,1.50,2]}",
        "{\"a\":[1e0,2,1e400,-1e400,3]}",
        "{\"a\":\"one \\\"two\\\" \\\\ \\b\\f\\n\\r\\t.\",\"b\":1}",
        "{\"a\":\"one \\/ two\",\"b\":\"\\/\"}",
        "{\"a\":\"\\u0041\\u001f\\ud83d\\ude00\\ud83d\",\"b\":\"\"}",
        "{\"a\":\"\\n\xf0\x9f\x98\x80\\n\xc3\xa9\xff\",\"b\":\"\xe2\x82\xac\"}",
        "{\"k\\n\":\"\\n\",\"k\\u0041\":1}",
        "{\"b\":1,\"a\":2}",
        "{\"a\":{\"z\":[1,2,{\"y\":\"\\n\",\"x\":[1.50, 2]}],\"b\":3.0},\"c\":[{\"b\":1,\"a\":2},7]}",
        "{\"m\":{\"axx\":[1],\"\\\"bxx\":[2.0 ],\"c\\\\x\":[]}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = strlen(rows[i]); piece; piece--)
            for (unsigned way = 0; way < 16; way++)
                if (way & WAY_MAPPED || !strstr(rows[i], "\"m\"")) /* ids: final only when mapped */
                    compare_pieces(slice_str(rows[i]), piece, way, 1);
}

static void put_list(struct sbuf *out, size_t n)
{
    sbuf_addc(out, '[');
    for (size_t i = 0; i < n; i++)
        sbuf_addf(out, "%s%zu", i ? "," : "", i * i);
    sbuf_addc(out, ']');
}

static void test_in_order(void **state)
{
    AUTO_SBUF(object, SBUF_NO_LIMIT);

    (void)state;
    sbuf_adds(&object, "{\"a\":");
    put_list(&object, 200000);
    sbuf_adds(&object, ",\"b\":{\"x\":1,\"y\":2}}");
    for (unsigned way = 0; way < 16; way++)
        compare(sbuf_slice(&object), way, 1);
}

/* The last key belongs to the front, when most of the text is in a file or was dropped. */
static void test_out_of_order_late(void **state)
{
    AUTO_SBUF(object, SBUF_NO_LIMIT);

    (void)state;
    sbuf_adds(&object, "{\"b\":");
    put_list(&object, 200000);
    sbuf_adds(&object, ",\"a\\n\\ud83d\\ude00\":{\"y\":1,\"x\":2}}");
    for (unsigned way = 0; way < 16; way++)
        compare(sbuf_slice(&object), way, (way & (WAY_KEEP | WAY_REPEATABLE)) == WAY_REPEATABLE ? 2 : 1);
}

/* Objects in objects, each out of order, of all sizes. */
static void test_nested(void **state)
{
    AUTO_SBUF(object, SBUF_NO_LIMIT);

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        sbuf_adds(&object, "{\"z\":");
        put_list(&object, i % 7 ? i % 50 : 5000);
        sbuf_adds(&object, ",\"\\\"k\\\\\":");
    }
    sbuf_adds(&object, "[{\"b\":1,\"a\":{}},{\"b\":{\"d\":1,\"c\":\"]}\\\\\\\"\"},\"a\":0}]");
    for (size_t i = 0; i < 300; i++)
        sbuf_adds(&object, i % 2 ? ",\"A\":{\"a\":1}}" : "}");
    for (unsigned way = 0; way < 16; way++)
        compare(sbuf_slice(&object), way, 1);
}

/* Many keys, in the reverse order; those that are ids get other texts. */
static void test_many_keys(void **state)
{
    AUTO_SBUF(object, SBUF_NO_LIMIT);

    (void)state;
    sbuf_adds(&object, "{\"m\":{");
    for (unsigned i = 4000; i--;)
        sbuf_addf(&object, "%s\"%c%u/%u\":[%u,1.50]", i == 3999 ? "" : ",", 'a' + i % 3, i, i + 100000, i);
    sbuf_adds(&object, "}}");
    for (unsigned way = 0; way < 16; way++)
        if (way & WAY_MAPPED)
            compare(sbuf_slice(&object), way, 1);
}

static void test_equal_keys(void **state)
{
    static const struct {
        const char *object, *problem;
    } rows[] = {
        { "{\"a\":1,\"\\u0061\":2}", "Duplicated key 'a' was found at /" },
        { "{\"a\":[0,{\"x/y\":{\"b\":1,\"a\":1,\"b\":2}}],\"a\":0}",
          "Duplicated key 'b' was found at /a/1/x\\/y" },
        { "{\"m\":{\"axx\":[1],\"bxx\":[2],\"dxx\":[]}}", "Duplicated key 'xx' was found at /m" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct check_result *result;
        struct check_job *job = begin(WAY_MAPPED, NULL, NULL);
        size_t n;
        run(job, slice_str(rows[i].object), 1000, &result);
        assert_int_equal(result->outcome, CHECK_UNSORTABLE);
        char *message = check_message(result, (struct check_text){ "O", 1 }, &n);
        assert_non_null(message);
        assert_non_null(
            strstr(message, "O: Two references in a single hash are identical when resolved, resulting in a "
                            "loss of data: "));
        assert_string_equal(message + n - strlen(rows[i].problem), rows[i].problem);
        free(message);
        check_free(job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),         cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_out_of_order_late), cmocka_unit_test(test_nested),
        cmocka_unit_test(test_many_keys),         cmocka_unit_test(test_equal_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
