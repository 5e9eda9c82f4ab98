#include "tws/store/lease.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "shared/base/clock.h"

struct lease {
    struct store *store;
    struct lease_options options;
    int64_t fence;
    atomic_uint_least64_t end_us; /* of what was last renewed, counted from before the call */
    atomic_bool lost;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
};

static uint64_t ttl_us(const struct lease *lease)
{
    return (uint64_t)lease->options.ttl_ms * 1000;
}

/* Returns true if the lease is to be stopped. */
static bool wait_until(struct lease *lease, uint64_t when_us)
{
    struct timespec when = { (time_t)(when_us / 1000000), (long)(when_us % 1000000) * 1000 };

    pthread_mutex_lock(&lease->lock);
    while (!lease->stopping && clock_us() < when_us)
        pthread_cond_timedwait(&lease->changed, &lease->lock, &when);
    bool stopping = lease->stopping;
    pthread_mutex_unlock(&lease->lock);
    return stopping;
}

/* Renews once.  False: the lease is lost, *err says why. */
static bool renew(struct lease *lease, uint64_t *ret_next_us, struct err *err)
{
    uint64_t begin = clock_us();
    int code = store_lease_renew(lease->store, lease->fence, lease->options.ttl_ms, err);

    if (!code) {
        atomic_store(&lease->end_us, begin + ttl_us(lease));
        *ret_next_us = begin + ttl_us(lease) / 3;
        return true;
    }
    uint64_t retry = clock_us() + ttl_us(lease) / 15;
    if (code == -ERR_FENCED || retry >= atomic_load(&lease->end_us) - ttl_us(lease) / 10)
        return false;
    err_clear(err);
    *ret_next_us = retry;
    return true;
}

static void *keep(void *arg)
{
    struct lease *lease = arg;
    uint64_t next = clock_us() + ttl_us(lease) / 3;
    AUTO_ERR(err);

    while (!wait_until(lease, next)) {
        if (renew(lease, &next, &err))
            continue;
        atomic_store(&lease->lost, true);
        if (lease->options.on_lost)
            lease->options.on_lost(lease->options.ctx, &err);
        break;
    }
    return NULL;
}

static void init_sync(struct lease *lease)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&lease->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&lease->lock, NULL);
}

static void free_lease(struct lease *lease)
{
    pthread_cond_destroy(&lease->changed);
    pthread_mutex_destroy(&lease->lock);
    free(lease);
}

int lease_start(struct store *store, const char *node_id, const struct lease_options *options,
                struct lease **ret_lease, struct lease_holder *ret_holder, struct err *err)
{
    struct lease_holder me = { .pid = getpid() };
    uint64_t begin = clock_us();

    assert(strlen(node_id) < sizeof(me.node));
    memcpy(me.node, node_id, strlen(node_id) + 1);
    if (gethostname(me.host, sizeof(me.host) - 1) != 0)
        me.host[0] = '\0';

    struct lease *lease = xcalloc(1, sizeof(*lease));
    lease->store = store;
    lease->options = *options;
    if (!lease->options.ttl_ms)
        lease->options.ttl_ms = LEASE_TTL_MS;
    init_sync(lease);
    int code = store_lease_take(store, &me, lease->options.ttl_ms, &lease->fence, ret_holder, err);
    if (code) {
        free_lease(lease);
        return code;
    }
    atomic_store(&lease->end_us, begin + ttl_us(lease));
    if (pthread_create(&lease->thread, NULL, keep, lease) != 0) {
        store_lease_give_up(store, lease->fence, NULL);
        free_lease(lease);
        return err_set(err, ERR_UNEXPECTED, "no thread for the writer lease");
    }
    *ret_lease = lease;
    return 0;
}

void lease_stop(struct lease *lease)
{
    if (!lease)
        return;
    pthread_mutex_lock(&lease->lock);
    lease->stopping = true;
    pthread_cond_signal(&lease->changed);
    pthread_mutex_unlock(&lease->lock);
    pthread_join(lease->thread, NULL);
    /* whoever took it meanwhile keeps it: the token is theirs */
    store_lease_give_up(lease->store, lease->fence, NULL);
    free_lease(lease);
}

int64_t lease_fence(const struct lease *lease)
{
    return lease->fence;
}

bool lease_is_held(const struct lease *lease)
{
    return !atomic_load(&lease->lost) && clock_us() < atomic_load(&lease->end_us);
}
