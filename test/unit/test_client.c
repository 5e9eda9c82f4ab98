#include "test/unit/t.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/net/client.h"

/* --- the other side: a server of plain sockets, a thread per connection, that does what the path says --- */

struct peer {
    int listener, port;
    pthread_t thread;
    atomic_bool stopping;
    atomic_int connections, connections_now, connections_most, requests;
    pthread_mutex_t mutex;
    pthread_t threads[256];
    size_t thread_count;
};

struct peer_connection {
    struct peer *peer;
    int fd;
    struct sbuf in;
};

static void say(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);
        if (done <= 0)
            return;
        bytes += done;
        n -= (size_t)done;
    }
}

/* Waits for bytes; false when the client has gone or the test is over. */
static bool hear_more(struct peer_connection *c)
{
    char buf[65536];
    struct pollfd poll_fd = { c->fd, POLLIN, 0 };

    while (poll(&poll_fd, 1, 20) == 0) {
        if (atomic_load(&c->peer->stopping))
            return false;
    }
    ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
    if (n > 0)
        sbuf_add(&c->in, buf, (size_t)n);
    return n > 0;
}

static void answer(struct peer_connection *c, const char *status, struct slice body)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_addf(&out, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
              body.n);
    sbuf_add_slice(&out, body);
    say(c->fd, out.p, out.len);
}

static bool do_ok(struct peer_connection *c, struct slice head UNUSED, struct slice body)
{
    answer(c, "200 OK", body);
    return true;
}

static bool do_error(struct peer_connection *c, struct slice head UNUSED, struct slice body)
{
    answer(c, "500 Internal Server Error", body);
    return true;
}

static bool do_head(struct peer_connection *c, struct slice head, struct slice body UNUSED)
{
    answer(c, "200 OK", head);
    return true;
}

static bool do_ok_then_close(struct peer_connection *c, struct slice head UNUSED, struct slice body)
{
    answer(c, "200 OK", body);
    return false;
}

static bool do_drop(struct peer_connection *c UNUSED, struct slice head UNUSED, struct slice body UNUSED)
{
    return false;
}

static bool do_reset(struct peer_connection *c, struct slice head UNUSED, struct slice body UNUSED)
{
    struct linger linger = { 1, 0 };

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    return false;
}

static bool do_hang(struct peer_connection *c, struct slice head UNUSED, struct slice body UNUSED)
{
    while (hear_more(c))
        ;
    return false;
}

static bool do_slow(struct peer_connection *c, struct slice head UNUSED, struct slice body)
{
    usleep(150000);
    answer(c, "200 OK", body);
    return true;
}

static bool do_drip(struct peer_connection *c, struct slice head UNUSED, struct slice body UNUSED)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n";

    say(c->fd, text, sizeof(text) - 1);
    for (int i = 0; i < 200 && !atomic_load(&c->peer->stopping); i++) {
        say(c->fd, "x", 1);
        usleep(10000);
    }
    return false;
}

static bool do_big(struct peer_connection *c, struct slice head UNUSED, struct slice body UNUSED)
{
    size_t n = 3 << 20;
    char *bytes = xmalloc(n);

    memset(bytes, 'b', n);
    answer(c, "200 OK", slice_of(bytes, n));
    free(bytes);
    return true;
}

