#include "test/unit/t.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

static char dir[] = "/tmp/test-log-XXXXXX";

static int prepare(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(dir) ? 0 : -1;
}

static int clean_up(void **state)
{
    (void)state;
    return rmdir(dir);
}

static void read_all(int fd, struct sbuf *out)
{
    char buf[65536];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0)
        sbuf_add(out, buf, (size_t)n);
}

static void read_path(const char *path, struct sbuf *out)
{
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    read_all(fd, out);
    close(fd);
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

/* Checks the form of the time stamp and returns what follows it. */
static const char *after_time(const char *line)
{
    static const char form[] = "time=0000-00-00T00:00:00.000000Z ";

    for (size_t i = 0; form[i]; i++) {
        if (form[i] == '0')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], form[i]);
    }
    return line + sizeof(form) - 1;
}

static void values_are_quoted_where_needed(void **state)
{
    static const struct {
        struct slice value;
        const char *text;
    } cases[] = {
        { SLICE("plain"), "plain" },
        { SLICE("Module.Type-1.0"), "Module.Type-1.0" },
        { SLICE("a,b;c:d/e?f'g{h}[i]"), "a,b;c:d/e?f'g{h}[i]" },
        { SLICE(""), "\"\"" },
        { SLICE("two words"), "\"two words\"" },
        { SLICE("a=b"), "\"a=b\"" },
        { SLICE("say \"hi\""), "\"say \\\"hi\\\"\"" },
        { SLICE("\""), "\"\\\"\"" },
        { SLICE("back\\slash"), "\"back\\\\slash\"" },
        { SLICE("a\nb\rc\td\be\ff"), "\"a\\nb\\rc\\td\\be\\ff\"" },
        { SLICE("nul\0esc\x1b[0m"), "\"nul\\u0000esc\\u001b[0m\"" },
        { SLICE("\x7f"), "\"\\u007f\"" },
        { SLICE("\xc2\x85"), "\"\\u0085\"" },
        { SLICE("\xe2\x80\xa8"), "\"\\u2028\"" },
        { SLICE("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f" },
        { SLICE("\xf0\x9f\x98\x80 !"), "\"\xf0\x9f\x98\x80 !\"" },
        { SLICE("bad\xff"), "\"bad\\ufffd\"" },
        { SLICE("\xed\xa0\x80"), "\"\\ud800\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(fields, 1000);
        AUTO(free_str_auto) char *expected = xasprintf(" key=%s", cases[i].text);
        log_put(&fields, "key", cases[i].value);
        assert_string_equal(fields.p, expected);
    }

    AUTO_SBUF(fields, 1000);
    log_putf(&fields, "n", "%d", 5);
    log_putf(&fields, "text", "%s %s", "a", "b");
    assert_string_equal(fields.p, " n=5 text=\"a b\"");
}

static void lines_and_levels(void **state)
{
    static const struct {
        enum log_level level;
        const char *text;
    } cases[] = {
        { LOG_LEVEL_ERROR, "level=error event=e.error\n" },
        { LOG_LEVEL_INFO, "level=error event=e.error\nlevel=info event=e.info a=1\n" },
        { LOG_LEVEL_DEBUG, "level=error event=e.error\nlevel=info event=e.info a=1\n"
                           "level=debug event=e.debug message=\"to be\"\n" },
    };
    AUTO(free_str_auto) char *path = path_of("levels");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(got, SBUF_NO_LIMIT);
        AUTO_SBUF(bare, SBUF_NO_LIMIT);
        AUTO_SBUF(fields, 1000);

        assert_int_equal(log_open(path, cases[i].level, NULL), 0);
        assert_int_equal(log_wants(LOG_LEVEL_ERROR), true);
        assert_int_equal(log_wants(LOG_LEVEL_INFO), i > 0);
        assert_int_equal(log_wants(LOG_LEVEL_DEBUG), i > 1);
        log_putf(&fields, "a", "1");
        log_event(LOG_LEVEL_ERROR, "e.error", NULL);
        log_event(LOG_LEVEL_INFO, "e.info", &fields);
        log_message(LOG_LEVEL_DEBUG, "e.debug", "to %s", "be");
        log_close();
        read_path(path, &got);
        for (const char *line = got.p; *line; line = strchr(line, '\n') + 1) {
            const char *rest = after_time(line);
            sbuf_add(&bare, rest, (size_t)(strchr(rest, '\n') + 1 - rest));
        }
        assert_string_equal(bare.p, cases[i].text);
        unlink(path);
    }
}

static void a_file_that_cannot_be_opened(void **state)
{
    AUTO_ERR(err);

    (void)state;
    assert_int_equal(log_open("/nowhere/log", LOG_LEVEL_INFO, &err), -ERR_CONFIG);
    assert_string_equal(err_text(&err), "cannot open log-file \"/nowhere/log\": No such file or directory");
    log_close();
    log_reopen();
}

static void too_long_fields_are_left_out(void **state)
{
    AUTO(free_str_auto) char *path = path_of("long");
    AUTO_SBUF(fields, 10);
    AUTO_SBUF(got, SBUF_NO_LIMIT);

    (void)state;
    assert_int_equal(log_open(path, LOG_LEVEL_INFO, NULL), 0);
    log_put(&fields, "key", SLICE("much too long"));
    log_event(LOG_LEVEL_INFO, "e", &fields);
    log_close();
    read_path(path, &got);
    assert_string_equal(after_time(got.p), "level=info event=e log=\"fields are too long\"\n");
    unlink(path);
}

static void *log_500(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < 500; i++) {
        AUTO_SBUF(fields, 5000);
        log_putf(&fields, "thread", "%s", name);
        log_putf(&fields, "i", "%d", i);
        log_putf(&fields, "pad", "%0*d", i * 4 + 1, 0);
        log_event(LOG_LEVEL_INFO, "e", &fields);
    }
    return NULL;
}

