#include <pthread.h>

#include "shared/base/clock.h"
#include "test/unit/test_tws_registry.h"

/* What happens when something changes between planning and committing, and when many change at once. */

/* ---- a store that lets a test in between ---- */

struct hook_store {
    struct store base;
    struct store *inner;
    void (*on_read)(struct hook_store *store);
    int (*on_commit)(struct hook_store *store, struct err *err);
    struct fixture *f;
    int calls;
    atomic_int waiting, go_on;
};

static struct hook_store *hooks(struct store *store)
{
    return (struct hook_store *)store;
}

static void hook_close(struct store *store)
{
    store_close(hooks(store)->inner);
}

static int hook_load(struct store *store, const struct store_sink *sink, struct err *err)
{
    return store_load(hooks(store)->inner, sink, err);
}

static int hook_read_text(struct store *store, const struct text_key *key, struct sbuf *ret_text,
                          struct err *err)
{
    struct hook_store *h = hooks(store);

    if (h->on_read && key->kind == TEXT_SPEC)
        h->on_read(h);
    return store_read_text(h->inner, key, ret_text, err);
}

static int hook_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err)
{
    struct hook_store *h = hooks(store);
    int rc = h->on_commit ? h->on_commit(h, err) : 0;

    return rc ? rc : store_commit(h->inner, set, fence, err);
}

static const struct store_ops hook_ops = {
    .name = "hooks",
    .close = hook_close,
    .load = hook_load,
    .read_text = hook_read_text,
    .commit = hook_commit,
};

static void hook_open(struct fixture *f, struct hook_store *h, uint64_t queue_us)
{
    const struct registry_options options = { .kidl = KIDL_LIMITS_DEFAULT, .queue_us = queue_us };
    AUTO_ERR(err);

    fixture_open(f);
    registry_close(f->reg);
    *h = (struct hook_store){ .base = { &hook_ops }, .inner = f->store, .f = f };
    f->store = &h->base;
    assert_int_equal(registry_open(f->store, f->fence, &options, &f->reg, &err), 0);
}

#define COM(field) "module Com { typedef structure { " field " a; } CS; };"
#define MID "#include <Com>\nmodule Mid { typedef structure { Com.CS cs; } MS; };"

static const struct step com_and_mid[] = {
    { MAKE, "ann", "Com" },
    { REGISTER, "ann", .spec = COM("int"), .add = "CS", .want = "Com.CS-0.1" },
    { RELEASE, "ann", "Com", .want = "CS-1.0" },
    { SAVE, NULL, "Com", .add = "1" },
    { MAKE, "ann", "Mid" },
};

/* While the includer reads the included spec, a newer one is released. */
static void release_com_once(struct hook_store *h)
{
    static const struct step steps[] = {
        { REGISTER, "ann", .spec = COM("string"), .want = "Com.CS-2.0" },
        { RELEASE, "ann", "Com", .want = "CS-2.0" },
        { SAVE, NULL, "Com", .add = "2" },
    };

    h->on_read = NULL;
    h->calls++;
    run_steps(h->f, steps, ARRAY_LEN(steps));
}

static void test_plan_again(void **state)
{
    static const struct step after[] = {
        { REGISTER, "ann", .spec = MID, .add = "MS", .want = "Mid.MS-0.1" },
        { INCLUDES, NULL, "Mid", .want = "Com=$2" },
        { EDGES, NULL, "Mid", .want = "MS-0.1>Com.CS-2.0" },
    };
    struct hook_store h;
    struct fixture f;

    (void)state;
    hook_open(&f, &h, QUEUE_US);
    run_steps(&f, com_and_mid, ARRAY_LEN(com_and_mid));
    h.on_read = release_com_once;
    run_steps(&f, after, ARRAY_LEN(after));
    assert_int_equal(h.calls, 1);
    fixture_close(&f);
}

/* While a module is planned, its caller loses his rights to it: what was planned with them is not written. */
static void remove_ann(struct hook_store *h)
{
    static const struct step step = { REMOVE, NULL, "Mid", "ann" };

    h->on_read = NULL;
    run_steps(h->f, &step, 1);
}

static void test_rights_lost(void **state)
{
    static const struct step after[] = {
        { REGISTER, "ann", .spec = MID, .add = "MS",
          .want = "!User ann is not in list of owners of module Mid" },
        { ENTRIES, NULL, "Mid", .want = " types[] funcs[]" },
    };
    struct hook_store h;
    struct fixture f;

    (void)state;
    hook_open(&f, &h, QUEUE_US);
    run_steps(&f, com_and_mid, ARRAY_LEN(com_and_mid));
    h.on_read = remove_ann;
    run_steps(&f, after, ARRAY_LEN(after));
    fixture_close(&f);
}

/* An include that never stays the same ends at the deadline. */
static void change_com_always(struct hook_store *h)
{
    AUTO_ERR(err);

    h->calls++;
    assert_int_equal(registry_grant(h->f->reg, NULL, SLICE("Com"), SLICE("bob"), h->calls % 2, &err), 0);
}

