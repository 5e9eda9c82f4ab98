#include "shared/net/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"

enum {
    LISTEN_BACKLOG = 1024,
    TICK_LONGEST_US = 1000000,
    TICK_SHORTEST_US = 10000,
    DRAIN_TICK_US = 20000,
    DRAIN_GRACE_US = 20000,      /* a connection that is younger may have a request under way */
    DRAIN_NEW_GRACE_US = 500000, /* one that never had any certainly has, unless its client is in no hurry */
    HANDSHAKE_US = 50000,        /* from the last SYN that is let in to the closing of the port */
    POOL_EXTRA = 4096, /* beside the head of a request: the parsed fields and the head of the answer */
    READ_INCREMENT = 8192,
};

enum phase {
    PHASE_NEW,     /* connected, no request line yet */
    PHASE_IDLE,    /* answered, waits for the next request line */
    PHASE_HEAD,    /* request line seen */
    PHASE_REQUEST, /* head complete: reads the body, waits, sends the answer */
    PHASE_COUNT,
};

/* One client connection. Made and freed by an event thread under `mutex`; the reaper only looks at it. */
struct connection {
    struct connection *prev, *next;
    int fd;
    bool shut;             /* the reaper's */
    _Atomic uint64_t mark; /* since when (us) << 2 | phase */
    char peer[INET6_ADDRSTRLEN];
};

/*
 * Who answers first: http_reply() or the return of the handler.  OPEN -> REPLIED: the event thread finds the
 * answer when the handler returns.  OPEN -> SUSPENDED: http_reply() resumes the connection.
 */
enum reply_state { REPLY_OPEN, REPLY_SUSPENDED, REPLY_DONE };

struct http_request {
    struct http_server *server;
    struct MHD_Connection *mhd;
    struct connection *connection;
    uint64_t started_us;
    enum http_verb verb;
    const char *path;
    bool begun;  /* the head was looked at */
    bool handed; /* to the handler; counts as active */
    bool too_big;
    struct spool *body;
    char *body_problem;
    _Atomic int state;
    struct MHD_Response *response; /* with the status: written before `state` becomes REPLY_DONE */
    unsigned status;
};

struct http_server {
    http_handler_fn *handler;
    void *ctx;
    struct spool_limits body;
    unsigned max_connections;
    uint64_t limits_us[PHASE_COUNT];
    struct MHD_Daemon *daemon;
    int listener, port;
    _Atomic bool quiesced, draining;
    _Atomic size_t connection_count;
    _Alignas(64) _Atomic size_t active; /* written at each request, so not beside what each request reads */

    _Alignas(64) pthread_mutex_t mutex; /* the list of connections and `stopping` */
    pthread_cond_t changed;
    struct connection *connections;
    bool stopping;
    pthread_t reaper;
};

/* --- connections and the reaper --- */

static void mark(struct connection *connection, enum phase phase, uint64_t since)
{
    atomic_store_explicit(&connection->mark, since << 2 | phase, memory_order_relaxed);
}

static void put_peer(struct connection *connection, const struct sockaddr *address)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
    const void *from = NULL;
    int family = address ? address->sa_family : AF_UNSPEC;

    if (family == AF_INET) {
        from = &four->sin_addr;
    } else if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        family = AF_INET;
        from = &six->sin6_addr.s6_addr[12];
    } else if (family == AF_INET6) {
        from = &six->sin6_addr;
    }
    if (!from || !inet_ntop(family, from, connection->peer, sizeof(connection->peer)))
        connection->peer[0] = '\0';
}

