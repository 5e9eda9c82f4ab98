#include "test/unit/t.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/rpc/local_methods.h"
#include "shared/rpc/service.h"

/*
 * Services run in processes of their own (signals, and ends without a return, are part of what is tested);
 * this one stays without threads, so that it may fork.
 */

enum { BODY_MEMORY = 4096, MAX_BODY = 20000, DEADLINE_S = 20 };

static char mark_file[64]; /* what a service's process leaves for the test to see */

static void leave_mark(const char *text)
{
    int fd = open(mark_file, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(90);
    close(fd);
}

/* ---- an auth service that knows tok-NAME, and never answers about tok-mute or /hold ---- */

static void answer_auth(void *ctx UNUSED, struct http_request *request)
{
    const char *token = http_header(request, "Authorization"), *path = http_path(request);
    AUTO_SBUF(out, 1000);
    struct http_field type = { "Content-Type", "application/json" };
    struct http_reply reply = { .status = 200, .field_count = 1, .fields = &type };

    if (strcmp(path, "/hold") == 0 || (token && strcmp(token, "tok-mute") == 0))
        return;
    if (!token) {
        sbuf_adds(&out, "{\"servicename\":\"Authentication Service\"}");
    } else if (strncmp(token, "tok-", 4) == 0) {
        const char *name = strcmp(token, "tok-odd") == 0 ? "bad user!" : token + 4;
        sbuf_addf(&out, "{\"user\":\"%s\",\"customroles\":[\"%s\"]}", name, name);
    } else {
        reply.status = 401;
        sbuf_adds(&out, "{\"error\":{\"message\":\"10020 Invalid token\"}}");
    }
    if (strcmp(path, "/api/V2/me") == 0 && strcmp(token, "tok-broken") == 0) {
        sbuf_reset(&out);
        sbuf_adds(&out, "{\"error\":{\"message\":\"out of order\"}}");
    }
    reply.bytes = sbuf_take(&out, &reply.len);
    http_reply(request, &reply);
}

static struct http_server *open_auth(void)
{
    struct http_server_options options = {
        .address = "127.0.0.1",
        .threads = 1,
        .max_connections = 100,
        .max_header_bytes = 32768,
        .body = { 65536, 65536, "/tmp" },
        .idle_us = 60000000,
        .header_us = 60000000,
        .request_us = 60000000,
    };

    return http_server_new(&options, answer_auth, NULL, NULL);
}

/* ---- the service under test ---- */

struct app {
    struct service *service;
    const char *auth_url;
    bool ready;
};

static int run_again(struct call *call, struct sbuf *ret_result, struct err *err)
{
    if (!call->may_block) {
        sbuf_adds(ret_result, "\"half\"");
        return err_set(err, ERR_AGAIN, "would wait");
    }
    json_put_str(ret_result, "worker");
    return 0;
}

static int run_echo(struct call *call, struct sbuf *ret_result, struct err *err UNUSED)
{
    sbuf_addf(ret_result, "{\"user\":\"%s\",\"worker\":%s,\"text\":", call->user ? call->user : "-",
              call->may_block ? "true" : "false");
    json_put_string(ret_result, call->params[0].text.text);
    sbuf_addc(ret_result, '}');
    return 0;
}

static int run_fail(struct call *call UNUSED, struct sbuf *ret_result UNUSED, struct err *err)
{
    return err_set(err, ERR_ARGUMENT, "no \"such\" luck");
}

static void hold_done(void *ctx, struct http_result *result)
{
    struct err err = ERR_INIT;

    err_set(&err, ERR_TARGET, "the target did not answer: %s", result->problem);
    call_finish(ctx, -ERR_TARGET, NULL, &err);
}

static int run_hold(struct call *call, struct sbuf *ret_result UNUSED, struct err *err UNUSED)
{
    struct app *app = call->app;
    AUTO(free_str_auto) char *url = xasprintf("%shold", app->auth_url);
    struct http_send send = {
        .verb = "POST",
        .url = url,
        .part_count = 1,
        .parts = { call->raw_body },
        .connect_us = 1000000,
        .first_byte_us = 60000000,
        .total_us = 60000000,
        .answer = { 1000, 1000, "/tmp" },
        .done = hold_done,
        .ctx = call,
    };

    http_send(service_client(app->service), &send);
    return CALL_LATER;
}

static void finish_later(struct call *call)
{
    struct sbuf result = SBUF_INIT(100);
    struct err err = ERR_INIT;

    usleep(20000);
    sbuf_adds(&result, "\"later\"");
    call_finish(call, 0, &result, &err);
}

static int run_later(struct call *call, struct sbuf *ret_result UNUSED, struct err *err UNUSED)
{
    call_run_on_worker(call, finish_later);
    return CALL_LATER;
}

static int run_raw(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    struct spool_limits limits = { 1000, 1000, "/tmp" };
    struct spool *spool = spool_new(&limits);

    if (spool_add(spool, "as it is", 8, err) < 0)
        _exit(91);
    call_finish_raw(call, 500, spool, "raw");
    return CALL_LATER;
}

static int run_slow(struct call *call UNUSED, struct sbuf *ret_result, struct err *err UNUSED)
{
    leave_mark("slow ");
    usleep(700000);
    json_put_str(ret_result, "slow");
    return 0;
}

static int run_stuck(struct call *call UNUSED, struct sbuf *ret_result UNUSED, struct err *err UNUSED)
{
    leave_mark("stuck ");
    sleep(60);
    return 0;
}

static int run_nothing(struct call *call UNUSED, struct sbuf *ret_result UNUSED, struct err *err UNUSED)
{
    return 0;
}

static int run_administer(struct call *call, struct sbuf *ret_result, struct err *err)
{
    struct admin_command command;
    int rc = local_admin_check(call, err);

    if (rc == 0)
        rc = admin_command_read(call->body, call->params[0].any, &call->arena, &command, err);
    if (rc == 0)
        rc = local_admin_command(call, &command, ret_result, err);
    return rc;
}

static const struct method rows[] = {
    METHOD_ROW("Workspace", administer, AUTH_REQUIRED, METHOD_WRITE | METHOD_NEEDS_ROLE, ANY, RESULT_LIST,
               run_administer,
               "") METHOD_ROW("Workspace", again, AUTH_NONE, 0, NOTHING, RESULT_LIST, run_again, "")
        METHOD_ROW("Workspace", echo, AUTH_OPTIONAL, 0, STRING, RESULT_LIST, run_echo, "") METHOD_ROW(
            "Workspace", fail, AUTH_NONE, 0, NOTHING, RESULT_LIST, run_fail,
            "") METHOD_ROW("Workspace", get_admin_role, AUTH_REQUIRED, METHOD_NEEDS_ROLE, NOTHING,
                           RESULT_LIST, local_get_admin_role,
                           "") METHOD_ROW("Workspace", hold, AUTH_NONE, 0, NOTHING, RESULT_LIST, run_hold, "")
            METHOD_ROW("Workspace", later, AUTH_NONE, 0, NOTHING, RESULT_LIST, run_later,
                       "") METHOD_ROW("Workspace", null, AUTH_NONE, 0, NOTHING, RESULT_LIST, run_nothing, "")
                METHOD_ROW("Workspace", raw, AUTH_NONE, 0, NOTHING, RESULT_LIST, run_raw, "") METHOD_ROW(
                    "Workspace", refused, AUTH_REQUIRED, 0, NOTHING, RESULT_LIST, run_nothing, "")
                    METHOD_ROW("Workspace", slow, AUTH_NONE, METHOD_WRITE, NOTHING, RESULT_LIST, run_slow, "")
                        METHOD_ROW("Workspace", status, AUTH_NONE, 0, NOTHING, RESULT_LIST, local_status, "")
                            METHOD_ROW("Workspace", stuck, AUTH_NONE, METHOD_WRITE, NOTHING, RESULT_LIST,
                                       run_stuck, "") METHOD_ROW("Workspace", ver, AUTH_NONE, 0, NOTHING,
                                                                 RESULT_LIST, local_ver, "")
                                METHOD_ROW("Workspace", void, AUTH_NONE, 0, NOTHING, RESULT_VOID, run_nothing,
                                           "") METHOD_ROW("Workspace", write, AUTH_REQUIRED, METHOD_WRITE,
                                                          STRING, RESULT_LIST, run_echo, "")
};

static const struct method_table table = { rows, ARRAY_LEN(rows) };

static int admit(struct call *call, struct err *err)
{
    if (strcmp(call->method->name, "Workspace.refused") != 0 && call->hops.count == 0)
        return 0;
    return err_set(err, ERR_LOOP, "marked %zu times", call->hops.count);
}

static bool is_ready(void *ctx, struct sbuf *reasons)
{
    const struct app *app = ctx;

    if (!app->ready)
        json_put_str(reasons, "asleep");
    return app->ready;
}

static void put_status(void *ctx UNUSED, struct sbuf *json)
{
    sbuf_adds(json, ",\"dummy\":true");
}

static bool put_dependencies(void *ctx UNUSED, struct sbuf *json)
{
    sbuf_adds(json, "{\"state\":\"OK\",\"name\":\"Store\",\"message\":\"OK\",\"version\":\"1\"}");
    return true;
}

static void started(void *ctx UNUSED, int port)
{
    leave_mark(port > 0 ? "started " : "no port ");
}

static void draining(void *ctx UNUSED)
{
    leave_mark("draining ");
}

static const struct service_mode mode = {
    .role = "tws",
    .methods = &table,
    .admit = admit,
    .started = started,
    .ready = is_ready,
    .status = put_status,
    .dependencies = put_dependencies,
    .drain = draining,
};

/* ---- a process with a service in it ---- */

struct site {
    char dir[48], ready[80], log[80], tokens[80], url[80];
    struct config config;
    char *full[1];
    char full_name[8];
    bool never_ready;
    pid_t auth_pid, pid;
    int port;
};

static int make_site(void **state)
{
    struct site *site = xcalloc(1, sizeof(*site));

    snprintf(site->dir, sizeof(site->dir), "/tmp/wstyped-service-XXXXXX");
    if (!mkdtemp(site->dir))
        return -1;
    snprintf(site->ready, sizeof(site->ready), "%s/ready", site->dir);
    snprintf(site->log, sizeof(site->log), "%s/log", site->dir);
    snprintf(site->tokens, sizeof(site->tokens), "%s/tokens", site->dir);
    snprintf(mark_file, sizeof(mark_file), "%s/mark", site->dir);
    site->config = (struct config){
        .listen_address = "127.0.0.1",
        .log_file = site->log,
        .temp_dir = site->dir,
        .auth_timeout = 5000000,
        .auth_cache_time = 60000000,
        .auth_cache_size = 100,
        .server_threads = 2,
        .worker_threads = 2,
        .worker_queue = 100,
        .max_connections = 100,
        .max_header_size = 32768,
        .max_body_size = MAX_BODY,
        .body_memory = BODY_MEMORY,
        .max_json_depth = 100,
        .idle_timeout = 30000000,
        .header_timeout = 30000000,
        .request_timeout = 30000000,
        .drain_timeout = 3000000,
        .delegation_max_connections = 16,
        .delegation_queue = 100,
        .role = CONFIG_TWS,
    };
    *state = site;
    return 0;
}

static void stop_process(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static int drop_site(void **state)
{
    static const char *const names[] = { "ready", "log", "tokens", "mark" };
    struct site *site = *state;

    stop_process(site->pid);
    stop_process(site->auth_pid);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", site->dir, names[i]);
        unlink(path);
    }
    rmdir(site->dir);
    free(site);
    return 0;
}

static void use_auth2(struct site *site)
{
    int pipe_fds[2], port = 0;

    assert_int_equal(pipe(pipe_fds), 0);
    site->auth_pid = fork();
    if (site->auth_pid == 0) {
        struct http_server *server = open_auth();
        port = server ? http_server_port(server) : 0;
        if (write(pipe_fds[1], &port, sizeof(port)) < 0)
            _exit(92);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipe_fds[0], &port, sizeof(port)), sizeof(port));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_true(port > 0);
    snprintf(site->url, sizeof(site->url), "http://127.0.0.1:%d/", port);
    site->config.auth2_service_url = site->url;
}

