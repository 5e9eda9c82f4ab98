#include "test/unit/t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "tws/store/lease.h"

/* Stands in for the C library's: a wall clock that can be set. */
static atomic_int wall_shift_s;

int clock_gettime(clockid_t id, struct timespec *at)
{
    long rc = syscall(SYS_clock_gettime, id, at);

    if (id == CLOCK_REALTIME)
        at->tv_sec += atomic_load(&wall_shift_s);
    return (int)rc;
}

/* A store of which only the lease works, as told. */
struct fake {
    struct store base;
    int take;            /* what lease_take() returns */
    atomic_int renew;    /* what lease_renew() returns */
    atomic_int failures; /* how often it fails with -ERR_STORE before that */
    atomic_int hang_ms;
    atomic_int renewals, give_ups;
    struct lease_holder taker;
    int64_t ttl_ms;
};

static int fake_take(struct store *store, const struct lease_holder *me, int64_t ttl_ms, int64_t *ret_fence,
                     struct lease_holder *ret_holder, struct err *err)
{
    struct fake *fake = (struct fake *)store;

    fake->taker = *me;
    fake->ttl_ms = ttl_ms;
    if (fake->take) {
        *ret_holder = (struct lease_holder){ .node = "other", .pid = 99 };
        return err_set(err, ERR_BUSY, "held");
    }
    *ret_fence = 7;
    return 0;
}

static int fake_renew(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err)
{
    struct fake *fake = (struct fake *)store;

    atomic_fetch_add(&fake->renewals, 1);
    usleep((useconds_t)atomic_load(&fake->hang_ms) * 1000);
    if (fence != 7 || ttl_ms != fake->ttl_ms)
        return err_set(err, ERR_ARGUMENT, "wrong arguments");
    if (atomic_load(&fake->failures) > 0) {
        atomic_fetch_sub(&fake->failures, 1);
        return err_set(err, ERR_STORE, "away");
    }
    int code = atomic_load(&fake->renew);
    return code ? err_set(err, (enum err_code) - code, "told so") : 0;
}

static int fake_give_up(struct store *store, int64_t fence, struct err *err)
{
    (void)err;
    assert_int_equal(fence, 7);
    atomic_fetch_add(&((struct fake *)store)->give_ups, 1);
    return 0;
}

static const struct store_ops fake_ops = {
    .name = "fake", .lease_take = fake_take, .lease_renew = fake_renew, .lease_give_up = fake_give_up
};

struct watch {
    atomic_int lost;
    atomic_int code;
    uint64_t begin;
    atomic_uint_least64_t lost_after_us;
};

static void note_lost(void *ctx, const struct err *why)
{
    struct watch *watch = ctx;

    atomic_store(&watch->lost_after_us, clock_us() - watch->begin);
    atomic_store(&watch->code, (int)why->code);
    atomic_fetch_add(&watch->lost, 1);
}

static struct lease *start(struct fake *fake, struct watch *watch, int64_t ttl_ms)
{
    struct lease_options options = { .ttl_ms = ttl_ms, .on_lost = note_lost, .ctx = watch };
    struct lease_holder holder;
    struct lease *lease = NULL;

    fake->base.ops = &fake_ops;
    watch->begin = clock_us();
    assert_int_equal(
        lease_start(&fake->base, "0123456789abcdef0123456789abcdef", &options, &lease, &holder, NULL), 0);
    return lease;
}

static bool wait_for_loss(struct watch *watch, int ms)
{
    for (; ms > 0 && !atomic_load(&watch->lost); ms -= 5)
        usleep(5000);
    return atomic_load(&watch->lost) != 0;
}

static void is_renewed_in_time(void **state)
{
    struct fake fake = { .take = 0 };
    struct watch watch = { .begin = 0 };

    (void)state;
    struct lease *lease = start(&fake, &watch, 300);
    assert_int_equal(lease_fence(lease), 7);
    assert_string_equal(fake.taker.node, "0123456789abcdef0123456789abcdef");
    assert_int_equal(fake.taker.pid, getpid());
    assert_true(fake.taker.host[0] != '\0');
    usleep(750000);
    assert_true(lease_is_held(lease));
    assert_in_range(atomic_load(&fake.renewals), 3, 7);
    lease_stop(lease);
    assert_int_equal(atomic_load(&fake.give_ups), 1);
    assert_int_equal(atomic_load(&watch.lost), 0);
}

static void stopping_does_not_wait(void **state)
{
    struct fake fake = { .take = 0 };
    struct watch watch = { .begin = 0 };

    (void)state;
    struct lease *lease = start(&fake, &watch, 0);
    assert_int_equal(fake.ttl_ms, LEASE_TTL_MS);
    lease_stop(lease);
    assert_true(clock_us() - watch.begin < 2000000);
    assert_int_equal(atomic_load(&fake.renewals), 0);
    assert_int_equal(atomic_load(&fake.give_ups), 1);
    lease_stop(NULL);
}

static void somebody_else_has_it(void **state)
{
    struct fake fake = { .base.ops = &fake_ops, .take = 1 };
    struct lease_options options = { .ttl_ms = 300 };
    struct lease_holder holder = { .pid = 0 };
    struct lease *lease = NULL;
    AUTO_ERR(err);

    (void)state;
    assert_int_equal(lease_start(&fake.base, "node", &options, &lease, &holder, &err), -ERR_BUSY);
    assert_null(lease);
    assert_string_equal(holder.node, "other");
    assert_int_equal(atomic_load(&fake.give_ups), 0);
}

