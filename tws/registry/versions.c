#include "tws/registry/versions.h"

#include <pthread.h>

#include "shared/base/uth.h"

struct highest {
    UT_hash_handle hh;
    int64_t version;
    size_t name_len;
    char name[];
};

struct versions {
    pthread_mutex_t lock;
    struct highest *modules;
};

struct versions *versions_new(void)
{
    struct versions *versions = xcalloc(1, sizeof(*versions));

    pthread_mutex_init(&versions->lock, NULL);
    return versions;
}

void versions_free(struct versions *versions)
{
    struct highest *h, *next;

    if (!versions)
        return;
    HASH_ITER (hh, versions->modules, h, next) {
        HASH_DEL(versions->modules, h);
        free(h);
    }
    pthread_mutex_destroy(&versions->lock);
    free(versions);
}

/* With the lock held. */
static struct highest *find_or_add(struct versions *versions, struct slice module)
{
    struct highest *h;

    HASH_FIND(hh, versions->modules, module.p, module.n, h);
    if (h)
        return h;
    h = xcalloc(1, sizeof(*h) + module.n);
    h->name_len = module.n;
    memcpy(h->name, module.p, module.n);
    HASH_ADD_KEYPTR(hh, versions->modules, h->name, h->name_len, h);
    return h;
}

void versions_note(struct versions *versions, struct slice module, int64_t version)
{
    pthread_mutex_lock(&versions->lock);
    struct highest *h = find_or_add(versions, module);
    if (h->version < version)
        h->version = version;
    pthread_mutex_unlock(&versions->lock);
}

int64_t versions_draw(struct versions *versions, struct slice module, int64_t last, int64_t now_ms)
{
    pthread_mutex_lock(&versions->lock);
    struct highest *h = find_or_add(versions, module);
    int64_t version = now_ms > last ? now_ms : last + 1;
    if (version <= h->version)
        version = h->version + 1;
    h->version = version;
    pthread_mutex_unlock(&versions->lock);
    return version;
}