static void use_file(struct site *site, const char *user, const char *token)
{
    char hash[SHA256_HEX + 1];
    FILE *f = fopen(site->tokens, "w");

    assert_non_null(f);
    sha256_hex(slice_str(token), hash);
    assert_true(fprintf(f, "%s admin %s\n", user, hash) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(site->tokens, 0600), 0);
    site->config.auth_tokens_file = site->tokens;
}

static void run_site(struct site *site)
{
    struct err err = ERR_INIT;
    struct app app = { .auth_url = site->url, .ready = !site->never_ready };
    int rc = -1;

    app.service = service_new(&site->config, &err);
    if (app.service) {
        rc = service_run(app.service, &mode, &app, site->ready, &err);
        service_free(app.service);
    }
    if (rc < 0)
        fprintf(stderr, "service: %s\n", err_text(&err));
    err_clear(&err);
    exit(rc < 0 ? 93 : rc);
}

static char *read_text(const char *path)
{
    char buf[65536];
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        return xstrdup("");
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    return xmemdup(buf, n > 0 ? (size_t)n : 0);
}

static bool has_text(const char *path, const char *text)
{
    AUTO(free_str_auto) char *all = read_text(path);

    return strstr(all, text) != NULL;
}

static void wait_text(const char *path, const char *text)
{
    uint64_t until = clock_us() + DEADLINE_S * 1000000ull;

    while (!has_text(path, text)) {
        assert_true(clock_us() < until);
        usleep(5000);
    }
}

