#include "shared/net/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/net/watch.h"

enum {
    KEEP_SECONDS = 20, /* shorter than servers keep idle connections, so that few break under a request */
    WAIT_LONGEST_MS = 1000,
    RECEIVE_BUFFER =
        32768, /* for each transfer under way, from malloc() each time: small enough to be cheap */
    SEND_AT_ONCE = 16384,
    MOST_EVENTS = 64,
    ADDRESS_SIZE = 64,
};

/* One piece of memory with what it points to: it is made on one thread and freed on another, which is dear.
 */
struct call {
    struct call *prev, *next;
    struct http_client *client;
    const char *url;
    bool post;
    struct curl_slist *fields;
    size_t part_count;
    struct slice parts[4];
    const char *body; /* all parts in one, if they are few bytes: they leave with the head; else NULL */
    size_t body_size;
    uint64_t connect_us, first_byte_us, total_us;
    struct spool_limits answer_limits;
    unsigned flags;
    http_done_fn *done;
    void *ctx;
    uint64_t submitted_us;
    bool refused; /* too many were waiting */

    struct handle *handle; /* NULL while it waits */
    size_t part, part_offset, handed;
    long sent_before; /* bytes, as libcurl counts them, when the connection was there */
    bool connected;   /* from here on the other side may have seen something */
    bool reused;      /* the connection was a kept one */
    bool not_public;  /* an address was refused */
    bool no_host;     /* the host's name is not known */
    bool never_again; /* libcurl wanted to send once more what was sent already */
    bool answering;   /* the status line came */
    bool head_complete;
    uint64_t silent_us; /* a status line must come by then; UINT64_MAX: not yet, or it came */
    struct spool *answer;
    int answer_error; /* of spool_add() */
    char address[ADDRESS_SIZE];
};

struct call_list {
    struct call *first, *last;
    size_t count;
};

/* A handle of libcurl, for one call after the other: most of its options are always the same. */
struct handle {
    CURL *easy;
    struct call *call;
};

struct http_client {
    unsigned max_connections;
    size_t max_waiting;
    char *user_agent;
    CURLM *multi;
    struct watch *watch;
    pthread_t thread;

    pthread_mutex_t mutex; /* what follows up to the next blank line */
    struct call_list submitted;
    bool stopping;
    bool refusing; /* by http_client_cancel() */

    _Atomic size_t pending; /* submitted and not done, without refused ones; grows under the mutex */
    atomic_bool asleep;     /* and must be woken for what is submitted; set under the mutex */

    struct call_list waiting, running; /* these and the rest: the client's thread only */
    uint64_t next_deadline_us;         /* no call has an earlier one */
    uint64_t curl_due_us;              /* when libcurl wants to be called without an event */
    struct handle **spare;             /* at most max_connections */
    size_t spare_count;
};

static void list_add(struct call_list *list, struct call *call)
{
    call->next = NULL;
    call->prev = list->last;
    if (list->last)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
    list->count++;
}

static void list_remove(struct call_list *list, struct call *call)
{
    if (call->prev)
        call->prev->next = call->next;
    else
        list->first = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        list->last = call->prev;
    call->prev = call->next = NULL;
    list->count--;
}

static void note_deadline(struct http_client *client, uint64_t at)
{
    if (at < client->next_deadline_us)
        client->next_deadline_us = at;
}

/* The request is out: from now on the other side has first_byte_us. */
static void expect_answer(struct call *call)
{
    if (call->answering || call->first_byte_us == 0)
        return;
    call->silent_us = clock_us() + call->first_byte_us;
    note_deadline(call->client, call->silent_us);
}

/* --- which addresses are public --- */

