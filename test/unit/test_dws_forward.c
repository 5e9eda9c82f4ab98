#include "test/unit/test_dws_peer.h"

#define CALL "{\"method\":\"get_type_info\",\"params\":[\"M.T\"]}"
#define WRITE "{\"method\":\"release_module\",\"params\":[\"M\"]}"
#define TOKEN(t) "Authorization: " t "\r\n"
#define ADMIN(command, more) "{\"method\":\"administer\",\"params\":[{\"command\":" command more "}]}"

#define RESOLVE "{\"method\":\"TypeService.resolve_types\",\"params\":[[\"M.T\"]]}"
#define VALIDATE \
    "{\"method\":\"TypeService.validate_objects\",\"params\":[{\"objects\":[{\"type\":\"M.T-1.0\",\"name\":" \
    "\"o\",\"data\":{}}]}]}"
#define TYPE_INFO \
    "{\"version\":\"1.1\",\"result\":[{\"type_def\":\"M.T-1.0\",\"json_schema\":\"{\\\"type\\\":" \
    "\\\"object\\\"," \
    "\\\"original-type\\\":\\\"kidl-structure\\\"}\",\"released_type_vers\":[\"M.T-1.0\"]}]}"

struct pair {
    struct peer *peer;
    struct node *node;
};

static struct pair pair_start(const char *more)
{
    struct peer *peer = peer_start(0);

    return (struct pair){ peer, node_start(peer->port, more) };
}

static void pair_stop(struct pair *pair)
{
    node_stop(pair->node);
    peer_stop(pair->peer);
}

#define PAIR(name, more) AUTO(pair_stop) struct pair name = pair_start(more)

static const struct peer_request *last_request(struct peer *peer)
{
    assert_true(peer->count > 0);
    return &peer->requests[peer->count - 1];
}

/* Asks and compares the message of the error, or looks for a part of it. */
static void expect_error(const struct node *node, const char *fields, const char *body, const char *part)
{
    AUTO(answer_release) struct answer answer = node_call(node, fields, body);

    assert_int_equal(answer.status, 500);
    assert_has(answer.bytes, part);
}

static void expect_reply(const struct node *node, const char *fields, const char *body, struct slice reply)
{
    AUTO(answer_release) struct answer answer = node_call(node, fields, body);

    if (answer.len != reply.n || memcmp(answer.bytes, reply.p, reply.n) != 0)
        fail_msg("unexpected: %s", answer.bytes ? answer.bytes : "nothing");
}

/* ---- bytes ---- */

static void widen(struct sbuf *out, const char *text, int unit, bool big)
{
    for (; *text; text++)
        for (int i = 0; i < unit; i++)
            sbuf_addc(out, i == (big ? unit - 1 : 0) ? *text : '\0');
}

static void test_body_is_unchanged_but_for_the_mark(void **state UNUSED)
{
    static const char before[] =
        "{ \"params\" :\t[ \"M.T\" ],\n \"id\":\"x\\u00e9\", \"method\":\"get_type_info\"  ";
    static const struct {
        int unit;
        bool big;
    } encodings[] = { { 1, false }, { 2, false }, { 2, true }, { 4, false }, { 4, true } };
    PAIR(pair, "");
    AUTO_SBUF(mark, SBUF_NO_LIMIT);

    sbuf_addf(&mark, ",\"context\":{\"wstyped\":{\"cluster\":\"" TWS_CLUSTER "\",\"nodes\":[\"%s\"]}}}",
              pair.node->id);
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        AUTO_SBUF(sent, SBUF_NO_LIMIT);
        AUTO_SBUF(want, SBUF_NO_LIMIT);
        widen(&sent, before, encodings[i].unit, encodings[i].big);
        sbuf_add_slice(&want, sbuf_slice(&sent));
        widen(&want, mark.p, encodings[i].unit, encodings[i].big);
        widen(&sent, "} garbage", encodings[i].unit, encodings[i].big);
        struct answer answer = http_call(pair.node->port, "POST", "/x?y", "", sbuf_slice(&sent));
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.bytes, "{\"version\":\"1.1\",\"result\":[ 1.50 ]}");
        answer_release(&answer);
        assert_int_equal(pair.peer->count, i + 1);
        const struct peer_request *got = last_request(pair.peer);
        assert_int_equal(got->body_len, want.len);
        assert_memory_equal(got->body, want.p, want.len);
    }
}

