/*
 * The contract of struct store_ops over SQLite, and what is SQLite's own: the file, its lock, kill -9 and
 * full disks.
 */
#include "test/unit/test_tws_store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shared/base/fault.h"

/* ---- backends ---- */

struct file_db {
    char dir[32];
    char *path;
};

static void *file_create(void)
{
    struct file_db *db = xcalloc(1, sizeof(*db));

    memcpy(db->dir, "/tmp/test_store_XXXXXX", 23);
    assert_non_null(mkdtemp(db->dir));
    db->path = xasprintf("%s/types.db", db->dir);
    return db;
}

static struct store *file_open(void *arg)
{
    struct file_db *db = arg;
    struct store *store = NULL;
    AUTO_ERR(err);

    if (store_sqlite_open_unlocked(db->path, &store, &err))
        fail_msg("%s", err_text(&err));
    return store;
}

static void file_destroy(void *arg)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", ".lock", ".log" };
    struct file_db *db = arg;

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        AUTO(free_str_auto) char *path = xasprintf("%s%s", db->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(db->dir), 0);
    free(db->path);
    free(db);
}

static void *memory_create(void)
{
    return NULL;
}

static struct store *memory_open(void *db)
{
    struct store *store = NULL;

    (void)db;
    assert_int_equal(store_sqlite_open(NULL, &store, NULL), 0);
    return store;
}

static void memory_destroy(void *db)
{
    (void)db;
}

static const struct backend backends[] = {
    { "sqlite file", true, file_create, file_open, file_destroy, NULL },
    { "sqlite memory", false, memory_create, memory_open, memory_destroy, NULL },
};

/* ---- what is SQLite's own ---- */

static struct store *locked_open(const struct file_db *db)
{
    struct store *store = NULL;
    AUTO_ERR(err);