/* Paths with an answer that is always the same, after which the connection is closed. */
static const struct {
    const char *path;
    struct slice bytes;
} fixed[] = {
    { "/chunked",
      SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") },
    { "/until-close", SLICE("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil close") },
    { "/no-content", SLICE("HTTP/1.1 204 No Content\r\n\r\n") },
    { "/redirect", SLICE("HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n") },
    { "/truncated", SLICE("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this") },
    { "/truncated-head", SLICE("HTTP/1.1 200 OK\r\nContent-Le") },
    { "/truncated-chunk", SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30\r\nabc") },
    { "/truncated-chunks", SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") },
    { "/garbage", SLICE("SSH-2.0-OpenSSH_9.2\r\nand more of it\r\n\r\n") },
    { "/big-chunk",
      SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n12345678901234567890\r\n0\r\n\r\n") },
};

static const struct {
    const char *path;
    bool (*fn)(struct peer_connection *c, struct slice head, struct slice body);
} actions[] = {
    { "/ok", do_ok },     { "/error", do_error },
    { "/head", do_head }, { "/ok-then-close", do_ok_then_close },
    { "/drop", do_drop }, { "/reset", do_reset },
    { "/hang", do_hang }, { "/slow", do_slow },
    { "/drip", do_drip }, { "/big", do_big },
};

static bool act(struct peer_connection *c, struct slice head, struct slice body)
{
    const char *path = memchr(head.p, ' ', head.n);
    size_t n = strcspn(path + 1, " ");

    atomic_fetch_add(&c->peer->requests, 1);
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (slice_is(slice_of(path + 1, n), actions[i].path))
            return actions[i].fn(c, head, body);
    }
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        if (slice_is(slice_of(path + 1, n), fixed[i].path))
            say(c->fd, fixed[i].bytes.p, fixed[i].bytes.n);
    }
    return false;
}

/* One request from the front of the buffer. */
static bool serve_one(struct peer_connection *c)
{
    const char *end;
    size_t head, body = 0;
    bool go_on;

    while (!c->in.p || !(end = strstr(c->in.p, "\r\n\r\n"))) {
        if (!hear_more(c))
            return false;
    }
    head = (size_t)(end - c->in.p) + 4;
    const char *length = strcasestr(c->in.p, "\r\nContent-Length: ");
    if (length)
        body = strtoul(length + 18, NULL, 10);
    while (c->in.len < head + body) {
        if (!hear_more(c))
            return false;
    }
    go_on = act(c, slice_of(c->in.p, head), slice_of(c->in.p + head, body));
    sbuf_reset(&c->in);
    return go_on;
}

static void *peer_connection_main(void *arg)
{
    struct peer_connection *c = arg;
    int now = atomic_fetch_add(&c->peer->connections_now, 1) + 1;
    int most = atomic_load(&c->peer->connections_most);

    while (now > most && !atomic_compare_exchange_weak(&c->peer->connections_most, &most, now))
        ;
    while (serve_one(c))
        ;
    atomic_fetch_sub(&c->peer->connections_now, 1);
    close(c->fd);
    sbuf_release(&c->in);
    free(c);
    return NULL;
}

static void *peer_main(void *arg)
{
    struct peer *peer = arg;
    struct pollfd poll_fd = { peer->listener, POLLIN, 0 };

    while (!atomic_load(&peer->stopping)) {
        if (poll(&poll_fd, 1, 20) <= 0)
            continue;
        struct peer_connection *c = xcalloc(1, sizeof(*c));
        c->peer = peer;
        c->fd = accept(peer->listener, NULL, NULL);
        c->in.limit = SBUF_NO_LIMIT;
        atomic_fetch_add(&peer->connections, 1);
        assert_true(peer->thread_count < ARRAY_LEN(peer->threads));
        pthread_create(&peer->threads[peer->thread_count++], NULL, peer_connection_main, c);
    }
    return NULL;
}

static int listen_on(int backlog, int *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static struct peer *peer_new(void)
{
    struct peer *peer = xcalloc(1, sizeof(*peer));

    peer->listener = listen_on(512, &peer->port);
    pthread_create(&peer->thread, NULL, peer_main, peer);
    return peer;
}

static void peer_free(struct peer *peer)
{
    atomic_store(&peer->stopping, true);
    pthread_join(peer->thread, NULL);
    for (size_t i = 0; i < peer->thread_count; i++)
        pthread_join(peer->threads[i], NULL);
    close(peer->listener);
    free(peer);
}

/* --- results --- */

struct seen {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int count, outcomes[HTTP_CANCELLED + 1];
    struct http_result last; /* problem, address: copies below */
    char *problem, *address;
    char *body;
    size_t body_len;
};

#define SEEN_INIT \
    { \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static void forget(struct seen *seen)
{
    free(seen->problem);
    free(seen->address);
    free(seen->body);
    seen->problem = seen->address = seen->body = NULL;
}

static void on_done(void *ctx, struct http_result *result)
{
    struct seen *seen = ctx;
    struct slice bytes = SLICE("");

    pthread_mutex_lock(&seen->mutex);
    forget(seen);
    seen->count++;
    seen->outcomes[result->outcome]++;
    seen->last = *result;
    seen->problem = xstrdup(result->problem);
    seen->address = xstrdup(result->address);
    assert_int_equal(result->body != NULL, result->outcome == HTTP_ANSWERED);
    if (result->body)
        assert_int_equal(spool_bytes(result->body, &bytes, NULL), 0);
    seen->body = xmemdup(bytes.p, bytes.n);
    seen->body_len = bytes.n;
    pthread_cond_signal(&seen->changed);
    pthread_mutex_unlock(&seen->mutex);
}

static void wait_count(struct seen *seen, int count)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&seen->mutex);
    while (seen->count < count)
        assert_int_equal(pthread_cond_timedwait(&seen->changed, &seen->mutex, &until), 0);
    pthread_mutex_unlock(&seen->mutex);
}

static struct http_client *client_new(unsigned connections, size_t waiting)
{
    struct http_client_options options = { connections, waiting, "test/1" };
    struct http_client *client = http_client_new(&options, NULL);

    assert_non_null(client);
    return client;
}

static struct http_send request(const char *url, const char *body, struct seen *seen)
{
    return (struct http_send){
        .verb = body ? "POST" : "GET",
        .url = url,
        .part_count = body ? 1 : 0,
        .parts = { slice_str(body ? body : "") },
        .connect_us = 3000000,
        .first_byte_us = 3000000,
        .total_us = 8000000,
        .answer = { 1 << 20, 2 << 20, "/tmp" },
        .done = on_done,
        .ctx = seen,
    };
}

static void send_and_wait(struct http_client *client, const struct http_send *send, struct seen *seen)
{
    int before = seen->count;

    http_send(client, send);
    wait_count(seen, before + 1);
}

static char *url_of(int port, const char *path)
{
    return xasprintf("http://127.0.0.1:%d%s", port, path);
}

/* --- tests --- */

static void answers_of_all_forms(void **state)
{
    static const struct {
        const char *path, *body;
        enum http_outcome outcome;
        int status;
        const char *type, *text; /* text: the answer, or the problem */
    } cases[] = {
        { "/ok", "hello", HTTP_ANSWERED, 200, "application/json", "hello" },
        { "/ok", "", HTTP_ANSWERED, 200, "application/json", "" },
        { "/ok", NULL, HTTP_ANSWERED, 200, "application/json", "" },
        { "/error", "x", HTTP_ANSWERED, 500, "application/json", "x" },
        { "/chunked", "x", HTTP_ANSWERED, 200, "", "abcde" },
        { "/until-close", "x", HTTP_ANSWERED, 200, "text/plain", "until close" },
        { "/no-content", "x", HTTP_ANSWERED, 204, "", "" },
        { "/redirect", NULL, HTTP_ANSWERED, 302, "", "" },
        { "/truncated", "x", HTTP_BROKEN, 0, "", "the connection ended before the answer was complete" },
        { "/truncated", NULL, HTTP_BROKEN, 0, "", "the connection ended before the answer was complete" },
        { "/truncated-chunk", "x", HTTP_BROKEN, 0, "",
          "the connection ended before the answer was complete" },
        { "/truncated-chunks", "x", HTTP_BROKEN, 0, "",
          "the connection ended before the answer was complete" },
        { "/garbage", "x", HTTP_BROKEN, 0, "", "the answer is not HTTP" },
        { "/drop", "x", HTTP_BROKEN, 0, "", "the connection ended without an answer" },
        { "/reset", "x", HTTP_BROKEN, 0, "", "the connection ended without an answer" },
        { "/big", "x", HTTP_ANSWER_TOO_BIG, 0, "", "the answer is larger than allowed" },
    };
    struct peer *peer = peer_new();
    struct seen seen = SEEN_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_client *client = client_new(4, 10);
        AUTO(free_str_auto) char *url = url_of(peer->port, cases[i].path);
        struct http_send send = request(url, cases[i].body, &seen);

        send_and_wait(client, &send, &seen);
        assert_string_equal(seen.outcomes[HTTP_ANSWERED] ? seen.body : seen.problem, cases[i].text);
        assert_int_equal(seen.last.outcome, cases[i].outcome);
        assert_int_equal(seen.last.status, cases[i].status);
        assert_string_equal(seen.last.content_type, cases[i].type);
        assert_string_equal(seen.address, "127.0.0.1");
        assert_false(seen.last.reused);
        memset(seen.outcomes, 0, sizeof(seen.outcomes));
        http_client_free(client);
    }
    assert_int_equal(atomic_load(&peer->requests), ARRAY_LEN(cases));
    forget(&seen);
    peer_free(peer);
}

static void an_incomplete_head_is_no_answer(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/truncated-head");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    send_and_wait(client, &send, &seen);
    assert_int_equal(seen.last.outcome, HTTP_BROKEN);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void nothing_is_sent_where_nobody_is(void **state)
{
    static const struct {
        const char *url, *problem;
    } cases[] = {
        { "http://127.0.0.1:1/", "connection refused" },
        { "http://name.invalid/", "host name not found" },
        { "ftp://127.0.0.1/", "only http and https are possible" },
        { "file:///etc/hosts", "only http and https are possible" },
        { "http://127.0.0.1:99999/", "the URL is not valid" },
        { "", "the URL is not valid" },
    };
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_send send = request(cases[i].url, "x", &seen);
        send.total_us = 20000000;
        send.connect_us = 15000000;
        send_and_wait(client, &send, &seen);
        assert_string_equal(seen.problem, cases[i].problem);
        assert_int_equal(seen.last.outcome, HTTP_NOT_SENT);
        assert_int_equal(seen.last.no_host, strstr(cases[i].url, "invalid") != NULL);
        assert_string_equal(seen.address, "");
    }
    http_client_free(client);
    forget(&seen);
}

static void deadlines(void **state)
{
    static const struct {
        const char *path;
        uint64_t first_byte_us, total_us, at_least_us;
        enum http_outcome outcome;
        const char *problem;
    } cases[] = {
        { "/hang", 300000, 5000000, 300000, HTTP_TIMED_OUT, "no answer within 0.3 s" },
        { "/hang", 5000000, 400000, 400000, HTTP_TIMED_OUT, "no complete answer within 0.4 s" },
        { "/hang", 0, 400000, 400000, HTTP_TIMED_OUT, "no complete answer within 0.4 s" },
        { "/drip", 300000, 600000, 600000, HTTP_TIMED_OUT, "no complete answer within 0.6 s" },
        { "/slow", 5000000, 5000000, 140000, HTTP_ANSWERED, "" },
    };
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        AUTO(free_str_auto) char *url = url_of(peer->port, cases[i / 2].path);
        struct http_send send = request(url, i % 2 ? "x" : NULL, &seen);
        send.first_byte_us = cases[i / 2].first_byte_us;
        send.total_us = cases[i / 2].total_us;
        send_and_wait(client, &send, &seen);
        assert_string_equal(seen.problem, cases[i / 2].problem);
        assert_int_equal(seen.last.outcome, cases[i / 2].outcome);
        assert_in_range(seen.last.took_us, cases[i / 2].at_least_us, cases[i / 2].at_least_us + 1500000);
    }
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

/* A listening socket whose queue is full: the kernel drops what comes. */
static void a_black_hole_ends_with_the_connect_deadline(void **state)
{
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    int port, fillers[8], listener = listen_on(0, &port);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    AUTO(free_str_auto) char *url = url_of(port, "/ok");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(connect(fillers[i], (struct sockaddr *)&address, sizeof(address)) <= 0);
    }
    usleep(50000);
    send.connect_us = 400000;
    send_and_wait(client, &send, &seen);
    assert_string_equal(seen.problem, "no connection within 0.4 s");
    assert_int_equal(seen.last.outcome, HTTP_NOT_SENT);
    send.connect_us = 5000000;
    send.total_us = 300000;
    send_and_wait(client, &send, &seen);
    assert_string_equal(seen.problem, "no connection within 0.3 s");
    assert_int_equal(seen.last.outcome, HTTP_NOT_SENT);
    for (size_t i = 0; i < ARRAY_LEN(fillers); i++)
        close(fillers[i]);
    close(listener);
    http_client_free(client);
    forget(&seen);
}

