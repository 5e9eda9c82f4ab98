/*
 * test_dws_peer: what the tests of the DWS stand on: a delegation target made of sockets, which can also
 * misbehave; a client; and a whole DWS in this process.  Assertions are made on the test's thread only.
 */
#ifndef TEST_UNIT_TEST_DWS_PEER_H
#define TEST_UNIT_TEST_DWS_PEER_H

#include "test/unit/port.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "dws/dws.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/json.h"
#include "shared/net/hops.h"

enum { PEER_CONNECTIONS = 512, PEER_REQUESTS = 512 };

#define TWS_NODE "11111111111111111111111111111111"
#define TWS_CLUSTER "cccccccccccccccccccccccccccccccc"
#define OTHER_CLUSTER "dddddddddddddddddddddddddddddddd"
#define OTHER_NODE "22222222222222222222222222222222"

enum peer_identity {
    PEER_TWS,
    PEER_DWS,     /* with a complete chain to a TWS */
    PEER_DWS_NEW, /* has not found a target */
    PEER_FOREIGN, /* knows no TypeService.describe */
    PEER_BACK,    /* like FOREIGN, but sends all calls on to back_port, as another Java DWS would */
    PEER_LIAR,    /* answers "0.15.0" to everything */
    PEER_FAILED,  /* a Java service that did not start up */
    PEER_MIRROR,  /* says it is `mirror` */
};

enum peer_action {
    ACT_REPLY,
    ACT_CLOSE,         /* reads the call and closes the connection */
    ACT_CLOSE_IF_KEPT, /* only if it is not the first on its connection */
    ACT_HOLD,          /* answers when `action` is something else */
};

struct peer_request {
    char *head, *body;
    size_t body_len;
};

struct peer {
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    enum peer_identity identity;
    const char *cluster; /* as JSON */
    char mirror[33];
    int back_port;
    enum peer_action action;
    int status;
    const char *type;
    struct slice reply;
    bool checks_held; /* checks are not answered as long as this is set */
    size_t checks, count;
    struct peer_request requests[PEER_REQUESTS]; /* calls that are no checks */
    size_t connection_count;
    struct {
        struct peer *peer;
        int fd;
        pthread_t thread;
    } connections[PEER_CONNECTIONS];
};

struct answer {
    int status;
    char *bytes; /* NUL behind it */
    size_t len;
};

static inline void answer_release(struct answer *a)
{
    free(a->bytes);
    a->bytes = NULL;
}

/* ---- bytes over sockets ---- */

static inline bool send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* One message: head up to the empty line, then Content-Length bytes. */
static inline bool read_message(int fd, char **ret_head, char **ret_body, size_t *ret_len)
{
    struct sbuf in = SBUF_INIT((size_t)64 << 20);
    size_t head = 0, body = 0;
    bool complete = false;

    while (!complete) {
        char *room = sbuf_room(&in, 65536);
        ssize_t n = room ? recv(fd, room, 65536, 0) : -1;
        if (n <= 0)
            break;
        sbuf_added(&in, (size_t)n);
        if (!head) {
            char *end = memmem(in.p, in.len, "\r\n\r\n", 4);
            if (!end)
                continue;
            head = (size_t)(end - in.p) + 4;
            char *field = strcasestr(in.p, "content-length:");
            body = field && field < end ? strtoul(field + 15, NULL, 10) : 0;
        }
        complete = in.len >= head + body;
    }
    if (complete) {
        *ret_head = xmemdup(in.p, head);
        *ret_body = xmemdup(in.p + head, body);
        *ret_len = body;
    }
    sbuf_release(&in);
    return complete;
}