static void start_site(struct site *site)
{
    site->pid = fork();
    if (site->pid == 0)
        run_site(site);
    wait_text(site->ready, "}\n");
    AUTO(free_str_auto) char *text = read_text(site->ready);
    char expected[200];
    assert_int_equal(sscanf(text, "{\"url\":\"http://127.0.0.1:%d/\"", &site->port), 1);
    snprintf(expected, sizeof(expected), "{\"url\":\"http://127.0.0.1:%d/\",\"role\":\"tws\",\"pid\":%d}\n",
             site->port, (int)site->pid);
    assert_string_equal(text, expected);
}

static int wait_exit(struct site *site)
{
    uint64_t until = clock_us() + DEADLINE_S * 1000000ull;
    int status;

    while (waitpid(site->pid, &status, WNOHANG) == 0) {
        assert_true(clock_us() < until);
        usleep(5000);
    }
    site->pid = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- a client ---- */

static int send_request(const struct site *site, const char *verb, const char *path, const char *fields,
                        const char *body)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)site->port) };
    struct timeval limit = { DEADLINE_S, 0 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    AUTO_SBUF(text, 1 << 20);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    sbuf_addf(&text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", verb, path, fields);
    if (body)
        sbuf_addf(&text, "Content-Length: %zu\r\n", strlen(body));
    sbuf_addf(&text, "\r\n%s", body ? body : "");
    assert_int_equal(send(fd, text.p, text.len, MSG_NOSIGNAL), (ssize_t)text.len);
    return fd;
}

struct answer {
    char text[65536]; /* head and body */
    int status;
    const char *body;
};

static void read_answer(int fd, struct answer *answer)
{
    size_t len = 0;

    for (ssize_t n; len < sizeof(answer->text) - 1; len += (size_t)n) {
        n = recv(fd, answer->text + len, sizeof(answer->text) - 1 - len, 0);
        if (n <= 0)
            break;
    }
    answer->text[len] = '\0';
    close(fd);
    char *end = strstr(answer->text, "\r\n\r\n");
    assert_non_null(end);
    assert_int_equal(sscanf(answer->text, "HTTP/1.1 %d", &answer->status), 1);
    answer->body = end + 4;
}

static void ask(const struct site *site, const char *verb, const char *path, const char *fields,
                const char *body, struct answer *answer)
{
    read_answer(send_request(site, verb, path, fields, body), answer);
}

static bool has_field(const struct answer *answer, const char *line)
{
    AUTO(free_str_auto) char *with_ends = xasprintf("\r\n%s\r\n", line);

    return strcasestr(answer->text, with_ends) != NULL;
}

#define ERROR(code, message, trace, id) \
    "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":" code ",\"message\":\"" message \
    "\",\"error\":" trace "}" id "}"
#define REFUSED "Token validation failed: "
#define NO_TOKEN REFUSED "Authorization is required for this method but no credentials were provided"
#define NODE_A "0123456789abcdef0123456789abcdef"
#define NODE_B "fedcba9876543210fedcba9876543210"
#define MARK(nodes) "X-Wstyped-Delegation: " NODE_A ";" nodes "\r\n"
#define ALL(text) text, true
#define BEGIN(text) text, false

struct exchange {
    const char *fields, *body;
    int status;
    const char *answer;
    bool whole; /* else only the beginning counts */
};

static void expect_exchanges(const struct site *site, const struct exchange *cases, size_t n)
{
    static struct answer answer;

    for (size_t i = 0; i < n; i++) {
        ask(site, "POST", "/any/path?x=1", cases[i].fields, cases[i].body, &answer);
        if (cases[i].whole)
            assert_string_equal(answer.body, cases[i].answer);
        else
            assert_memory_equal(answer.body, cases[i].answer, strlen(cases[i].answer));
        assert_int_equal(answer.status, cases[i].status);
        assert_true(has_field(&answer, "Content-Type: application/json"));
        assert_true(has_field(&answer, "Access-Control-Allow-Origin: *"));
        assert_true(has_field(&answer, "Access-Control-Allow-Headers: authorization"));
    }
}

/* ---- the tests ---- */

static const struct exchange order_of_checks[] = {
    { "", "{\"method\":\"ver\",\"params\":[]}", 200, ALL("{\"version\":\"1.1\",\"result\":[\"0.15.0\"]}") },
    { "", "{\"method\":\"Workspace.void\",\"params\":[],\"id\":\"1\"}", 200,
      ALL("{\"version\":\"1.1\",\"result\":null}") },
    { "", "{\"method\":\"null\",\"params\":[]}", 200, ALL("{\"version\":\"1.1\",\"result\":[null]}") },
    { "", "{\"method\":\"again\",\"params\":[]}", 200, ALL("{\"version\":\"1.1\",\"result\":[\"worker\"]}") },
    { "", "{\"method\":\"later\",\"params\":[]}", 200, ALL("{\"version\":\"1.1\",\"result\":[\"later\"]}") },
    { "", "{\"method\":\"raw\",\"params\":[]}", 500, ALL("as it is") },
    { "", "{\"method\":\"fail\",\"params\":[],\"id\":7}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":\"no "
            "\\\"such\\\" "
            "luck\",\"error\":\"argument: no \\\"such\\\" luck") },
    /* no id before the body is parsed, no trace where upstream has none */
    { "", "{", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32700,\"message\":"
            "\"Parse error (") },
    { "", "", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32400,\"message\":"
            "\"Unexpected internal "
            "error (") },
    { "", "{\"params\":[],\"id\":\"x\"}", 500,
      ALL(ERROR("-32601", "JSON RPC method property is not defined", "null", ",\"id\":\"x\"")) },
    { "Authorization: bad\r\n", "{\"method\":\"nope\",\"params\":[1,2]}", 500,
      ALL(ERROR("-32601",
                "Can not find method [Workspace.nope] in server class us.kbase.workspace.WorkspaceServer",
                "null", "")) },
    /* the mode's own refusal comes before the token */
    { "", "{\"method\":\"refused\",\"params\":[],\"id\":1}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
            "\"marked 0 times\"") },
    /* token before the number of parameters */
    { "", "{\"method\":\"write\",\"params\":[1,2]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32400,\"message\":"
            "\"" NO_TOKEN "\",\"error\":\"auth: ") },
    { "Authorization:\r\n", "{\"method\":\"echo\",\"params\":[1,2]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32400,\"message\":"
            "\"" NO_TOKEN "\"") },
    { "Authorization: bad\r\n", "{\"method\":\"echo\",\"params\":[1,2]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32400,\"message\":"
            "\"" REFUSED "Auth service returned an error: 10020 Invalid token\"") },
    { "Authorization: bad\r\n", "{\"method\":\"ver\",\"params\":[]}", 200,
      ALL("{\"version\":\"1.1\",\"result\":[\"0.15.0\"]}") },
    { "AUTHORIZATION: tok-ann\r\n", "{\"method\":\"write\",\"params\":[1,2],\"id\":\"q\"}", 500,
      ALL(ERROR("-32602", "Wrong parameter count for method Workspace.write", "null", ",\"id\":\"q\"")) },
    { "Authorization: tok-odd\r\n", "{\"method\":\"echo\",\"params\":[{}]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32602,\"message\":"
            "\"Wrong type of parameter 0") },
    { "Authorization: tok-odd\r\n", "{\"method\":\"echo\",\"params\":[\"x\"]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
            "\"Illegal character in user "
            "name bad user!:  \"") },
    { "Authorization: tok-ann\r\n", "{\"method\":\"write\",\"params\":[\"x\"]}", 200,
      ALL("{\"version\":\"1.1\",\"result\":[{\"user\":\"ann\",\"worker\":true,\"text\":\"x\"}]}") },
    { "", "{\"method\":\"echo\",\"params\":[\"x\"]}", 200,
      ALL("{\"version\":\"1.1\",\"result\":[{\"user\":\"-\",\"worker\":false,\"text\":\"x\"}]}") },
    /* after waiting for the auth service on a worker, from the cache at once */
    { "Authorization: tok-bob\r\n", "{\"method\":\"echo\",\"params\":[\"x\"]}", 200,
      ALL("{\"version\":\"1.1\",\"result\":[{\"user\":\"bob\",\"worker\":true,\"text\":\"x\"}]}") },
    { "Authorization: tok-bob\r\n", "{\"method\":\"echo\",\"params\":[\"x\"]}", 200,
      ALL("{\"version\":\"1.1\",\"result\":[{\"user\":\"bob\",\"worker\":false,\"text\":\"x\"}]}") },
    /* the delegation mark: header, body, both, malformed */
    { MARK(NODE_A), "{\"method\":\"ver\",\"params\":[]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
            "\"marked 1 times\"") },
    { MARK(NODE_A),
      "{\"method\":\"ver\",\"params\":[],\"context\":{\"wstyped\":{\"cluster\":\"" NODE_A
      "\",\"nodes\":[\"" NODE_B "\",\"" NODE_A "\"]}}}",
      500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
            "\"marked 2 times\"") },
    { "X-Wstyped-Delegation: x\r\n", "{\"method\":\"ver\",\"params\":[]}", 500,
      BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32700") },
};