static void the_request_is_what_was_asked_for(void **state)
{
    static const struct http_field fields[] = { { "Authorization", "secret" },
                                                { "X-Empty", "" },
                                                { "content-type", "application/json" } };
    static const char *const expected[] = {
        "POST /head HTTP/1.1\r\nHost: %s\r\nUser-Agent: test/1\r\nAccept: */*\r\nContent-Length: 6\r\n\r\n",
        "POST /head HTTP/1.1\r\nHost: %s\r\nUser-Agent: test/1\r\nAccept: */*\r\nAuthorization: "
        "secret\r\nX-Empty:\r\n"
        "content-type: application/json\r\nContent-Length: 6\r\n\r\n",
    };
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/head");

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AUTO(free_str_auto) char *host = xasprintf("127.0.0.1:%d", peer->port);
        AUTO_SBUF(want, 1000);
        const char *cut = strstr(expected[i], "%s");
        struct http_send send = request(url, "", &seen);
        send.part_count = 4;
        send.parts[0] = SLICE("ab");
        send.parts[1] = SLICE("");
        send.parts[2] = SLICE("c");
        send.parts[3] = SLICE("def");
        send.field_count = i ? 3 : 0;
        send.fields = fields;
        send_and_wait(client, &send, &seen);
        sbuf_add(&want, expected[i], (size_t)(cut - expected[i]));
        sbuf_adds(&want, host);
        sbuf_adds(&want, cut + 2);
        assert_string_equal(seen.body, want.p);
    }
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void big_requests_and_answers_arrive_whole(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    size_t n = 3000000;
    char *bytes = xmalloc(n);
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok");
    struct http_send send = request(url, "", &seen);

    (void)state;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 + i / 253);
    send.answer.max = n;
    send.part_count = 4;
    send.parts[0] = slice_of(bytes, 1);
    send.parts[1] = slice_of(bytes + 1, 99999);
    send.parts[2] = slice_of(bytes + 100000, 0);
    send.parts[3] = slice_of(bytes + 100000, n - 100000);
    for (int i = 0; i < 2; i++) {
        send_and_wait(client, &send, &seen);
        assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
        assert_int_equal(seen.last.reused, i == 1);
        assert_int_equal(seen.body_len, n);
        assert_memory_equal(seen.body, bytes, n);
    }
    send.answer.max = n - 1;
    send_and_wait(client, &send, &seen);
    assert_int_equal(seen.last.outcome, HTTP_ANSWER_TOO_BIG);
    http_client_free(client);
    free(bytes);
    forget(&seen);
    peer_free(peer);
}

