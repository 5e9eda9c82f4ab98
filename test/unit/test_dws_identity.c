#include "test/unit/t.h"

#include "dws/identity.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccc"
#define D "dddddddddddddddddddddddddddddddd"

#define RESULT(about) "{\"version\":\"1.1\",\"result\":[" about "]}"
#define ERROR(code, message) \
    "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":" code ",\"message\":\"" message \
    "\",\"error\":null}}"

static const struct {
    int status;
    const char *body;
    enum identity_answer describe, probe;
} answers[] = {
    { 200, RESULT("{\"role\":\"tws\",\"node\":\"" B "\",\"cluster\":\"" C "\",\"chain\":[]}"), ANSWER_FINE,
      ANSWER_FINE },
    { 200, RESULT("{\"role\":\"dws\",\"node\":\"" B "\",\"cluster\":null,\"chain\":[\"" C "\"]}"),
      ANSWER_FINE, ANSWER_FINE },
    { 200, RESULT("{\"role\":\"tws\",\"node\":\"" B "\"}"), ANSWER_FINE, ANSWER_FINE },
    { 200, RESULT("{\"role\":\"king\",\"node\":\"" B "\"}"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 200, RESULT("{\"role\":\"tws\",\"node\":\"b\"}"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 200, RESULT("{\"role\":\"tws\",\"node\":\"" B "\",\"chain\":[1]}"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 500, RESULT("{\"role\":\"tws\",\"node\":\"" B "\"}"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 200, RESULT("\"0.15.0\""), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 200, "{}", ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 500, ERROR("-32601", "Can not find method"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 500, ERROR("-32500", "Module doesn't exist"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 500, ERROR("-32603", "did not start"), ANSWER_NOT_UP, ANSWER_NOT_UP },
    { 500, ERROR("-32500", "Delegation loop: x"), ANSWER_LOOP, ANSWER_LOOP },
    { 500, ERROR("-32500", "says Delegation loop"), ANSWER_NOT_KNOWN, ANSWER_FINE },
    { 200, "[]", ANSWER_NOT_UP, ANSWER_NOT_UP },
    { 200, "<html>", ANSWER_NOT_UP, ANSWER_NOT_UP },
    { 200, "", ANSWER_NOT_UP, ANSWER_NOT_UP },
    { 502, "{}", ANSWER_NOT_UP, ANSWER_NOT_UP },
    { 404, RESULT("{\"role\":\"tws\",\"node\":\"" B "\"}"), ANSWER_NOT_UP, ANSWER_NOT_UP },
};

static void test_answers(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        AUTO_SBUF(problem, 4096);
        struct identity identity;
        struct slice body = slice_str(answers[i].body);
        assert_int_equal(identity_read(answers[i].status, body, &identity, &problem), answers[i].describe);
        assert_int_equal(problem.len > 0, answers[i].describe != ANSWER_FINE);
        assert_int_equal(identity_read_probe(answers[i].status, body, &problem), answers[i].probe);
    }
}

static void test_description(void **state UNUSED)
{
    AUTO_SBUF(problem, 4096);
    struct identity it;

    assert_int_equal(
        identity_read(200,
                      SLICE(RESULT("{\"role\":\"dws\",\"node\":\"" B "\",\"cluster\":\"" D
                                   "\",\"version\":\"1.2\",\"protocol\":7,\"read_only\":1,\"hops\":2,"
                                   "\"chain\":[\"" C "\"],\"chain_complete\":true,\"more\":{}}")),
                      &it, &problem),
        ANSWER_FINE);
    assert_int_equal(it.kind, IDENTITY_DWS);
    assert_string_equal(it.node, B);
    assert_string_equal(it.cluster, D);
    assert_string_equal(it.version, "1.2");
    assert_int_equal(it.protocol, 7);
    assert_true(it.read_only);
    assert_int_equal(it.hops, 2);
    assert_true(it.complete);
    assert_int_equal(it.chain.count, 1);
    assert_string_equal(it.chain.nodes[0], C);
}

static struct identity dws(int hops, bool complete, const char *behind)
{
    struct identity it = { .kind = IDENTITY_DWS, .node = B, .hops = hops, .complete = complete };

    if (behind) {
        memcpy(it.chain.nodes[0], behind, sizeof(it.chain.nodes[0]));
        it.chain.count = 1;
    }
    return it;
}

static void test_judgement(void **state UNUSED)
{
    const struct {
        struct identity identity;
        int max_hops;
        enum identity_verdict verdict;
        const char *reason;
    } cases[] = {
        { { .kind = IDENTITY_TWS, .node = B, .complete = true }, 1, VERDICT_OK, NULL },
        { { .kind = IDENTITY_OTHER, .complete = true }, 1, VERDICT_OK, NULL },
        { { .kind = IDENTITY_DWS, .node = A, .hops = 1 },
          16,
          VERDICT_REFUSED,
          "delegation loop: type-delegation-target leads back to this process itself: " A " -> " A },
        { dws(1, true, A), 16, VERDICT_REFUSED,
          "delegation loop: type-delegation-target leads back to this process: " A " -> " B " -> " A },
        { dws(1, true, C), 1, VERDICT_REFUSED,
          "type-delegation-target is another DWS, not a TWS, which risks a delegation loop: " A " -> " B
          " -> " C " (delegation-max-hops = 1; a chain of DWS must be allowed there)" },
        { dws(1, true, C), 2, VERDICT_OK, NULL },
        { dws(2, true, C), 2, VERDICT_REFUSED,
          "type-delegation-target is another DWS, not a TWS, which risks a delegation loop: " A " -> " B
          " -> " C " (delegation-max-hops = 2; a chain of DWS must be allowed there)" },
        { dws(1, false, NULL), 2, VERDICT_WAIT, "it is a DWS that has not found a TWS itself yet" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(reason, 4096);
        assert_int_equal(identity_judge(&cases[i].identity, A, cases[i].max_hops, &reason), cases[i].verdict);
        if (cases[i].reason)
            assert_string_equal(reason.p, cases[i].reason);
        else
            assert_int_equal(reason.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_judgement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