/* Networks of IPv4 that are nobody's on the internet. */
static bool is_public4(uint32_t host_order)
{
    static const struct {
        uint32_t net;
        int bits;
    } nets[] = {
        { 0x00000000, 8 },  /* "this" network, the unspecified address */
        { 0x0a000000, 8 },  /* private */
        { 0x64400000, 10 }, /* shared by carriers */
        { 0x7f000000, 8 },  /* loopback */
        { 0xa9fe0000, 16 }, /* link-local */
        { 0xac100000, 12 }, /* private */
        { 0xc0000000, 24 }, /* protocol assignments */
        { 0xc0a80000, 16 }, /* private */
        { 0xc6120000, 15 }, /* benchmarks */
        { 0xe0000000, 3 },  /* multicast, reserved, broadcast */
    };

    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        if ((host_order ^ nets[i].net) >> (32 - nets[i].bits) == 0)
            return false;
    }
    return true;
}

static uint32_t ipv4_at(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Forms that carry an IPv4 address are as public as that; else only global unicast (2000::/3) is. */
static bool is_public6(const unsigned char *p)
{
    static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const unsigned char mapped[12] = { [10] = 0xff, 0xff };

    if (memcmp(p, mapped, sizeof(mapped)) == 0 || memcmp(p, nat64, sizeof(nat64)) == 0)
        return is_public4(ipv4_at(p + 12));
    if (p[0] == 0x20 && p[1] == 0x02)
        return is_public4(ipv4_at(p + 2));
    if (p[0] == 0x20 && p[1] == 0x01 && p[2] == 0 && p[3] == 0)
        return false;
    return (p[0] & 0xe0) == 0x20;
}

static bool is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_public4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_public6(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return false;
}

static bool is_public_text(const char *address)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, address, &four) == 1)
        return is_public4(ntohl(four.s_addr));
    return inet_pton(AF_INET6, address, &six) == 1 && is_public6(six.s6_addr);
}

/* --- what libcurl calls --- */

static long bytes_sent(const struct call *call)
{
    long sent = 0;

    curl_easy_getinfo(call->handle->easy, CURLINFO_REQUEST_SIZE, &sent);
    return sent;
}

/* True if the other side may have seen all that it needs to execute the request. */
static bool may_be_executed(const struct call *call)
{
    return call->handed > 0 || call->body_size == 0 || (call->body && bytes_sent(call) > call->sent_before);
}

/*
 * libcurl tries once more, on another connection, when a kept one turned out to be dead.  Once bytes of the
 * body were handed over the other side may execute the request, so it must not go out again.
 */
static bool is_repeat(struct call *call)
{
    if (call->post && call->connected && may_be_executed(call))
        call->never_again = true;
    return call->never_again;
}

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose UNUSED, struct curl_sockaddr *address)
{
    struct call *call = ((struct handle *)ctx)->call;
    int fd;

    if (is_repeat(call))
        return CURL_SOCKET_BAD;
    if (call->flags & HTTP_PUBLIC_ONLY && !is_public(&address->addr)) {
        call->not_public = true;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0)
        watch_opened(call->client->watch, fd);
    return fd;
}

/* Called also for connections whose handle has gone. */
static int on_close_socket(void *ctx, curl_socket_t fd)
{
    struct http_client *client = ctx;

    watch_closed(client->watch, fd);
    return close(fd);
}

static int on_want(CURL *easy UNUSED, curl_socket_t fd, int what, void *ctx, void *of_socket UNUSED)
{
    static const unsigned wanted[] = { [CURL_POLL_IN] = WATCH_IN,
                                       [CURL_POLL_OUT] = WATCH_OUT,
                                       [CURL_POLL_INOUT] = WATCH_IN | WATCH_OUT,
                                       [CURL_POLL_REMOVE] = 0 };
    struct http_client *client = ctx;

    watch_want(client->watch, fd, wanted[what]);
    return 0;
}

static int on_timer(CURLM *multi UNUSED, long ms, void *ctx)
{
    struct http_client *client = ctx;

    client->curl_due_us = ms < 0 ? UINT64_MAX : clock_us() + (uint64_t)ms * 1000;
    return 0;
}