    if (store_sqlite_open(db->path, &store, &err))
        fail_msg("%s", err_text(&err));
    return store;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void in_use(void **state)
{
    struct file_db *db = file_create();
    struct store *store = NULL;
    int ready[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        if (store_sqlite_open(db->path, &store, NULL) == 0 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    AUTO_ERR(err);
    AUTO(free_str_auto)
    char *text = xasprintf("the type database file '%s' is in use by process %d", db->path, (int)pid);
    assert_int_equal(store_sqlite_open(db->path, &store, &err), -ERR_BUSY);
    assert_string_equal(err_text(&err), text);

    /* by another name */
    AUTO(free_str_auto) char *link = xasprintf("%s/link.db", db->dir);
    assert_int_equal(symlink(db->path, link), 0);
    assert_int_equal(store_sqlite_open(link, &store, NULL), -ERR_BUSY);
    unlink(link);

    /* the lock file stays, the lock does not, and neither does the lease */
    kill(pid, SIGKILL);
    assert_true(WIFSIGNALED(wait_for(pid)));
    store = locked_open(db);
    take_lease(store, "first", 60000);
    store_close(store);
    store = locked_open(db);
    take_lease(store, "second", 60000);
    struct store *again = NULL;
    assert_int_equal(store_sqlite_open(db->path, &again, NULL), -ERR_BUSY);
    store_close(store);
    close(ready[0]);
    close(ready[1]);
    file_destroy(db);
}

static void write_file(const char *path, int flags, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

static void assert_refused(const struct file_db *db, const char *part)
{
    struct store *store = NULL;
    AUTO_ERR(err);

    assert_int_equal(store_sqlite_open(db->path, &store, &err), -ERR_STORE);
    assert_null(store);
    if (!strstr(err_text(&err), part) || !strstr(err_text(&err), db->path))
        fail_msg("%s", err_text(&err));
}

static void foreign_files(void **state)
{
    struct file_db *db = file_create();
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof(text));
    write_file(db->path, O_TRUNC, 0, text, sizeof(text));
    assert_refused(db, "is not a wstyped type database");
    struct stat st;
    assert_int_equal(stat(db->path, &st), 0);
    assert_int_equal(st.st_size, sizeof(text));

    /* an empty one is taken */
    assert_int_equal(truncate(db->path, 0), 0);
    store_close(locked_open(db));
    /* user_version and application_id stand at 60 and 68 of SQLite's header */
    write_file(db->path, 0, 60, "\0\0\0\2", 4);
    assert_refused(db, "has schema version 2; this version of wstyped knows those up to 1");
    write_file(db->path, 0, 60, "\0\0\0\1", 4);
    store_close(locked_open(db));
    write_file(db->path, 0, 68, "\0\0\0\1", 4);
    assert_refused(db, "is not a wstyped type database");
    file_destroy(db);
}

static void places_that_do_not_work(void **state)
{
    struct file_db *db = file_create();
    struct file_db none = { .path = xasprintf("%s/no/types.db", db->dir) };
    struct file_db dir = { .path = xasprintf("%s", db->dir) };

    (void)state;
    assert_refused(&none, "No such file or directory");
    assert_refused(&dir, "unable to open database file");
    AUTO(free_str_auto) char *lock = xasprintf("%s.lock", db->dir);
    unlink(lock);
    free(none.path);
    free(dir.path);
    file_destroy(db);
}

static void by_config(void **state)
{
    struct file_db *db = file_create();
    struct config config = { .type_database_file = db->path };
    struct store *store = NULL;
    AUTO_ERR(err);

    (void)state;
    assert_int_equal(store_open(&config, &store, NULL), 0);
    assert_string_equal(store->ops->name, "sqlite");
    store_close(store);
    config = (struct config){ .mongodb_type_database = "types" };
    assert_int_equal(store_open(&config, &store, &err), -ERR_CONFIG);
    file_destroy(db);
}

#ifdef WSTYPED_FAULTS

static int child_commit(const struct file_db *db, const char *fault, const char *log)
{
    struct store *store = NULL;
    struct lease_holder me = { .node = "child" }, holder;
    int64_t fence;

    fault_arm(fault, log);
    if (store_sqlite_open(db->path, &store, NULL) ||
        store_lease_take(store, &me, 60000, &fence, &holder, NULL))
        return 2;
    int code = commit_ops(store, fence, every_op, NULL);
    if (!code)
        code = store_lease_give_up(store, fence, NULL);
    store_close(store);
    return code ? 1 : 0;
}

static int run_child(const struct file_db *db, const char *fault, const char *log)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(child_commit(db, fault, log));
    return wait_for(pid);
}

static void make_base(const struct file_db *db)
{
    AUTO(store_close_auto) struct store *store = locked_open(db);

    must_commit(store, take_lease(store, "base", 1000), base_ops);
}

static void texts_before_and_after(char **ret_before, char **ret_after)
{
    struct store *store = memory_open(NULL);
    int64_t fence = take_lease(store, "base", 1000);

    must_commit(store, fence, base_ops);
    *ret_before = dump(store);
    must_commit(store, fence, every_op);
    *ret_after = dump(store);
    store_close(store);
}

/* After a child that was killed or failed at its n-th point. Returns true if its commit is there. */
static bool check_after_fault(const struct file_db *db, const char *before, const char *after)
{
    AUTO(store_close_auto) struct store *store = locked_open(db);
    AUTO(free_str_auto) char *text = dump(store);
    bool done = strcmp(text, after) == 0;

    if (!done)
        assert_string_equal(text, before);
    /* and it works again */
    int64_t fence = take_lease(store, "next", 1000);
    if (!done)
        must_commit(store, fence, every_op);
    assert_dump(store, after);
    return done;
}

static size_t count_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t count = 0;

    assert_non_null(file);
    for (int c; (c = getc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

/* take: 5; begin, fence, 2 expectations, 15 changes, commit, committed; give up */
enum { POINTS_OF_CHILD = 5 + 2 + 2 + 15 + 2 + 1, POINT_OF_COMMIT = POINTS_OF_CHILD - 2 };

static void fault_matrix(const char *action)
{
    AUTO(free_str_auto) char *before = NULL;
    AUTO(free_str_auto) char *after = NULL;
    bool kills = strcmp(action, "kill") == 0;

    texts_before_and_after(&before, &after);
    for (int n = 1; n <= POINTS_OF_CHILD; n++) {
        struct file_db *db = file_create();
        AUTO(free_str_auto) char *fault = xasprintf("*:%d:%s", n, action);
        make_base(db);
        int status = run_child(db, fault, NULL);
        /* a fault behind the commit cannot make it fail */
        bool fails = kills || n != POINT_OF_COMMIT + 1;
        bool takes = n != 5;
        if (kills)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        else
            assert_int_equal(WEXITSTATUS(status) != 0, fails && takes);
        assert_int_equal(check_after_fault(db, before, after), n > POINT_OF_COMMIT || (!kills && n == 5));
        file_destroy(db);
    }
}

static void killed_anywhere(void **state)
{
    (void)state;
    fault_matrix("kill");
}

static void failing_anywhere(void **state)
{
    (void)state;
    fault_matrix("fail");
}

static void every_point_is_hit(void **state)
{
    struct file_db *db = file_create();
    AUTO(free_str_auto) char *log = xasprintf("%s.log", db->path);

    (void)state;
    make_base(db);
    assert_int_equal(run_child(db, NULL, log), 0);
    assert_int_equal(count_lines(log), POINTS_OF_CHILD);
    /* by name, and only that one */
    assert_int_equal(run_child(db, "sqlite.commit.add_spec:2:kill", NULL), 1 << 8);
    file_destroy(db);
}

static void works_on_after_failing(void **state)
{
    (void)state;
    for (int n = 1; n <= 2 + 2 + 15; n++) {
        struct fixture f;
        AUTO_ERR(err);
        fixture_open(&f, &backends[n % 2]);
        must_commit(f.store, f.fence, base_ops);
        AUTO(free_str_auto) char *before = dump(f.store);
        AUTO(free_str_auto) char *fault = xasprintf("sqlite.commit.*:%d:fail", n);
        fault_arm(fault, NULL);
        assert_int_equal(commit_ops(f.store, f.fence, every_op, &err), -ERR_STORE);
        fault_arm(NULL, NULL);
        assert_non_null(strstr(err_text(&err), "disk I/O error"));
        assert_dump(f.store, before);
        must_commit(f.store, f.fence, every_op);
        fixture_close(&f);
    }
}

#endif

/* A child that commits as fast as it can and tells what was done. */
static void commit_for_ever(const struct file_db *db, int64_t last, int tell)
{
    struct store *store = NULL;
    struct lease_holder me = { .node = "child" }, holder;
    int64_t fence;

    if (store_sqlite_open(db->path, &store, NULL) ||
        store_lease_take(store, &me, 60000, &fence, &holder, NULL))
        return;
    for (int64_t v = last + 1; v < last + 200; v++) {
        const struct op ops[] = {
            THERE("M", v - 1, 10, true), ROW(CHANGE_ADD_SCHEMA, "M", "T", 0, (int)v, v, "schema"),
            SPEC("M", v, "spec"),        INFO("M", v, "u"),
            MOVE("M", v, 10, true),      END_OPS
        };
        if (commit_ops(store, fence, ops, NULL) || write(tell, &v, sizeof(v)) != sizeof(v))
            return;
    }
    pause();
}

struct counts {
    int64_t last;
    int specs, infos, schemas;
    int64_t highest;
};

static int count_pointers(void *ctx, const struct rec_pointers *rec, struct err *err)
{
    (void)err;
    if (slice_is(rec->module, "M"))
        ((struct counts *)ctx)->last = rec->last;
    return 0;
}

static int count_info(void *ctx, const struct rec_info *rec, struct err *err)
{
    struct counts *counts = ctx;

    (void)err;
    counts->infos++;
    counts->highest = rec->version > counts->highest ? rec->version : counts->highest;
    return 0;
}

static int count_spec(void *ctx, const struct rec_spec *rec, struct err *err)
{
    (void)rec, (void)err;
    ((struct counts *)ctx)->specs++;
    return 0;
}

static int count_schema(void *ctx, const struct rec_row *rec, struct err *err)
{
    (void)rec, (void)err;
    ((struct counts *)ctx)->schemas++;
    return 0;
}

static int64_t check_counts(const struct file_db *db)
{
    AUTO(store_close_auto) struct store *store = locked_open(db);
    struct counts counts = { 0 };
    struct store_sink sink = dump_sink;

    sink.ctx = &counts;
    sink.pointers = count_pointers;
    sink.owner = sink.request = ignore_owner;
    sink.info = count_info;
    sink.spec = count_spec;
    sink.schema = count_schema;
    assert_int_equal(store_load(store, &sink, NULL), 0);
    assert_int_equal(counts.infos, counts.last - 10 + 1);
    assert_int_equal(counts.specs, counts.last - 10);
    assert_int_equal(counts.schemas, counts.last - 10);
    assert_int_equal(counts.highest, counts.last);
    return counts.last;
}

static void killed_at_any_moment(void **state)
{
    struct file_db *db = file_create();
    struct store *store = locked_open(db);
    int64_t last = 10;

    (void)state;
    must_commit(store, take_lease(store, "base", 1000), base_ops);
    store_close(store);
    for (int round = 0; round < 12; round++) {
        int tell[2];
        int64_t told = last, v;
        assert_int_equal(pipe(tell), 0);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(30);
            close(tell[0]);
            commit_for_ever(db, last, tell[1]);
            _exit(1);
        }
        close(tell[1]);
        usleep((useconds_t)(3000 + round * 3700));
        kill(pid, SIGKILL);
        while (read(tell[0], &v, sizeof(v)) == sizeof(v))
            told = v;
        close(tell[0]);
        assert_true(WIFSIGNALED(wait_for(pid)));
        last = check_counts(db);
        assert_in_range(last, told, told + 1);
    }
    file_destroy(db);
}

/* 0 if big commits fail without any effect and small ones work, else the number of the step. */
static int fill_disk(struct store *store, int64_t fence)
{
    const struct op small[] = { OWNER("M", "small", true), END_OPS };
    size_t n = 4000000;
    AUTO(free_str_auto) char *big = xmalloc(n + 1);
    AUTO(free_str_auto) char *before = dump(store);

    memset(big, 'b', n);
    big[n] = '\0';
    for (int i = 0; i < 3; i++) {
        const struct op ops[] = { MOVE("M", 20, 20, true), SPEC("M", 20, big), OWNER("M", "no", true),
                                  END_OPS };
        AUTO_ERR(err);
        if (commit_ops(store, fence, ops, &err) != -ERR_STORE || !strstr(err_text(&err), "disk"))
            return 3;
        AUTO(free_str_auto) char *text = dump(store);
        if (strcmp(text, before) != 0)
            return 4;
    }
    return commit_ops(store, fence, small, NULL) ? 5 : 0;
}

static int child_with_full_disk(const struct file_db *db)
{
    struct store *store = NULL;
    struct lease_holder me = { .node = "child" }, holder;
    int64_t fence;

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1000000, 1000000 }) != 0)
        return 1;
    if (store_sqlite_open(db->path, &store, NULL) ||
        store_lease_take(store, &me, 60000, &fence, &holder, NULL))
        return 2;
    int step = fill_disk(store, fence);
    store_close(store);
    return step;
}

static void full_disk(void **state)
{
    struct file_db *db = file_create();
    struct store *store = locked_open(db);

    (void)state;
    must_commit(store, take_lease(store, "base", 1000), base_ops);
    store_close(store);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_with_full_disk(db));
    assert_int_equal(wait_for(pid), 0);
    store = locked_open(db);
    assert_dump(
        store, "module M 10 10\nmodule N 10 10\nowner M ann grant\nowner M small grant\nrequest M bob grant\n"
               "info M 10 released first" EMPTY_INFO);
    store_close(store);
    file_destroy(db);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(in_use),
        cmocka_unit_test(foreign_files),
        cmocka_unit_test(places_that_do_not_work),
        cmocka_unit_test(by_config),
#ifdef WSTYPED_FAULTS
        cmocka_unit_test(killed_anywhere),
        cmocka_unit_test(failing_anywhere),
        cmocka_unit_test(every_point_is_hit),
        cmocka_unit_test(works_on_after_failing),
#endif
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(full_disk),
    };

    int failed = run_contracts(backends, ARRAY_LEN(backends));
    failed += cmocka_run_group_tests(own, NULL, NULL);
    return failed;
}
