#include "test/unit/t.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/fault.h"

#ifdef WSTYPED_FAULTS

/* Hits a, b, a in a child of its own environment; the status tells what failed, one bit a hit. */
static int hit_in_child(const char *spec, const char *log_path, int *ret_stopped)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (spec)
            setenv("WSTYPED_FAULT", spec, 1);
        if (log_path)
            setenv("WSTYPED_FAULT_LOG", log_path, 1);
        int failed = 0;
        for (int i = 0; i < 3; i++)
            failed |= FAULT_POINT(i == 1 ? "x.b" : "x.a") << i;
        _exit(failed);
    }
    *ret_stopped = 0;
    while (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status)) {
        ++*ret_stopped;
        kill(pid, SIGCONT);
    }
    return status;
}

static void points_by_name_and_number(void **state)
{
    static const struct {
        const char *spec;
        int failed, signal, stopped;
    } cases[] = {
        { NULL, 0, 0, 0 },         { "x.a:1:fail", 1, 0, 0 },
        { "x.a:2:fail", 4, 0, 0 }, { "x.a:3:fail", 0, 0, 0 },
        { "x.b:1:fail", 2, 0, 0 }, { "*:2:fail", 2, 0, 0 },
        { "x.*:3:fail", 4, 0, 0 }, { "y.*:1:fail", 0, 0, 0 },
        { "x:1:fail", 0, 0, 0 },   { "x.b:1:kill", 0, SIGKILL, 0 },
        { "x.b:2:kill", 0, 0, 0 }, { "*:3:stop", 0, 0, 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int stopped;
        int status = hit_in_child(cases[i].spec, NULL, &stopped);
        if (cases[i].signal) {
            assert_true(WIFSIGNALED(status));
            assert_int_equal(WTERMSIG(status), cases[i].signal);
        } else {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), cases[i].failed);
        }
        assert_int_equal(stopped, cases[i].stopped);
    }
}

static void malformed_ones_end_the_process(void **state)
{
    static const char *const specs[] = { "x.a", "x.a:1", "x.a:0:fail", "x.a:z:fail", "x.a:1:burn", "" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        int stopped;
        int status = hit_in_child(specs[i], NULL, &stopped);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

static void log_names_every_hit(void **state)
{
    char path[] = "/tmp/test_fault_XXXXXX", text[64];
    int stopped, fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(hit_in_child("x.b:1:kill", path, &stopped), SIGKILL);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, "x.a\nx.b\n");
    close(fd);
    unlink(path);
}

static void armed_by_a_call(void **state)
{
    (void)state;
    fault_arm("x:2:fail", NULL);
    assert_false(FAULT_POINT("x"));
    assert_true(FAULT_POINT("x"));
    assert_false(FAULT_POINT("x"));
    fault_arm("x:1:fail", NULL);
    assert_true(FAULT_POINT("x"));
    fault_arm(NULL, NULL);
    assert_false(FAULT_POINT("x"));
}

#else

static void compiled_out(void **state)
{
    (void)state;
    setenv("WSTYPED_FAULT", "*:1:fail", 1);
    assert_false(FAULT_POINT("x"));
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef WSTYPED_FAULTS
        cmocka_unit_test(points_by_name_and_number),
        cmocka_unit_test(malformed_ones_end_the_process),
        cmocka_unit_test(log_names_every_hit),
        cmocka_unit_test(armed_by_a_call),
#else
        cmocka_unit_test(compiled_out),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