static void test_headers(void **state UNUSED)
{
    PAIR(pair, "");
    AUTO_SBUF(mark, SBUF_NO_LIMIT);
    static const struct {
        const char *fields, *body, *has, *has_not;
    } cases[] = {
        { TOKEN("t-ann"), CALL, "\r\nAuthorization: t-ann\r\n", "X-Real-IP" },
        { "", CALL, "\r\nX-Forwarded-For: 127.0.0.1\r\n", "Authorization" },
        { "X-Forwarded-For: 192.0.2.7, 10.0.0.1\r\n", CALL,
          "\r\nX-Forwarded-For: 192.0.2.7, 10.0.0.1, 127.0.0.1\r\n", "Authorization" },
        { "X-Real-IP: 192.0.2.9\r\n", CALL, "\r\nX-Forwarded-For: 192.0.2.9, 127.0.0.1\r\n", "X-Real-IP" },
        { TOKEN("t-ann"), "{\"method\":\"list_modules\",\"params\":[{}]}", "X-Forwarded-For", "t-ann" },
        { TOKEN("nonsense"), "{\"method\":\"translate_from_MD5_types\",\"params\":[[]]}", "X-Forwarded-For",
          "nonsense" },
        { TOKEN("t-ann"), WRITE, "\r\nAuthorization: t-ann\r\n", "X-Real-IP" },
    };

    sbuf_addf(&mark, "\r\n" HOPS_HEADER ": " TWS_CLUSTER ";%s\r\n", pair.node->id);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_reply(pair.node, cases[i].fields, cases[i].body, pair.peer->reply);
        const char *head = last_request(pair.peer)->head;
        assert_has(head, mark.p);
        assert_has(head, cases[i].has);
        assert_has_not(head, cases[i].has_not);
    }
}