static inline int connect_to(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* status 0: no answer. fields: lines with \r\n, or "". */
static inline struct answer http_call(int port, const char *verb, const char *path, const char *fields,
                                      struct slice body)
{
    struct answer answer = { 0, NULL, 0 };
    struct sbuf out = SBUF_INIT(SBUF_NO_LIMIT);
    char *head = NULL;
    int fd = connect_to(port);

    if (fd < 0)
        return answer;
    sbuf_addf(&out, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", verb,
              path, body.n, fields);
    sbuf_add_slice(&out, body);
    if (send_all(fd, out.p, out.len) && read_message(fd, &head, &answer.bytes, &answer.len))
        answer.status = (int)strtol(head + sizeof("HTTP/1.1"), NULL, 10);
    free(head);
    sbuf_release(&out);
    close(fd);
    return answer;
}

/* ---- the target ---- */

static inline char *peer_error(int code, const char *message)
{
    return xasprintf("{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":%d,\"message\":\"%"
                     "s\",\"error\":null}}",
                     code, message);
}

static inline char *peer_about(const char *role, const char *node, const char *cluster, const char *more)
{
    return xasprintf(
        "{\"version\":\"1.1\",\"result\":[{\"role\":\"%s\",\"node\":\"%s\",\"cluster\":%s,\"version\":\"9\","
        "\"protocol\":1,\"read_only\":0,\"target\":null,%s}]}",
        role, node, cluster, more);
}

/* Passes a call on without its mark, as a server that makes requests of its own would. */
static inline char *peer_pass_back(struct peer *peer, const char *body, int *ret_status)
{
    const char *context = strstr(body, ",\"context\":{\"wstyped\"");
    char *bare = context ? xasprintf("%.*s}", (int)(context - body), body) : xstrdup(body);
    struct answer answer = http_call(peer->back_port, "POST", "/", "", slice_str(bare));

    free(bare);
    *ret_status = answer.status ? answer.status : 502;
    return answer.bytes ? answer.bytes : xstrdup("");
}

static inline char *peer_check_reply(struct peer *peer, const char *body, int *ret_status)
{
    bool describe = strstr(body, "TypeService.describe") != NULL;

    *ret_status = 200;
    switch (peer->identity) {
    case PEER_TWS:
        return peer_about("tws", TWS_NODE, peer->cluster, "\"chain\":[]");
    case PEER_MIRROR:
        return peer_about("dws", peer->mirror, "null", "\"chain\":[]");
    case PEER_DWS:
        return peer_about("dws", OTHER_NODE, peer->cluster,
                          "\"hops\":1,\"chain\":[\"" TWS_NODE "\"],\"chain_complete\":true");
    case PEER_DWS_NEW:
        return peer_about("dws", OTHER_NODE, "null", "\"hops\":1,\"chain\":[],\"chain_complete\":false");
    case PEER_LIAR:
        return xstrdup("{\"version\":\"1.1\",\"result\":[\"0.15.0\"]}");
    case PEER_BACK:
        if (!describe)
            return peer_pass_back(peer, body, ret_status);
        break;
    case PEER_FAILED:
        *ret_status = 500;
        return describe ? peer_error(-32601, "Can not find method")
                        : peer_error(-32603, "did not start up properly");
    case PEER_FOREIGN:
        break;
    }
    *ret_status = 500;
    return describe ? peer_error(-32601, "Can not find method") : peer_error(-32500, "Module doesn't exist");
}

static inline bool peer_send(int fd, int status, const char *type, struct slice body)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_addf(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n", status, body.n);
    if (type)
        sbuf_addf(&out, "Content-Type: %s\r\n", type);
    sbuf_adds(&out, "\r\n");
    sbuf_add_slice(&out, body);
    return send_all(fd, out.p, out.len);
}

static inline bool peer_answer_check(struct peer *peer, int fd, const char *body)
{
    int status;

    pthread_mutex_lock(&peer->lock);
    peer->checks++;
    pthread_cond_broadcast(&peer->changed);
    while (peer->checks_held && !peer->stopping)
        pthread_cond_wait(&peer->changed, &peer->lock);
    pthread_mutex_unlock(&peer->lock);
    char *reply = peer_check_reply(peer, body, &status);
    bool sent = peer_send(fd, status, "application/json", slice_str(reply));
    free(reply);
    return sent;
}

/* Takes over head and body. */
static inline bool peer_answer_call(struct peer *peer, int fd, char *head, char *body, size_t len,
                                    size_t number)
{
    pthread_mutex_lock(&peer->lock);
    if (peer->count < PEER_REQUESTS) {
        peer->requests[peer->count++] = (struct peer_request){ head, body, len };
    } else {
        free(head);
        free(body);
    }
    pthread_cond_broadcast(&peer->changed);
    while (peer->action == ACT_HOLD && !peer->stopping)
        pthread_cond_wait(&peer->changed, &peer->lock);
    bool answer =
        !peer->stopping && peer->action != ACT_CLOSE && !(peer->action == ACT_CLOSE_IF_KEPT && number > 0);
    int status = peer->status;
    const char *type = peer->type;
    struct slice reply = peer->reply;
    pthread_mutex_unlock(&peer->lock);
    return answer && peer_send(fd, status, type, reply);
}

static inline void *peer_connection(void *arg)
{
    struct {
        struct peer *peer;
        int fd;
    } *connection = arg;
    struct peer *peer = connection->peer;
    char *head, *body;
    size_t len;

    for (size_t number = 0; read_message(connection->fd, &head, &body, &len); number++) {
        bool check = memmem(body, len, "TypeService.describe", 20) || memmem(body, len, "Nonce", 5);
        bool go_on = check ? peer_answer_check(peer, connection->fd, body)
                           : peer_answer_call(peer, connection->fd, head, body, len, number);
        if (check) {
            free(head);
            free(body);
        }
        if (!go_on)
            break;
    }
    shutdown(connection->fd, SHUT_RDWR);
    return NULL;
}

static inline void *peer_main(void *arg)
{
    struct peer *peer = arg;

    for (int fd; (fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        pthread_mutex_lock(&peer->lock);
        size_t i = peer->connection_count;
        if (peer->stopping || i == PEER_CONNECTIONS) {
            close(fd);
        } else {
            peer->connections[i].peer = peer;
            peer->connections[i].fd = fd;
            pthread_create(&peer->connections[i].thread, NULL, peer_connection, &peer->connections[i]);
            peer->connection_count++;
        }
        pthread_mutex_unlock(&peer->lock);
    }
    return NULL;
}

/* port 0: one that stays this process's when the peer is gone, so that another can come back there */
static inline struct peer *peer_start(int port)
{
    struct peer *peer = xcalloc(1, sizeof(*peer));
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)(port ? port : free_port())) };
    socklen_t n = sizeof(at);
    int yes = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(peer->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(peer->listener, 512), 0);
    getsockname(peer->listener, (struct sockaddr *)&at, &n);
    peer->port = ntohs(at.sin_port);
    peer->cluster = "\"" TWS_CLUSTER "\"";
    peer->status = 200;
    peer->type = "application/json";
    peer->reply = SLICE("{\"version\":\"1.1\",\"result\":[ 1.50 ]}");
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->changed, NULL);
    pthread_create(&peer->thread, NULL, peer_main, peer);
    return peer;
}