static void test_never_settles(void **state)
{
    static const struct step after[] = {
        { REGISTER, "ann", .spec = MID, .add = "MS",
          .want = "!Other changes kept getting in the way of this one for too long" },
        { ENTRIES, NULL, "Mid", .want = " types[] funcs[]" },
    };
    struct hook_store h;
    struct fixture f;

    (void)state;
    hook_open(&f, &h, 100000);
    run_steps(&f, com_and_mid, ARRAY_LEN(com_and_mid));
    h.on_read = change_com_always;
    run_steps(&f, after, 1);
    h.on_read = NULL;
    run_steps(&f, after + 1, 1);
    assert_true(h.calls > 1);
    fixture_close(&f);
}

/* A write that fails leaves nothing behind, and its version number is not used again. */
static int fail_commit(struct hook_store *h, struct err *err)
{
    h->calls++;
    return h->calls == 1 ? err_set(err, ERR_STORE, "disk full") : err_set(err, ERR_CONFLICT, "key is there");
}

static void test_failing_commit(void **state)
{
    static const struct step steps[] = {
        { REGISTER, "ann", .spec = MID, .add = "MS", .want = "!disk full" },
        { REGISTER, "ann", .spec = MID, .add = "MS",
          .want = "!The records of module Mid in the type database do not allow this change: key is there" },
        { ENTRIES, NULL, "Mid", .want = " types[] funcs[]" },
    };
    static const struct step after = { REGISTER, "ann", .spec = MID, .add = "MS", .want = "Mid.MS-0.1" };
    struct hook_store h;
    struct fixture f;

    (void)state;
    hook_open(&f, &h, QUEUE_US);
    run_steps(&f, com_and_mid, ARRAY_LEN(com_and_mid));
    h.on_commit = fail_commit;
    run_steps(&f, steps, ARRAY_LEN(steps));
    h.on_commit = NULL;
    run_steps(&f, &after, 1);
    fixture_close(&f);
}

/* A change that hangs in the store: others of its module give up in time. */
static int hang_commit(struct hook_store *h, struct err *err UNUSED)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    atomic_store(&h->waiting, 1);
    while (!atomic_load(&h->go_on))
        nanosleep(&pause, NULL);
    return 0;
}

static void *grant_cat(void *ctx)
{
    struct fixture *f = ctx;
    AUTO_ERR(err);

    return (void *)(intptr_t)registry_grant(f->reg, "ann", SLICE("Com"), SLICE("cat"), false, &err);
}

static void test_queue_deadline(void **state)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    struct hook_store h;
    struct fixture f;
    pthread_t thread;
    void *rc;
    AUTO_ERR(err);

    (void)state;
    hook_open(&f, &h, 50000);
    run_steps(&f, com_and_mid, ARRAY_LEN(com_and_mid));
    h.on_commit = hang_commit;
    assert_int_equal(pthread_create(&thread, NULL, grant_cat, &f), 0);
    while (!atomic_load(&h.waiting))
        nanosleep(&pause, NULL);
    assert_int_equal(registry_grant(f.reg, "ann", SLICE("Com"), SLICE("bob"), false, &err), -ERR_BUSY);
    assert_string_equal(err_text(&err), "Waited too long for other changes of module Com");
    /* readers and dry runs go on */
    static const struct step dry = { DRY_RUN, "ann", .spec = COM("string"), .want = "Com.CS-2.0" };
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    assert_int_equal(do_step(&f, &dry, &text, &err), 0);
    atomic_store(&h.go_on, 1);
    pthread_join(thread, &rc);
    assert_null(rc);
    h.on_commit = NULL;
    assert_reload_same(&f);
    fixture_close(&f);
}

/* ---- many at once ---- */

enum { THREADS = 8, MODULES = 5, ROUNDS = 25 };

struct worker {
    struct fixture *f;
    unsigned number, seed;
    char user[8];
    size_t acked_count, bad;
    struct {
        unsigned module;
        int64_t version;
    } acked[ROUNDS];
};

static unsigned pick(struct worker *w, unsigned n)
{
    w->seed = w->seed * 1103515245u + 12345u;
    return (w->seed >> 16) % n;
}

static void module_name(char name[8], unsigned module)
{
    snprintf(name, 8, "Mod%u", module);
}

/* Whether a snapshot makes sense in itself. */
static size_t check_snapshot(const struct catalogue *cat)
{
    size_t bad = 0;

    for (size_t i = 0; i < cat->module_count; i++) {
        const struct cat_module *m = cat->modules[i];
        const struct cat_version *last = cat_last(m), *released = cat_released(m);
        bad += m->damaged || !last || !released || !released->released;
        for (size_t j = 0; last && j < last->type_count; j++) {
            const struct cat_name *name = cat_find_type(m, last->types[j].name);
            const struct cat_row *row = name ? cat_find_row(name, last->types[j].version) : NULL;
            bad += !row || !row->has_schema || !row->has_parse;
        }
        for (size_t j = 1; j < m->version_count; j++)
            bad += m->versions[j - 1]->version >= m->versions[j]->version;
    }
    return bad;
}

