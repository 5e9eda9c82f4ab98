#include "tws/tws.h"

#include <inttypes.h>
#include <pthread.h>

#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "tws/app.h"
#include "tws/methods.h"
#include "tws/store/lease.h"

enum { STANDBY_POLL_US = 250000 };

/* call->app points here, and so to `tws`, which therefore stands first. */
struct run {
    struct tws tws;
    atomic_bool lost;     /* the lease; what the state says follows once there is a catalogue */
    char *read_only_text; /* tws.read_only, if it is not the store's */
    pthread_t waiter;     /* tries to get the type database, while we are a standby */
    bool has_waiter;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    char *waits_for; /* why we are a standby still */
};

/* ---- what the service asks ---- */

static int admit(struct call *call, struct err *err)
{
    if (tws_state(tws_of(call)) != TWS_STANDBY)
        return 0;
    return err_set(err, ERR_NOT_STARTED,
                   "This server is a standby: it answers nothing until it takes over the type database");
}

static char *standby_text(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    char *text = xasprintf("standby: %s", run->waits_for ? run->waits_for : "starting");
    pthread_mutex_unlock(&run->lock);
    return text;
}

/* NULL, or why not. */
static char *why_not_ready(struct run *run)
{
    const struct tws *tws = &run->tws;

    switch (tws_state(tws)) {
    case TWS_STANDBY:
        return standby_text(run);
    case TWS_LOST:
        return xasprintf("the lease of the type database is lost");
    case TWS_SERVING:
        break;
    }
    if (tws->lease && !lease_is_held(tws->lease))
        return xasprintf("the lease of the type database could not be renewed in time");
    return NULL;
}

static bool is_ready(void *app, struct sbuf *reasons)
{
    AUTO(free_str_auto) char *why = why_not_ready(app);

    if (why)
        json_put_str(reasons, why);
    return !why;
}

struct counts {
    uint64_t module_versions, type_versions, func_versions;
};

static struct counts count(const struct catalogue *cat)
{
    struct counts counts = { 0 };

    for (size_t i = 0; i < cat->module_count; i++) {
        const struct cat_module *module = cat->modules[i];
        counts.module_versions += module->version_count;
        for (size_t k = 0; k < module->type_count; k++)
            counts.type_versions += module->types[k].row_count;
        for (size_t k = 0; k < module->func_count; k++)
            counts.func_versions += module->funcs[k].row_count;
    }
    return counts;
}

static void put_catalogue(struct sbuf *json, struct registry *registry)
{
    const struct catalogue *cat = registry_snapshot(registry);
    struct counts counts = count(cat);

    sbuf_addf(json,
              ",\"catalogue\":{\"modules\":%zu,\"module_versions\":%" PRIu64 ",\"type_versions\":%" PRIu64
              ",\"function_versions\":%" PRIu64 ",\"requests\":%zu,\"commits\":%" PRIu64 "}",
              cat->module_count, counts.module_versions, counts.type_versions, counts.func_versions,
              cat->request_count, cat->sequence);
    catalogue_unref(cat);
}

static void put_read_only(const struct run *run, const char *why, struct sbuf *json)
{
    sbuf_addf(json, ",\"read_only\":{\"configured\":%s,\"effective\":%s,\"reason\":",
              run->tws.config->read_only ? "true" : "false", why ? "true" : "false");
    if (why)
        json_put_str(json, why);
    else
        sbuf_adds(json, "null");
    sbuf_addc(json, '}');
}

static void put_damaged(struct registry *registry, struct sbuf *json)
{
    const struct catalogue *cat = registry_snapshot(registry);

    sbuf_adds(json, ",\"damaged\":[");
    registry_put_damaged(registry, cat, json);
    sbuf_addc(json, ']');
    catalogue_unref(cat);
}

static void put_status(void *app, struct sbuf *json)
{
    struct run *run = app;
    const struct tws *tws = &run->tws;
    bool held = false;

    if (tws_state(tws) == TWS_STANDBY) {
        AUTO(free_str_auto) char *why = standby_text(run);
        sbuf_adds(json, ",\"standby\":true");
        put_read_only(run, why, json);
        return;
    }
    held = tws->lease && tws_state(tws) == TWS_SERVING && lease_is_held(tws->lease);
    sbuf_adds(json, ",\"standby\":false");
    put_read_only(run, tws_read_only(tws), json);
    sbuf_addf(json, ",\"cluster\":\"%s\",\"store\":{\"kind\":\"%s\",\"fence\":%" PRId64 ",\"lease_held\":%s",
              tws->cluster, tws->store->ops->name, tws->fence, held ? "true" : "false");
    store_status(tws->store, json);
    sbuf_addc(json, '}');
    put_catalogue(json, tws->registry);
    put_damaged(tws->registry, json);
    texts_status(tws->texts, json);
}

