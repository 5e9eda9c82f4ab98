#include "dws/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "dws/snapshot.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define SECOND ((uint64_t)1000000)

struct keeper {
    const struct config *config;
    struct types *types;
    struct target *target;
    const char *path; /* NULL: none */
    bool had_snapshot;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    uint64_t written_us, written_changes, writes, failures;
    struct snapshot_counts counts; /* of the newest one that was read or written */
};

static void log_counts(const char *event, const char *path, const struct snapshot_counts *counts)
{
    AUTO_SBUF(fields, 8192);

    log_put(&fields, "dws-snapshot-file", slice_str(path));
    log_putf(&fields, "schemas", "%zu", counts->schemas);
    log_putf(&fields, "mappings", "%zu", counts->mappings);
    log_event(LOG_LEVEL_INFO, event, &fields);
}

static void read_snapshot(struct keeper *keeper)
{
    AUTO_ERR(err);

    if (snapshot_read(keeper->types, target_url(keeper->target), keeper->path, &keeper->counts, &err) == 0) {
        keeper->had_snapshot = true;
        log_counts("snapshot.read", keeper->path, &keeper->counts);
    } else if (access(keeper->path, F_OK) == 0 || errno != ENOENT) {
        log_message(LOG_LEVEL_ERROR, "snapshot.refused", "dws-snapshot-file: %s", err_text(&err));
    }
    keeper->written_changes = types_changes(keeper->types);
}

static void found_cluster(void *ctx, const char *cluster)
{
    struct keeper *keeper = ctx;

    if (types_note_cluster(keeper->types, cluster))
        log_message(
            LOG_LEVEL_ERROR, "types.dropped",
            "the schemas and mappings kept here (dws-snapshot-file included) were of another type database "
            "than %s, to which type-delegation-target leads; they are dropped",
            cluster);
}

struct keeper *keeper_new(const struct config *config, struct types *types, struct target *target)
{
    struct keeper *keeper = xcalloc(1, sizeof(*keeper));
    pthread_condattr_t monotonic;

    keeper->config = config;
    keeper->types = types;
    keeper->target = target;
    keeper->path = config->dws_snapshot_file;
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    keeper->written_us = clock_us();
    if (keeper->path)
        read_snapshot(keeper);
    target_on_found(target, found_cluster, keeper);
    return keeper;
}

bool keeper_has_snapshot(const struct keeper *keeper)
{
    return keeper->had_snapshot;
}

/* By the keeper's thread, or after it. */
static void write_snapshot(struct keeper *keeper)
{
    uint64_t changes = types_changes(keeper->types);
    struct snapshot_counts counts = { 0, 0 };
    AUTO_ERR(err);
    int rc = 0;

    pthread_mutex_lock(&keeper->lock);
    bool wanted = changes != keeper->written_changes;
    pthread_mutex_unlock(&keeper->lock);
    if (wanted)
        rc = snapshot_write(keeper->types, target_url(keeper->target), keeper->path, &counts, &err);
    if (rc < 0)
        log_message(LOG_LEVEL_ERROR, "snapshot.failed", "dws-snapshot-file: %s", err_text(&err));
    pthread_mutex_lock(&keeper->lock);
    keeper->written_us = clock_us();
    keeper->failures += rc < 0;
    if (wanted && rc == 0) {
        keeper->written_changes = changes;
        keeper->counts = counts;
        keeper->writes++;
    }
    pthread_mutex_unlock(&keeper->lock);
}

static void *keeper_main(void *arg)
{
    struct keeper *keeper = arg;

    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping) {
        uint64_t due = keeper->written_us + (uint64_t)keeper->config->dws_snapshot_interval;
        if (clock_us() < due) {
            struct timespec at = { (time_t)(due / SECOND), (long)(due % SECOND) * 1000 };
            pthread_cond_timedwait(&keeper->changed, &keeper->lock, &at);
        } else {
            pthread_mutex_unlock(&keeper->lock);
            write_snapshot(keeper);
            pthread_mutex_lock(&keeper->lock);
        }
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

void keeper_start(struct keeper *keeper)
{
    if (!keeper->path)
        return;
    if (pthread_create(&keeper->thread, NULL, keeper_main, keeper) != 0)
        abort();
    keeper->has_thread = true;
}

void keeper_free(struct keeper *keeper)
{
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    if (keeper->has_thread) {
        pthread_join(keeper->thread, NULL);
        write_snapshot(keeper);
    }
    pthread_cond_destroy(&keeper->changed);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}

void keeper_put_status(struct keeper *keeper, struct sbuf *json)
{
    if (!keeper->path) {
        sbuf_adds(json, "\"snapshot\":null");
        return;
    }
    pthread_mutex_lock(&keeper->lock);
    sbuf_addf(json,
              "\"snapshot\":{\"schemas\":%zu,\"mappings\":%zu,\"read\":%d,\"writes\":%llu,\"failures\":%llu}",
              keeper->counts.schemas, keeper->counts.mappings, keeper->had_snapshot ? 1 : 0,
              (unsigned long long)keeper->writes, (unsigned long long)keeper->failures);
    pthread_mutex_unlock(&keeper->lock);
}