static void test_local_checks_come_first(void **state UNUSED)
{
    PAIR(pair, "");
    static const struct {
        const char *fields, *body, *part;
    } cases[] = {
        { "", "{\"method\":\"nope\",\"params\":[]}", "-32601" },
        { TOKEN("bad"), CALL, "10020 Invalid token" },
        { "", WRITE, "no credentials were provided" },
        { "", "{\"method\":\"get_type_info\",\"params\":[]}", "Wrong parameter count" },
        { "", "{\"method\":\"get_type_info\",\"params\":[[]]}", "-32602" },
        { "", "{\"method\":\"get_type_info\",\"params\":[\"M.T\"],\"jsonrpc\":1}", "-32700" },
        { TOKEN("t-ann"), ADMIN("\"listModRequests\"", ""), "User ann is not an admin" },
        { TOKEN("t-ann"), ADMIN("\"nonsense\"", ",\"x\":1"), "User ann is not an admin" },
        { TOKEN("t-read"), ADMIN("\"listModRequests\"", ",\"x\":1"),
          "Unable to deserialize a workspace admin command" },
        { TOKEN("t-read"), ADMIN("\"nonsense\"", ""), "I don't know how to process the command: nonsense" },
        { TOKEN("t-read"), ADMIN("null", ""), "I don't know how to process the command: null" },
        { TOKEN("t-read"), ADMIN("\"approveModRequest\"", ",\"module\":\"M\""),
          "Full administration rights required" },
        { TOKEN("t-read"), ADMIN("\"grantModuleOwnership\"", ""), "Full administration rights required" },
        { TOKEN("t-root"), ADMIN("\"grantModuleOwnership\"", ""),
          "Method parameters GrantModuleOwnershipParams may not be null" },
        { TOKEN("t-root"), ADMIN("\"removeModuleOwnership\"", ",\"params\":[]"),
          "Unable to deserialize RemoveModuleOwnershipParams out of params field" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_error(pair.node, cases[i].fields, cases[i].body, cases[i].part);
    assert_int_equal(pair.peer->count, 0);
}

static void test_local_methods(void **state UNUSED)
{
    PAIR(pair, "");
    AUTO_SBUF(about, SBUF_NO_LIMIT);
    AUTO_SBUF(target, SBUF_NO_LIMIT);

    expect_reply(pair.node, "", "{\"method\":\"ver\",\"params\":[]}",
                 SLICE("{\"version\":\"1.1\",\"result\":[\"0.15.0\"]}"));
    expect_reply(pair.node, TOKEN("t-read"), "{\"method\":\"get_admin_role\",\"params\":[]}",
                 SLICE("{\"version\":\"1.1\",\"result\":[{\"adminrole\":\"read\"}]}"));
    sbuf_addf(&target,
              "{\"version\":\"1.1\",\"result\":[{\"delegateTarget\":\"http://u:pw@127.0.0.1:%d/\"}]}",
              pair.peer->port);
    expect_reply(pair.node, TOKEN("t-read"), ADMIN("\"getTypeDelegationTarget\"", ""), sbuf_slice(&target));
    sbuf_addf(&about,
              "{\"version\":\"1.1\",\"result\":[{\"role\":\"dws\",\"node\":\"%s\",\"version\":\"0.1.0\","
              "\"protocol\":1,"
              "\"cluster\":\"" TWS_CLUSTER
              "\",\"read_only\":0,\"target\":\"http://127.0.0.1:%d/\",\"hops\":1,"
              "\"chain\":[\"" TWS_NODE "\"],\"chain_complete\":true}]}",
              pair.node->id, pair.peer->port);
    expect_reply(pair.node, "", "{\"method\":\"TypeService.describe\",\"params\":[]}", sbuf_slice(&about));
    assert_int_equal(pair.peer->count, 0);
    AUTO(answer_release) struct answer status = node_get(pair.node, "/status");
    assert_int_equal(status.status, 200);
    assert_has(status.bytes, "\"state\":\"ok\"");
    assert_has_not(status.bytes, "pw@");
}

static void test_admin_commands_about_types_are_forwarded(void **state UNUSED)
{
    PAIR(pair, "");
    static const char *const bodies[] = {
        ADMIN("\"listModRequests\"", ",\"module\":null,\"user\":null,\"params\":null"),
        ADMIN("\"approveModRequest\"", ",\"module\":\"M\""),
        ADMIN("\"denyModRequest\"", ""),
        ADMIN("\"grantModuleOwnership\"", ",\"params\":{\"mod\":\"M\",\"odd\":1}"),
        ADMIN("\"removeModuleOwnership\"", ",\"params\":{}"),
    };

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        expect_reply(pair.node, TOKEN("t-root"), bodies[i], pair.peer->reply);
        assert_int_equal(pair.peer->count, i + 1);
        const struct peer_request *got = last_request(pair.peer);
        assert_memory_equal(got->body, bodies[i], strlen(bodies[i]) - 1);
        assert_has(got->head, "Authorization: t-root");
    }
    expect_reply(pair.node, TOKEN("t-read"), bodies[0], pair.peer->reply);
}

/* ---- answers ---- */

static void test_answers_pass_byte_for_byte(void **state UNUSED)
{
    PAIR(pair, "body-memory = 64k\n");
    AUTO_SBUF(large, SBUF_NO_LIMIT);
    static const char *const replies[] = {
        "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":\"M\xC3\xA9 "
        "\\n\","
        "\"error\":\"trace\", \"extra\":1},\"id\":\"7\"}",
        " \r\n\t{}",
    };

    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        peer_reply(pair.peer, 500, "application/json", slice_str(replies[i]));
        AUTO(answer_release) struct answer answer = node_call(pair.node, "", CALL);
        assert_int_equal(answer.status, 500);
        assert_string_equal(answer.bytes, replies[i]);
    }
    sbuf_adds(&large, "{\"result\":[\"");
    for (int i = 0; i < 300000; i++)
        sbuf_addf(&large, "%d", i);
    sbuf_adds(&large, "\"]}");
    peer_reply(pair.peer, 200, NULL, sbuf_slice(&large));
    expect_reply(pair.node, "", CALL, sbuf_slice(&large));
}

