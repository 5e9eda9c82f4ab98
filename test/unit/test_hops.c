#include "test/unit/t.h"

#include "shared/net/hops.h"

#define CLUSTER "00112233445566778899aabbccddeeff"
#define NODE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NODE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void test_header_round_trip(void **state)
{
    static const char *const headers[] = { CLUSTER ";" NODE_A, CLUSTER ";" NODE_A "," NODE_B,
                                           CLUSTER ";" NODE_A "," NODE_A };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        AUTO_SBUF(out, 10000);
        struct hops hops;
        assert_int_equal(hops_parse_header(slice_str(headers[i]), &hops, NULL), 0);
        assert_string_equal(hops.cluster, CLUSTER);
        assert_int_equal(hops.count, i == 0 ? 1 : 2);
        hops_put_header(&out, &hops);
        assert_string_equal(out.p, headers[i]);
    }
}

static void test_malformed_headers(void **state)
{
    static const char *const headers[] = {
        "",
        ";",
        CLUSTER,
        CLUSTER ";",
        CLUSTER "," NODE_A,
        ";" NODE_A,
        CLUSTER ";" NODE_A ",",
        CLUSTER ";," NODE_A,
        CLUSTER "; " NODE_A,
        CLUSTER ";" NODE_A ", " NODE_B,
        CLUSTER ";" NODE_A ";" NODE_B,
        "0011;" NODE_A,
        CLUSTER ";aaaa",
        CLUSTER ";" NODE_A "a",
        CLUSTER ";AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        CLUSTER ";gggggggggggggggggggggggggggggggg",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        AUTO_ERR(err);
        struct hops hops = HOPS_INIT;
        assert_int_equal(hops_parse_header(slice_str(headers[i]), &hops, &err), -ERR_PARSE);
        assert_non_null(strstr(err.text, HOPS_HEADER));
        assert_int_equal(hops.count, 0);
    }
}

static void test_count_limit(void **state)
{
    AUTO_SBUF(header, 10000);
    AUTO_ERR(err);
    struct hops hops;

    (void)state;
    sbuf_adds(&header, CLUSTER ";" NODE_A);
    for (int i = 1; i < HOPS_MAX; i++)
        sbuf_adds(&header, "," NODE_A);
    assert_int_equal(hops_parse_header(sbuf_slice(&header), &hops, NULL), 0);
    assert_int_equal(hops.count, HOPS_MAX);
    assert_int_equal(hops_add(&hops, CLUSTER, NODE_B, &err), -ERR_LOOP);
    assert_int_equal(hops.count, HOPS_MAX);
    assert_false(hops_contains(&hops, NODE_B));
    sbuf_adds(&header, "," NODE_A);
    assert_int_equal(hops_parse_header(sbuf_slice(&header), &hops, NULL), -ERR_PARSE);
}

static int parse_json(const char *text, struct hops *hops, struct err *err)
{
    static const struct json_limits limits = { 100, 1000 };
    AUTO_ARENA(arena);
    struct json_val *val;

    assert_int_equal(json_read(slice_str(text), &limits, &arena, &val, NULL, NULL), 0);
    return hops_parse_json(val, hops, err);
}

static void test_json(void **state)
{
    static const char good[] = "{\"cluster\":\"" CLUSTER "\",\"nodes\":[\"" NODE_A "\",\"" NODE_B "\"]}";
    static const char *const bad[] = {
        "null",
        "1",
        "[]",
        "{}",
        "{\"cluster\":\"" CLUSTER "\"}",
        "{\"nodes\":[\"" NODE_A "\"]}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":[]}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":null}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":\"" NODE_A "\"}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":[1]}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":[\"" NODE_A "\",null]}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":[\"" NODE_A "x\"]}",
        "{\"cluster\":5,\"nodes\":[\"" NODE_A "\"]}",
        "{\"cluster\":\"x\",\"nodes\":[\"" NODE_A "\"]}",
        "{\"cluster\":\"" CLUSTER "\",\"nodes\":[\"" NODE_A "\"],\"more\":1}",
    };
    AUTO_SBUF(out, 10000);
    struct hops hops;

    (void)state;
    assert_int_equal(parse_json(good, &hops, NULL), 0);
    assert_int_equal(hops.count, 2);
    assert_true(hops_contains(&hops, NODE_A));
    assert_true(hops_contains(&hops, NODE_B));
    assert_false(hops_contains(&hops, CLUSTER));
    hops_put_json(&out, &hops);
    assert_string_equal(out.p, good);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_ERR(err);
        assert_int_equal(parse_json(bad[i], &hops, &err), -ERR_PARSE);
        assert_non_null(strstr(err.text, "`wstyped` in the context is malformed"));
    }
}

static void test_add_and_merge(void **state)
{
    struct hops header = HOPS_INIT, body = HOPS_INIT;
    AUTO_SBUF(out, 1000);

    (void)state;
    hops_put_header(&out, &header);
    assert_int_equal(out.len, 0);
    assert_int_equal(hops_add(&header, CLUSTER, "short", NULL), -ERR_LOOP);
    assert_int_equal(hops_add(&header, "short", NODE_A, NULL), -ERR_LOOP);
    assert_int_equal(header.count, 0);
    assert_string_equal(header.cluster, "");
    assert_int_equal(hops_add(&header, CLUSTER, NODE_A, NULL), 0);
    assert_int_equal(hops_add(&body, CLUSTER, NODE_A, NULL), 0);
    assert_int_equal(hops_add(&body, NODE_A, NODE_B, NULL), 0);
    assert_string_equal(body.cluster, CLUSTER);
    assert_int_equal(hops_merge(&header, &body, NULL), 0);
    hops_put_header(&out, &header);
    assert_string_equal(out.p, CLUSTER ";" NODE_A "," NODE_B);
    struct hops none = HOPS_INIT;
    assert_int_equal(hops_merge(&header, &none, NULL), 0);
    assert_int_equal(header.count, 2);
    assert_int_equal(hops_merge(&none, &header, NULL), 0);
    assert_string_equal(none.cluster, CLUSTER);
    assert_int_equal(none.count, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_round_trip), cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_count_limit),       cmocka_unit_test(test_json),
        cmocka_unit_test(test_add_and_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
