/*
 * server: the HTTP server (libmicrohttpd: epoll thread pool, suspended connections).  Knows HTTP, nothing of
 * JSON-RPC.
 *
 * The handler is called on an event thread when a request's body is complete; it must not block.  Each
 * request gets exactly one http_reply(), from the handler or later from any thread; until then the connection
 * is suspended.  The request and all that was borrowed from it is gone when http_reply() was called.
 *
 * Bounds: header size, body size (spooled), connections, idle time, time for the head, time for the whole
 * request.  A slow client holds memory for its own connection, never a thread.
 */
#ifndef SHARED_NET_SERVER_H
#define SHARED_NET_SERVER_H

#include "shared/base/err.h"
#include "shared/net/spool.h"

enum http_verb { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OPTIONS, HTTP_OTHER };

struct http_request;
struct http_server;

struct http_server_options {
    const char *address;
    int port; /* 0: any */
    unsigned threads;
    unsigned max_connections;
    size_t max_header_bytes;
    struct spool_limits body;
    uint64_t idle_us, header_us, request_us;
};

typedef void http_handler_fn(void *ctx, struct http_request *request);

enum http_verb http_verb(const struct http_request *request);
/* Without the query string. */
const char *http_path(const struct http_request *request);
/* First header of that name (case-insensitive), or NULL. */
const char *http_header(const struct http_request *request, const char *name);
/* Address of the other end of the connection, as text. */
const char *http_peer(const struct http_request *request);
/* When the first byte of the request was seen (clock_us). */
uint64_t http_started_us(const struct http_request *request);
/* True if the body was larger than allowed; the rest was read and thrown away, http_body() is then NULL. */
bool http_body_too_big(const struct http_request *request);
/* True if the body could not be kept (temp-dir full or away); *ret_text says why. */
bool http_body_failed(const struct http_request *request, const char **ret_text);
struct spool *http_body(struct http_request *request);

struct http_field {
    const char *name, *value;
};

struct http_reply {
    int status;
    size_t field_count;
    const struct http_field *fields; /* borrowed until http_reply() returns */
    struct spool *spool;             /* taken; or */
    char *bytes;                     /* taken, from malloc */
    size_t len;
};

void http_reply(struct http_request *request, struct http_reply *reply);

struct http_server *http_server_new(const struct http_server_options *options, http_handler_fn *handler,
                                    void *ctx, struct err *err) MUST_USE;
int http_server_port(const struct http_server *server);
/*
 * Closes the listening socket and idle connections; what is in progress goes on.  Takes some 50 ms, in which
 * connections that are being made are still accepted.
 */
void http_server_quiesce(struct http_server *server);
/* Requests that were handed to the handler and are not answered completely yet. */
size_t http_server_active(struct http_server *server);
/* Those that are open, whatever happens on them. */
size_t http_server_connections(struct http_server *server);
/* Ends all connections and threads. Every request must have had its reply. */
void http_server_free(struct http_server *server);

#endif