static void an_answer_of_unknown_length_is_bounded_too(void **state)
{
    static const struct {
        struct spool_limits limits;
        enum http_outcome outcome;
        const char *problem;
    } cases[] = {
        { { 100, 100, "/tmp" }, HTTP_ANSWERED, "" },
        { { 100, 19, "/tmp" }, HTTP_ANSWER_TOO_BIG, "the answer is larger than allowed" },
        { { 10, 100, "/nowhere" }, HTTP_BROKEN, "the answer could not be kept in the temporary directory" },
    };
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/big-chunk");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_send send = request(url, "x", &seen);
        send.answer = cases[i].limits;
        send_and_wait(client, &send, &seen);
        assert_string_equal(seen.problem, cases[i].problem);
        assert_int_equal(seen.last.outcome, cases[i].outcome);
    }
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

/* The server takes the request from a kept connection and ends it: nobody knows whether it was executed. */
static void nothing_is_sent_twice(void **state)
{
    static char large[100000];
    static const struct {
        const char *path, *body;
        unsigned flags;
        int requests;
        bool reused;
    } cases[] = {
        { "/drop", "body", 0, 1, true },
        { "/reset", "body", 0, 1, true },
        { "/drop", "", 0, 1, true },
        { "/drop", "body", HTTP_FRESH, 1, false },
        { "/reset", "", HTTP_FRESH, 1, false },
        { "/drop", large, 0, 1, true },
        { "/reset", large, 0, 1, true },
        { "/drop", large, HTTP_FRESH, 1, false },
        { "/drop", NULL, 0, 2, false },
    };
    struct seen seen = SEEN_INIT;

    (void)state;
    memset(large, 'l', sizeof(large) - 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct peer *peer = peer_new();
        struct http_client *client = client_new(4, 10);
        AUTO(free_str_auto) char *ok = url_of(peer->port, "/ok");
        AUTO(free_str_auto) char *url = url_of(peer->port, cases[i].path);
        struct http_send first = request(ok, "first", &seen), second = request(url, cases[i].body, &seen);

        send_and_wait(client, &first, &seen);
        assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
        second.flags = cases[i].flags;
        send_and_wait(client, &second, &seen);
        assert_int_equal(seen.last.outcome, HTTP_BROKEN);
        assert_int_equal(seen.last.reused, cases[i].reused);
        usleep(50000);
        assert_int_equal(atomic_load(&peer->requests), 1 + cases[i].requests);
        http_client_free(client);
        peer_free(peer);
    }
    forget(&seen);
}

