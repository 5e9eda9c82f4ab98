/*
 * service_inner: what the files of this folder share about a service; nobody else includes it.
 *
 * Everything but the atomic members and those under `lock` is set before the port opens and only read
 * afterwards.
 */
#ifndef SHARED_RPC_SERVICE_INNER_H
#define SHARED_RPC_SERVICE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "shared/base/digest.h"
#include "shared/rpc/service.h"
#include "shared/rpc/worker.h"

#define SHUTDOWN_TEXT "The server is shutting down"

struct service {
    const struct config *config;
    const struct service_mode *mode;
    void *app;
    struct http_client *client;
    struct http_client *auth_client; /* of its own, so that a slow target cannot starve token checks */
    struct auth *auth;
    struct workers *workers;
    struct http_server *_Atomic server; /* its threads may be faster than who sets this: NULL for a moment */
    struct json_limits limits;
    char node_id[RANDOM_ID_HEX + 1];
    uint64_t started_us;
    bool log_is_open;

    _Atomic bool draining; /* finish what is there */
    _Atomic bool closing;  /* refuse everything */
    _Atomic size_t calls_active;
    _Atomic uint64_t calls_total, calls_failed;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t stop_changed;
    bool running, stop;
    bool hurry; /* told to stop once more */
    int stop_status;

    pthread_t signal_thread;
    bool has_signal_thread;
    int signal_fd, end_fd;
};

/* A call with what only the dispatcher needs to know. */
struct dispatched {
    struct call call;
    struct sbuf utf8; /* the body, if it came in another encoding */
    size_t bytes_in;
    void (*next)(struct call *call);
};

/* call.c */
struct call *call_new(struct service *service, struct http_request *request);
/* Answers with `bytes` (taken, from malloc), without any CORS header if cors is false. */
void reply_bytes(struct service *service, struct http_request *request, int status, const char *type,
                 bool cors, char *bytes, size_t len);

#endif