/* Every line whole, and those of each thread in order. */
static void check_lines(const char *text)
{
    int next[8] = { 0 };

    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        int thread, i, used = 0;
        const char *rest = after_time(line);
        assert_int_equal(sscanf(rest, "level=info event=e thread=%d i=%d pad=%n", &thread, &i, &used), 2);
        assert_in_range(thread, 0, 7);
        assert_int_equal(i, next[thread]++);
        assert_int_equal(strspn(rest + used, "0"), i * 4 + 1);
        assert_int_equal(rest[used + i * 4 + 1], '\n');
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(next[i], 500);
}

static void run_eight(void)
{
    static const char *const names[8] = { "0", "1", "2", "3", "4", "5", "6", "7" };
    pthread_t threads[8];

    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_500, (void *)(uintptr_t)names[i]), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

static void lines_of_many_threads_stay_whole(void **state)
{
    AUTO(free_str_auto) char *path = path_of("many");
    AUTO_SBUF(got, SBUF_NO_LIMIT);

    (void)state;
    assert_int_equal(log_open(path, LOG_LEVEL_INFO, NULL), 0);
    run_eight();
    log_close();
    read_path(path, &got);
    check_lines(got.p);
    unlink(path);
}

static void a_file_is_opened_anew(void **state)
{
    AUTO(free_str_auto) char *path = path_of("now");
    AUTO(free_str_auto) char *old = path_of("old");
    AUTO_SBUF(first, SBUF_NO_LIMIT);
    AUTO_SBUF(second, SBUF_NO_LIMIT);
    struct stat st;

    (void)state;
    assert_int_equal(log_open(path, LOG_LEVEL_INFO, NULL), 0);
    log_event(LOG_LEVEL_INFO, "before", NULL);
    for (int i = 0; i < 500 && (stat(path, &st) || st.st_size == 0); i++)
        usleep(10000);
    assert_int_equal(rename(path, old), 0);
    log_reopen();
    for (int i = 0; i < 500 && stat(path, &st); i++)
        usleep(10000);
    log_event(LOG_LEVEL_INFO, "after", NULL);
    log_close();
    read_path(old, &first);
    read_path(path, &second);
    assert_string_equal(after_time(first.p), "level=info event=before\n");
    assert_string_equal(after_time(second.p), "level=info event=after\n");
    unlink(old);
    unlink(path);
}

static void a_file_that_cannot_be_opened_anew_stays(void **state)
{
    AUTO(free_str_auto) char *sub = path_of("sub");
    AUTO(free_str_auto) char *path = path_of("sub/log");
    AUTO(free_str_auto) char *moved = path_of("moved");
    AUTO(free_str_auto) char *moved_log = path_of("moved/log");
    AUTO_SBUF(got, SBUF_NO_LIMIT);
    struct stat st;

    (void)state;
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(log_open(path, LOG_LEVEL_INFO, NULL), 0);
    assert_int_equal(rename(sub, moved), 0);
    log_reopen();
    for (int i = 0; i < 500 && (stat(moved_log, &st) || st.st_size == 0); i++)
        usleep(10000);
    log_event(LOG_LEVEL_INFO, "after", NULL);
    log_close();
    read_path(moved_log, &got);
    assert_non_null(
        strstr(got.p, "level=error event=log.reopen_failed reason=\"No such file or directory\"\n"));
    assert_non_null(strstr(got.p, "level=info event=after\n"));
    unlink(moved_log);
    rmdir(moved);
}