/* The type database, by the name that upstream's clients know it under where it is the same. */
static bool put_dependencies(void *app, struct sbuf *json)
{
    struct run *run = app;
    bool mongo = run->tws.config->type_database_file == NULL;
    AUTO(free_str_auto) char *why = why_not_ready(run);
    const char *version = tws_state(&run->tws) == TWS_STANDBY ? NULL : run->tws.store->ops->version;

    sbuf_addf(json, "{\"state\":\"%s\",\"name\":\"%s\",\"message\":", why ? "Fail" : "OK",
              mongo ? "MongoDB" : "SQLite");
    json_put_str(json, why ? why : "OK");
    sbuf_adds(json, ",\"version\":");
    json_put_str(json, version ? version : "Unknown");
    sbuf_addc(json, '}');
    return !why;
}

static void drain(void *app)
{
    struct run *run = app;

    if (tws_state(&run->tws) != TWS_STANDBY)
        copies_drain(run->tws.copies);
}

/* On the lease thread: what was planned may not be written any more. */
static void lease_lost(void *ctx, const struct err *why)
{
    struct run *run = ctx;
    bool stays = run->tws.config->read_only_when_fenced;
    int serving = TWS_SERVING;

    atomic_store(&run->lost, true);
    atomic_compare_exchange_strong(&run->tws.state, &serving, TWS_LOST);
    log_message(LOG_LEVEL_ERROR, "tws.lease_lost", "%s; %s", err_text(why),
                stays ? "only reads are answered from now on" : "ending");
    if (!stays)
        service_stop(run->tws.service, 1);
}

/* Once everything is there. */
static void begin_serving(struct run *run)
{
    atomic_store(&run->tws.state, TWS_SERVING);
    if (atomic_load(&run->lost))
        atomic_store(&run->tws.state, TWS_LOST);
}

/* ---- start and end ---- */

static const char *store_key(const struct config *config)
{
    return config->type_database_file ? "type-database-file" : "mongodb-type-database";
}

/* Without a lease if nothing can be written anyway. */
static int take_lease(struct run *run, struct err *err)
{
    struct tws *tws = &run->tws;
    struct lease_options options = { .ttl_ms = tws->config->type_database_lease / 1000,
                                     .on_lost = lease_lost,
                                     .ctx = run };
    struct lease_holder holder;
    AUTO_ERR(why);

    if (tws->store->read_only) {
        tws->read_only =
            tws->config->read_only ? "read-only is true in the configuration" : tws->store->read_only_reason;
        return 0;
    }
    int rc = lease_start(tws->store, service_node_id(tws->service), &options, &tws->lease, &holder, &why);
    if (rc == 0) {
        tws->fence = lease_fence(tws->lease);
    } else if (rc == -ERR_READ_ONLY) {
        free(run->read_only_text);
        tws->read_only = run->read_only_text = xstrdup(err_text(&why));
    } else {
        return err_move(err, &why);
    }
    return 0;
}

static int load(struct tws *tws, struct err *err)
{
    struct registry_options options = { .kidl = KIDL_LIMITS_DEFAULT,
                                        .queue_us = (uint64_t)tws->config->write_queue_timeout };

    options.kidl.max_spec_bytes = (size_t)tws->config->max_spec_size;
    return registry_open(tws->store, tws->fence, &options, &tws->registry, err);
}

static void log_state(struct run *run)
{
    struct tws *tws = &run->tws;
    const struct catalogue *cat = registry_snapshot(tws->registry);

    if (tws->read_only)
        log_message(LOG_LEVEL_INFO, "tws.read_only", "%s", tws->read_only);
    for (size_t i = 0; i < cat->module_count; i++) {
        const struct cat_module *module = cat->modules[i];
        if (module->damaged)
            log_message(LOG_LEVEL_ERROR, "tws.damaged", "module %.*s can only be read: %.*s",
                        (int)module->name.n, module->name.p, (int)module->damage.n, module->damage.p);
    }
    catalogue_unref(cat);
}

static void close_store(struct tws *tws)
{
    lease_stop(tws->lease);
    registry_close(tws->registry);
    store_close(tws->store);
    tws->lease = NULL;
    tws->registry = NULL;
    tws->store = NULL;
}

/*
 * Once, or again and again as a standby: then a store that is open already stays so as long as only the lease
 * is missing.
 */