/* There is a connection, new or kept; the request goes next. */
static int on_connected(void *ctx, char *address, char *local UNUSED, int port UNUSED, int local_port UNUSED)
{
    struct call *call = ((struct handle *)ctx)->call;
    long connects = 0;

    if (is_repeat(call))
        return CURL_PREREQFUNC_ABORT;
    if (call->flags & HTTP_PUBLIC_ONLY && !is_public_text(address)) {
        call->not_public = true;
        return CURL_PREREQFUNC_ABORT;
    }
    curl_easy_getinfo(call->handle->easy, CURLINFO_NUM_CONNECTS, &connects);
    call->reused = connects == 0;
    call->sent_before = bytes_sent(call);
    snprintf(call->address, sizeof(call->address), "%s", address);
    call->connected = true;
    if (call->body_size == 0 || call->body)
        expect_answer(call);
    return CURL_PREREQFUNC_OK;
}

/* A large body. There is no function to rewind it, so libcurl cannot send again what it took from here. */
static size_t on_read(char *buf, size_t size, size_t count, void *ctx)
{
    struct call *call = ((struct handle *)ctx)->call;
    size_t room = size * count, n = 0;

    while (n < room && call->part < call->part_count) {
        struct slice part = call->parts[call->part];
        size_t left = part.n - call->part_offset;
        size_t step = left < room - n ? left : room - n;
        if (step)
            memcpy(buf + n, part.p + call->part_offset, step);
        n += step;
        call->part_offset += step;
        if (call->part_offset == part.n) {
            call->part++;
            call->part_offset = 0;
        }
    }
    call->handed += n;
    if (call->handed == call->body_size)
        expect_answer(call);
    return n;
}

/* Each line of the head. libcurl takes a head that breaks off for a complete one, so its end is noted. */
static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    struct call *call = ((struct handle *)ctx)->call;
    size_t n = size * count;

    call->answering = true;
    call->silent_us = UINT64_MAX;
    if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
        call->head_complete = false;
    else if (n > 0 && (line[0] == '\r' || line[0] == '\n'))
        call->head_complete = true;
    return n;
}

static size_t on_write(char *bytes, size_t size, size_t count, void *ctx)
{
    struct call *call = ((struct handle *)ctx)->call;

    call->answer_error = spool_add(call->answer, bytes, size * count, NULL);
    return call->answer_error ? 0 : size * count;
}

/* --- the life of a call --- */

static bool has_field(const struct http_send *send, const char *name)
{
    for (size_t i = 0; i < send->field_count; i++) {
        if (strcasecmp(send->fields[i].name, name) == 0)
            return true;
    }
    return false;
}

/* libcurl's notation for a field without a value ends with a semicolon; one for none at all, with a colon. */
static size_t line_size(const struct http_field *field)
{
    return strlen(field->name) + 2 + strlen(field->value) + 1;
}

static char *put_line(struct curl_slist **list, char *p, const struct http_field *field)
{
    char *end = stpcpy(p, field->name);

    end = stpcpy(stpcpy(end, field->value[0] ? ": " : ";"), field->value);
    **list = (struct curl_slist){ p, *list + 1 };
    ++*list;
    return end + 1;
}

static void put_constant(struct curl_slist **list, char *line)
{
    **list = (struct curl_slist){ line, *list + 1 };
    ++*list;
}

/* libcurl only reads the list; the constants are what it would add by itself. */
static char *put_fields(struct call *call, const struct http_send *send, char *p)
{
    static char no_expect[] = "Expect:", no_type[] = "Content-Type:";
    struct curl_slist *next = call->fields;

    put_constant(&next, no_expect);
    if (!has_field(send, "Content-Type"))
        put_constant(&next, no_type);
    for (size_t i = 0; i < send->field_count; i++)
        p = put_line(&next, p, &send->fields[i]);
    next[-1].next = NULL;
    return p;
}

static void put_body(struct call *call, const struct http_send *send, char *p)
{
    call->body = p;
    for (size_t i = 0; i < send->part_count; i++)
        p = send->parts[i].n ? mempcpy(p, send->parts[i].p, send->parts[i].n) : p;
}

