/*
 * app: what the files of the DWS share about the process: call->app is a struct dws.
 */
#ifndef DWS_APP_H
#define DWS_APP_H

#include "dws/forward.h"
#include "dws/keeper.h"
#include "dws/loader.h"
#include "dws/target.h"
#include "dws/types.h"
#include "shared/rpc/call.h"

struct dws {
    struct service *service; /* borrowed */
    struct target *target;
    struct forwarder forwarder;
    struct loader loader;
    struct types *types;
    struct keeper *keeper;
};

static inline struct dws *dws_of(const struct call *call)
{
    return call->app;
}

#endif