static void connection_started(struct http_server *server, struct MHD_Connection *mhd, void **ret_connection)
{
    struct connection *connection = xcalloc(1, sizeof(*connection));

    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    put_peer(connection, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    mark(connection, PHASE_NEW, clock_us());
    pthread_mutex_lock(&server->mutex);
    connection->next = server->connections;
    if (connection->next)
        connection->next->prev = connection;
    server->connections = connection;
    pthread_mutex_unlock(&server->mutex);
    atomic_fetch_add_explicit(&server->connection_count, 1, memory_order_relaxed);
    *ret_connection = connection;
}

/* Comes before the socket is closed, so the reaper never shuts a socket that is somebody else's by now. */
static void connection_closed(struct http_server *server, struct connection *connection)
{
    pthread_mutex_lock(&server->mutex);
    if (connection->prev)
        connection->prev->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    pthread_mutex_unlock(&server->mutex);
    atomic_fetch_sub_explicit(&server->connection_count, 1, memory_order_relaxed);
    free(connection);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_started(cls, mhd, socket_context);
    else if (*socket_context)
        connection_closed(cls, TAKE(*socket_context));
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *address UNUSED, socklen_t len UNUSED)
{
    struct http_server *server = cls;
    size_t count = atomic_load_explicit(&server->connection_count, memory_order_relaxed);

    return count < server->max_connections ? MHD_YES : MHD_NO;
}

static bool has_unread(int fd)
{
    int n = 0;

    return ioctl(fd, FIONREAD, &n) == 0 && n > 0;
}

static bool overdue(struct http_server *server, const struct connection *connection, uint64_t now)
{
    uint64_t word = atomic_load_explicit(&connection->mark, memory_order_relaxed);
    enum phase phase = (enum phase)(word & 3);
    uint64_t since = word >> 2, age = now > since ? now - since : 0;
    uint64_t grace = phase == PHASE_NEW ? DRAIN_NEW_GRACE_US : DRAIN_GRACE_US;

    if (age > server->limits_us[phase])
        return true;
    return atomic_load(&server->draining) && phase <= PHASE_IDLE && age > grace &&
           !has_unread(connection->fd);
}

static void reap(struct http_server *server)
{
    uint64_t now = clock_us();

    for (struct connection *c = server->connections; c; c = c->next) {
        if (!c->shut && overdue(server, c, now)) {
            c->shut = true;
            shutdown(c->fd, SHUT_RDWR);
        }
    }
}

static uint64_t tick_us(struct http_server *server)
{
    uint64_t tick = TICK_LONGEST_US;

    if (atomic_load(&server->draining))
        return DRAIN_TICK_US;
    for (size_t i = 0; i < PHASE_COUNT; i++) {
        if (server->limits_us[i] / 8 < tick)
            tick = server->limits_us[i] / 8;
    }
    return tick < TICK_SHORTEST_US ? TICK_SHORTEST_US : tick;
}

static void *reaper_main(void *arg)
{
    struct http_server *server = arg;

    pthread_mutex_lock(&server->mutex);
    while (!server->stopping) {
        uint64_t at = clock_us() + tick_us(server);
        struct timespec until = { (time_t)(at / 1000000), (long)(at % 1000000) * 1000 };
        pthread_cond_timedwait(&server->changed, &server->mutex, &until);
        reap(server);
    }
    pthread_mutex_unlock(&server->mutex);
    return NULL;
}

/* --- requests --- */

/* The request line is there. */
static void *on_request_line(void *cls, const char *uri UNUSED, struct MHD_Connection *mhd)
{
    struct http_request *request = xcalloc(1, sizeof(*request));
    struct connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    uint64_t word = atomic_load_explicit(&connection->mark, memory_order_relaxed);

    request->server = cls;
    request->mhd = mhd;
    request->connection = connection;
    request->started_us = clock_us();
    mark(connection, PHASE_HEAD, (word & 3) == PHASE_NEW ? word >> 2 : request->started_us);
    return request;
}

static enum http_verb verb_of(const char *method)
{
    static const struct {
        const char *name;
        enum http_verb verb;
    } verbs[] = {
        { "POST", HTTP_POST },
        { "GET", HTTP_GET },
        { "HEAD", HTTP_HEAD },
        { "OPTIONS", HTTP_OPTIONS },
    };

    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(method, verbs[i].name) == 0)
            return verbs[i].verb;
    }
    return HTTP_OTHER;
}

/* A request line may name the whole URL, as requests to a proxy do. */
static const char *path_of(const char *url)
{
    const char *host = strncasecmp(url, "http://", 7) == 0    ? url + 7
                       : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;

    if (!host)
        return url;
    const char *path = strchr(host, '/');
    return path ? path : "/";
}

static void begin(struct http_request *request, const char *url, const char *method)
{
    const char *length = http_header(request, "Content-Length");

    request->begun = true;
    request->verb = verb_of(method);
    request->path = path_of(url);
    request->too_big = length && strtoull(length, NULL, 10) > request->server->body.max;
    mark(request->connection, PHASE_REQUEST, request->started_us);
}

static void keep_body(struct http_request *request, const char *bytes, size_t n)
{
    AUTO_ERR(err);

    if (request->too_big || request->body_problem)
        return;
    if (!request->body)
        request->body = spool_new(&request->server->body);
    int rc = spool_add(request->body, bytes, n, &err);
    if (rc == 0)
        return;
    if (rc == -ERR_TOO_BIG)
        request->too_big = true;
    else
        request->body_problem = xstrdup(err_text(&err));
    spool_free(TAKE(request->body));
}

static enum MHD_Result send_response(struct http_request *request)
{
    struct MHD_Response *response = TAKE(request->response);
    enum MHD_Result result = MHD_NO;

    if (response) {
        result = MHD_queue_response(request->mhd, request->status, response);
        MHD_destroy_response(response);
    }
    return result;
}

static enum MHD_Result hand_over(struct http_request *request)
{
    struct http_server *server = request->server;
    int open = REPLY_OPEN;