static struct call *call_alloc(const struct http_send *send)
{
    size_t url = strlen(send->url) + 1, body = 0, lines = 0;
    size_t nodes = (send->field_count + 2) * sizeof(struct curl_slist);

    for (size_t i = 0; i < send->part_count; i++)
        body += send->parts[i].n;
    for (size_t i = 0; i < send->field_count; i++)
        lines += line_size(&send->fields[i]);
    size_t small = body <= SEND_AT_ONCE ? body : 0;
    struct call *call = xmalloc(sizeof(*call) + nodes + lines + url + small);
    *call = (struct call){ .body_size = body, .fields = (struct curl_slist *)(call + 1) };
    char *p = put_fields(call, send, (char *)call->fields + nodes);
    call->url = memcpy(p, send->url, url);
    if (small)
        put_body(call, send, p + url);
    return call;
}

static struct call *call_new(struct http_client *client, const struct http_send *send)
{
    struct call *call = call_alloc(send);

    call->client = client;
    call->post = strcmp(send->verb, "POST") == 0;
    for (size_t i = 0; i < send->part_count; i++) {
        if (send->parts[i].n)
            call->parts[call->part_count++] = send->parts[i];
    }
    call->connect_us = send->connect_us ? send->connect_us : send->total_us;
    call->first_byte_us = send->first_byte_us;
    call->total_us = send->total_us;
    call->answer_limits = send->answer;
    call->flags = send->flags;
    call->done = send->done;
    call->ctx = send->ctx;
    call->submitted_us = clock_us();
    call->silent_us = UINT64_MAX;
    return call;
}

static void call_free(struct call *call)
{
    spool_free(call->answer);
    free(call);
}

static uint64_t call_end_us(const struct call *call)
{
    return call->submitted_us + call->total_us;
}

static long to_ms(uint64_t us)
{
    return us < 1000 ? 1 : us / 1000 > INT32_MAX ? INT32_MAX : (long)((us + 999) / 1000);
}

static void handle_free(struct handle *handle)
{
    curl_easy_cleanup(handle->easy);
    free(handle);
}

/* What is the same for all calls. */
static struct handle *handle_new(struct http_client *client)
{
    struct handle *handle = xcalloc(1, sizeof(*handle));
    CURL *easy = handle->easy = curl_easy_init();

    if (!easy)
        abort();
    curl_easy_setopt(easy, CURLOPT_PRIVATE, handle);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (client->user_agent)
        curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEEP_SECONDS);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, handle);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, handle);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, handle);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, handle);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, handle);
    return handle;
}

/* All that differs between calls, also what this one does not need: the handle may have served another. */
static void set_up(CURL *easy, const struct call *call)
{
    size_t max = call->answer_limits.max;

    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->fields);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, to_ms(call->connect_us));
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)(max > INT64_MAX ? INT64_MAX : max));
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call->flags & HTTP_FRESH ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_size);
    curl_easy_setopt(easy, call->post ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
}

static void start(struct http_client *client, struct call *call)
{
    call->handle = client->spare_count ? client->spare[--client->spare_count] : handle_new(client);
    call->handle->call = call;
    call->answer = spool_new(&call->answer_limits);
    set_up(call->handle->easy, call);
    list_add(&client->running, call);
    curl_multi_add_handle(client->multi, call->handle->easy);
}

/*
 * libcurl forgets some state neither at the end of a transfer nor in curl_easy_reset(): after a repeat that
 * was refused, the next request on the handle would fail, because that state wants its body rewound.
 */
static void release_handle(struct http_client *client, struct call *call, bool reusable)
{
    struct handle *handle = TAKE(call->handle);

    if (!handle)
        return;
    curl_multi_remove_handle(client->multi, handle->easy);
    if (reusable && client->spare_count < client->max_connections)
        client->spare[client->spare_count++] = handle;
    else
        handle_free(handle);
}

static void put_answer(const struct call *call, struct http_result *result)
{
    long status = 0;
    const char *type = NULL;

    curl_easy_getinfo(call->handle->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->handle->easy, CURLINFO_CONTENT_TYPE, &type);
    result->status = (int)status;
    snprintf(result->content_type, sizeof(result->content_type), "%s", type ? type : "");
}