static void test_answers_that_are_none(void **state UNUSED)
{
    PAIR(pair, "delegation-max-answer = 1k\n");
    AUTO_SBUF(large, SBUF_NO_LIMIT);
    static const struct {
        int status;
        const char *type, *body;
    } cases[] = {
        { 502, "text/html", "<html>bad gateway</html>" },
        { 404, "application/json", "{}" },
        { 200, "text/html", "{}" },
        { 200, "application/json", "<html>" },
        { 200, "application/json", "" },
        { 301, "application/json", "{}" },
        { 204, "application/json", "" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        peer_reply(pair.peer, cases[i].status, cases[i].type, slice_str(cases[i].body));
        AUTO(answer_release) struct answer answer = node_call(pair.node, "", CALL);
        assert_int_equal(answer.status, 500);
        assert_has(
            answer.bytes,
            "\"code\":-32500,\"message\":\"The delegation target (type-delegation-target) did not answer "
            "properly: an ");
        assert_has_not(answer.bytes, "127.0.0.1");
        assert_has_not(answer.bytes, "http:");
        assert_has_not(answer.bytes, "not known");
        expect_error(pair.node, TOKEN("t-ann"), WRITE, "it is not known whether the change was made");
    }
    widen(&large, "{\"x\":\"", 1, false);
    for (int i = 0; i < 1024; i++)
        sbuf_addc(&large, 'y');
    sbuf_adds(&large, "\"}");
    peer_reply(pair.peer, 200, "application/json", sbuf_slice(&large));
    expect_error(pair.node, "", CALL, "delegation-max-answer");
}

/* ---- trouble on the way ---- */

static void test_read_is_sent_again_when_a_kept_connection_was_closed(void **state UNUSED)
{
    PAIR(pair, "");

    peer_act(pair.peer, ACT_CLOSE_IF_KEPT);
    for (int i = 0; i < 10; i++)
        expect_reply(pair.node, "", CALL, pair.peer->reply);
    /* every other one meets a kept connection first */
    assert_true(peer_count(pair.peer) > 10);
    assert_true(peer_count(pair.peer) <= 20);
}

static void test_nothing_is_sent_twice_without_need(void **state UNUSED)
{
    PAIR(pair, "");

    peer_act(pair.peer, ACT_CLOSE);
    expect_error(pair.node, "", CALL, "(type-delegation-target) did not answer: the connection ended");
    assert_int_equal(peer_count(pair.peer), 1);
    expect_error(pair.node, TOKEN("t-ann"), WRITE, "it is not known whether the change was made");
    assert_int_equal(peer_count(pair.peer), 2);
    /* a kept connection that dies under a change must not lead to a second try */
    peer_act(pair.peer, ACT_REPLY);
    expect_reply(pair.node, "", CALL, pair.peer->reply);
    peer_act(pair.peer, ACT_CLOSE_IF_KEPT);
    expect_reply(pair.node, TOKEN("t-ann"), WRITE, pair.peer->reply);
    assert_int_equal(peer_count(pair.peer), 4);
}

static void test_slow_target(void **state UNUSED)
{
    PAIR(pair, "delegation-first-byte-timeout = 0.3\n");
    uint64_t start = clock_us();

    peer_act(pair.peer, ACT_HOLD);
    expect_error(pair.node, "", CALL, "no answer within 0.3 s");
    assert_true(clock_us() - start < 3000000);
    expect_error(pair.node, TOKEN("t-ann"), WRITE, "it is not known whether the change was made");
    assert_int_equal(peer_count(pair.peer), 2);
}

static void test_target_goes_down_and_comes_back(void **state UNUSED)
{
    struct peer *peer = peer_start(0);
    struct node *node = node_start(peer->port, "delegation-check-interval = 1\n");
    int port = peer->port, ready = 0;

    expect_reply(node, "", CALL, peer->reply);
    peer_stop(peer);
    uint64_t start = clock_us();
    expect_error(node, TOKEN("t-ann"), WRITE, "did not answer: connection refused after ");
    AUTO(answer_release) struct answer answer = node_call(node, TOKEN("t-ann"), WRITE);
    assert_has_not(answer.bytes, "not known");
    assert_true(clock_us() - start < 2000000);
    for (int i = 0; i < 500 && ready != 503; i++) {
        struct answer page = node_get(node, "/ready");
        ready = page.status;
        answer_release(&page);
        usleep(10000);
    }
    assert_int_equal(ready, 503);
    peer = peer_start(port);
    expect_reply(node, "", CALL, peer->reply);
    for (int i = 0; i < 500 && ready != 200; i++) {
        struct answer page = node_get(node, "/ready");
        ready = page.status;
        answer_release(&page);
        usleep(10000);
    }
    assert_int_equal(ready, 200);
    node_stop(node);
    peer_stop(peer);
}

struct caller {
    pthread_t thread;
    const struct node *node;
    const char *body;
    struct answer answer;
};

static void *caller_main(void *arg)
{
    struct caller *caller = arg;

    caller->answer = node_call(caller->node, "", caller->body);
    return NULL;
}

static void callers_start(struct caller *callers, size_t n, const struct node *node, const char *body)
{
    for (size_t i = 0; i < n; i++) {
        callers[i] = (struct caller){ .node = node, .body = body };
        pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]);
    }
}