static void calls_are_checked_in_order(void **state)
{
    struct site *site = *state;

    use_auth2(site);
    start_site(site);
    expect_exchanges(site, order_of_checks, ARRAY_LEN(order_of_checks));
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
    assert_true(has_text(mark_file, "started draining "));
    assert_false(has_text(site->log, "tok-"));
}

static void roles_are_known_before_a_method_runs(void **state)
{
    static const struct exchange cases[] = {
        { "Authorization: tok-boss\r\n", "{\"method\":\"get_admin_role\",\"params\":[]}", 200,
          ALL("{\"version\":\"1.1\",\"result\":[{\"adminrole\":\"full\"}]}") },
        { "Authorization: tok-boss\r\n", "{\"method\":\"get_admin_role\",\"params\":[]}", 200,
          ALL("{\"version\":\"1.1\",\"result\":[{\"adminrole\":\"full\"}]}") },
        { "Authorization: tok-odd\r\n", "{\"method\":\"get_admin_role\",\"params\":[]}", 200,
          ALL("{\"version\":\"1.1\",\"result\":[{\"adminrole\":\"none\"}]}") },
        { "Authorization: tok-odd\r\n", "{\"method\":\"administer\",\"params\":[7]}", 500,
          BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
                "\"User bad user! is not an "
                "admin\",\"error\":\"privilege: User bad user! is not an admin\\n\\tat "
                "TypeDefinitionDB.administer") },
        { "Authorization: tok-broken\r\n", "{\"method\":\"administer\",\"params\":[7]}", 500,
          BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
                "\"KBase authentication "
                "service reported an error: out of order\"") },
        { "Authorization: tok-boss\r\n",
          "{\"method\":\"administer\",\"params\":[{\"command\":\"listAdmins\"}]}", 500,
          BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
                "\"This operation is delegated "
                "to the KBase Authentication service\"") },
    };
    struct site *site = *state;

    use_auth2(site);
    snprintf(site->full_name, sizeof(site->full_name), "boss");
    site->full[0] = site->full_name;
    site->config.auth2_ws_admin_full_roles = (struct config_list){ 1, site->full };
    start_site(site);
    expect_exchanges(site, cases, ARRAY_LEN(cases));
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
}