static void a_connection_that_was_closed_while_idle_does_no_harm(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok-then-close");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    for (int i = 0; i < 5; i++) {
        send_and_wait(client, &send, &seen);
        assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
        assert_false(seen.last.reused);
        usleep(30000);
    }
    assert_int_equal(atomic_load(&peer->requests), 5);
    assert_int_equal(atomic_load(&peer->connections), 5);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void kept_connections_are_used_again_unless_fresh(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    for (int i = 0; i < 20; i++) {
        send_and_wait(client, &send, &seen);
        assert_int_equal(seen.last.reused, i > 0);
    }
    assert_int_equal(atomic_load(&peer->connections), 1);
    send.flags = HTTP_FRESH;
    for (int i = 0; i < 10; i++) {
        send_and_wait(client, &send, &seen);
        assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
        assert_false(seen.last.reused);
        for (int j = 0; j < 2000 && atomic_load(&peer->connections_now) > 4; j++)
            usleep(1000);
    }
    assert_int_equal(atomic_load(&peer->connections), 11);
    assert_true(atomic_load(&peer->connections_most) <= 5);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

/* Whatever a handle did before, and whether a body is sent with the head, behind it, or not at all. */
static void calls_of_all_kinds_follow_each_other(void **state)
{
    static char large[70000], medium[17000], limit[16385];
    const char *const bodies[] = { "small", large, NULL, limit, "", medium, NULL, "", large, "x", limit };
    struct peer *peer = peer_new();
    struct http_client *client = client_new(1, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok");

    (void)state;
    memset(large, 'l', sizeof(large) - 1);
    memset(medium, 'm', sizeof(medium) - 1);
    memset(limit, 'e', sizeof(limit) - 1);
    for (size_t i = 0; i < 2 * ARRAY_LEN(bodies); i++) {
        const char *body = bodies[i % ARRAY_LEN(bodies)];
        struct http_send send = request(url, body, &seen);
        send_and_wait(client, &send, &seen);
        assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
        assert_int_equal(seen.body_len, body ? strlen(body) : 0);
        assert_memory_equal(seen.body, body ? body : "", seen.body_len);
    }
    assert_int_equal(atomic_load(&peer->connections), 1);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void a_small_body_leaves_with_the_head(void **state)
{
    struct http_client *client = client_new(1, 10);
    struct seen seen = SEEN_INIT;
    int port, listener = listen_on(1, &port);
    AUTO(free_str_auto) char *url = url_of(port, "/");
    struct http_send send = request(url, "the ", &seen);
    char bytes[4096];

    (void)state;
    send.part_count = 2;
    send.parts[1] = SLICE("body");
    http_send(client, &send);
    int fd = accept(listener, NULL, NULL);
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    assert_in_range(n, 9, sizeof(bytes));
    assert_memory_equal(bytes + n - 8, "the body", 8);
    close(fd);
    wait_count(&seen, 1);
    assert_int_equal(seen.last.outcome, HTTP_BROKEN);
    close(listener);
    http_client_free(client);
    forget(&seen);
}

static uint64_t cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* With kept connections, one that its server has closed, and with calls that wait for an answer. */
static void waiting_costs_nothing(void **state)
{
    static const char *const paths[] = { "/ok", "/ok-then-close", "/hang" };
    struct seen seen = SEEN_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct peer *peer = peer_new();
        struct http_client *client = client_new(4, 10);
        AUTO(free_str_auto) char *url = url_of(peer->port, paths[i]);
        struct http_send send = request(url, "x", &seen);
        int before = seen.count;
        for (int j = 0; j < 4; j++)
            http_send(client, &send);
        if (i < 2)
            wait_count(&seen, before + 4);
        usleep(100000);
        uint64_t begin = cpu_us();
        usleep(400000);
        assert_true(cpu_us() - begin < 100000);
        http_client_free(client);
        peer_free(peer);
    }
    forget(&seen);
}

struct sender {
    struct http_client *client;
    const struct http_send *send;
};

static void *send_50(void *arg)
{
    struct sender *sender = arg;

    for (int i = 0; i < 50; i++)
        http_send(sender->client, sender->send);
    return NULL;
}

static void two_hundred_at_once_over_eight_connections(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(8, 200);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok");
    struct http_send send = request(url, "some body", &seen);
    struct sender sender = { client, &send };
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_50, &sender), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    wait_count(&seen, 200);
    assert_int_equal(seen.outcomes[HTTP_ANSWERED], 200);
    assert_int_equal(atomic_load(&peer->requests), 200);
    assert_true(atomic_load(&peer->connections_most) <= 8);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void waiting_is_bounded_in_number_and_time(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(1, 2);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/hang");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    send.total_us = 1000000;
    http_send(client, &send);
    send.total_us = 400000;
    http_send(client, &send);
    send.total_us = 600000;
    http_send(client, &send);
    http_send(client, &send);
    http_send(client, &send);
    wait_count(&seen, 2);
    assert_int_equal(seen.outcomes[HTTP_NOT_SENT], 2);
    assert_string_equal(seen.problem, "too many calls are waiting");
    wait_count(&seen, 3);
    assert_string_equal(seen.problem, "no free connection within 0.4 s");
    assert_int_equal(seen.last.outcome, HTTP_NOT_SENT);
    wait_count(&seen, 5);
    assert_string_equal(seen.problem, "no complete answer within 1 s");
    assert_int_equal(seen.outcomes[HTTP_NOT_SENT], 4);
    assert_int_equal(seen.outcomes[HTTP_TIMED_OUT], 1);
    assert_int_equal(atomic_load(&peer->requests), 1);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void freeing_cancels(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(2, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/hang");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    for (int i = 0; i < 6; i++)
        http_send(client, &send);
    for (int i = 0; i < 500 && atomic_load(&peer->requests) < 2; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&peer->requests), 2);
    for (int i = 0; i < 4; i++)
        http_send(client, &send);
    http_client_free(client);
    assert_int_equal(seen.count, 10);
    assert_int_equal(seen.outcomes[HTTP_CANCELLED], 10);
    http_client_free(NULL);
    forget(&seen);
    peer_free(peer);
}

struct chain {
    struct http_client *client;
    const struct http_send *send;
    struct seen *seen;
    atomic_int left;
};

static void on_link_done(void *ctx, struct http_result *result)
{
    struct chain *chain = ctx;

    if (result->outcome == HTTP_ANSWERED && atomic_fetch_sub(&chain->left, 1) > 1)
        http_send(chain->client, chain->send);
    else
        on_done(chain->seen, result);
}

static void done_may_send_again(void **state)
{
    struct peer *peer = peer_new();
    struct seen seen = SEEN_INIT;
    struct http_client *client = client_new(1, 0);
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok");
    struct http_send send = request(url, "x", &seen);
    struct chain chain = { client, &send, &seen, 100 };

    (void)state;
    send.done = on_link_done;
    send.ctx = &chain;
    http_send(client, &send);
    wait_count(&seen, 1);
    assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
    assert_int_equal(atomic_load(&peer->requests), 100);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void only_public_addresses(void **state)
{
    static const char *const hosts[] = {
        "127.0.0.1",
        "127.9.9.9",
        "localhost",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.9.9",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.1.1.1]",
        "[64:ff9b::a00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "[fec0::1]",
        "[2001::1]",
        "192.0.0.1",
        "198.19.0.1",
    };
    static const char *const others[] = { "192.0.2.1", "172.32.0.1", "[2001:db8::1]", "100.128.0.1" };
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *ok = url_of(peer->port, "/ok");
    struct http_send open = request(ok, "x", &seen);

    (void)state;
    send_and_wait(client, &open, &seen);
    assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        AUTO(free_str_auto) char *url = xasprintf("http://%s:%d/ok", hosts[i], peer->port);
        struct http_send send = request(url, "x", &seen);
        send.flags = HTTP_PUBLIC_ONLY;
        send_and_wait(client, &send, &seen);
        assert_string_equal(seen.problem, "the address is not public");
        assert_int_equal(seen.last.outcome, HTTP_NOT_SENT);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AUTO(free_str_auto) char *url = xasprintf("http://%s:%d/ok", others[i], peer->port);
        struct http_send send = request(url, "x", &seen);
        send.flags = HTTP_PUBLIC_ONLY;
        send.connect_us = 100000;
        send_and_wait(client, &send, &seen);
        assert_string_not_equal(seen.problem, "the address is not public");
    }
    assert_int_equal(atomic_load(&peer->requests), 1);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static void no_proxy_from_the_environment(void **state)
{
    struct peer *peer = peer_new();
    struct http_client *client = client_new(4, 10);
    struct seen seen = SEEN_INIT;
    AUTO(free_str_auto) char *url = url_of(peer->port, "/ok");
    struct http_send send = request(url, "x", &seen);

    (void)state;
    send_and_wait(client, &send, &seen);
    assert_int_equal(seen.last.outcome, HTTP_ANSWERED);
    http_client_free(client);
    forget(&seen);
    peer_free(peer);
}

static int prepare(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_all_forms),
        cmocka_unit_test(an_incomplete_head_is_no_answer),
        cmocka_unit_test(nothing_is_sent_where_nobody_is),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(a_black_hole_ends_with_the_connect_deadline),
        cmocka_unit_test(the_request_is_what_was_asked_for),
        cmocka_unit_test(big_requests_and_answers_arrive_whole),
        cmocka_unit_test(an_answer_of_unknown_length_is_bounded_too),
        cmocka_unit_test(nothing_is_sent_twice),
        cmocka_unit_test(a_connection_that_was_closed_while_idle_does_no_harm),
        cmocka_unit_test(kept_connections_are_used_again_unless_fresh),
        cmocka_unit_test(calls_of_all_kinds_follow_each_other),
        cmocka_unit_test(a_small_body_leaves_with_the_head),
        cmocka_unit_test(waiting_costs_nothing),
        cmocka_unit_test(two_hundred_at_once_over_eight_connections),
        cmocka_unit_test(waiting_is_bounded_in_number_and_time),
        cmocka_unit_test(freeing_cancels),
        cmocka_unit_test(done_may_send_again),
        cmocka_unit_test(only_public_addresses),
        cmocka_unit_test(no_proxy_from_the_environment),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