/* Ends a call that is in no list of the client any more. */
static void finish(struct http_client *client, struct call *call, enum http_outcome outcome,
                   const char *problem)
{
    struct http_result result = { .outcome = outcome,
                                  .reused = call->reused,
                                  .no_host = call->no_host,
                                  .problem = problem ? problem : "",
                                  .address = call->address };

    if (outcome == HTTP_ANSWERED)
        put_answer(call, &result);
    release_handle(client, call, outcome == HTTP_ANSWERED);
    if (!call->refused)
        atomic_fetch_sub(&client->pending, 1);
    if (outcome == HTTP_ANSWERED)
        result.body = TAKE(call->answer);
    result.took_us = clock_us() - call->submitted_us;
    call->done(call->ctx, &result);
    spool_free(result.body);
    call_free(call);
}

/* --- outcomes --- */

static const char *connect_problem(const struct call *call)
{
    long number = 0;

    curl_easy_getinfo(call->handle->easy, CURLINFO_OS_ERRNO, &number);
    switch (number) {
    case ECONNREFUSED:
        return "connection refused";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "the network or host cannot be reached";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    default:
        return "no connection";
    }
}

static const struct code_text {
    CURLcode code;
    const char *text;
} code_texts[] = {
    { CURLE_URL_MALFORMAT, "the URL is not valid" },
    { CURLE_COULDNT_RESOLVE_HOST, "host name not found" },
    { CURLE_SSL_CONNECT_ERROR, "TLS could not be set up" },
    { CURLE_PEER_FAILED_VERIFICATION, "the TLS certificate is not valid for the host" },
    { CURLE_SSL_CACERT_BADFILE, "the certificates of TLS authorities cannot be read" },
    { CURLE_GOT_NOTHING, "the connection ended without an answer" },
    { CURLE_PARTIAL_FILE, "the connection ended before the answer was complete" },
    { CURLE_SEND_ERROR, "the connection ended while the request was sent" },
    { CURLE_SEND_FAIL_REWIND, "the connection ended while the request was sent" },
    { CURLE_WEIRD_SERVER_REPLY, "the answer is not HTTP" },
    { CURLE_BAD_CONTENT_ENCODING, "the answer is not HTTP" },
    { CURLE_OUT_OF_MEMORY, "out of memory" },
};

static const char *code_text(const struct call *call, CURLcode code)
{
    if (code == CURLE_COULDNT_CONNECT)
        return connect_problem(call);
    if (code == CURLE_UNSUPPORTED_PROTOCOL)
        return call->connected ? "the answer is not HTTP" : "only http and https are possible";
    if (code == CURLE_RECV_ERROR)
        return call->answering ? "the connection ended before the answer was complete"
                               : "the connection ended without an answer";
    for (size_t i = 0; i < ARRAY_LEN(code_texts); i++) {
        if (code_texts[i].code == code)
            return code_texts[i].text;
    }
    return "the exchange failed";
}

static void finish_late(struct http_client *client, struct call *call, const char *what, uint64_t limit_us)
{
    enum http_outcome outcome = call->connected ? HTTP_TIMED_OUT : HTTP_NOT_SENT;
    AUTO(free_str_auto) char *problem = xasprintf("%s within %g s", what, (double)limit_us / 1e6);

    finish(client, call, outcome, problem);
}

