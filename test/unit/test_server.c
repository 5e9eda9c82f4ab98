#include "test/unit/t.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/net/server.h"

/* --- a handler whose paths do different things --- */

struct later {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct http_request *waiting[1024];
    size_t count;
    bool held, stopping;
    pthread_t threads[2];
};

struct fixture {
    struct later later;
    atomic_size_t handled;
};

static void reply_bytes(struct http_request *request, int status, char *bytes, size_t n)
{
    const struct http_field fields[] = { { "Content-Type", "application/json" }, { "X-Extra", "yes" } };
    struct http_reply reply = {
        .status = status, .field_count = 2, .fields = fields, .bytes = bytes, .len = n
    };

    http_reply(request, &reply);
    assert_null(reply.bytes);
}

static void reply_echo(struct http_request *request, int status)
{
    const char *why = "";
    struct slice bytes = SLICE("");
    char *copy;

    if (http_body_too_big(request)) {
        assert_null(http_body(request));
        bytes = SLICE("too big");
    } else if (http_body_failed(request, &why)) {
        assert_null(http_body(request));
        bytes = slice_str(why);
    } else {
        assert_int_equal(spool_bytes(http_body(request), &bytes, NULL), 0);
    }
    copy = xmemdup(bytes.p, bytes.n);
    reply_bytes(request, status, copy, bytes.n);
}

static void reply_info(struct http_request *request)
{
    static const char *const verbs[] = { "GET", "HEAD", "POST", "OPTIONS", "OTHER" };
    const char *value = http_header(request, "x-TEST");
    char *text =
        xasprintf("%s %s %s %s %s", verbs[http_verb(request)], http_path(request), http_peer(request),
                  value ? value : "-", clock_us() - http_started_us(request) < 60000000 ? "now" : "?");

    reply_bytes(request, 200, text, strlen(text));
}

/* The body comes back 1000 times, in memory up to 1 MB and else in a file. */
static void reply_big(struct http_request *request)
{
    struct spool_limits limits = { 1 << 20, (size_t)1 << 30, "/tmp" };
    struct http_reply reply = { .status = 200, .spool = spool_new(&limits) };
    struct slice bytes;

    assert_int_equal(spool_bytes(http_body(request), &bytes, NULL), 0);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(spool_add(reply.spool, bytes.p, bytes.n, NULL), 0);
    http_reply(request, &reply);
}

static void *later_main(void *arg)
{
    struct later *later = arg;

    pthread_mutex_lock(&later->mutex);
    for (;;) {
        while (!later->stopping && (later->count == 0 || later->held))
            pthread_cond_wait(&later->changed, &later->mutex);
        if (later->count == 0)
            break;
        struct http_request *request = later->waiting[--later->count];
        pthread_mutex_unlock(&later->mutex);
        reply_echo(request, 200);
        pthread_mutex_lock(&later->mutex);
    }
    pthread_mutex_unlock(&later->mutex);
    return NULL;
}

static void reply_later(struct later *later, struct http_request *request)
{
    pthread_mutex_lock(&later->mutex);
    assert_true(later->count < ARRAY_LEN(later->waiting));
    later->waiting[later->count++] = request;
    pthread_cond_signal(&later->changed);
    pthread_mutex_unlock(&later->mutex);
}

static void handle(void *ctx, struct http_request *request)
{
    struct fixture *fixture = ctx;
    const char *path = http_path(request);

    atomic_fetch_add(&fixture->handled, 1);
    if (strcmp(path, "/later") == 0)
        reply_later(&fixture->later, request);
    else if (strcmp(path, "/big") == 0)
        reply_big(request);
    else if (strcmp(path, "/echo") == 0)
        reply_echo(request, 500);
    else if (strcmp(path, "/empty") == 0)
        http_reply(request, &(struct http_reply){ .status = 200 });
    else
        reply_info(request);
}

