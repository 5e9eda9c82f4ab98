#include "test/unit/t.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/net/spool.h"

static char dir[] = "/tmp/test-spool-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static size_t files_in_dir(void)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void fill(char *bytes, size_t n, size_t from)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)((from + i) * 31 + (from + i) / 251);
}

static void bytes_come_back_whatever_the_pieces(void **state)
{
    static const struct {
        size_t memory, piece, pieces;
        bool file;
    } cases[] = {
        { 0, 0, 0, false },           { 0, 1, 1, true },
        { 100, 100, 1, false },       { 100, 101, 1, true },
        { 100, 50, 2, false },        { 100, 50, 3, true },
        { 1000, 7, 142, false },      { 1000, 7, 143, true },
        { 10, 65536, 20, true },      { 1 << 20, 4096, 256, false },
        { 1 << 20, 4096, 257, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spool_limits limits = { cases[i].memory, (size_t)1 << 30, dir };
        struct spool *spool = spool_new(&limits);
        size_t all = cases[i].piece * cases[i].pieces;
        char *expected = xmalloc(all + 1);
        struct slice got;

        fill(expected, all, 0);
        for (size_t p = 0; p < cases[i].pieces; p++)
            assert_int_equal(spool_add(spool, expected + p * cases[i].piece, cases[i].piece, NULL), 0);
        assert_int_equal(spool_size(spool), all);
        assert_int_equal(spool_fd(spool) >= 0, cases[i].file);
        assert_int_equal(spool_bytes(spool, &got, NULL), 0);
        assert_true(slice_eq(got, slice_of(expected, all)));
        assert_int_equal(files_in_dir(), 0);
        spool_free(spool);
        free(expected);
    }
}

static void adding_after_a_look_keeps_everything(void **state)
{
    struct spool_limits limits = { 4, 100, dir };
    AUTO(spool_free_auto) struct spool *spool = spool_new(&limits);
    struct slice got;

    (void)state;
    assert_int_equal(spool_add(spool, "abcdef", 6, NULL), 0);
    assert_int_equal(spool_bytes(spool, &got, NULL), 0);
    assert_true(slice_is(got, "abcdef"));
    assert_int_equal(spool_add(spool, "ghi", 3, NULL), 0);
    assert_int_equal(spool_bytes(spool, &got, NULL), 0);
    assert_true(slice_is(got, "abcdefghi"));
}

static void the_limit_is_exact(void **state)
{
    static const size_t memories[] = { 4, 10, 100 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(memories); i++) {
        struct spool_limits limits = { memories[i], 10, dir };
        AUTO(spool_free_auto) struct spool *spool = spool_new(&limits);
        struct slice got;
        AUTO_ERR(err);

        assert_int_equal(spool_add(spool, "12345678", 8, NULL), 0);
        assert_int_equal(spool_add(spool, "9ab", 3, &err), -ERR_TOO_BIG);
        assert_string_equal(err_text(&err), "larger than 10 bytes");
        assert_int_equal(spool_size(spool), 8);
        assert_int_equal(spool_add(spool, "9a", 2, NULL), 0);
        assert_int_equal(spool_add(spool, "", 0, NULL), 0);
        assert_int_equal(spool_add(spool, "x", 1, NULL), -ERR_TOO_BIG);
        assert_int_equal(spool_bytes(spool, &got, NULL), 0);
        assert_true(slice_is(got, "123456789a"));
    }
}

static void a_missing_directory_is_an_error_without_its_path(void **state)
{
    struct spool_limits limits = { 4, 100, "/nowhere/at/all" };
    AUTO(spool_free_auto) struct spool *spool = spool_new(&limits);
    struct slice got;
    AUTO_ERR(err);

    (void)state;
    assert_int_equal(spool_add(spool, "abcd", 4, NULL), 0);
    assert_int_equal(spool_add(spool, "e", 1, &err), -ERR_IO);
    assert_string_equal(err_text(&err),
                        "cannot make a file in the temporary directory: No such file or directory");
    assert_int_equal(spool_size(spool), 4);
    assert_int_equal(spool_bytes(spool, &got, NULL), 0);
    assert_true(slice_is(got, "abcd"));
}

/* A limit on the size of files stands in for a full disk: the write fails half-way. */
static void a_failed_write_leaves_what_was_there(void **state)
{
    struct spool_limits limits = { 4, 1 << 20, dir };
    struct rlimit before, small = { 1000, RLIM_INFINITY };
    AUTO(spool_free_auto) struct spool *spool = spool_new(&limits);
    char bytes[1500];
    struct slice got;
    AUTO_ERR(err);

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    fill(bytes, sizeof(bytes), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(spool_add(spool, bytes, 500, NULL), 0);
    assert_int_equal(spool_add(spool, bytes + 500, 1000, &err), -ERR_IO);
    assert_string_equal(err_text(&err), "cannot write to the temporary directory: File too large");
    assert_int_equal(spool_size(spool), 500);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(spool_add(spool, bytes + 500, 10, NULL), 0);
    assert_int_equal(spool_bytes(spool, &got, NULL), 0);
    assert_true(slice_eq(got, slice_of(bytes, 510)));
    spool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back_whatever_the_pieces),
        cmocka_unit_test(adding_after_a_look_keeps_everything),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(a_missing_directory_is_an_error_without_its_path),
        cmocka_unit_test(a_failed_write_leaves_what_was_there),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
