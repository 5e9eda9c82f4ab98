#include "test/unit/t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "shared/rpc/worker.h"

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int entered;
};

#define GATE_INIT \
    { \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 \
    }

static void pass_gate(void *ctx)
{
    struct gate *gate = ctx;

    pthread_mutex_lock(&gate->lock);
    gate->entered++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_wait_entered(struct gate *gate, int n)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->entered < n)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void count_up(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void runs_everything_also_what_waits_at_the_end(void **state)
{
    (void)state;
    atomic_int done = 0;
    AUTO_ERR(err);
    struct workers *workers = workers_new(3, 5000, &err);

    assert_non_null(workers);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(workers_run(workers, count_up, &done, &err), 0);
    workers_free(workers);
    assert_int_equal(done, 2000);
    workers_free(NULL);
}

struct order {
    int expected;
    bool wrong;
};

struct numbered {
    struct order *order;
    int number;
};

static void check_order(void *ctx)
{
    struct numbered *n = ctx;

    if (n->order->expected++ != n->number)
        n->order->wrong = true;
}

static void keeps_the_order(void **state)
{
    (void)state;
    struct order order = { 0, false };
    struct numbered jobs[300];
    struct gate gate = GATE_INIT;
    AUTO_ERR(err);
    struct workers *workers = workers_new(1, 1000, &err);

    /* some rounds, so that the ring wraps before it grows */
    for (int i = 0; i < 40; i++) {
        jobs[i] = (struct numbered){ &order, i };
        assert_int_equal(workers_run(workers, check_order, &jobs[i], &err), 0);
    }
    while (workers_waiting(workers) > 0)
        usleep(1000);
    assert_int_equal(workers_run(workers, pass_gate, &gate, &err), 0);
    gate_wait_entered(&gate, 1);
    for (int i = 40; i < 300; i++) {
        jobs[i] = (struct numbered){ &order, i };
        assert_int_equal(workers_run(workers, check_order, &jobs[i], &err), 0);
    }
    gate_open(&gate);
    workers_free(workers);
    assert_int_equal(order.expected, 300);
    assert_false(order.wrong);
}

static void refuses_more_than_the_queue_holds(void **state)
{
    (void)state;
    atomic_int done = 0;
    struct gate gate = GATE_INIT;
    AUTO_ERR(err);
    struct workers *workers = workers_new(2, 3, &err);

    for (int i = 1; i <= 2; i++) {
        assert_int_equal(workers_run(workers, pass_gate, &gate, &err), 0);
        gate_wait_entered(&gate, i);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(workers_run(workers, count_up, &done, &err), 0);
    assert_int_equal(workers_waiting(workers), 3);
    assert_int_equal(workers_run(workers, count_up, &done, &err), -ERR_BUSY);
    assert_string_equal(err_text(&err), "The server is too busy: 3 calls are waiting already");
    gate_open(&gate);
    workers_free(workers);
    assert_int_equal(done, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_everything_also_what_waits_at_the_end),
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(refuses_more_than_the_queue_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