/* Puts a pipe in the place of a descriptor; returns the end to read from. */
static int redirect(int fd, int *ret_saved)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *ret_saved = dup(fd);
    dup2(ends[1], fd);
    close(ends[1]);
    return ends[0];
}

static void restore(int fd, int saved)
{
    dup2(saved, fd);
    close(saved);
}

static void without_a_log_lines_go_to_standard_error(void **state)
{
    AUTO_SBUF(got, SBUF_NO_LIMIT);
    int saved, in = redirect(STDERR_FILENO, &saved);

    (void)state;
    log_message(LOG_LEVEL_ERROR, "e", "early");
    restore(STDERR_FILENO, saved);
    read_all(in, &got);
    close(in);
    assert_string_equal(after_time(got.p), "level=error event=e message=early\n");
}

struct reading {
    int fd;
    struct sbuf got;
};

static void *read_main(void *arg)
{
    struct reading *reading = arg;

    read_all(reading->fd, &reading->got);
    return NULL;
}

static void a_pipe_gets_whole_lines_too(void **state)
{
    int saved;
    struct reading reading = { redirect(STDOUT_FILENO, &saved), SBUF_INIT(SBUF_NO_LIMIT) };
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, read_main, &reading), 0);
    assert_int_equal(log_open(NULL, LOG_LEVEL_INFO, NULL), 0);
    run_eight();
    log_close();
    restore(STDOUT_FILENO, saved);
    pthread_join(thread, NULL);
    check_lines(reading.got.p);
    sbuf_release(&reading.got);
    close(reading.fd);
}

static void log_padded(int count)
{
    for (int i = 0; i < count; i++)
        log_message(LOG_LEVEL_INFO, "e", "%0*d", 1000, i);
}

/* Nobody reads for a while: callers go on, what does not fit is counted, and every line is accounted for. */
static void a_reader_that_sleeps_costs_lines_only(void **state)
{
    int saved;
    struct reading reading = { redirect(STDOUT_FILENO, &saved), SBUF_INIT(SBUF_NO_LIMIT) };
    pthread_t thread;
    unsigned long lines = 0, dropped = 0, n = 0;
    uint64_t before = clock_us();

    (void)state;
    assert_int_equal(log_open(NULL, LOG_LEVEL_INFO, NULL), 0);
    log_padded(12000);
    assert_true(clock_us() - before < 5000000);
    assert_int_equal(pthread_create(&thread, NULL, read_main, &reading), 0);
    log_close();
    restore(STDOUT_FILENO, saved);
    pthread_join(thread, NULL);
    for (const char *line = reading.got.p; *line; line = strchr(line, '\n') + 1) {
        if (sscanf(after_time(line), "level=error event=log.dropped n=%lu", &n) == 1)
            dropped += n;
        else
            lines += strncmp(after_time(line), "level=info event=e message=", 27) == 0;
    }
    assert_true(dropped > 0);
    assert_int_equal(lines + dropped, 12000);
    sbuf_release(&reading.got);
    close(reading.fd);
}

static void a_reader_that_never_reads_does_not_stop_the_end(void **state)
{
    int saved, in = redirect(STDOUT_FILENO, &saved);
    uint64_t before;

    (void)state;
    assert_int_equal(log_open(NULL, LOG_LEVEL_INFO, NULL), 0);
    log_padded(1000);
    before = clock_us();
    log_close();
    assert_true(clock_us() - before < 6000000);
    restore(STDOUT_FILENO, saved);
    close(in);
}

static void a_reader_that_went_away_does_no_harm(void **state)
{
    int saved, in = redirect(STDOUT_FILENO, &saved);
    uint64_t before = clock_us();

    (void)state;
    assert_int_equal(log_open(NULL, LOG_LEVEL_INFO, NULL), 0);
    close(in);
    log_padded(1000);
    usleep(50000);
    log_padded(1000);
    log_close();
    assert_true(clock_us() - before < 3000000);
    restore(STDOUT_FILENO, saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_quoted_where_needed),
        cmocka_unit_test(lines_and_levels),
        cmocka_unit_test(a_file_that_cannot_be_opened),
        cmocka_unit_test(too_long_fields_are_left_out),
        cmocka_unit_test(lines_of_many_threads_stay_whole),
        cmocka_unit_test(a_file_is_opened_anew),
        cmocka_unit_test(a_file_that_cannot_be_opened_anew_stays),
        cmocka_unit_test(without_a_log_lines_go_to_standard_error),
        cmocka_unit_test(a_pipe_gets_whole_lines_too),
        cmocka_unit_test(a_reader_that_sleeps_costs_lines_only),
        cmocka_unit_test(a_reader_that_never_reads_does_not_stop_the_end),
        cmocka_unit_test(a_reader_that_went_away_does_no_harm),
    };

    return cmocka_run_group_tests(tests, prepare, clean_up);
}
