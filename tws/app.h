/*
 * app: what the methods of a TWS work on; call->app points to it.
 *
 * While `state` is TWS_STANDBY only config and service are there; the rest is set before the state is
 * anything else and constant from then on.  Any thread.
 */
#ifndef TWS_APP_H
#define TWS_APP_H

#include <stdatomic.h>

#include "shared/base/log.h"
#include "shared/rpc/service.h"
#include "tws/copy.h"
#include "tws/registry/registry.h"
#include "tws/store/lease.h"
#include "tws/texts.h"

enum tws_state {
    TWS_SERVING,
    TWS_STANDBY, /* waits for the type database; no method is answered */
    TWS_LOST,    /* somebody else may have the type database: nothing is written any more */
};

struct tws {
    const struct config *config;
    struct service *service;
    struct store *store;
    struct registry *registry;
    struct texts *texts;
    struct copies *copies;
    struct lease *lease;   /* NULL: read-only */
    const char *read_only; /* why; NULL: changes are possible */
    char cluster[RANDOM_ID_HEX + 1];
    int64_t fence;
    atomic_int state;
};

static inline struct tws *tws_of(const struct call *call)
{
    return call->app;
}

static inline enum tws_state tws_state(const struct tws *tws)
{
    return (enum tws_state)atomic_load_explicit(&tws->state, memory_order_acquire);
}

/* Why no change is possible, or NULL. */
static inline const char *tws_read_only(const struct tws *tws)
{
    return tws_state(tws) == TWS_LOST ? "the lease of the type database is lost" : tws->read_only;
}

/* -ERR_READ_ONLY, or -ERR_FENCED once the type database may belong to somebody else. */
static inline int tws_need_lease(struct tws *tws, struct err *err)
{
    if (tws_state(tws) == TWS_LOST)
        return err_set(err, ERR_FENCED,
                       "This process has lost the lease of the type database, so it must not change it");
    if (tws->read_only)
        return err_set(err, ERR_READ_ONLY, "The type database can only be read here: %s", tws->read_only);
    if (tws->lease && !lease_is_held(tws->lease))
        return err_set(err, ERR_FENCED,
                       "The lease of the type database could not be renewed in time, so nothing is changed");
    return 0;
}

/* Before every change: what it is about goes to the log. */
static inline int tws_begin_change(struct call *call, struct slice module, struct err *err)
{
    if (module.n)
        log_put(&call->notes, "module", module);
    return tws_need_lease(tws_of(call), err);
}

/* A NULL pointer stands for JSON null in the registry's arguments. */
static inline struct slice tws_or_null(struct param_text text)
{
    if (!text.given)
        return slice_of(NULL, 0);
    return text.text.p ? text.text : SLICE("");
}

#endif