static void later_start(struct fixture *fixture)
{
    struct later *later = &fixture->later;

    *fixture = (struct fixture){
        .later = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, { NULL }, 0, false, false, { 0 } }
    };
    for (size_t i = 0; i < ARRAY_LEN(later->threads); i++)
        assert_int_equal(pthread_create(&later->threads[i], NULL, later_main, later), 0);
}

static void later_hold(struct later *later, bool held)
{
    pthread_mutex_lock(&later->mutex);
    later->held = held;
    pthread_cond_broadcast(&later->changed);
    pthread_mutex_unlock(&later->mutex);
}

static void later_stop(struct fixture *fixture)
{
    struct later *later = &fixture->later;

    pthread_mutex_lock(&later->mutex);
    later->stopping = true;
    pthread_cond_broadcast(&later->changed);
    pthread_mutex_unlock(&later->mutex);
    for (size_t i = 0; i < ARRAY_LEN(later->threads); i++)
        pthread_join(later->threads[i], NULL);
}

static struct http_server_options defaults(void)
{
    return (struct http_server_options){
        .address = "127.0.0.1",
        .threads = 2,
        .max_connections = 100,
        .max_header_bytes = 32768,
        .body = { 1 << 20, 8 << 20, "/tmp" },
        .idle_us = 10000000,
        .header_us = 10000000,
        .request_us = 60000000,
    };
}

static struct http_server *start(struct fixture *fixture, const struct http_server_options *options)
{
    AUTO_ERR(err);
    struct http_server *server;

    later_start(fixture);
    server = http_server_new(options, handle, fixture, &err);
    assert_string_equal(err_text(&err), "");
    assert_non_null(server);
    return server;
}

static void stop(struct fixture *fixture, struct http_server *server)
{
    later_stop(fixture);
    http_server_free(server);
}

/* --- a client of plain sockets --- */

static int dial(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { 20, 0 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void say(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);
        assert_true(done > 0);
        bytes += done;
        n -= (size_t)done;
    }
}