static void admins_of_a_file_can_be_listed(void **state)
{
    static const struct exchange cases[] = {
        { "Authorization: secret\r\n",
          "{\"method\":\"administer\",\"params\":[{\"command\":\"listAdmins\"}]}", 200,
          ALL("{\"version\":\"1.1\",\"result\":[[\"ann\"]]}") },
        { "Authorization: secret\r\n",
          "{\"method\":\"administer\",\"params\":[{\"command\":\"addAdmin\",\"user\":\"x\"}]}", 500,
          BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":"
                "\"Administrators "
                "cannot be changed by a call") },
        { "Authorization: secret\r\n", "{\"method\":\"administer\",\"params\":[{\"command\":\"other\"}]}",
          500,
          BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":\"I "
                "don't know how to process the command: other\"") },
    };
    static const struct exchange after[] = {
        { "Authorization: secret\r\n", "{\"method\":\"echo\",\"params\":[\"x\"]}", 500,
          BEGIN("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32400") },
        { "Authorization: fresh\r\n", "{\"method\":\"echo\",\"params\":[\"x\"]}", 200,
          ALL("{\"version\":\"1.1\",\"result\":[{\"user\":\"bob\",\"worker\":false,\"text\":\"x\"}]}") },
    };
    struct site *site = *state;

    use_file(site, "ann", "secret");
    start_site(site);
    expect_exchanges(site, cases, ARRAY_LEN(cases));
    use_file(site, "bob", "fresh");
    kill(site->pid, SIGHUP);
    wait_text(site->log, "service.reloaded");
    expect_exchanges(site, after, ARRAY_LEN(after));
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
    assert_false(has_text(site->log, "secret"));
}