/* What libcurl says of a call that it has ended. */
static void finish_code(struct http_client *client, struct call *call, CURLcode code)
{
    list_remove(&client->running, call);
    call->no_host = code == CURLE_COULDNT_RESOLVE_HOST;
    if (code == CURLE_OK && call->head_complete)
        finish(client, call, HTTP_ANSWERED, NULL);
    else if (code == CURLE_OK)
        finish(client, call, HTTP_BROKEN, "the connection ended before the answer was complete");
    else if (code == CURLE_FILESIZE_EXCEEDED || call->answer_error == -ERR_TOO_BIG)
        finish(client, call, HTTP_ANSWER_TOO_BIG, "the answer is larger than allowed");
    else if (call->answer_error)
        finish(client, call, HTTP_BROKEN, "the answer could not be kept in the temporary directory");
    else if (call->never_again)
        finish(client, call, HTTP_BROKEN, "the connection ended while the request was sent");
    else if (call->not_public && !call->connected)
        finish(client, call, HTTP_NOT_SENT, "the address is not public");
    else if (code == CURLE_OPERATION_TIMEDOUT)
        finish_late(client, call, "no connection", call->connect_us);
    else
        finish(client, call, call->connected ? HTTP_BROKEN : HTTP_NOT_SENT, code_text(call, code));
}

/* --- deadlines: the total and the first byte; libcurl keeps the one for connecting --- */

static void check_waiting(struct http_client *client, uint64_t now)
{
    struct call *next;

    for (struct call *call = client->waiting.first; call; call = next) {
        next = call->next;
        if (now < call_end_us(call)) {
            note_deadline(client, call_end_us(call));
            continue;
        }
        list_remove(&client->waiting, call);
        finish_late(client, call, "no free connection", call->total_us);
    }
}

static void check_running(struct http_client *client, uint64_t now)
{
    struct call *next;

    for (struct call *call = client->running.first; call; call = next) {
        bool silent = now >= call->silent_us, late = now >= call_end_us(call);
        next = call->next;
        if (!silent && !late) {
            note_deadline(client, call_end_us(call));
            note_deadline(client, call->silent_us);
            continue;
        }
        list_remove(&client->running, call);
        if (silent)
            finish_late(client, call, "no answer", call->first_byte_us);
        else
            finish_late(client, call, call->connected ? "no complete answer" : "no connection",
                        call->total_us);
    }
}

static void check_deadlines(struct http_client *client)
{
    uint64_t now = clock_us();

    if (now < client->next_deadline_us)
        return;
    client->next_deadline_us = UINT64_MAX;
    check_waiting(client, now);
    check_running(client, now);
}

/* --- the thread --- */

/* False when the client is being freed. */
static bool take_submitted(struct http_client *client, bool *ret_refusing)
{
    struct call_list taken;
    bool stopping;

    pthread_mutex_lock(&client->mutex);
    taken = client->submitted;
    client->submitted = (struct call_list){ NULL, NULL, 0 };
    stopping = client->stopping;
    *ret_refusing = client->refusing;
    pthread_mutex_unlock(&client->mutex);
    while (taken.first) {
        struct call *call = taken.first;
        list_remove(&taken, call);
        if (call->refused) {
            finish(client, call, HTTP_NOT_SENT, "too many calls are waiting");
        } else {
            note_deadline(client, call_end_us(call));
            list_add(&client->waiting, call);
        }
    }
    return !stopping;
}

static void start_waiting(struct http_client *client)
{
    while (client->waiting.first && client->running.count < client->max_connections) {
        struct call *call = client->waiting.first;
        list_remove(&client->waiting, call);
        start(client, call);
    }
}

static void take_ended(struct http_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct handle *handle = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &handle);
        finish_code(client, handle->call, message->data.result);
    }
}

static void cancel(struct http_client *client, struct call_list *list)
{
    while (list->first) {
        struct call *call = list->first;
        list_remove(list, call);
        finish(client, call, HTTP_CANCELLED, "this server is stopping");
    }
}

static int wait_ms(const struct http_client *client)
{
    uint64_t now = clock_us(), at = client->next_deadline_us;

    if (client->curl_due_us < at)
        at = client->curl_due_us;
    if (client->waiting.first && client->running.count < client->max_connections)
        return 0;
    if (at <= now)
        return 0;
    return at - now > (uint64_t)WAIT_LONGEST_MS * 1000 ? WAIT_LONGEST_MS : (int)((at - now + 999) / 1000);
}

/* True if nothing was submitted since; from then on, whoever submits wakes this thread. */
static bool fall_asleep(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    bool idle = client->submitted.count == 0;
    atomic_store(&client->asleep, idle);
    pthread_mutex_unlock(&client->mutex);
    return idle;
}