static void a_take_over_is_noticed(void **state)
{
    struct fake fake = { .renew = -ERR_FENCED };
    struct watch watch = { .begin = 0 };

    (void)state;
    struct lease *lease = start(&fake, &watch, 300);
    assert_true(wait_for_loss(&watch, 5000));
    assert_int_equal(atomic_load(&watch.code), ERR_FENCED);
    assert_false(lease_is_held(lease));
    assert_int_equal(atomic_load(&fake.renewals), 1);
    lease_stop(lease);
    assert_int_equal(atomic_load(&watch.lost), 1);
}

static void a_short_failure_is_survived(void **state)
{
    struct fake fake = { .failures = 3 };
    struct watch watch = { .begin = 0 };

    (void)state;
    struct lease *lease = start(&fake, &watch, 900);
    assert_false(wait_for_loss(&watch, 1500));
    assert_true(lease_is_held(lease));
    assert_true(atomic_load(&fake.renewals) > 4);
    lease_stop(lease);
}

static void a_long_failure_ends_it_before_its_time(void **state)
{
    struct fake fake = { .renew = -ERR_STORE };
    struct watch watch = { .begin = 0 };

    (void)state;
    struct lease *lease = start(&fake, &watch, 900);
    assert_true(wait_for_loss(&watch, 10000));
    assert_int_equal(atomic_load(&watch.code), ERR_STORE);
    assert_in_range(atomic_load(&watch.lost_after_us), 300000, 900000);
    assert_true(atomic_load(&fake.renewals) > 3);
    assert_false(lease_is_held(lease));
    lease_stop(lease);
    assert_int_equal(atomic_load(&watch.lost), 1);
}

static void a_hanging_renewal_shows(void **state)
{
    struct fake fake = { .hang_ms = 600 };
    struct watch watch = { .begin = 0 };

    (void)state;
    struct lease *lease = start(&fake, &watch, 300);
    assert_true(lease_is_held(lease));
    usleep(450000);
    assert_false(lease_is_held(lease));
    assert_int_equal(atomic_load(&watch.lost), 0);
    lease_stop(lease);
}

/* A day forth and two back, again and again: nobody who counts by the wall clock would keep a lease of 300
 * ms. */
static void step_wall_clock(int times)
{
    for (int i = 0; i < times; i++) {
        atomic_store(&wall_shift_s, i % 2 ? 86400 : -86400);
        usleep(20000);
    }
    atomic_store(&wall_shift_s, 0);
}

static void the_wall_clock_does_not_matter(void **state)
{
    struct fake fake = { .take = 0 };
    struct watch watch = { .begin = 0 };

    (void)state;
    int64_t before = clock_wall_ms();
    atomic_store(&wall_shift_s, 1000);
    assert_true(clock_wall_ms() - before >= 1000000);
    struct lease *lease = start(&fake, &watch, 300);
    step_wall_clock(40);
    assert_true(lease_is_held(lease));
    assert_int_equal(atomic_load(&watch.lost), 0);
    assert_in_range(atomic_load(&fake.renewals), 4, 9);
    lease_stop(lease);
}

static void nor_on_sqlite(void **state)
{
    char dir[] = "/tmp/test-lease-XXXXXX";
    struct lease_options options = { .ttl_ms = 300 };
    struct lease_holder holder;
    struct store *store = NULL, *second = NULL;
    struct lease *lease = NULL;
    struct change_set set;
    AUTO_ERR(err);

    (void)state;
    assert_non_null(mkdtemp(dir));
    AUTO(free_str_auto) char *path = xasprintf("%s/types", dir);
    assert_int_equal(store_sqlite_open(path, &store, NULL), 0);
    assert_int_equal(lease_start(store, "first", &options, &lease, &holder, NULL), 0);
    step_wall_clock(30);
    assert_true(lease_is_held(lease));
    atomic_store(&wall_shift_s, 86400);
    assert_int_equal(store_sqlite_open(path, &second, &err), -ERR_BUSY);
    assert_non_null(strstr(err_text(&err), "held by node first, process "));
    AUTO_ARENA(arena);
    change_set_init(&set, &arena);
    assert_int_equal(store_commit(store, &set, lease_fence(lease), NULL), 0);
    atomic_store(&wall_shift_s, 0);
    lease_stop(lease);
    store_close(store);
    AUTO(free_str_auto) char *lock = xasprintf("%s.lock", path);
    unlink(path);
    unlink(lock);
    assert_int_equal(rmdir(dir), 0);
}

static void on_sqlite(void **state)
{
    struct store *store = NULL;
    struct lease_options options = { .ttl_ms = 200 };
    struct lease_holder holder;
    struct lease *first = NULL, *second = NULL;

    (void)state;
    assert_int_equal(store_sqlite_open(NULL, &store, NULL), 0);
    assert_int_equal(lease_start(store, "first", &options, &first, &holder, NULL), 0);
    usleep(300000);
    assert_true(lease_is_held(first));
    int64_t fence = lease_fence(first);
    lease_stop(first);
    assert_int_equal(lease_start(store, "second", &options, &second, &holder, NULL), 0);
    assert_true(lease_fence(second) > fence);
    lease_stop(second);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_renewed_in_time),
        cmocka_unit_test(stopping_does_not_wait),
        cmocka_unit_test(somebody_else_has_it),
        cmocka_unit_test(a_take_over_is_noticed),
        cmocka_unit_test(a_short_failure_is_survived),
        cmocka_unit_test(a_long_failure_ends_it_before_its_time),
        cmocka_unit_test(a_hanging_renewal_shows),
        cmocka_unit_test(the_wall_clock_does_not_matter),
        cmocka_unit_test(nor_on_sqlite),
        cmocka_unit_test(on_sqlite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