static void large_bodies_go_to_a_worker_too_large_ones_nowhere(void **state)
{
    struct site *site = *state;
    static struct answer answer;
    AUTO_SBUF(body, 1 << 20);

    use_file(site, "ann", "secret");
    start_site(site);
    sbuf_adds(&body, "{\"method\":\"echo\",\"params\":[\"");
    while (body.len < BODY_MEMORY * 2)
        sbuf_addc(&body, 'x');
    sbuf_adds(&body, "\"]}");
    ask(site, "POST", "/", "", body.p, &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "\"worker\":true"));
    while (body.len <= MAX_BODY)
        sbuf_addc(&body, ' ');
    ask(site, "POST", "/", "", body.p, &answer);
    assert_int_equal(answer.status, 500);
    assert_string_equal(answer.body,
                        ERROR("-32700", "Object is too big, length is more than 20000 bytes", "null", ""));
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
}

static void other_verbs_and_pages(void **state)
{
    static const struct {
        const char *verb, *path, *fields;
        int status;
        const char *answer;
        const char *field;
    } cases[] = {
        { "GET", "/live", "", 200, "{\"live\":true}", "Content-Type: application/json" },
        { "GET", "/ready?x", "", 200, "{\"ready\":true}", "Content-Type: application/json" },
        { "GET", "/", "", 500, ERROR("-32300", "HTTP GET not allowed.", "null", ""),
          "Content-Type: application/json" },
        { "GET", "/live/", "", 500, ERROR("-32300", "HTTP GET not allowed.", "null", ""),
          "Content-Type: application/json" },
        { "HEAD", "/", "", 500, "", "Content-Type: application/json" },
        { "OPTIONS", "/x", "", 200, "", "Content-Length: 0" },
        { "OPTIONS", "/x", "", 200, "", "Content-Type: application/json" },
        { "OPTIONS", "/x", "", 200, "", "Access-Control-Allow-Headers: authorization" },
        { "OPTIONS", "/x", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS: x-a, x-b\r\n", 200, "",
          "Access-Control-Allow-Headers: x-a, x-b" },
        { "OPTIONS", "/x", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS: \r\n", 200, "",
          "Access-Control-Allow-Headers: authorization" },
    };
    struct site *site = *state;
    static struct answer answer;

    use_file(site, "ann", "secret");
    start_site(site);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ask(site, cases[i].verb, cases[i].path, cases[i].fields, NULL, &answer);
        assert_string_equal(answer.body, cases[i].answer);
        assert_int_equal(answer.status, cases[i].status);
        assert_true(has_field(&answer, cases[i].field));
        assert_int_equal(strstr(answer.text, "Access-Control") != NULL,
                         strcmp(cases[i].verb, "OPTIONS") == 0);
    }
    ask(site, "PUT", "/", "", "x", &answer);
    assert_int_equal(answer.status, 405);
    assert_true(has_field(&answer, "Content-Type: text/html"));
    ask(site, "GET", "/status", "", NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_memory_equal(answer.body, "{\"role\":\"tws\",\"node\":\"", 22);
    assert_non_null(strstr(answer.body, ",\"auth\":{\"kind\":\"tokens-file\",\"entries\":1,"));
    assert_non_null(strstr(answer.body, "},\"dummy\":true}"));
    ask(site, "POST", "/", "", "{\"method\":\"status\",\"params\":[]}", &answer);
    assert_memory_equal(
        answer.body,
        "{\"version\":\"1.1\",\"result\":[{\"state\":\"OK\",\"message\":\"OK\",\"dependencies\":[{\"state\":",
        strlen("{\"version\":\"1.1\",\"result\":[{\"state\":\"OK\",\"message\":\"OK\",\"dependencies\":[{"
               "\"state\":"));
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
}