static void wait_and_exchange(struct http_client *client)
{
    struct watch_event events[MOST_EVENTS];
    int ms = wait_ms(client), running;
    size_t count;

    if (ms && !fall_asleep(client))
        ms = 0;
    count = watch_wait(client->watch, ms, events, MOST_EVENTS);
    atomic_store(&client->asleep, false);
    for (size_t i = 0; i < count; i++) {
        int ready = (events[i].ready & WATCH_IN ? CURL_CSELECT_IN : 0) |
                    (events[i].ready & WATCH_OUT ? CURL_CSELECT_OUT : 0);
        curl_multi_socket_action(client->multi, events[i].fd, ready, &running);
    }
}

/* What libcurl wants to do without an event, above all to begin what was added. */
static void run_due(struct http_client *client)
{
    int running;

    if (clock_us() < client->curl_due_us)
        return;
    client->curl_due_us = UINT64_MAX; /* it may set another one in the call */
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static void *client_main(void *arg)
{
    struct http_client *client = arg;
    bool refusing;

    while (take_submitted(client, &refusing)) {
        if (refusing) {
            cancel(client, &client->running);
            cancel(client, &client->waiting);
        }
        start_waiting(client);
        run_due(client);
        take_ended(client);
        check_deadlines(client);
        wait_and_exchange(client);
        take_ended(client);
    }
    do {
        cancel(client, &client->running);
        cancel(client, &client->waiting);
        take_submitted(client, &refusing);
    } while (client->waiting.first);
    return NULL;
}

/* --- start, send, end --- */

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_ALL))
        abort();
}

static void client_delete(struct http_client *client)
{
    for (size_t i = 0; i < client->spare_count; i++)
        handle_free(client->spare[i]);
    free(client->spare);
    curl_multi_cleanup(client->multi);
    watch_free(client->watch);
    pthread_mutex_destroy(&client->mutex);
    free(client->user_agent);
    free(client);
}

static CURLM *make_multi(struct http_client *client)
{
    CURLM *multi = curl_multi_init();

    if (!multi)
        abort();
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)client->max_connections);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)client->max_connections);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)client->max_connections);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_want);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    return multi;
}

struct http_client *http_client_new(const struct http_client_options *options, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_client *client = xcalloc(1, sizeof(*client));

    pthread_once(&once, init_curl);
    client->max_connections = options->max_connections ? options->max_connections : 1;
    client->max_waiting = options->max_waiting;
    client->user_agent = options->user_agent ? xstrdup(options->user_agent) : NULL;
    client->next_deadline_us = client->curl_due_us = UINT64_MAX;
    client->spare = xcalloc(client->max_connections, sizeof(struct handle *));
    pthread_mutex_init(&client->mutex, NULL);
    client->multi = make_multi(client);
    client->watch = watch_new();
    if (!client->watch || pthread_create(&client->thread, NULL, client_main, client)) {
        err_set(err, ERR_IO, client->watch ? "cannot start a thread" : "too many open files");
        client_delete(client);
        return NULL;
    }
    return client;
}

void http_send(struct http_client *client, const struct http_send *send)
{
    struct call *call = call_new(client, send);

    pthread_mutex_lock(&client->mutex);
    call->refused = atomic_load(&client->pending) >= client->max_connections + client->max_waiting;
    if (!call->refused)
        atomic_fetch_add(&client->pending, 1);
    list_add(&client->submitted, call);
    pthread_mutex_unlock(&client->mutex);
    if (atomic_exchange(&client->asleep, false))
        watch_wake(client->watch);
}

void http_client_cancel(struct http_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->refusing = true;
    pthread_mutex_unlock(&client->mutex);
    watch_wake(client->watch);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&client->mutex);
    client->stopping = true;
    pthread_mutex_unlock(&client->mutex);
    watch_wake(client->watch);
    pthread_join(client->thread, NULL);
    client_delete(client);
}