    request->handed = true;
    atomic_fetch_add_explicit(&server->active, 1, memory_order_relaxed);
    server->handler(server->ctx, request);
    if (atomic_load_explicit(&request->state, memory_order_acquire) == REPLY_DONE)
        return send_response(request);
    MHD_suspend_connection(request->mhd);
    if (!atomic_compare_exchange_strong(&request->state, &open, REPLY_SUSPENDED))
        MHD_resume_connection(request->mhd);
    return MHD_YES;
}

/* Called when the head is complete, for each piece of the body, at its end, and after a resume. */
static enum MHD_Result on_request(void *cls UNUSED, struct MHD_Connection *mhd UNUSED, const char *url,
                                  const char *method, const char *version UNUSED, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    struct http_request *request = *request_context;

    if (!request->begun) {
        begin(request, url, method);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        keep_body(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return request->handed ? send_response(request) : hand_over(request);
}

static void on_request_end(void *cls, struct MHD_Connection *mhd UNUSED, void **request_context,
                           enum MHD_RequestTerminationCode code UNUSED)
{
    struct http_server *server = cls;
    struct http_request *request = TAKE(*request_context);

    if (!request)
        return;
    mark(request->connection, PHASE_IDLE, clock_us());
    if (request->handed)
        atomic_fetch_sub_explicit(&server->active, 1, memory_order_release);
    if (request->response)
        MHD_destroy_response(request->response);
    spool_free(request->body);
    free(request->body_problem);
    free(request);
}

enum http_verb http_verb(const struct http_request *request)
{
    return request->verb;
}

const char *http_path(const struct http_request *request)
{
    return request->path;
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

const char *http_peer(const struct http_request *request)
{
    return request->connection->peer;
}

uint64_t http_started_us(const struct http_request *request)
{
    return request->started_us;
}

bool http_body_too_big(const struct http_request *request)
{
    return request->too_big;
}

bool http_body_failed(const struct http_request *request, const char **ret_text)
{
    if (request->body_problem)
        *ret_text = request->body_problem;
    return request->body_problem != NULL;
}

struct spool *http_body(struct http_request *request)
{
    if (!request->body && !request->too_big && !request->body_problem)
        request->body = spool_new(&request->server->body);
    return request->body;
}

/* --- replies --- */

static void free_spool(void *cls)
{
    spool_free(cls);
}

static struct MHD_Response *response_of_spool(struct spool *spool)
{
    int fd = spool_fd(spool) < 0 ? -1 : fcntl(spool_fd(spool), F_DUPFD_CLOEXEC, 0);
    struct MHD_Response *response = NULL;
    struct slice bytes;

    if (fd >= 0) {
        response = MHD_create_response_from_fd64(spool_size(spool), fd);
        if (response)
            spool_free(spool);
        else
            close(fd);
    }
    if (response)
        return response;
    if (spool_bytes(spool, &bytes, NULL) == 0)
        response = MHD_create_response_from_buffer_with_free_callback_cls(bytes.n, (void *)(uintptr_t)bytes.p,
                                                                          free_spool, spool);
    if (!response)
        spool_free(spool);
    return response;
}

static struct MHD_Response *response_of(struct http_reply *reply)
{
    char *bytes = TAKE(reply->bytes);
    struct MHD_Response *response;

    if (reply->spool)
        return response_of_spool(TAKE(reply->spool));
    if (bytes)
        response = MHD_create_response_from_buffer_with_free_callback(reply->len, bytes, free);
    else
        response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!response)
        free(bytes);
    return response;
}

void http_reply(struct http_request *request, struct http_reply *reply)
{
    struct MHD_Connection *mhd = request->mhd;
    struct MHD_Response *response = response_of(reply);

    if (response) {
        for (size_t i = 0; i < reply->field_count; i++)
            MHD_add_response_header(response, reply->fields[i].name, reply->fields[i].value);
        if (atomic_load_explicit(&request->server->draining, memory_order_relaxed))
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    request->response = response;
    request->status = (unsigned)reply->status;
    if (atomic_exchange(&request->state, REPLY_DONE) == REPLY_SUSPENDED)
        MHD_resume_connection(mhd);
}

/* --- start and end --- */

static int listen_at(const struct addrinfo *address, int *ret_fd)
{
    int on = 1, off = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, address->ai_addr, address->ai_addrlen) || listen(fd, LISTEN_BACKLOG)) {
        int number = errno;
        close(fd);
        return number;
    }
    *ret_fd = fd;
    return 0;
}

static int port_of(int fd)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &len))
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static int open_listener(const struct http_server_options *options, int *ret_fd, struct err *err)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char port[16];
    int number;

    snprintf(port, sizeof(port), "%d", options->port);
    if (getaddrinfo(options->address, port, &hints, &found))
        return err_set(err, ERR_CONFIG,
                       "cannot listen at \"%s\", port %d: not an IPv4 or IPv6 address and port",
                       options->address, options->port);
    number = listen_at(found, ret_fd);
    freeaddrinfo(found);
    if (number)
        return err_set(err, ERR_IO, "cannot listen at %s, port %d: %s", options->address, options->port,
                       strerrordesc_np(number));
    return 0;
}

