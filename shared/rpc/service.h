/*
 * service: start, life and end of a process in either mode: the server, the dispatcher, workers, auth,
 * signals, probes.
 *
 * Life: service_new() makes everything but opens no port; the mode makes its app (opens the database, checks
 * the target); service_run() opens the port, writes the ready file, and returns after SIGTERM or SIGINT when
 * drain-delay is over (not ready, but calls are taken) and everything in progress was answered or
 * drain-timeout passed.  SIGHUP re-reads the tokens file and re-opens the log.
 */
#ifndef SHARED_RPC_SERVICE_H
#define SHARED_RPC_SERVICE_H

#include "shared/base/config.h"
#include "shared/net/client.h"
#include "shared/rpc/auth.h"
#include "shared/rpc/call.h"
#include "shared/rpc/method.h"

#define SERVICE_VERSION "0.15.0" /* what `ver` says: the upstream version whose behaviour this is */
#define WSTYPED_VERSION "0.1.0"  /* our own */
enum { PROTOCOL_VERSION = 1 };   /* of the hop between DWS and TWS */

struct service_mode {
    const char *role; /* "tws", "dws" */
    const struct method_table *methods;
    /*
     * Called (unless NULL) as soon as the method is known, before any token is looked at; -ERR_x refuses the
     * call.  A DWS refuses calls here that were delegated already.  Must not block.
     */
    int (*admit)(struct call *call, struct err *err);
    /* Called (unless NULL) when the port is open, before the ready file is written. */
    void (*started)(void *app, int port);
    /* True if calls can be answered now; else reasons gets elements of a JSON list. Any thread, never blocks.
     */
    bool (*ready)(void *app, struct sbuf *reasons);
    /*
     * True if the ready file may be written now; NULL: as soon as ready() says yes.  For a mode that may be
     * told to start although it is not ready.  Never blocks.
     */
    bool (*announce)(void *app);
    /* Appends `,"key":value` members to the /status object. Any thread, never blocks. */
    void (*status)(void *app, struct sbuf *json);
    /*
     * Appends the elements of `dependencies` in the answer of the method `status`,
     * {"state","name","message","version"} each (NULL: there are none).  False if one of them is not OK.  Any
     * thread, never blocks.
     */
    bool (*dependencies)(void *app, struct sbuf *json);
    /* Called once when draining begins (NULL allowed); must make waiting calls end soon. */
    void (*drain)(void *app);
};

struct service *service_new(const struct config *config, struct err *err) MUST_USE;
const struct config *service_config(const struct service *service);
struct http_client *service_client(struct service *service);
struct auth *service_auth(struct service *service);
const char *service_node_id(const struct service *service);
/* -ERR_BUSY if too much waits already; fn is then not called. Any thread. */
int service_run_on_worker(struct service *service, void (*fn)(void *ctx), void *ctx, struct err *err)
    MUST_USE;
/*
 * Returns 0, what service_stop() said, or -ERR_x if it could not start.  The ready file is written when
 * mode->ready() says yes for the first time.  After drain-timeout calls that wait for the network are ended
 * with an error; if calls are stuck even then, the process ends here, because nothing they use could be
 * freed.  Before service_run() a SIGTERM ends the process at once, with status 0.
 */
int service_run(struct service *service, const struct service_mode *mode, void *app, const char *ready_file,
                struct err *err) MUST_USE;
/*
 * Ends the process's service_run() from inside (lease lost): status is service_run()'s return.  With a
 * status, or when called again, without drain-delay.  Any thread.
 */
void service_stop(struct service *service, int status);
void service_free(struct service *service);

DEFINE_AUTO(struct service, service_free);

#endif