static void callers_end(struct caller *callers, size_t n, const char *part)
{
    for (size_t i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_non_null(callers[i].answer.bytes);
        assert_has(callers[i].answer.bytes, part);
        answer_release(&callers[i].answer);
    }
}

static void test_drain_lets_calls_finish(void **state UNUSED)
{
    struct pair pair = pair_start("");
    struct caller callers[5];

    peer_act(pair.peer, ACT_HOLD);
    callers_start(callers, ARRAY_LEN(callers), pair.node, CALL);
    assert_true(peer_wait(pair.peer, &pair.peer->count, ARRAY_LEN(callers)));
    kill(getpid(), SIGTERM);
    usleep(200000);
    peer_act(pair.peer, ACT_REPLY);
    callers_end(callers, ARRAY_LEN(callers), "1.50");
    for (int i = 0; i < 1000 && !__atomic_load_n(&pair.node->ended, __ATOMIC_ACQUIRE); i++)
        usleep(10000);
    assert_true(__atomic_load_n(&pair.node->ended, __ATOMIC_ACQUIRE));
    assert_int_equal(pair.node->rc, 0);
    pair_stop(&pair);
}

/* ---- loops ---- */

static void test_marked_calls_are_refused(void **state UNUSED)
{
    PAIR(pair, "");
    AUTO_SBUF(own, SBUF_NO_LIMIT);
    static const char header[] = HOPS_HEADER ": " TWS_CLUSTER ";" OTHER_NODE "\r\n";
    static const char marked[] =
        "{\"method\":\"get_type_info\",\"params\":[\"M.T\"],\"context\":{\"a\":1},\"context\":{"
        "\"wstyped\":{\"cluster\":\"" TWS_CLUSTER "\",\"nodes\":[\"" OTHER_NODE "\"]}}}";

    expect_error(pair.node, header, CALL, "Delegation loop");
    expect_error(pair.node, header, CALL, OTHER_NODE " -> ");
    expect_error(pair.node, "", marked, "Delegation loop");
    /* before tokens are looked at, and whatever they are */
    expect_error(pair.node, TOKEN("nonsense"), marked, "Delegation loop");
    expect_error(pair.node, TOKEN("t-root") HOPS_HEADER ": " TWS_CLUSTER ";" OTHER_NODE "\r\n",
                 ADMIN("\"listModRequests\"", ""), "Delegation loop");
    expect_error(pair.node, HOPS_HEADER ": x\r\n", CALL, HOPS_HEADER);
    sbuf_addf(&own, HOPS_HEADER ": " TWS_CLUSTER ";%s\r\n", pair.node->id);
    expect_error(pair.node, own.p, CALL, "has come back");
    assert_int_equal(peer_count(pair.peer), 0);
    /* what is answered here cannot run in circles */
    expect_reply(pair.node, header, "{\"method\":\"ver\",\"params\":[]}",
                 SLICE("{\"version\":\"1.1\",\"result\":[\"0.15.0\"]}"));
}

static void test_chains_where_they_are_allowed(void **state UNUSED)
{
    struct peer *peer = peer_start(0);
    peer->identity = PEER_DWS;
    struct node *node = node_start(peer->port, "delegation-max-hops = 3\n");
    AUTO_SBUF(mark, SBUF_NO_LIMIT);

    expect_reply(node, HOPS_HEADER ": " TWS_CLUSTER ";" OTHER_NODE "\r\n", CALL, peer->reply);
    sbuf_addf(&mark, HOPS_HEADER ": " TWS_CLUSTER ";" OTHER_NODE ",%s\r\n", node->id);
    assert_has(last_request(peer)->head, mark.p);
    sbuf_reset(&mark);
    sbuf_addf(&mark, "\"nodes\":[\"" OTHER_NODE "\",\"%s\"]", node->id);
    assert_has(last_request(peer)->body, mark.p);
    expect_error(node, HOPS_HEADER ": " TWS_CLUSTER ";" OTHER_NODE "," TWS_NODE "," TWS_CLUSTER "\r\n", CALL,
                 "delegation-max-hops is 3");
    AUTO(answer_release)
    struct answer about = node_call(node, "", "{\"method\":\"TypeService.describe\",\"params\":[]}");
    assert_has(about.bytes,
               "\"hops\":2,\"chain\":[\"" OTHER_NODE "\",\"" TWS_NODE "\"],\"chain_complete\":true");
    node_stop(node);
    peer_stop(peer);
}