static void says(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

/* False at the end or a break of the connection. */
static bool hear_more(int fd, struct sbuf *in)
{
    char buf[16384];
    ssize_t n = recv(fd, buf, sizeof(buf), 0);

    if (n > 0)
        sbuf_add(in, buf, (size_t)n);
    return n > 0;
}

/* One answer with Content-Length, taken off the front of `in`; *ret_head and *ret_body are new strings. */
static bool hear(int fd, struct sbuf *in, bool no_body, char **ret_head, struct slice *ret_body)
{
    const char *end;
    size_t head, body = 0;

    while (!in->p || !(end = strstr(in->p, "\r\n\r\n"))) {
        if (!hear_more(fd, in))
            return false;
    }
    head = (size_t)(end - in->p) + 4;
    *ret_head = xmemdup(in->p, head);
    const char *length = strcasestr(*ret_head, "\r\nContent-Length: ");
    if (length && !no_body)
        body = strtoul(length + 18, NULL, 10);
    while (in->len < head + body)
        assert_true(hear_more(fd, in));
    *ret_body = slice_of(xmemdup(in->p + head, body), body);
    memmove(in->p, in->p + head + body, in->len - head - body);
    in->len -= head + body;
    in->p[in->len] = '\0';
    return true;
}

static void expect(int fd, struct sbuf *in, const char *status, const char *body)
{
    char *head = NULL;
    struct slice got = SLICE("");

    assert_true(hear(fd, in, false, &head, &got));
    assert_memory_equal(head + 9, status, strlen(status));
    assert_string_equal(got.p, body);
    free(head);
    free((void *)(uintptr_t)got.p);
}

/* Sends, and compares status and body of the only answer. */
static void ask(int port, const char *request, const char *status, const char *body)
{
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    int fd = dial(port);

    assert_true(fd >= 0);
    says(fd, request);
    expect(fd, &in, status, body);
    close(fd);
}

static bool ended(int fd, uint64_t within_us)
{
    struct pollfd poll_fd = { fd, POLLIN, 0 };
    char byte;

    return poll(&poll_fd, 1, (int)(within_us / 1000)) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

/* --- tests --- */

static void verbs_paths_and_headers(void **state)
{
    static const struct {
        const char *request, *body;
    } cases[] = {
        { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / 127.0.0.1 - now" },
        { "GET /a/b%20c?query=1 HTTP/1.1\r\nHost: x\r\nX-Test: one\r\nx-test: two\r\n\r\n",
          "GET /a/b c 127.0.0.1 one now" },
        { "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-TEST: v\r\n\r\nab",
          "POST /p 127.0.0.1 v now" },
        { "POST http://host:99/p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
          "POST /p 127.0.0.1 - now" },
        { "POST http://host HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "POST / 127.0.0.1 - now" },
        { "OPTIONS /o HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS /o 127.0.0.1 - now" },
        { "PUT /o HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", "OTHER /o 127.0.0.1 - now" },
        { "DELETE /o HTTP/1.1\r\nHost: x\r\n\r\n", "OTHER /o 127.0.0.1 - now" },
        { "get / HTTP/1.1\r\nHost: x\r\n\r\n", "OTHER / 127.0.0.1 - now" },
        { "GET / HTTP/1.0\r\n\r\n", "GET / 127.0.0.1 - now" },
    };
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ask(http_server_port(server), cases[i].request, "200", cases[i].body);
    stop(&fixture, server);
}

static void the_answers_head_is_what_was_asked_for(void **state)
{
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "HEAD /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    };
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AUTO_SBUF(in, SBUF_NO_LIMIT);
        int fd = dial(http_server_port(server));
        char *head = NULL;
        struct slice body = SLICE("");
        size_t lines = 0;

        says(fd, requests[i]);
        assert_true(hear(fd, &in, i == 1, &head, &body));
        assert_non_null(strstr(head, "HTTP/1.1 500 Internal Server Error\r\n"));
        assert_non_null(strstr(head, "\r\nContent-Type: application/json\r\n"));
        assert_non_null(strstr(head, "\r\nX-Extra: yes\r\n"));
        assert_non_null(strstr(head, "\r\nContent-Length: 5\r\n"));
        assert_non_null(strstr(head, "\r\nDate: "));
        for (const char *p = head; (p = strstr(p, "\r\n")); p += 2)
            lines++;
        assert_int_equal(lines, 6);
        assert_string_equal(body.p, i == 1 ? "" : "hello");
        free(head);
        free((void *)(uintptr_t)body.p);
        shutdown(fd, SHUT_WR);
        assert_true(ended(fd, 5000000));
        close(fd);
    }
    ask(http_server_port(server), "OPTIONS /empty HTTP/1.1\r\nHost: x\r\n\r\n", "200", "");
    stop(&fixture, server);
}

static void bodies_come_whole(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);
    int port = http_server_port(server);

    (void)state;
    ask(port,
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        "500", "abcde");
    ask(port, "POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "200", "a");
    ask(port, "POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nxyz", "500", "xyz");
    ask(port, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "500", "");
    ask(port, "POST /later HTTP/1.1\r\nHost: x\r\n\r\n", "200", "");

    AUTO_SBUF(in, SBUF_NO_LIMIT);
    int fd = dial(port);
    says(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect(fd, &in, "100", "");
    says(fd, "xyz");
    expect(fd, &in, "500", "xyz");
    close(fd);
    stop(&fixture, server);
}

static void big_bodies_go_through_files(void **state)
{
    static const size_t sizes[] = { 100, 1048, 1049, 8000 };
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);

    (void)state;
    options.body.memory = 4000;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        AUTO_SBUF(in, SBUF_NO_LIMIT);
        int fd = dial(http_server_port(server));
        char *head = NULL, *text = xmalloc(sizes[i]);
        char line[100];
        struct slice body = SLICE("");

        for (size_t j = 0; j < sizes[i]; j++)
            text[j] = (char)('a' + j % 26);
        snprintf(line, sizeof(line), "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 sizes[i]);
        says(fd, line);
        say(fd, text, sizes[i]);
        assert_true(hear(fd, &in, false, &head, &body));
        assert_int_equal(body.n, sizes[i] * 1000);
        for (size_t j = 0; j < body.n; j += sizes[i])
            assert_memory_equal(body.p + j, text, sizes[i]);
        free(head);
        free((void *)(uintptr_t)body.p);
        free(text);
        close(fd);
    }
    stop(&fixture, server);
}

static void send_body(int fd, size_t n)
{
    static char zeros[65536];

    for (; n > 0; n -= n < sizeof(zeros) ? n : sizeof(zeros))
        say(fd, zeros, n < sizeof(zeros) ? n : sizeof(zeros));
}

static void too_big_and_unstorable_bodies_are_read_and_told(void **state)
{
    static const struct {
        const char *dir;
        size_t size;
        bool chunked;
        const char *body;
    } cases[] = {
        { "/tmp", 3 << 20, false, "too big" },
        { "/tmp", 3 << 20, true, "too big" },
        { "/nowhere", 1 << 20, false,
          "cannot make a file in the temporary directory: No such file or directory" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture fixture;
        struct http_server_options options = defaults();
        AUTO_SBUF(in, SBUF_NO_LIMIT);
        char line[100];

        options.body = (struct spool_limits){ 10000, 2 << 20, cases[i].dir };
        struct http_server *server = start(&fixture, &options);
        int fd = dial(http_server_port(server));
        if (cases[i].chunked)
            snprintf(line, sizeof(line), "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", cases[i].size);
        else
            snprintf(line, sizeof(line), "Content-Length: %zu\r\n\r\n", cases[i].size);
        says(fd, "POST /echo HTTP/1.1\r\nHost: x\r\n");
        says(fd, line);
        send_body(fd, cases[i].size);
        if (cases[i].chunked)
            says(fd, "\r\n0\r\n\r\n");
        expect(fd, &in, "500", cases[i].body);
        says(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
        expect(fd, &in, "500", "ok");
        close(fd);
        stop(&fixture, server);
    }
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    int fd = dial(http_server_port(server));
    char text[16];

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "n%d", i);
        sbuf_addf(&out, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                  i % 2 ? "later" : "echo", strlen(text), text);
    }
    say(fd, out.p, out.len);
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "n%d", i);
        expect(fd, &in, i % 2 ? "200" : "500", text);
    }
    close(fd);
    stop(&fixture, server);
}

static void *hammer(void *arg)
{
    int port = *(const int *)arg;
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    int fd = dial(port);

    for (int i = 0; i < 300; i++) {
        says(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
        expect(fd, &in, "200", "body");
    }
    close(fd);
    return NULL;
}

static void replies_from_other_threads(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);
    int port = http_server_port(server);
    pthread_t threads[6];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &port), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&fixture.handled), 1800);
    stop(&fixture, server);
}

