#include "dws/validate/hasher.h"

#include <pthread.h>

enum {
    THREAD_FROM = 1 << 19, /* below this a thread costs more than it gains */
    STEP = 1 << 18,        /* bytes at a time, so that others need not wait long for the end of one */
};

struct hasher {
    struct md5_stream *md5;
    bool threads, running;
    uint64_t total;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    const char *bytes; /* that are waiting */
    size_t n;
    bool busy, ending; /* busy: with bytes that are waiting no more */
};

static void *work(void *arg)
{
    struct hasher *h = arg;

    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->n && !h->ending)
            pthread_cond_wait(&h->changed, &h->lock);
        if (!h->n)
            break;
        const char *bytes = h->bytes;
        size_t n = h->n < STEP ? h->n : STEP;
        h->bytes += n;
        h->n -= n;
        h->busy = true;
        pthread_mutex_unlock(&h->lock);
        md5_stream_update(h->md5, bytes, n);
        pthread_mutex_lock(&h->lock);
        h->busy = false;
        if (!h->n)
            pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

struct hasher *hasher_new(bool threads)
{
    struct hasher *h = xcalloc(1, sizeof(*h));

    h->md5 = md5_stream_new();
    h->threads = threads;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    return h;
}

static void stop(struct hasher *h)
{
    if (!h->running)
        return;
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    h->running = false;
    h->ending = false;
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    stop(h);
    md5_stream_free(h->md5);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void hasher_reset(struct hasher *h)
{
    if (!h)
        return;
    hasher_wait(h);
    md5_stream_reset(h->md5);
    h->total = 0;
}

static void wait_locked(struct hasher *h)
{
    while (h->n || h->busy)
        pthread_cond_wait(&h->changed, &h->lock);
}

void hasher_wait(struct hasher *h)
{
    if (!h || !h->running)
        return;
    pthread_mutex_lock(&h->lock);
    wait_locked(h);
    pthread_mutex_unlock(&h->lock);
}

void hasher_add(struct hasher *h, const char *bytes, size_t n)
{
    h->total += n;
    if (!h->running && h->threads && h->total >= THREAD_FROM) {
        h->running = pthread_create(&h->thread, NULL, work, h) == 0;
        h->threads = h->running;
    }
    if (!h->running) {
        md5_stream_update(h->md5, bytes, n);
        return;
    }
    pthread_mutex_lock(&h->lock);
    if (h->n && h->bytes + h->n != bytes)
        wait_locked(h);
    bool idle = !h->n && !h->busy;
    if (!h->n)
        h->bytes = bytes;
    h->n += n;
    if (idle)
        pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

void hasher_final(struct hasher *h, char ret_hex[MD5_HEX + 1])
{
    hasher_wait(h);
    md5_stream_final(h->md5, ret_hex);
}
