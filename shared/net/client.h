/*
 * client: all outgoing HTTP, on one thread of its own (libcurl multi).
 *
 * http_send() may be called from any thread and never blocks.  done() is called exactly once, on the client's
 * thread, and must not block there; it may call http_send().  Connections are kept and reused within the
 * limits of the client; requests above them wait in a bounded queue.  Redirects are not followed, proxies of
 * the environment not used.
 */
#ifndef SHARED_NET_CLIENT_H
#define SHARED_NET_CLIENT_H

#include "shared/base/err.h"
#include "shared/net/server.h"
#include "shared/net/spool.h"

struct http_client;

struct http_client_options {
    unsigned max_connections; /* per host and in all */
    size_t max_waiting;       /* requests beyond the connections */
    const char *user_agent;
};

enum {
    HTTP_FRESH = 1, /* a new connection: nothing of the request is ever sent twice */
    HTTP_PUBLIC_ONLY =
        2, /* refuse loopback, link-local and private addresses, whatever the name resolves to */
};

enum http_outcome {
    HTTP_ANSWERED,  /* status, body: a complete answer */
    HTTP_NOT_SENT,  /* could not resolve or connect, queue full: the other side saw nothing */
    HTTP_BROKEN,    /* the connection ended or made no sense after something may have been sent */
    HTTP_TIMED_OUT, /* a deadline passed after something may have been sent */
    HTTP_ANSWER_TOO_BIG,
    HTTP_CANCELLED, /* the client is being freed */
};

struct http_result {
    enum http_outcome outcome;
    bool reused;  /* sent over a kept connection: a BROKEN one may just have been closed for idleness */
    bool no_host; /* NOT_SENT because the host's name is not known */
    int status;
    char content_type[128];
    struct spool *body;  /* HTTP_ANSWERED; the callback may take it (set NULL) */
    const char *problem; /* otherwise: what failed, without any URL or address */
    const char *address; /* numeric address that was connected to, or "" */
    uint64_t took_us;
};

/* Statuses of what went well; proxies may make another one of a 200. */
static inline bool http_is_success(int status)
{
    return status / 100 == 2;
}

typedef void http_done_fn(void *ctx, struct http_result *result);

struct http_send {
    const char *verb; /* "GET" or "POST" */
    const char *url;
    size_t field_count;
    const struct http_field *fields; /* copied */
    size_t part_count;
    struct slice parts[4];              /* the body, in pieces; borrowed until done() */
    uint64_t connect_us, first_byte_us; /* 0: only total_us counts */
    uint64_t total_us;                  /* from http_send() on, waiting for a connection included */
    struct spool_limits answer;
    unsigned flags;
    http_done_fn *done;
    void *ctx;
};

struct http_client *http_client_new(const struct http_client_options *options, struct err *err) MUST_USE;
void http_send(struct http_client *client, const struct http_send *send);
/* Ends what is in progress, and whatever is sent from now on, with HTTP_CANCELLED. Any thread; does not wait
 * for it. */
void http_client_cancel(struct http_client *client);
/* Ends what is in progress with HTTP_CANCELLED, then the thread. */
void http_client_free(struct http_client *client);

#endif
