#include "tws/registry/queue.h"

#include <errno.h>
#include <pthread.h>

#include "shared/base/clock.h"
#include "shared/base/sbuf.h"
#include "tws/registry/plan.h"

/* One caller: the first of its module has the turn, the others wait for those before them. */
struct queue_turn {
    struct queue_turn *next;
    struct slice module; /* of the same allocation */
    pthread_cond_t moved;
};

struct queue {
    pthread_mutex_t lock;
    struct queue_turn *first, **end; /* of all modules, in the order of arrival */
};

struct queue *queue_new(void)
{
    struct queue *queue = xcalloc(1, sizeof(*queue));

    pthread_mutex_init(&queue->lock, NULL);
    queue->end = &queue->first;
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static struct queue_turn *turn_new(struct slice module)
{
    struct queue_turn *turn = xmalloc(sizeof(*turn) + module.n);
    char *name = (char *)(turn + 1);
    pthread_condattr_t attr;

    if (module.n)
        memcpy(name, module.p, module.n);
    turn->next = NULL;
    turn->module = slice_of(name, module.n);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&turn->moved, &attr);
    pthread_condattr_destroy(&attr);
    return turn;
}

static void turn_free(struct queue_turn *turn)
{
    pthread_cond_destroy(&turn->moved);
    free(turn);
}

/* With the lock held. */
static bool is_first(const struct queue *queue, const struct queue_turn *turn)
{
    const struct queue_turn *t = queue->first;

    while (t != turn && !slice_eq(t->module, turn->module))
        t = t->next;
    return t == turn;
}

/* With the lock held: takes the turn out and wakes the next of its module. */
static void take_out(struct queue *queue, struct queue_turn *turn)
{
    struct queue_turn **at = &queue->first;

    while (*at != turn)
        at = &(*at)->next;
    *at = turn->next;
    if (queue->end == &turn->next)
        queue->end = at;
    for (struct queue_turn *t = queue->first; t; t = t->next) {
        if (slice_eq(t->module, turn->module)) {
            pthread_cond_signal(&t->moved);
            return;
        }
    }
}

int queue_enter(struct queue *queue, struct slice module, uint64_t deadline_us, struct queue_turn **ret_turn,
                struct err *err)
{
    struct timespec until = { .tv_sec = (time_t)(deadline_us / 1000000),
                              .tv_nsec = (long)(deadline_us % 1000000) * 1000 };
    struct queue_turn *turn = turn_new(module);
    bool mine, late = false;

    pthread_mutex_lock(&queue->lock);
    *queue->end = turn;
    queue->end = &turn->next;
    while (!(mine = is_first(queue, turn)) && !late)
        late = pthread_cond_timedwait(&turn->moved, &queue->lock, &until) == ETIMEDOUT;
    if (!mine)
        take_out(queue, turn);
    pthread_mutex_unlock(&queue->lock);
    if (mine) {
        *ret_turn = turn;
        return 0;
    }
    turn_free(turn);
    return FAIL(err, ERR_BUSY, SLICE("Waited too long for other changes of module "), module);
}

void queue_leave(struct queue *queue, struct queue_turn *turn)
{
    if (!turn)
        return;
    pthread_mutex_lock(&queue->lock);
    take_out(queue, turn);
    pthread_mutex_unlock(&queue->lock);
    turn_free(turn);
}