static unsigned seconds_up(uint64_t us)
{
    return (unsigned)((us + 999999) / 1000000);
}

/*
 * At its own connection limit libmicrohttpd would leave new clients waiting unaccepted; on_accept() turns
 * them away instead, and the limit here is only high enough that no thread of the pool meets its share of it.
 */
static struct MHD_Daemon *start_daemon(struct http_server *server, const struct http_server_options *options)
{
    unsigned threads = options->threads ? options->threads : 1;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;

    if (strchr(options->address, ':'))
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(
        flags, 0, on_accept, server, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listener,
        MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT,
        threads * (options->max_connections + threads + 1), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        options->max_header_bytes + POOL_EXTRA, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)READ_INCREMENT, MHD_OPTION_CONNECTION_TIMEOUT, seconds_up(options->idle_us),
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, on_request_end,
        server, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, server, MHD_OPTION_END);
}

static struct http_server *server_new(const struct http_server_options *options, http_handler_fn *handler,
                                      void *ctx)
{
    struct http_server *server = aligned_alloc(_Alignof(struct http_server), sizeof(*server));
    pthread_condattr_t attr;

    if (!server)
        abort();
    *server = (struct http_server){ .listener = -1 };
    server->handler = handler;
    server->ctx = ctx;
    server->body = options->body;
    server->max_connections = options->max_connections;
    server->limits_us[PHASE_NEW] = options->header_us;
    server->limits_us[PHASE_IDLE] = options->idle_us + options->header_us;
    server->limits_us[PHASE_HEAD] = options->header_us;
    server->limits_us[PHASE_REQUEST] = options->request_us;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attr);
    pthread_condattr_destroy(&attr);
    return server;
}

static void server_delete(struct http_server *server)
{
    if (server->listener >= 0)
        close(server->listener);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

struct http_server *http_server_new(const struct http_server_options *options, http_handler_fn *handler,
                                    void *ctx, struct err *err)
{
    struct http_server *server;
    int listener = -1;

    if (open_listener(options, &listener, err))
        return NULL;
    server = server_new(options, handler, ctx);
    server->listener = listener;
    server->port = port_of(listener);
    if (pthread_create(&server->reaper, NULL, reaper_main, server)) {
        err_set(err, ERR_IO, "cannot start a thread");
        server_delete(server);
        return NULL;
    }
    server->daemon = start_daemon(server, options);
    if (!server->daemon) {
        server->listener = -1; /* closed by the failed start */
        err_set(err, ERR_IO, "cannot start the HTTP server at %s, port %d", options->address, server->port);
        http_server_free(server);
        return NULL;
    }
    return server;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

/*
 * Closing a port resets the connections that nobody accepted yet, and their clients, balancers above all,
 * cannot know that what they sent already was not read.  So first only the opening packets of new connections
 * are ignored, and those under way are accepted.  Who was ignored tries again after a second and is refused
 * then.
 */
static void refuse_gently(struct http_server *server)
{
    enum { FLAGS_OFFSET = 13, FLAG_SYN = 0x02, FLAG_ACK = 0x10, ALL = 0x40000 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_OFFSET),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, FLAG_SYN | FLAG_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FLAG_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, ALL),
    };
    struct sock_fprog program = { ARRAY_LEN(code), code };

    if (setsockopt(server->listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0)
        usleep(HANDSHAKE_US);
}

/*
 * The listening socket must stay open until the daemon has ended, because its threads may still be in
 * accept(); shutting it down is enough for clients to be refused.
 */
void http_server_quiesce(struct http_server *server)
{
    if (atomic_exchange(&server->quiesced, true))
        return;
    refuse_gently(server);
    atomic_store(&server->draining, true);
    MHD_quiesce_daemon(server->daemon);
    shutdown(server->listener, SHUT_RDWR);
    pthread_mutex_lock(&server->mutex);
    pthread_cond_signal(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

size_t http_server_active(struct http_server *server)
{
    return atomic_load_explicit(&server->active, memory_order_acquire);
}

size_t http_server_connections(struct http_server *server)
{
    return atomic_load_explicit(&server->connection_count, memory_order_relaxed);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    pthread_mutex_lock(&server->mutex);
    server->stopping = true;
    pthread_cond_signal(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    pthread_join(server->reaper, NULL);
    if (server->daemon) {
        http_server_quiesce(server);
        MHD_stop_daemon(server->daemon);
    }
    server_delete(server);
}