static void test_more_than_64_equal_calls_wait_for_a_check(void **state UNUSED)
{
    PAIR(pair, "delegation-max-connections = 200\n");
    static struct caller callers[64];
    struct caller late[2], other;

    peer_act(pair.peer, ACT_HOLD);
    callers_start(callers, 64, pair.node, CALL);
    assert_true(peer_wait(pair.peer, &pair.peer->count, 64));
    usleep(300000);
    size_t checks = peer_checks(pair.peer);
    /* others are not concerned */
    callers_start(&other, 1, pair.node, WRITE);
    callers_end(&other, 1, "no credentials");
    assert_int_equal(peer_checks(pair.peer), checks);
    callers_start(late, 1, pair.node, CALL);
    assert_true(peer_wait(pair.peer, &pair.peer->count, 65));
    assert_true(peer_checks(pair.peer) > checks);
    /* and if the check finds a loop, no further one goes */
    usleep(300000);
    memcpy(pair.peer->mirror, pair.node->id, 33);
    peer_be(pair.peer, PEER_MIRROR);
    callers_start(late + 1, 1, pair.node, CALL);
    callers_end(late + 1, 1, "delegation loop");
    assert_int_equal(peer_count(pair.peer), 65);
    peer_act(pair.peer, ACT_REPLY);
    callers_end(callers, 64, "1.50");
    callers_end(late, 1, "1.50");
}

static void test_target_that_becomes_a_loop(void **state UNUSED)
{
    PAIR(pair, "delegation-check-interval = 1\n");
    AUTO_SBUF(reason, SBUF_NO_LIMIT);
    int ready = 200;

    memcpy(pair.peer->mirror, pair.node->id, 33);
    peer_be(pair.peer, PEER_MIRROR);
    for (int i = 0; i < 1000 && ready == 200; i++) {
        struct answer page = node_get(pair.node, "/ready");
        ready = page.status;
        sbuf_reset(&reason);
        sbuf_adds(&reason, page.bytes);
        answer_release(&page);
        usleep(10000);
    }
    assert_int_equal(ready, 503);
    assert_has(reason.p, "delegation loop");
    expect_error(pair.node, "", CALL, "(type-delegation-target) must not be used: delegation loop");
    assert_int_equal(peer_count(pair.peer), 0);
    peer_be(pair.peer, PEER_TWS);
    for (int i = 0; i < 1000 && ready != 200; i++) {
        struct answer page = node_get(pair.node, "/ready");
        ready = page.status;
        answer_release(&page);
        usleep(10000);
    }
    expect_reply(pair.node, "", CALL, pair.peer->reply);
}

/* ---- the start ---- */

static void expect_start_to_fail(enum peer_identity identity, const char *more, const char *part)
{
    struct peer *peer = peer_start(0);
    int port = free_port();
    peer->identity = identity;
    peer->back_port = port;
    struct node *node = node_launch(peer->port, port, more);
    assert_false(node_wait(node));
    assert_int_equal(node->rc, -ERR_CONFIG);
    assert_has(err_text(&node->err), part);
    assert_has(err_text(&node->err), "type-delegation-target = http://127.0.0.1:");
    assert_has_not(err_text(&node->err), "pw@");
    node_stop(node);
    peer_stop(peer);
}

static void test_refused_at_start(void **state UNUSED)
{
    expect_start_to_fail(PEER_DWS, "", "is another DWS");
    expect_start_to_fail(PEER_DWS, "start-degraded = true\n", "is another DWS");
    expect_start_to_fail(PEER_BACK, "", "delegation loop");
    expect_start_to_fail(PEER_FAILED, "delegation-start-timeout = 0.3\n", "did not start up properly");
    expect_start_to_fail(PEER_DWS_NEW, "delegation-start-timeout = 0.3\ndelegation-max-hops = 2\n",
                         "has not found a TWS itself yet");
}

static void test_targets_of_others_are_accepted(void **state UNUSED)
{
    static const enum peer_identity identities[] = { PEER_FOREIGN, PEER_LIAR };

    for (size_t i = 0; i < ARRAY_LEN(identities); i++) {
        struct peer *peer = peer_start(0);
        peer->identity = identities[i];
        struct node *node = node_start(peer->port, "");
        expect_reply(node, "", CALL, peer->reply);
        assert_has(last_request(peer)->body, "\"cluster\":\"00000000000000000000000000000000\"");
        node_stop(node);
        peer_stop(peer);
    }
}

