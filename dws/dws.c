#include "dws/dws.h"

#include "dws/app.h"
#include "dws/methods.h"
#include "shared/base/clock.h"
#include "shared/rpc/service.h"

static int admit(struct call *call, struct err *err)
{
    return forward_admit(&dws_of(call)->forwarder, call, err);
}

static void on_target_failed(void *ctx)
{
    struct dws *dws = ctx;

    service_stop(dws->service, 1);
}

/* The port must be open first, or a target that is this very process could not be recognised. */
static void started(void *app, int port UNUSED)
{
    struct dws *dws = app;

    if (keeper_has_snapshot(dws->keeper))
        target_may_be_down(dws->target);
    target_start(dws->target, on_target_failed, dws);
    keeper_start(dws->keeper);
}

static bool ready(void *app, struct sbuf *reasons)
{
    struct dws *dws = app;

    return target_ready(dws->target, reasons);
}

static bool announce(void *app)
{
    struct dws *dws = app;

    return target_settled(dws->target);
}

static void status(void *app, struct sbuf *json)
{
    struct dws *dws = app;

    sbuf_adds(json, ",\"target\":{");
    target_put_status(dws->target, json);
    sbuf_adds(json, "},\"forwarding\":{");
    forward_put_status(&dws->forwarder, json);
    sbuf_adds(json, "},\"types\":{");
    types_put_status(dws->types, json);
    sbuf_addc(json, ',');
    keeper_put_status(dws->keeper, json);
    sbuf_addc(json, '}');
}

static bool dependencies(void *app, struct sbuf *json)
{
    struct dws *dws = app;

    return target_put_dependency(dws->target, json);
}

static void drain(void *app)
{
    struct dws *dws = app;

    target_stop(dws->target);
}

static const struct service_mode mode = {
    .role = "dws",
    .methods = &dws_methods,
    .admit = admit,
    .started = started,
    .ready = ready,
    .announce = announce,
    .status = status,
    .dependencies = dependencies,
    .drain = drain,
};

static void dws_free(struct dws *dws)
{
    if (!dws)
        return;
    keeper_free(dws->keeper);
    types_free(dws->types);
    target_free(dws->target);
    free(dws);
}

DEFINE_AUTO(struct dws, dws_free);

static void load_type(void *ctx, struct slice ref, loader_done_fn *done, void *done_ctx)
{
    loader_load(ctx, ref, done, done_ctx);
}

static struct dws *dws_new(struct service *service, struct err *err)
{
    const struct config *config = service_config(service);
    struct target *target = target_new(config, service_node_id(service), err);

    if (!target)
        return NULL;
    struct dws *dws = xcalloc(1, sizeof(*dws));
    dws->service = service;
    dws->target = target;
    dws->forwarder.config = config;
    dws->forwarder.client = service_client(service);
    dws->forwarder.target = target;
    dws->forwarder.node = service_node_id(service);
    dws->loader =
        (struct loader){ config, service_client(service), target, service_node_id(service), service };
    const struct types_options options = { config, load_type, &dws->loader, clock_us };
    dws->types = types_new(&options);
    dws->keeper = keeper_new(config, dws->types, target);
    return dws;
}

int dws_run(const struct config *config, const char *ready_file, struct err *err)
{
    AUTO(service_free_auto) struct service *service = service_new(config, err);
    if (!service)
        return -ERR_CONFIG;
    AUTO(dws_free_auto) struct dws *dws = dws_new(service, err);
    if (!dws)
        return -ERR_IO;
    int rc = service_run(service, &mode, dws, ready_file, err);
    return rc >= 0 && target_failed(dws->target, err) ? -ERR_CONFIG : rc;
}
