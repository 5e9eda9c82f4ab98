/*
 * call: one JSON-RPC request on its way through the service.
 *
 * A call belongs to one thread at a time: the event thread that read it, a worker, or the client thread that
 * brings an answer; handing it over is the only synchronisation.  Everything allocated from its arena lives
 * until it is finished.
 */
#ifndef SHARED_RPC_CALL_H
#define SHARED_RPC_CALL_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/json.h"
#include "shared/net/hops.h"
#include "shared/net/server.h"
#include "shared/rpc/envelope.h"
#include "shared/rpc/method.h"

enum { CALL_LATER = 1 }; /* a method returns this when it will finish the call itself */

enum admin_role { ADMIN_NONE, ADMIN_READ, ADMIN_FULL };

struct service;

struct call {
    struct service *service;
    void *app; /* struct tws or struct dws */
    struct http_request *http;
    struct arena arena;

    struct slice raw_body; /* as it came */
    struct slice body;     /* as UTF-8; the same bytes if it came as UTF-8 */
    int body_unit;         /* bytes per unit of raw_body: 1, 2, 4 */
    bool body_big_endian;
    struct envelope env;
    struct hops hops; /* delegation mark, from header and body; count 0 if unmarked */

    const struct method *method;
    const union param_value *params;
    bool has_token;
    struct slice token;   /* as the client sent it */
    const char *user;     /* NULL: anonymous */
    enum admin_role role; /* for methods with METHOD_NEEDS_ROLE */
    struct err role_err;  /* why the role could not be found out */

    bool may_block; /* on a worker: may wait for the database */
    uint64_t start_us, deadline_us;
    char id[17]; /* our id for the log */
    const char *client_ip;
    struct sbuf notes; /* more fields for the log line, by log_put() */
    uint64_t hop_us;   /* time spent at the delegation target */
};

/*
 * Ends the call: exactly once, from any thread.  rc 0: *result (taken) is the JSON of the value; else *err
 * (taken) is answered.
 */
void call_finish(struct call *call, int rc, struct sbuf *result, struct err *err);
/* Ends it with an answer made elsewhere, bytes as they are. The spool is taken. outcome goes to the log. */
void call_finish_raw(struct call *call, int status, struct spool *body, const char *outcome);
/* Runs fn(call) on a worker; if the queue is full the call is finished with -ERR_BUSY. */
void call_run_on_worker(struct call *call, void (*fn)(struct call *call));

#endif