static void test_itself(void **state UNUSED)
{
    int port = free_port();
    struct node *node = node_launch(port, port, "");

    assert_false(node_wait(node));
    assert_has(err_text(&node->err),
               "delegation loop: type-delegation-target leads back to this process itself");
    node_stop(node);
}

static void test_down_at_start(void **state UNUSED)
{
    int port = free_port();
    uint64_t start = clock_us();
    struct node *node = node_launch(port, 0, "delegation-start-timeout = 0.5\n");

    assert_false(node_wait(node));
    assert_true(clock_us() - start >= 500000);
    assert_has(err_text(&node->err), "is still down after 0.");
    assert_has(err_text(&node->err), "connection refused");
    node_stop(node);

    node = node_launch(
        port, 0, "delegation-start-timeout = 0.1\nstart-degraded = true\ndelegation-check-interval = 1\n");
    assert_true(node_wait(node));
    AUTO(answer_release) struct answer page = node_get(node, "/ready");
    assert_int_equal(page.status, 503);
    expect_error(node, "", CALL, "(type-delegation-target) has not been found yet");
    struct peer *peer = peer_start(port);
    assert_true(peer_wait(peer, &peer->checks, 1));
    usleep(200000);
    expect_reply(node, "", CALL, peer->reply);
    node_stop(node);
    peer_stop(peer);
}

/* The node's port is open, and its target was asked who it is and has not answered yet. */
static struct pair pair_start_held(const char *more)
{
    struct peer *peer = peer_start(0);
    int port = free_port();

    peer_reply(peer, 200, "application/json", SLICE(TYPE_INFO));
    peer_hold_checks(peer, true);
    struct node *node = node_launch(peer->port, port, more);
    node->port = port;
    assert_true(peer_wait(peer, &peer->checks, 1));
    return (struct pair){ peer, node };
}

static void wait_for_status(const struct node *node, const char *part)
{
    for (int i = 0; i < 1000; i++) {
        AUTO(answer_release) struct answer status = node_get(node, "/status");
        if (status.bytes && strstr(status.bytes, part))
            return;
        usleep(10000);
    }
    fail_msg("'%s' never was in /status", part);
}

static void test_calls_wait_for_the_first_check(void **state UNUSED)
{
    static const struct {
        const char *body, *part;
    } calls[] = {
        { CALL, "\"type_def\":\"M.T-1.0\"" },
        { RESOLVE, "\"absolute\":\"M.T-1.0\",\"error\":null" },
        { VALIDATE, "\"valid\":1" },
    };
    struct pair pair = pair_start_held("");
    struct caller callers[ARRAY_LEN(calls)];

    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        callers_start(&callers[i], 1, pair.node, calls[i].body);
    wait_for_status(pair.node, "\"in_flight\":1,");
    wait_for_status(pair.node, "\"loading\":2");
    assert_int_equal(peer_count(pair.peer), 0);
    peer_hold_checks(pair.peer, false);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        callers_end(&callers[i], 1, calls[i].part);
    assert_int_equal(peer_count(pair.peer), ARRAY_LEN(calls));
    /* one check was enough for all of them */
    assert_int_equal(peer_checks(pair.peer), 1);
    /* and they went out with what it found */
    assert_has(last_request(pair.peer)->head, TWS_CLUSTER);
    assert_true(node_wait(pair.node));
    pair_stop(&pair);
}

static void test_loads_wait_no_longer_than_they_may(void **state UNUSED)
{
    struct pair pair = pair_start_held("type-load-timeout = 0.2\n");
    struct caller caller;

    callers_start(&caller, 1, pair.node, CALL);
    wait_for_status(pair.node, "\"in_flight\":1,");
    AUTO(answer_release) struct answer answer = node_call(pair.node, "", RESOLVE);
    assert_has(answer.bytes, "has not been found yet");
    assert_int_equal(peer_count(pair.peer), 0);
    peer_hold_checks(pair.peer, false);
    callers_end(&caller, 1, "M.T-1.0");
    assert_true(node_wait(pair.node));
    pair_stop(&pair);
}