static void one_line_is_logged_per_call(void **state)
{
    struct site *site = *state;
    static struct answer answer;

    use_file(site, "ann", "secret");
    start_site(site);
    ask(site, "POST", "/", "Authorization: secret\r\nX-Forwarded-For:  10.1.2.3 , 10.9.9.9\r\n",
        "{\"method\":\"write\",\"params\":[\"x\"],\"id\":\"r1\"}", &answer);
    ask(site, "POST", "/", "X-Forwarded-For: \r\nX-Real-IP: 10.4.4.4\r\n",
        "{\"method\":\"nope nope\",\"params\":[]}", &answer);
    ask(site, "POST", "/", "", "{\"method\":\"fail\",\"params\":[]}", &answer);
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
    assert_true(has_text(site->log, "ip=10.1.2.3 user=ann method=Workspace.write rpc_id=r1 outcome=ok us="));
    assert_true(has_text(site->log, " forwarded_for=\"10.1.2.3 , 10.9.9.9\""));
    assert_true(has_text(site->log, "ip=10.4.4.4 user=- method=- outcome=method code=-32601 us="));
    assert_false(has_text(site->log, "forwarded_for=\"\""));
    assert_true(
        has_text(site->log, "ip=127.0.0.1 user=- method=Workspace.fail outcome=argument code=-32500 us="));
    assert_false(has_text(site->log, "secret"));
    assert_false(has_text(site->log, "nope"));
    assert_false(has_text(site->log, "luck"));
}