static void wait_active(struct http_server *server, size_t n)
{
    for (int i = 0; i < 1000 && http_server_active(server) != n; i++)
        usleep(10000);
    assert_int_equal(http_server_active(server), n);
}

static void clients_may_leave(void **state)
{
    static const char *const requests[] = {
        "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\nbody",
        "POST /later HTTP/1.1\r\nHo",
    };
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);

    (void)state;
    later_hold(&fixture.later, true);
    for (size_t i = 0; i < 30; i++) {
        int fd = dial(http_server_port(server));
        struct linger linger = { 1, 0 };
        says(fd, requests[i % 3]);
        if (i % 3 == 0)
            wait_active(server, i / 3 + 1);
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(fd);
    }
    wait_active(server, 10);
    later_hold(&fixture.later, false);
    wait_active(server, 0);
    ask(http_server_port(server), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok", "500",
        "ok");
    stop(&fixture, server);
}

static void a_head_has_a_limit(void **state)
{
    static const struct {
        size_t size;
        const char *status;
    } cases[] = { { 1000, "200" }, { 30000, "200" }, { 70000, "431" } };
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = dial(http_server_port(server));
        AUTO_SBUF(in, SBUF_NO_LIMIT);
        AUTO_SBUF(out, SBUF_NO_LIMIT);
        char *head = NULL;
        struct slice body = SLICE("");

        sbuf_adds(&out, "GET /i HTTP/1.1\r\nHost: x\r\nX-Long: ");
        while (out.len < cases[i].size - 4)
            sbuf_addc(&out, 'a');
        sbuf_adds(&out, "\r\n\r\n");
        send(fd, out.p, out.len, MSG_NOSIGNAL);
        assert_true(hear(fd, &in, true, &head, &body));
        assert_memory_equal(head + 9, cases[i].status, 3);
        free(head);
        free((void *)(uintptr_t)body.p);
        close(fd);
    }
    stop(&fixture, server);
}

