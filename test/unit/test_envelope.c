#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/base/utf.h"
#include "shared/rpc/envelope.h"

#define ID "00112233445566778899aabbccddeeff"

static const struct json_limits limits = { .max_depth = 1000, .max_nodes = 1000000 };

static void assert_slice(struct slice got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    if (got.n)
        assert_memory_equal(got.p, want, got.n);
}

static void test_accepted(void **state)
{
    static const struct {
        const char *body, *method, *id; /* id NULL: none */
        int params;                     /* number, -1: not defined */
    } rows[] = {
        { "{\"method\":\"Workspace.ver\",\"params\":[],\"version\":\"1.1\",\"id\":\"7\"}", "Workspace.ver",
          "7", 0 },
        { "{\"params\":[1,null],\"method\":\"a.b\"}", "a.b", NULL, 2 },
        { " \r\n\t{ \"method\" : \"ver\" , \"params\" : [ ] } trailing {", "Workspace.ver", NULL, 0 },
        { "{\"method\":\"v\\u0065r\",\"params\":[]}", "Workspace.ver", NULL, 0 },
        { "{\"method\":5,\"params\":[]}", "Workspace.5", NULL, 0 },
        { "{\"method\":1.50,\"params\":[]}", "1.50", NULL, 0 },
        { "{\"method\":true,\"params\":[]}", "Workspace.true", NULL, 0 },
        { "{\"method\":\"x\",\"params\":null}", "Workspace.x", NULL, -1 },
        { "{\"method\":\"x\",\"params\":[],\"version\":{\"any\":[1]}}", "Workspace.x", NULL, 0 },
        { "{\"method\":\"x\",\"params\":[],\"version\":null}", "Workspace.x", NULL, 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":42}", "Workspace.x", "42", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":0.25}", "Workspace.x", "0.25", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":1e3}", "Workspace.x", "1000.0", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":12345678901234567890123}", "Workspace.x",
          "12345678901234567890123", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":true}", "Workspace.x", "true", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":{\"a\":1}}", "Workspace.x", "{a=1}", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":[1,\"b\"]}", "Workspace.x", "[1, b]", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":null}", "Workspace.x", NULL, 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":\"\"}", "Workspace.x", "", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":\"\\ud835\\udcb3 \\ud835\"}", "Workspace.x",
          "\xf0\x9d\x92\xb3 \xed\xa0\xb5", 0 },
        { "{\"method\":\"x\",\"params\":[],\"id\":\"\xff\"}", "Workspace.x", "\xef\xbf\xbd", 0 },
        { "{\"method\":\"x\",\"params\":[],\"context\":null}", "Workspace.x", NULL, 0 },
        { "{\"method\":\"x\",\"params\":[],\"context\":{}}", "Workspace.x", NULL, 0 },
        { "{\"method\":\"x\",\"params\":[],\"context\":{\"service_ver\":\"dev\",\"run_id\":\"r\","
          "\"provenance\":[1],"
          "\"call_stack\":[{\"time\":\"t\",\"method\":\"m\",\"job_id\":null,\"other\":[]},null]}}",
          "Workspace.x", NULL, 0 },
        { "{\"method\":\"x\",\"params\":[],\"context\":{\"call_stack\":null,\"run_id\":5}}", "Workspace.x",
          NULL, 0 },
        /* duplicates */
        { "{\"method\":\"x\",\"params\":[],\"method\":\"y\",\"id\":1,\"id\":2}", "Workspace.y", "2", 0 },
        { "{\"method\":\"x\",\"params\":[1],\"params\":[2,3]}", "Workspace.x", NULL, 1 },
        { "{\"method\":\"x\",\"params\":[1],\"params\":null}", "Workspace.x", NULL, -1 },
        { "{\"method\":\"x\",\"params\":[],\"id\":1,\"id\":null}", "Workspace.x", NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct envelope env;
        if (envelope_read(slice_str(rows[i].body), &limits, &arena, &env, &err))
            fail_msg("%s: %s", rows[i].body, err_text(&err));
        assert_true(env.has_method);
        assert_slice(env.method, rows[i].method);
        assert_int_equal(env.has_params, rows[i].params >= 0);
        if (env.has_params)
            assert_int_equal(env.params->count, rows[i].params);
        assert_int_equal(env.has_id, rows[i].id != NULL);
        if (rows[i].id)
            assert_slice(env.id, rows[i].id);
        assert_false(env.marked);
        assert_int_equal(env.body.p[env.object_end], '}');
        assert_int_equal(envelope_check(&env, NULL), rows[i].params >= 0 ? 0 : -ERR_METHOD);
    }
}

static void test_refused(void **state)
{
    static const struct {
        struct slice body;
        int rc;
        const char *begin; /* of the text */
    } rows[] = {
        { SLICE(""), -ERR_UNEXPECTED, "Unexpected internal error (Data must be at least 1 byte / char)" },
        { SLICE("null"), -ERR_UNEXPECTED, "Unexpected internal error (null)" },
        { SLICE(" "), -ERR_PARSE, "Parse error (No content to map due to end-of-input" },
        { SLICE("\xef\xbb\xbf{}"), -ERR_PARSE, "Parse error (Unexpected character (" },
        { SLICE("{\"method\":'x'}"), -ERR_PARSE,
          "Parse error (Unexpected character (''' (code 39)): expected a valid value" },
        { SLICE("{\"method\":\"x\",}"), -ERR_PARSE,
          "Parse error (Unexpected character ('}' (code 125)): was expecting double-quote to start field "
          "name\n"
          " at [Source: (InputStreamReader); line: 1, column: 16])" },
        { SLICE("{\"params\":[NaN]}"), -ERR_PARSE, "Parse error (Non-standard token 'NaN'" },
        { SLICE("{/**/}"), -ERR_PARSE,
          "Parse error (Unexpected character ('/' (code 47)): maybe a (non-standard) comment? (not " },
        { SLICE("{\"method\":\"x\""), -ERR_PARSE, "Parse error (Unexpected end-of-input" },
        { SLICE("[]"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of "
          "`us.kbase.common.service.JsonServerServlet$RpcCallData` out of "
          "START_ARRAY token\n at [Source: (InputStreamReader); line: 1, column: 1])" },
        { SLICE("5"), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.JsonServerServlet$" },
        { SLICE("\"x\""), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.JsonServerServlet$" },
        { SLICE("true"), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.JsonServerServlet$" },
        { SLICE("{\"jsonrpc\":\"2.0\",\"method\":\"x\"}"), -ERR_PARSE,
          "Parse error (Unrecognized field \"jsonrpc\" (class " },
        { SLICE("{\"Method\":\"x\"}"), -ERR_PARSE, "Parse error (Unrecognized field \"Method\" (class " },
        { SLICE("{\"\":1}"), -ERR_PARSE, "Parse error (Unrecognized field \"\" (class " },
        { SLICE("{\"method\":{}}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.lang.String` out of START_OBJECT token\n"
          " at [Source: (InputStreamReader); line: 1, column: 11] (through reference chain: "
          "us.kbase.common.service.JsonServerServlet$RpcCallData[\"method\"]))" },
        { SLICE("{\"method\":[]}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.lang.String` out of START_ARRAY" },
        { SLICE("{\"params\":{}}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.util.ArrayList` out of START_OBJECT" },
        { SLICE("{\"params\":\"x\"}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.util.ArrayList` out of VALUE_STRING" },
        { SLICE("{\"params\":5}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.util.ArrayList` out of VALUE_NUMBER_INT" },
        { SLICE("{\"params\":[],\"params\":1.5}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.util.ArrayList` out of VALUE_NUMBER_FLOAT" },
        { SLICE("{\"context\":[]}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `us.kbase.common.service.RpcContext` out of "
          "START_ARRAY" },
        { SLICE("{\"context\":\"x\"}"), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.RpcContext`" },
        { SLICE("{\"context\":5}"), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.RpcContext`" },
        { SLICE("{\"context\":false}"), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.RpcContext`" },
        { SLICE("{\"context\":{\"run_id\":{}}}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.lang.String` out of START_OBJECT" },
        { SLICE("{\"context\":{\"call_stack\":{}}}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.util.ArrayList` out of START_OBJECT" },
        { SLICE("{\"context\":{\"call_stack\":[1]}}"), -ERR_PARSE,
          "Parse error (Cannot construct instance of `us.kbase.common.service.MethodCall`" },
        { SLICE("{\"context\":{\"call_stack\":[{\"time\":[]}]}}"), -ERR_PARSE,
          "Parse error (Cannot deserialize instance of `java.lang.String` out of START_ARRAY token\n"
          " at [Source: (InputStreamReader); line: 1, column: 35] (through reference chain: "
          "us.kbase.common.service.JsonServerServlet$RpcCallData[\"context\"]->"
          "us.kbase.common.service.RpcContext[\"call_stack\"]->java.util.ArrayList[0]->"
          "us.kbase.common.service.MethodCall[\"time\"]))" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct envelope env;
        assert_int_equal(envelope_read(rows[i].body, &limits, &arena, &env, &err), rows[i].rc);
        if (strncmp(err.text, rows[i].begin, strlen(rows[i].begin)) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(err.text[err.len - 1], ')');
    }
}

static void test_check(void **state)
{
    static const struct {
        const char *body;
        int rc;
        const char *text;
    } rows[] = {
        { "{}", -ERR_METHOD, "JSON RPC method property is not defined" },
        { "{\"method\":null,\"params\":[]}", -ERR_METHOD, "JSON RPC method property is not defined" },
        { "{\"method\":\"x\",\"method\":null,\"params\":[]}", -ERR_METHOD,
          "JSON RPC method property is not defined" },
        { "{\"method\":\"\"}", -ERR_METHOD, "JSON RPC params property is not defined" },
        { "{\"method\":\"x\",\"params\":null}", -ERR_METHOD, "JSON RPC params property is not defined" },
        { "{\"method\":\"\",\"params\":[]}", -ERR_UNEXPECTED,
          "Unexpected internal error (Index 1 out of bounds for length 1)" },
        { "{\"method\":\"Workspace.\",\"params\":[]}", -ERR_UNEXPECTED,
          "Unexpected internal error (Index 1 out of bounds for length 1)" },
        { "{\"method\":\"x..\",\"params\":[]}", -ERR_UNEXPECTED,
          "Unexpected internal error (Index 1 out of bounds for length 1)" },
        { "{\"method\":\".\",\"params\":[]}", -ERR_UNEXPECTED,
          "Unexpected internal error (Index 0 out of bounds for length 0)" },
        { "{\"method\":\"..\",\"params\":[]}", -ERR_UNEXPECTED,
          "Unexpected internal error (Index 0 out of bounds for length 0)" },
        { "{\"method\":\".x\",\"params\":[]}", 0, NULL },
        { "{\"method\":\"a.b.c\",\"params\":[]}", 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct envelope env;
        assert_int_equal(envelope_read(slice_str(rows[i].body), &limits, &arena, &env, NULL), 0);
        assert_int_equal(envelope_check(&env, &err), rows[i].rc);
        if (rows[i].text)
            assert_string_equal(err.text, rows[i].text);
    }
}

/* A UTF-8 text in another encoding. */
static void encode(const char *text, int unit, bool big, struct sbuf *out)
{
    size_t used;

    for (const char *p = text; *p; p += used) {
        uint32_t cp = utf_decode(p, strlen(p), &used), units[2] = { cp, 0 };
        bool pair = cp > 0xffff && unit == 2;
        if (unit == 1) {
            sbuf_add(out, p, used);
            continue;
        }
        if (pair) {
            units[0] = 0xd800 + ((cp - 0x10000) >> 10);
            units[1] = 0xdc00 + (cp & 0x3ff);
        }
        for (int k = 0; k <= pair; k++)
            for (int b = 0; b < unit; b++)
                sbuf_addc(out, (char)(units[k] >> 8 * (big ? unit - 1 - b : b)));
    }
}

/* UTF-16 and UTF-32 bodies, and where the mark goes into them. */
static void test_mark_in_every_encoding(void **state)
{
    static const char text[] =
        "{\"method\":\"\\u00e9\xc3\xa9\xf0\x9f\x98\x80.m\",\"params\":[],\"context\":{\"a\":1}} \n";
    static const struct {
        int unit;
        bool big;
    } rows[] = { { 1, false }, { 2, false }, { 2, true }, { 4, false }, { 4, true } };
    struct hops hops = HOPS_INIT;

    (void)state;
    assert_int_equal(hops_add(&hops, ID, "0123456789abcdef0123456789abcdef", NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(body, 10000);
        AUTO_SBUF(buf, 10000);
        AUTO_SBUF(marked, 10000);
        AUTO_SBUF(again, 10000);
        AUTO_ARENA(arena);
        struct envelope env;
        int unit;
        bool big;
        encode(text, rows[i].unit, rows[i].big, &body);
        struct slice utf8 = json_to_utf8(sbuf_slice(&body), &buf, &unit, &big);
        assert_int_equal(unit, rows[i].unit);
        assert_int_equal(big, rows[i].big);
        assert_slice(utf8, text);
        assert_int_equal(envelope_read(utf8, &limits, &arena, &env, NULL), 0);
        assert_slice(env.method, "\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80.m");
        assert_false(env.marked);
        size_t at = json_raw_offset(sbuf_slice(&body), unit, big, env.object_end);
        sbuf_add(&marked, body.p, at);
        envelope_put_mark(&marked, unit, big, &hops);
        sbuf_add(&marked, body.p + at, body.len - at);
        utf8 = json_to_utf8(sbuf_slice(&marked), &again, &unit, &big);
        assert_int_equal(unit, rows[i].unit);
        assert_int_equal(envelope_read(utf8, &limits, &arena, &env, NULL), 0);
        assert_true(env.marked);
        assert_int_equal(env.hops.count, 1);
        assert_string_equal(env.hops.cluster, ID);
        assert_string_equal(env.hops.nodes[0], "0123456789abcdef0123456789abcdef");
    }
}

/* The last mark counts; a malformed one is an error. */
static void test_marks(void **state)
{
    static const struct {
        const char *body;
        int rc;
        size_t count;
    } rows[] = {
        { "{\"method\":\"m\",\"params\":[],\"context\":{\"wstyped\":{\"cluster\":\"" ID "\",\"nodes\":[\"" ID
          "\"]}},"
          "\"context\":{\"wstyped\":{\"cluster\":\"" ID "\",\"nodes\":[\"" ID "\",\"" ID "\"]}}}",
          0, 2 },
        { "{\"context\":{\"wstyped\":{\"nodes\":[\"" ID "\"],\"cluster\":\"" ID "\"},\"x\":1}}", 0, 1 },
        { "{\"context\":{\"wstyped\":null}}", -ERR_PARSE, 0 },
        { "{\"context\":{\"wstyped\":{\"cluster\":\"" ID "\",\"nodes\":[]}}}", -ERR_PARSE, 0 },
        { "{\"context\":{\"wstyped\":{\"cluster\":\"\",\"nodes\":[\"" ID "\"]}}}", -ERR_PARSE, 0 },
        { "{\"context\":{\"wstyped\":[]}}", -ERR_PARSE, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct envelope env;
        assert_int_equal(envelope_read(slice_str(rows[i].body), &limits, &arena, &env, &err), rows[i].rc);
        if (rows[i].rc == 0)
            assert_int_equal(env.hops.count, rows[i].count);
        else
            assert_memory_equal(err.text, "Parse error (The delegation mark `wstyped`", 42);
    }
}

static void test_depth(void **state)
{
    enum { DEEP = 200000 };
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct envelope env;

    (void)state;
    sbuf_adds(&body, "{\"method\":\"x\",\"id\":");
    for (int i = 0; i < DEEP; i++)
        sbuf_addc(&body, '[');
    for (int i = 0; i < DEEP; i++)
        sbuf_addc(&body, ']');
    sbuf_adds(&body, ",\"params\":[]}");
    assert_int_equal(envelope_read(sbuf_slice(&body), &limits, &arena, &env, &err), -ERR_PARSE);
    assert_memory_equal(err.text, "Parse error (Containers are nested more than 1000 deep", 54);
    struct json_limits deep = { DEEP + 2, DEEP + 100 };
    assert_int_equal(envelope_read(sbuf_slice(&body), &deep, &arena, &env, NULL), 0);
    assert_int_equal(env.id.n, 2 * DEEP);
}

static void test_results(void **state)
{
    static const struct {
        const char *result;
        enum result_kind kind;
        const char *text;
    } rows[] = {
        { "\"0.15.0\"", RESULT_LIST, "{\"version\":\"1.1\",\"result\":[\"0.15.0\"]}" },
        { "", RESULT_LIST, "{\"version\":\"1.1\",\"result\":[null]}" },
        { "", RESULT_VOID, "{\"version\":\"1.1\",\"result\":null}" },
        { "", RESULT_NULL, "{\"version\":\"1.1\",\"result\":[null]}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(out, 1000);
        envelope_put_result(&out, slice_str(rows[i].result), rows[i].kind);
        assert_string_equal(out.p, rows[i].text);
    }
}

static void test_errors(void **state)
{
    static const struct {
        enum err_code code;
        const char *text, *trace, *id, *out;
    } rows[] = {
        { ERR_GET, "HTTP GET not allowed.", "", NULL,
          "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32300,\"message\":\"HTTP GET "
          "not allowed.\","
          "\"error\":null}}" },
        { ERR_NO_TYPE, "a \"b\" \xf0\x9f\x98\x80", "trace\nline", "",
          "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":\"a "
          "\\\"b\\\" \\uD83D\\uDE00\","
          "\"error\":\"trace\\nline\"},\"id\":\"\"}" },
        { ERR_PARAMS, "p", "", "{a=1}",
          "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32602,\"message\":\"p\","
          "\"error\":null},"
          "\"id\":\"{a=1}\"}" },
        { ERR_STORE, NULL, "", NULL,
          "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":\"store\","
          "\"error\":null}}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_SBUF(out, 1000);
        AUTO_ERR(err);
        err.code = rows[i].code;
        if (rows[i].text)
            err_set(&err, rows[i].code, "%s", rows[i].text);
        envelope_put_error(&out, &err, slice_str(rows[i].trace), rows[i].id != NULL,
                           slice_str(rows[i].id ? rows[i].id : "x"));
        assert_string_equal(out.p, rows[i].out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_check),    cmocka_unit_test(test_mark_in_every_encoding),
        cmocka_unit_test(test_marks),    cmocka_unit_test(test_depth),
        cmocka_unit_test(test_results),  cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