static void a_drain_answers_what_runs(void **state)
{
    struct site *site = *state;
    static struct answer answer;

    use_file(site, "ann", "secret");
    start_site(site);
    int fd = send_request(site, "POST", "/", "", "{\"method\":\"slow\",\"params\":[]}");
    wait_text(mark_file, "slow");
    kill(site->pid, SIGTERM);
    read_answer(fd, &answer);
    assert_string_equal(answer.body, "{\"version\":\"1.1\",\"result\":[\"slow\"]}");
    assert_int_equal(wait_exit(site), 0);
}

#define STOPPING ERROR("-32603", "The server is shutting down", "null", "")

static void a_drain_ends_what_waits_for_the_network(void **state)
{
    struct site *site = *state;
    static struct answer answer;

    use_auth2(site);
    site->config.drain_timeout = 300000;
    site->config.auth_timeout = 60000000;
    start_site(site);
    int waits_for_token = send_request(site, "POST", "/", "Authorization: tok-mute\r\n",
                                       "{\"method\":\"echo\",\"params\":[\"x\"]}");
    int waits_for_target = send_request(site, "POST", "/", "", "{\"method\":\"hold\",\"params\":[]}");
    usleep(200000);
    uint64_t start = clock_us();
    kill(site->pid, SIGTERM);
    read_answer(waits_for_token, &answer);
    assert_string_equal(answer.body, STOPPING);
    read_answer(waits_for_target, &answer);
    assert_string_equal(answer.body, STOPPING);
    assert_int_equal(wait_exit(site), 0);
    assert_true(clock_us() - start < 5000000);
}

static void a_drain_leaves_what_is_stuck(void **state)
{
    struct site *site = *state;

    use_file(site, "ann", "secret");
    site->config.drain_timeout = 200000;
    start_site(site);
    int fd = send_request(site, "POST", "/", "", "{\"method\":\"stuck\",\"params\":[]}");
    wait_text(mark_file, "stuck");
    uint64_t start = clock_us();
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
    assert_true(clock_us() - start < 8000000);
    assert_true(has_text(site->log, "service.abandoned"));
    close(fd);
}

static void the_ready_file_waits_for_readiness(void **state)
{
    struct site *site = *state;

    use_file(site, "ann", "secret");
    site->never_ready = true;
    site->pid = fork();
    if (site->pid == 0)
        run_site(site);
    wait_text(mark_file, "started");
    usleep(100000);
    assert_int_equal(access(site->ready, F_OK), -1);
    kill(site->pid, SIGINT);
    assert_int_equal(wait_exit(site), 0);
    assert_int_equal(access(site->ready, F_OK), -1);
}

static void a_wrong_start_is_an_error(void **state)
{
    struct site *site = *state;

    use_file(site, "ann", "secret");
    start_site(site);
    site->config.port = site->port;
    pid_t pid = fork();
    if (pid == 0) {
        site->config.log_file = NULL;
        if (!freopen("/dev/null", "w", stderr))
            _exit(94);
        run_site(site);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 93);
    kill(site->pid, SIGTERM);
    assert_int_equal(wait_exit(site), 0);
}

#define SITE_TEST(name) cmocka_unit_test_setup_teardown(name, make_site, drop_site)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SITE_TEST(calls_are_checked_in_order),
        SITE_TEST(roles_are_known_before_a_method_runs),
        SITE_TEST(admins_of_a_file_can_be_listed),
        SITE_TEST(large_bodies_go_to_a_worker_too_large_ones_nowhere),
        SITE_TEST(other_verbs_and_pages),
        SITE_TEST(one_line_is_logged_per_call),
        SITE_TEST(a_drain_answers_what_runs),
        SITE_TEST(a_drain_ends_what_waits_for_the_network),
        SITE_TEST(a_drain_leaves_what_is_stuck),
        SITE_TEST(the_ready_file_waits_for_readiness),
        SITE_TEST(a_wrong_start_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
