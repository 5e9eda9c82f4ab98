#include "test/unit/t.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/net/watch.h"

enum { NOT_LONG_MS = 40, LONG_MS = 10000, MOST = 8 };

struct pair {
    int near, far;
};

static struct pair pair_open(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    return (struct pair){ fds[0], fds[1] };
}

static void pair_close(struct pair *pair)
{
    close(pair->near);
    close(pair->far);
}

static struct watch *watch_made(void)
{
    struct watch *watch = watch_new();

    assert_non_null(watch);
    return watch;
}

static void say(const struct pair *pair)
{
    assert_int_equal(write(pair->far, "x", 1), 1);
}

static void hear(const struct pair *pair)
{
    char byte;

    assert_int_equal(read(pair->near, &byte, 1), 1);
}

static void assert_event(struct watch *watch, int fd, unsigned ready)
{
    struct watch_event events[MOST];

    assert_int_equal(watch_wait(watch, LONG_MS, events, MOST), 1);
    assert_int_equal(events[0].fd, fd);
    assert_int_equal(events[0].ready, ready);
}

/* One event that is not wanted may wake, but not again and again. */
static void assert_silence(struct watch *watch)
{
    struct watch_event events[MOST];
    uint64_t before;

    assert_int_equal(watch_wait(watch, 1, events, MOST), 0);
    before = clock_us();
    assert_int_equal(watch_wait(watch, NOT_LONG_MS, events, MOST), 0);
    assert_true(clock_us() - before >= (NOT_LONG_MS - 1) * 1000);
}

static void only_what_is_wanted_comes(void **state)
{
    static const struct {
        unsigned wanted;
        bool readable;
        unsigned ready;
    } cases[] = {
        { WATCH_IN, false, 0 },
        { WATCH_IN, true, WATCH_IN },
        { WATCH_OUT, false, WATCH_OUT },
        { WATCH_OUT, true, WATCH_OUT },
        { WATCH_IN | WATCH_OUT, false, WATCH_OUT },
        { WATCH_IN | WATCH_OUT, true, WATCH_IN | WATCH_OUT },
        { 0, true, 0 },
    };

    (void)state;
    for (size_t i = 0; i < 4 * ARRAY_LEN(cases); i++) {
        struct watch *watch = watch_made();
        struct pair pair = pair_open();
        if (i & 1)
            watch_opened(watch, pair.near);
        if (i & 2)
            watch_want(watch, pair.near, WATCH_IN | WATCH_OUT);
        watch_want(watch, pair.near, cases[i / 4].wanted);
        if (cases[i / 4].readable)
            say(&pair);
        if (cases[i / 4].ready) {
            assert_event(watch, pair.near, cases[i / 4].ready);
            assert_event(watch, pair.near, cases[i / 4].ready);
        } else {
            assert_silence(watch);
        }
        watch_closed(watch, pair.near);
        pair_close(&pair);
        watch_free(watch);
    }
}

static void an_idle_socket_is_told_once_and_wanted_again(void **state)
{
    struct watch *watch = watch_made();
    struct pair pair = pair_open();

    (void)state;
    watch_opened(watch, pair.near);
    for (int i = 0; i < 3; i++) {
        watch_want(watch, pair.near, WATCH_IN);
        assert_silence(watch);
        watch_want(watch, pair.near, 0);
        assert_silence(watch);
        say(&pair);
        if (i > 0)
            assert_silence(watch);
        watch_want(watch, pair.near, WATCH_IN);
        assert_event(watch, pair.near, WATCH_IN);
        watch_want(watch, pair.near, 0);
        assert_silence(watch);
        hear(&pair);
    }
    watch_closed(watch, pair.near);
    pair_close(&pair);
    watch_free(watch);
}

static void the_end_of_a_peer_is_an_event_if_anything_is_wanted(void **state)
{
    static const unsigned wanted[] = { WATCH_IN, WATCH_OUT, WATCH_IN | WATCH_OUT, 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct watch *watch = watch_made();
        struct pair pair = pair_open();
        watch_opened(watch, pair.near);
        watch_want(watch, pair.near, WATCH_IN);
        watch_want(watch, pair.near, wanted[i]);
        close(pair.far);
        if (wanted[i])
            assert_event(watch, pair.near, wanted[i]);
        else
            assert_silence(watch);
        watch_closed(watch, pair.near);
        close(pair.near);
        watch_free(watch);
    }
}

static void a_number_that_is_used_again_is_another_socket(void **state)
{
    struct watch *watch = watch_made();
    int number = -1;

    (void)state;
    for (int i = 0; i < 16; i++) {
        bool told = i & 1, still_wanted = i & 2;
        struct pair pair = pair_open();
        number = number < 0 ? pair.near : number;
        if (pair.near != number) {
            assert_int_equal(dup2(pair.near, number), number);
            close(pair.near);
            pair.near = number;
        }
        if (told)
            watch_opened(watch, number);
        watch_want(watch, number, WATCH_IN);
        say(&pair);
        assert_event(watch, number, WATCH_IN);
        if (!told || !still_wanted)
            watch_want(watch, number, 0);
        if (told)
            watch_closed(watch, number);
        pair_close(&pair);
    }
    watch_free(watch);
}

static void many_sockets(void **state)
{
    struct watch *watch = watch_made();
    struct watch_event events[MOST];
    struct pair pairs[100];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        pairs[i] = pair_open();
        watch_opened(watch, pairs[i].near);
        watch_want(watch, pairs[i].near, WATCH_IN);
        say(&pairs[i]);
    }
    for (size_t left = ARRAY_LEN(pairs); left > 0;) {
        size_t n = watch_wait(watch, LONG_MS, events, MOST);
        assert_true(n <= left);
        for (size_t i = 0; i < n; i++)
            watch_want(watch, events[i].fd, 0);
        left -= n;
    }
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_int_equal(watch_wait(watch, 0, events, MOST), 0);
    assert_silence(watch);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        pair_close(&pairs[i]);
    watch_free(watch);
}

static void *wake_soon(void *arg)
{
    usleep(20000);
    watch_wake(arg);
    return NULL;
}

static void waking_ends_one_wait(void **state)
{
    struct watch *watch = watch_made();
    struct watch_event events[MOST];
    uint64_t begin = clock_us();
    pthread_t thread;

    (void)state;
    for (int i = 0; i < 3; i++) {
        watch_wake(watch);
        watch_wake(watch);
        assert_int_equal(watch_wait(watch, LONG_MS, events, MOST), 0);
        assert_silence(watch);
        assert_int_equal(pthread_create(&thread, NULL, wake_soon, watch), 0);
        assert_int_equal(watch_wait(watch, LONG_MS, events, MOST), 0);
        pthread_join(thread, NULL);
    }
    assert_true(clock_us() - begin < (uint64_t)LONG_MS * 1000);
    watch_free(watch);
    watch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_wanted_comes),
        cmocka_unit_test(an_idle_socket_is_told_once_and_wanted_again),
        cmocka_unit_test(the_end_of_a_peer_is_an_event_if_anything_is_wanted),
        cmocka_unit_test(a_number_that_is_used_again_is_another_socket),
        cmocka_unit_test(many_sockets),
        cmocka_unit_test(waking_ends_one_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