static int open_all(struct run *run, struct err *err)
{
    struct tws *tws = &run->tws;
    int rc = tws->store ? 0 : store_open(tws->config, &tws->store, err);

    if (rc == 0)
        rc = take_lease(run, err);
    if (rc == -ERR_BUSY)
        return rc;
    if (rc == 0)
        rc = store_cluster_id(tws->store, tws->cluster, err);
    if (rc == 0)
        rc = load(tws, err);
    if (rc < 0) {
        close_store(tws);
        return rc;
    }
    tws->texts = texts_new(tws->store, (size_t)tws->config->text_cache_size);
    tws->copies = copies_new(tws->config, err);
    if (!tws->copies)
        return -ERR_IO;
    log_state(run);
    begin_serving(run);
    return 0;
}

/* ---- standby ---- */

static void set_waits_for(struct run *run, const char *text)
{
    pthread_mutex_lock(&run->lock);
    free(run->waits_for);
    run->waits_for = xstrdup(text);
    pthread_mutex_unlock(&run->lock);
}

/* Returns true if the process ends. */
static bool wait_a_moment(struct run *run)
{
    uint64_t until = clock_us() + STANDBY_POLL_US;
    struct timespec at = { (time_t)(until / 1000000), (long)(until % 1000000) * 1000 };

    pthread_mutex_lock(&run->lock);
    while (!run->stopping && clock_us() < until)
        pthread_cond_timedwait(&run->changed, &run->lock, &at);
    bool stopping = run->stopping;
    pthread_mutex_unlock(&run->lock);
    return stopping;
}

/* A database that is away for a while does not end a standby: that is what it is there for. */
static void *stand_by(void *arg)
{
    struct run *run = arg;
    int told = -ERR_BUSY, rc;

    while (!wait_a_moment(run)) {
        AUTO_ERR(err);
        if ((rc = open_all(run, &err)) == 0) {
            log_message(LOG_LEVEL_INFO, "tws.took_over", "fence %" PRId64, run->tws.fence);
            return NULL;
        }
        if (run->tws.texts) {
            log_message(LOG_LEVEL_ERROR, "tws.start_failed", "%s", err_text(&err));
            service_stop(run->tws.service, 1);
            return NULL;
        }
        if (rc != told)
            log_message(LOG_LEVEL_INFO, "tws.standby", "%s", err_text(&err));
        told = rc;
        set_waits_for(run, err_text(&err));
    }
    return NULL;
}

static int start_standby(struct run *run, struct err *busy)
{
    log_message(LOG_LEVEL_INFO, "tws.standby", "%s", err_text(busy));
    set_waits_for(run, err_text(busy));
    err_clear(busy);
    int rc = pthread_create(&run->waiter, NULL, stand_by, run);
    if (rc != 0)
        return err_set(busy, ERR_IO, "no thread for the standby: %s", strerror(rc));
    run->has_waiter = true;
    return 0;
}

static void stop_standby(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    run->stopping = true;
    pthread_cond_signal(&run->changed);
    pthread_mutex_unlock(&run->lock);
    if (run->has_waiter)
        pthread_join(run->waiter, NULL);
}

static int start(struct run *run, struct err *err)
{
    struct tws *tws = &run->tws;
    AUTO_ERR(why);

    tws->service = service_new(tws->config, err);
    if (!tws->service)
        return err && err->code != ERR_NONE ? -(int)err->code : -ERR_CONFIG;
    int rc = open_all(run, &why);
    if (rc == -ERR_BUSY && tws->config->standby)
        rc = start_standby(run, &why);
    if (rc < 0 && !strstr(err_text(&why), store_key(tws->config)))
        err_prefix(&why, "%s: ", store_key(tws->config));
    return rc < 0 ? err_move(err, &why) : 0;
}

static void init(struct run *run)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&run->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&run->lock, NULL);
    atomic_init(&run->tws.state, TWS_STANDBY);
}

/* The service goes before what its threads use; the lease before the service that it would end. */
static void release(struct run *run)
{
    struct tws *tws = &run->tws;

    stop_standby(run);
    lease_stop(tws->lease);
    tws->lease = NULL;
    service_free(tws->service);
    copies_free(tws->copies);
    texts_free(tws->texts);
    close_store(tws);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->lock);
    free(run->read_only_text);
    free(run->waits_for);
}

int tws_run(const struct config *config, const char *ready_file, struct err *err)
{
    static const struct service_mode mode = {
        .role = "tws",
        .methods = &tws_methods,
        .admit = admit,
        .ready = is_ready,
        .status = put_status,
        .dependencies = put_dependencies,
        .drain = drain,
    };
    struct run run = { .tws = { .config = config } };

    init(&run);
    int rc = start(&run, err);

    if (rc == 0)
        rc = service_run(run.tws.service, &mode, &run, ready_file, err);
    release(&run);
    return rc;
}