/* The last two modules include the first one. */
static void work_register(struct worker *w, unsigned module, unsigned round)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    char name[8], spec[256];
    struct registry_registered done;
    struct slice add = SLICE("T");
    struct registry_change change = { .user = w->user };

    module_name(name, module);
    const struct catalogue *cat = registry_snapshot(w->f->reg);
    const struct cat_version *last = cat_last(cat_find_module(cat, slice_str(name)));
    bool known = cat_version_type(last, add) != NULL;
    w->bad += check_snapshot(cat);
    catalogue_unref(cat);
    snprintf(spec, sizeof(spec), "%smodule %s { /* %u %u */ typedef structure { int a%u; %s b; } T; };",
             module >= 3 ? "#include <Mod0>\n" : "", name, w->number, round, pick(w, 3),
             module >= 3 ? "Mod0.T" : "int");
    change.spec = slice_str(spec);
    change.add = &add;
    change.add_count = !known;
    int rc = registry_register(w->f->reg, &change, &arena, &done, &err);
    if (rc == 0) {
        w->acked[w->acked_count].module = module;
        w->acked[w->acked_count++].version = done.version;
        w->bad += done.count != 1 || !slice_is(done.schemas[0].module, name);
    } else if (!strstr(err_text(&err), "already registered before")) {
        fprintf(stderr, "%s\n", err_text(&err));
        w->bad++;
    }
}

static void *work(void *ctx)
{
    struct worker *w = ctx;

    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        unsigned module = pick(w, MODULES);
        const struct rec_entry *types;
        size_t count;
        char name[8];
        module_name(name, module);
        switch (pick(w, 4)) {
        case 0:
            w->bad +=
                registry_grant(w->f->reg, NULL, slice_str(name), slice_str("guest"), pick(w, 2), &err) != 0;
            break;
        case 1:
            if (registry_release(w->f->reg, w->user, slice_str(name), &arena, &types, &count, &err))
                w->bad += strncmp(err_text(&err), "Module wasn't uploaded: ", 24) != 0;
            break;
        default:
            work_register(w, module, round);
        }
    }
    return NULL;
}

static void setup_modules(struct fixture *f, struct worker *workers)
{
    AUTO_ERR(err);
    char name[8];

    for (unsigned m = 0; m < MODULES; m++) {
        module_name(name, m);
        assert_int_equal(registry_request_module(f->reg, "w0", slice_str(name), &err), 0);
        assert_int_equal(registry_approve(f->reg, slice_str(name), &err), 0);
        for (unsigned i = 1; i < THREADS; i++)
            assert_int_equal(
                registry_grant(f->reg, "w0", slice_str(name), slice_str(workers[i].user), false, &err), 0);
    }
    static const struct step first[] = {
        { REGISTER, "w0", .spec = "module Mod0 { typedef int T; };", .add = "T" },
        { RELEASE, "w0", "Mod0" },
    };
    run_steps(f, first, ARRAY_LEN(first));
}

static void test_many(void **state)
{
    static struct worker workers[THREADS];
    pthread_t threads[THREADS];
    struct fixture f;
    size_t acked = 0;

    (void)state;
    fixture_open(&f);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .f = &f, .number = i, .seed = i * 7919 + 1 };
        snprintf(workers[i].user, sizeof(workers[i].user), "w%u", i);
    }
    setup_modules(&f, workers);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    const struct catalogue *cat = registry_snapshot(f.reg);
    assert_int_equal(check_snapshot(cat), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].bad, 0);
        for (size_t j = 0; j < workers[i].acked_count; j++) {
            char name[8];
            module_name(name, workers[i].acked[j].module);
            const struct cat_version *v =
                cat_find_version(cat_find_module(cat, slice_str(name)), workers[i].acked[j].version);
            assert_non_null(v);
            assert_true(slice_is(v->user, workers[i].user));
            assert_true(slice_is(v->method, "registerModule"));
            acked++;
        }
    }
    assert_true(acked > THREADS * ROUNDS / 4);
    size_t registered = 0;
    for (size_t i = 0; i < cat->module_count; i++)
        for (size_t j = 0; j < cat->modules[i]->version_count; j++)
            registered += slice_is(cat->modules[i]->versions[j]->method, "registerModule");
    assert_int_equal(registered, acked + 1);
    catalogue_unref(cat);
    assert_reload_same(&f);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_again),     cmocka_unit_test(test_rights_lost),
        cmocka_unit_test(test_never_settles),  cmocka_unit_test(test_failing_commit),
        cmocka_unit_test(test_queue_deadline), cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