static void test_calls_that_wait_end_with_the_process(void **state UNUSED)
{
    struct pair pair = pair_start_held("");
    struct caller callers[2];

    callers_start(callers, 1, pair.node, CALL);
    callers_start(callers + 1, 1, pair.node, RESOLVE);
    wait_for_status(pair.node, "\"in_flight\":1,");
    wait_for_status(pair.node, "\"loading\":1");
    kill(getpid(), SIGTERM);
    callers_end(callers, 2, "has not been found yet");
    pair_stop(&pair);
}

/* Without a pause: what is looked at afterwards must be true at once. */
static void wait_for_ready(const struct node *node)
{
    uint64_t end = clock_us() + 20000000;
    int status = 0;

    while (status != 200 && clock_us() < end) {
        AUTO(answer_release) struct answer page = node_get(node, "/ready");
        status = page.status;
    }
    assert_int_equal(status, 200);
}

static void wait_for_cluster(const struct node *node, const char *cluster)
{
    uint64_t end = clock_us() + 20000000;
    bool found = false;

    while (!found && clock_us() < end) {
        AUTO(answer_release)
        struct answer about = node_call(node, "", "{\"method\":\"TypeService.describe\",\"params\":[]}");
        found = strstr(about.bytes, cluster) != NULL;
    }
    assert_true(found);
}

static void expect_source(const struct node *node, const char *source)
{
    AUTO(answer_release) struct answer answer = node_call(node, "", RESOLVE);
    AUTO(free_str_auto) char *part = xasprintf("\"error\":null,\"schema\":null,\"source\":\"%s\"", source);

    assert_has(answer.bytes, part);
}

static void test_nothing_of_another_cluster_is_served(void **state UNUSED)
{
    char dir[] = "/tmp/wstyped-snapshot-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO(free_str_auto) char *path = xasprintf("%s/types", dir);
    AUTO(free_str_auto)
    char *settings = xasprintf("dws-snapshot-file = %s\ndelegation-check-interval = 1\n", path);
    struct pair pair = pair_start(settings);
    int port = pair.peer->port;

    peer_reply(pair.peer, 200, "application/json", SLICE(TYPE_INFO));
    expect_source(pair.node, "tws");
    pair_stop(&pair);
    /* the target is down, and comes back as another one */
    pair.node = node_start(port, settings);
    expect_source(pair.node, "cache");
    pair.peer = peer_start(port);
    peer_reply(pair.peer, 200, "application/json", SLICE(TYPE_INFO));
    peer_serve_cluster(pair.peer, "\"" OTHER_CLUSTER "\"");
    wait_for_ready(pair.node);
    expect_source(pair.node, "tws");
    expect_source(pair.node, "cache");
    /* it becomes the first one again while it is in use */
    peer_serve_cluster(pair.peer, "\"" TWS_CLUSTER "\"");
    wait_for_cluster(pair.node, TWS_CLUSTER);
    expect_source(pair.node, "tws");
    pair_stop(&pair);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_is_unchanged_but_for_the_mark),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_local_checks_come_first),
        cmocka_unit_test(test_local_methods),
        cmocka_unit_test(test_admin_commands_about_types_are_forwarded),
        cmocka_unit_test(test_answers_pass_byte_for_byte),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_read_is_sent_again_when_a_kept_connection_was_closed),
        cmocka_unit_test(test_nothing_is_sent_twice_without_need),
        cmocka_unit_test(test_slow_target),
        cmocka_unit_test(test_target_goes_down_and_comes_back),
        cmocka_unit_test(test_drain_lets_calls_finish),
        cmocka_unit_test(test_marked_calls_are_refused),
        cmocka_unit_test(test_chains_where_they_are_allowed),
        cmocka_unit_test(test_more_than_64_equal_calls_wait_for_a_check),
        cmocka_unit_test(test_target_that_becomes_a_loop),
        cmocka_unit_test(test_refused_at_start),
        cmocka_unit_test(test_targets_of_others_are_accepted),
        cmocka_unit_test(test_itself),
        cmocka_unit_test(test_down_at_start),
        cmocka_unit_test(test_calls_wait_for_the_first_check),
        cmocka_unit_test(test_loads_wait_no_longer_than_they_may),
        cmocka_unit_test(test_calls_that_wait_end_with_the_process),
        cmocka_unit_test(test_nothing_of_another_cluster_is_served),
    };

    block_signals();
    /* a failed test leaves its service behind, for which the next one may wait */
    alarm(300);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
