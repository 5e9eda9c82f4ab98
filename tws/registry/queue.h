/*
 * queue: changes of one module go one after the other, in the order in which they came, each waiting up to
 * its deadline.
 *
 * Threads: any; queue_enter() blocks.  A thread holds at most one turn at a time.
 */
#ifndef TWS_REGISTRY_QUEUE_H
#define TWS_REGISTRY_QUEUE_H

#include "shared/base/err.h"

struct queue;
struct queue_turn;

struct queue *queue_new(void) MUST_USE;
/* Nobody may be waiting or have a turn. */
void queue_free(struct queue *queue);
/* deadline_us: of clock_us(). -ERR_BUSY when it passes first. */
int queue_enter(struct queue *queue, struct slice module, uint64_t deadline_us, struct queue_turn **ret_turn,
                struct err *err) MUST_USE;
/* NULL is accepted. */
void queue_leave(struct queue *queue, struct queue_turn *turn);

#endif