static inline void peer_stop(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->stopping = true;
    pthread_cond_broadcast(&peer->changed);
    for (size_t i = 0; i < peer->connection_count; i++)
        shutdown(peer->connections[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&peer->lock);
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    for (size_t i = 0; i < peer->connection_count; i++) {
        pthread_join(peer->connections[i].thread, NULL);
        close(peer->connections[i].fd);
    }
    for (size_t i = 0; i < peer->count; i++) {
        free(peer->requests[i].head);
        free(peer->requests[i].body);
    }
    close(peer->listener);
    pthread_mutex_destroy(&peer->lock);
    pthread_cond_destroy(&peer->changed);
    free(peer);
}

static inline void peer_be(struct peer *peer, enum peer_identity identity)
{
    pthread_mutex_lock(&peer->lock);
    peer->identity = identity;
    pthread_mutex_unlock(&peer->lock);
}

static inline void peer_serve_cluster(struct peer *peer, const char *cluster)
{
    pthread_mutex_lock(&peer->lock);
    peer->cluster = cluster;
    pthread_mutex_unlock(&peer->lock);
}

static inline void peer_act(struct peer *peer, enum peer_action action)
{
    pthread_mutex_lock(&peer->lock);
    peer->action = action;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

static inline void peer_hold_checks(struct peer *peer, bool held)
{
    pthread_mutex_lock(&peer->lock);
    peer->checks_held = held;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

static inline void peer_reply(struct peer *peer, int status, const char *type, struct slice reply)
{
    pthread_mutex_lock(&peer->lock);
    peer->status = status;
    peer->type = type;
    peer->reply = reply;
    pthread_mutex_unlock(&peer->lock);
}

/* Waits until *counter, which the lock guards, is at least n. */
static inline bool peer_wait(struct peer *peer, const size_t *counter, size_t n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&peer->lock);
    while (*counter < n && pthread_cond_timedwait(&peer->changed, &peer->lock, &until) == 0)
        ;
    bool reached = *counter >= n;
    pthread_mutex_unlock(&peer->lock);
    return reached;
}

static inline size_t peer_count(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t count = peer->count;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

static inline size_t peer_checks(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t checks = peer->checks;
    pthread_mutex_unlock(&peer->lock);
    return checks;
}

/* ---- a DWS ---- */

struct node {
    char dir[64], ready[96];
    struct config *config;
    pthread_t thread;
    bool ended;
    int rc;
    struct err err;
    int port;
    char id[33];
};

/* Users: t-ann, t-read (read-only admin), t-root (admin). */
static inline void node_write_tokens(const char *path)
{
    static const char *const lines[][2] = { { "ann user", "t-ann" },
                                            { "read read-admin", "t-read" },
                                            { "root admin", "t-root" } };
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char hash[SHA256_HEX + 1];
        sha256_hex(slice_str(lines[i][1]), hash);
        fprintf(file, "%s %s\n", lines[i][0], hash);
    }
    fclose(file);
}

static inline void *node_main(void *arg)
{
    struct node *node = arg;

    node->rc = dws_run(node->config, node->ready, &node->err);
    __atomic_store_n(&node->ended, true, __ATOMIC_RELEASE);
    return NULL;
}

static inline struct node *node_launch(int target_port, int port, const char *more)
{
    struct node *node = xcalloc(1, sizeof(*node));
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_SBUF(problems, SBUF_NO_LIMIT);
    AUTO_SBUF(tokens, SBUF_NO_LIMIT);

    snprintf(node->dir, sizeof(node->dir), "/tmp/wstyped-dws-XXXXXX");
    assert_non_null(mkdtemp(node->dir));
    snprintf(node->ready, sizeof(node->ready), "%s/ready", node->dir);
    sbuf_addf(&tokens, "%s/tokens", node->dir);
    node_write_tokens(tokens.p);
    sbuf_addf(&text,
              "[Workspace]\nlisten-address = 127.0.0.1\nport = %d\ntype-delegation-target = "
              "http://u:pw@127.0.0.1:%d/\n"
              "auth-tokens-file = %s\ntemp-dir = %s\nlog-file = %s/log\n%s",
              port, target_port, tokens.p, node->dir, node->dir, more);
    node->config = config_parse(sbuf_slice(&text), "test", &problems);
    if (!node->config)
        fail_msg("%s", problems.p);
    pthread_create(&node->thread, NULL, node_main, node);
    return node;
}

/* False if it ended instead. */
static inline bool node_wait(struct node *node)
{
    for (int i = 0; i < 2000; i++) {
        FILE *file = fopen(node->ready, "re");
        if (file) {
            int got = fscanf(file, "{\"url\":\"http://127.0.0.1:%d", &node->port);
            fclose(file);
            assert_int_equal(got, 1);
            return true;
        }
        if (__atomic_load_n(&node->ended, __ATOMIC_ACQUIRE))
            return false;
        usleep(10000);
    }
    fail_msg("neither ready nor ended");
    return false;
}

/* The process gets a SIGTERM, which the service of this node takes. */
static inline void node_stop(struct node *node)
{
    AUTO_SBUF(path, SBUF_NO_LIMIT);
    static const char *const files[] = { "tokens", "log", "ready", "tokens.lock" };

    if (!__atomic_load_n(&node->ended, __ATOMIC_ACQUIRE))
        kill(getpid(), SIGTERM);
    pthread_join(node->thread, NULL);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        sbuf_reset(&path);
        sbuf_addf(&path, "%s/%s", node->dir, files[i]);
        unlink(path.p);
    }
    rmdir(node->dir);
    config_free(node->config);
    err_clear(&node->err);
    free(node);
}

/* The answer's bytes are the caller's. */
static inline struct answer node_call(const struct node *node, const char *fields, const char *body)
{
    return http_call(node->port, "POST", "/", fields, slice_str(body));
}

static inline struct answer node_get(const struct node *node, const char *path)
{
    return http_call(node->port, "GET", path, "", SLICE(""));
}

static inline struct node *node_start(int target_port, const char *more)
{
    static const char key[] = "\"node\":\"";
    struct node *node = node_launch(target_port, 0, more);

    if (!node_wait(node))
        fail_msg("it ended: %s", err_text(&node->err));
    struct answer about = node_call(node, "", "{\"method\":\"TypeService.describe\",\"params\":[]}");
    const char *at = about.bytes ? strstr(about.bytes, key) : NULL;
    assert_non_null(at);
    memcpy(node->id, at + sizeof(key) - 1, 32);
    answer_release(&about);
    return node;
}

/* Before any thread is made: SIGTERM is for the service. */
static inline void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

#define assert_has(text, part) \
    do { \
        if (!strstr((text), (part))) \
            fail_msg("'%s' is not in: %s", (part), (text)); \
    } while (0)
#define assert_has_not(text, part) \
    do { \
        if (strstr((text), (part))) \
            fail_msg("'%s' is in: %s", (part), (text)); \
    } while (0)

#endif
