#include "shared/rpc/worker.h"

#include <pthread.h>

struct job {
    worker_fn *fn;
    void *ctx;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    /* a ring that doubles until it has max_waiting places */
    struct job *ring;
    size_t cap, first, count, max_waiting;
    bool ending;
    unsigned thread_count;
    pthread_t threads[];
};

enum { FIRST_RING = 64 };

static bool take_job(struct workers *workers, struct job *ret_job)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->count == 0 && !workers->ending)
        pthread_cond_wait(&workers->work, &workers->lock);
    bool have = workers->count > 0;
    if (have) {
        *ret_job = workers->ring[workers->first];
        workers->first = (workers->first + 1) % workers->cap;
        workers->count--;
    }
    pthread_mutex_unlock(&workers->lock);
    return have;
}

static void *worker_main(void *arg)
{
    struct workers *workers = arg;
    struct job job;

    while (take_job(workers, &job))
        job.fn(job.ctx);
    return NULL;
}

struct workers *workers_new(unsigned threads, size_t max_waiting, struct err *err)
{
    struct workers *workers = xcalloc(1, sizeof(*workers) + threads * sizeof(pthread_t));

    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    workers->max_waiting = max_waiting;
    for (; workers->thread_count < threads; workers->thread_count++) {
        int rc = pthread_create(&workers->threads[workers->thread_count], NULL, worker_main, workers);
        if (rc != 0) {
            err_set(err, ERR_IO, "cannot start a worker thread: %s", strerror(rc));
            workers_free(workers);
            return NULL;
        }
    }
    return workers;
}

static void grow(struct workers *workers)
{
    size_t cap = workers->cap ? workers->cap * 2 : FIRST_RING;
    struct job *ring = xmalloc(cap * sizeof(*ring));

    for (size_t i = 0; i < workers->count; i++)
        ring[i] = workers->ring[(workers->first + i) % workers->cap];
    free(workers->ring);
    workers->ring = ring;
    workers->cap = cap;
    workers->first = 0;
}

int workers_run(struct workers *workers, worker_fn *fn, void *ctx, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&workers->lock);
    if (workers->ending || workers->count >= workers->max_waiting) {
        rc = err_set(err, ERR_BUSY, "The server is too busy: %zu calls are waiting already", workers->count);
    } else {
        if (workers->count == workers->cap)
            grow(workers);
        workers->ring[(workers->first + workers->count) % workers->cap] = (struct job){ fn, ctx };
        workers->count++;
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->lock);
    return rc;
}

size_t workers_waiting(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    size_t count = workers->count;
    pthread_mutex_unlock(&workers->lock);
    return count;
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->ending = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    free(workers->ring);
    free(workers);
}