static void slow_clients_are_cut(void **state)
{
    static const struct {
        const char *start, *drip; /* drip: what comes every 50 ms */
        uint64_t idle_us, header_us, request_us;
        uint64_t at_least_us, at_most_us;
    } cases[] = {
        { "", "", 5000000, 300000, 5000000, 250000, 2500000 },
        { "GET / HTTP/1.1\r\nX: ", "x", 5000000, 300000, 5000000, 250000, 2500000 },
        { "", "G", 5000000, 300000, 5000000, 250000, 2500000 },
        { "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", "x", 5000000, 300000, 400000, 350000,
          2500000 },
        { "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n", "", 1000000, 5000000, 5000000, 900000, 4000000 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture fixture;
        struct http_server_options options = defaults();
        uint64_t before, took;

        options.idle_us = cases[i].idle_us;
        options.header_us = cases[i].header_us;
        options.request_us = cases[i].request_us;
        struct http_server *server = start(&fixture, &options);
        int fd = dial(http_server_port(server));
        before = clock_us();
        says(fd, cases[i].start);
        while (!ended(fd, 50000) && clock_us() - before < 10000000)
            send(fd, cases[i].drip, strlen(cases[i].drip), MSG_NOSIGNAL);
        took = clock_us() - before;
        assert_in_range(took, cases[i].at_least_us, cases[i].at_most_us);
        assert_int_equal(atomic_load(&fixture.handled), 0);
        close(fd);
        stop(&fixture, server);
    }
}

static void a_slow_reader_is_cut(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    struct http_server *server;
    int fd;

    (void)state;
    options.request_us = 500000;
    server = start(&fixture, &options);
    fd = dial(http_server_port(server));
    says(fd, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 32000\r\n\r\n");
    send_body(fd, 32000);
    wait_active(server, 1);
    wait_active(server, 0);
    while (hear_more(fd, &in))
        ;
    assert_true(in.len < 32000000);
    close(fd);
    stop(&fixture, server);
}

static void waiting_for_the_answer_is_not_idleness(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    struct http_server *server;
    int fd;

    (void)state;
    options.idle_us = 1000000;
    options.header_us = 300000;
    server = start(&fixture, &options);
    later_hold(&fixture.later, true);
    fd = dial(http_server_port(server));
    says(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    assert_false(ended(fd, 2500000));
    later_hold(&fixture.later, false);
    expect(fd, &in, "200", "ok");
    assert_false(ended(fd, 500000));
    assert_true(ended(fd, 3000000));
    close(fd);
    stop(&fixture, server);
}

static void connections_over_the_limit_are_closed(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server;
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    int fds[6];

    (void)state;
    options.max_connections = 5;
    server = start(&fixture, &options);
    for (size_t i = 0; i < 5; i++) {
        fds[i] = dial(http_server_port(server));
        says(fds[i], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
        expect(fds[i], &in, "500", "ok");
    }
    fds[5] = dial(http_server_port(server));
    assert_true(ended(fds[5], 5000000));
    says(fds[0], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    expect(fds[0], &in, "500", "ok");
    for (size_t i = 0; i < 6; i++)
        close(fds[i]);
    for (int i = 0; i < 500; i++) {
        fds[0] = dial(http_server_port(server));
        if (!ended(fds[0], 50000))
            break;
        close(fds[0]);
    }
    says(fds[0], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    expect(fds[0], &in, "500", "ok");
    close(fds[0]);
    stop(&fixture, server);
}

static void draining(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct http_server *server = start(&fixture, &options);
    int port = http_server_port(server);
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    int idle = dial(port), fresh = dial(port), busy = dial(port), again;
    char *head = NULL;
    struct slice body = SLICE("");

    (void)state;
    later_hold(&fixture.later, true);
    says(idle, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    expect(idle, &in, "500", "ok");
    says(busy, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    wait_active(server, 1);
    http_server_quiesce(server);
    http_server_quiesce(server);
    assert_true(ended(idle, 3000000));
    assert_true(ended(fresh, 3000000));
    assert_int_equal(dial(port), -1);

    struct http_server_options same = defaults();
    struct fixture fixture2;
    same.port = port;
    struct http_server *next = start(&fixture2, &same);
    ask(port, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew", "500", "new");
    stop(&fixture2, next);

    assert_int_equal(http_server_active(server), 1);
    later_hold(&fixture.later, false);
    assert_true(hear(busy, &in, false, &head, &body));
    assert_string_equal(body.p, "ok");
    assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
    assert_true(ended(busy, 3000000));
    wait_active(server, 0);
    free(head);
    free((void *)(uintptr_t)body.p);
    stop(&fixture, server);
    next = start(&fixture2, &same);
    ask(port, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nagain", "500", "again");
    again = dial(port);
    stop(&fixture2, next);
    close(idle);
    close(fresh);
    close(busy);
    close(again);
}

static void addresses(void **state)
{
    struct fixture fixture;
    struct http_server_options options = defaults();
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    AUTO_SBUF(in, SBUF_NO_LIMIT);
    AUTO_ERR(err);
    AUTO_ERR(err2);
    struct http_server *server;
    int fd;

    (void)state;
    options.address = "localhost.";
    assert_null(http_server_new(&options, handle, NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_string_equal(err_text(&err),
                        "cannot listen at \"localhost.\", port 0: not an IPv4 or IPv6 address and port");
    options.address = "192.0.2.1";
    assert_null(http_server_new(&options, handle, NULL, &err2));
    assert_string_equal(err_text(&err2),
                        "cannot listen at 192.0.2.1, port 0: Cannot assign requested address");

    options.address = "::1";
    server = start(&fixture, &options);
    six.sin6_port = htons((uint16_t)http_server_port(server));
    fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&six, sizeof(six)), 0);
    says(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(fd, &in, "200", "GET / ::1 - now");
    close(fd);
    stop(&fixture, server);

    options.address = "::";
    server = start(&fixture, &options);
    ask(http_server_port(server), "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200", "GET / 127.0.0.1 - now");
    stop(&fixture, server);
    http_server_free(NULL);
}

static int no_pipe_signals(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_paths_and_headers),
        cmocka_unit_test(the_answers_head_is_what_was_asked_for),
        cmocka_unit_test(bodies_come_whole),
        cmocka_unit_test(big_bodies_go_through_files),
        cmocka_unit_test(too_big_and_unstorable_bodies_are_read_and_told),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(replies_from_other_threads),
        cmocka_unit_test(clients_may_leave),
        cmocka_unit_test(a_head_has_a_limit),
        cmocka_unit_test(slow_clients_are_cut),
        cmocka_unit_test(a_slow_reader_is_cut),
        cmocka_unit_test(waiting_for_the_answer_is_not_idleness),
        cmocka_unit_test(connections_over_the_limit_are_closed),
        cmocka_unit_test(draining),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, no_pipe_signals, NULL);
}
