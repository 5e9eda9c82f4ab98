#include <pthread.h>

#include "shared/base/clock.h"
#include "test/unit/test_tws_registry.h"
#include "tws/registry/queue.h"
#include "tws/registry/snapshot.h"

/* The catalogue without rules: building, orders, snapshots, and the helpers of the commit. */

/* ---- building ---- */

static const struct rec_entry types_1[] = { { { "T", 1 }, { 0, 1 }, true }, { { "A", 1 }, { 1, 2 }, true } };
static const struct rec_entry types_2[] = { { { "T", 1 }, { 0, 10 }, true },
                                            { { "A", 1 }, { 1, 2 }, false } };
static const struct rec_entry funcs_2[] = { { { "T", 1 }, { 0, 2 }, true } };
static const struct rec_include includes_2[] = { { { "B", 1 }, 7 }, { { "A", 1 }, 8 } };

static void put(struct change_set *set, struct change c)
{
    struct change *to = change_set_add(set, c.kind);
    struct change *next = to->next;

    *to = c;
    to->next = next;
}

#define EDGE(dm, dn, dv, rm, rn, rv) \
    { \
        { dm, 1 }, { dn, 1 }, dv, 5, { rm, 1 }, { rn, 1 }, rv \
    }
#define V(a, b) ((struct semver){ a, b })

static void fill_example(struct change_set *set)
{
    const struct slice m = SLICE("M"), l = SLICE("L");

    put(set, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "T", V(0, 10), "M", "A", V(1, 2)) });
    put(set, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "T", V(0, 10), "M", "A", V(1, 2)) });
    put(set, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "T", V(0, 1), "L", "T", V(0, 1)) });
    put(set, (struct change){ CHANGE_ADD_FUNC_REF, .edge = EDGE("M", "T", V(0, 2), "M", "T", V(0, 10)) });
    /* these have an end that nothing names */
    put(set, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "T", V(0, 3), "M", "T", V(0, 1)) });
    put(set, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "T", V(0, 1), "M", "A", V(9, 9)) });
    put(set, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "T", V(0, 1), "N", "A", V(1, 2)) });
    put(set, (struct change){ CHANGE_ADD_FUNC_REF, .edge = EDGE("M", "T", V(0, 1), "M", "A", V(1, 2)) });
    put(set,
        (struct change){
            CHANGE_ADD_SCHEMA,
            .row = { m, SLICE("T"), { 0, 10 }, 30, SLICE(""), SLICE("0123456789abcdef0123456789abcdef") } });
    put(set, (struct change){ CHANGE_ADD_TYPE_PARSE,
                              .row = { m, SLICE("T"), { 0, 10 }, 30, SLICE(""), SLICE("") } });
    put(set,
        (struct change){ CHANGE_ADD_SCHEMA, .row = { m, SLICE("T"), { 0, 11 }, 30, SLICE(""), SLICE("") } });
    /* written by a version that is there though it does not name it, and by one that is not there */
    put(set,
        (struct change){ CHANGE_ADD_SCHEMA, .row = { m, SLICE("T"), { 0, 12 }, 31, SLICE(""), SLICE("") } });
    put(set, (struct change){ CHANGE_ADD_FUNC_PARSE,
                              .row = { m, SLICE("T"), { 0, 2 }, 30, SLICE(""), SLICE("") } });
    put(set, (struct change){ CHANGE_ADD_SPEC, .spec = { m, 30, SLICE("") } });
    put(set, (struct change){ CHANGE_ADD_INFO, .info = { .module = m,
                                                         .version = 30,
                                                         .types = types_2,
                                                         .type_count = 2,
                                                         .funcs = funcs_2,
                                                         .func_count = 1,
                                                         .includes = includes_2,
                                                         .include_count = 2,
                                                         .user = SLICE("u") } });
    put(set, (struct change){ CHANGE_ADD_INFO,
                              .info = { .module = m, .version = 10, .first = true, .released = true } });
    put(set, (struct change){ CHANGE_ADD_INFO,
                              .info = { .module = m, .version = 20, .types = types_1, .type_count = 2 } });
    put(set, (struct change){
                 CHANGE_ADD_INFO,
                 .info = { .module = l, .version = 10, .first = true, .types = types_1, .type_count = 2 } });
    put(set, (struct change){ CHANGE_PUT_OWNER, .owner = { m, SLICE("zoe"), false } });
    put(set, (struct change){ CHANGE_PUT_OWNER, .owner = { m, SLICE("ann"), false } });
    put(set, (struct change){ CHANGE_PUT_OWNER, .owner = { m, SLICE("zoe"), true } });
    put(set, (struct change){ CHANGE_PUT_OWNER, .owner = { SLICE("N"), SLICE("eve"), true } });
    put(set, (struct change){ CHANGE_ADD_REQUEST, .owner = { SLICE("Q"), SLICE("zoe"), true } });
    put(set, (struct change){ CHANGE_ADD_REQUEST, .owner = { SLICE("P"), SLICE("ann"), true } });
    put(set, (struct change){ CHANGE_ADD_MODULE, .pointers = { m, 30, 10, true } });
    put(set, (struct change){ CHANGE_ADD_MODULE, .pointers = { l, 10, 10, false } });
}

static const char example[] = "L 10 10 unsupported damaged\n"
                              "  v 10 first released types[A-1.2 T-0.1] funcs[]    \n"
                              "  type A: 1.2@0\n"
                              "  type T: 0.1@0\n"
                              "  in T-0.1 M.T-0.1\n"
                              "M 30 10 damaged\n"
                              "  owner ann\n"
                              "  owner zoe grants\n"
                              "  v 10 first released types[] funcs[]    \n"
                              "  v 20 types[A-1.2 T-0.1] funcs[]    \n"
                              "  v 30 spec <B 7> <A 8> types[A-1.2! T-0.10] funcs[T-0.2]   u \n"
                              "  type A: 1.2@0\n"
                              "  type T: 0.1@0 0.10@30sp0123456789abcdef0123456789abcdef 0.11@30s\n"
                              "  func T: 0.2@30p\n"
                              "  out T-0.1 L.T-0.1\n"
                              "  out f:T-0.2 M.T-0.10\n"
                              "  out T-0.10 M.A-1.2\n"
                              "  in A-1.2 M.T-0.10\n"
                              "  in f:T-0.10 M.T-0.2\n"
                              "request Q zoe\n"
                              "request P ann\n";

static struct snapshot *apply(const struct catalogue *base, const struct change_set *set, uint64_t sequence)
{
    struct builder *builder = builder_new(base, NULL, NULL);

    builder_apply(builder, set);
    struct snapshot *snap = builder_finish(builder, sequence);
    builder_free(builder);
    return snap;
}

static void assert_catalogue(const struct snapshot *snap, const char *want)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    put_catalogue(&text, &snap->pub);
    assert_texts(sbuf_slice(&text), slice_str(want));
}

static void test_building(void **state)
{
    AUTO_ARENA(arena);
    struct change_set set;

    (void)state;
    change_set_init(&set, &arena);
    fill_example(&set);
    struct snapshot *snap = apply(NULL, &set, 1);
    assert_catalogue(snap, example);
    snapshot_free(snap);
}

/* Modules that a change does not concern are shared; one that only gets in-edges keeps its epoch. */
static void test_applying(void **state)
{
    AUTO_ARENA(arena);
    struct change_set first, second, third;

    (void)state;
    change_set_init(&first, &arena);
    fill_example(&first);
    struct snapshot *one = apply(NULL, &first, 1);

    change_set_init(&second, &arena);
    put(&second, (struct change){ CHANGE_ADD_TYPE_REF, .edge = EDGE("M", "A", V(2, 0), "L", "T", V(0, 1)) });
    put(&second, (struct change){ CHANGE_ADD_SPEC, .spec = { SLICE("M"), 40, SLICE("") } });
    const struct rec_entry types[] = { { { "A", 1 }, { 2, 0 }, true }, { { "T", 1 }, { 0, 10 }, true } };
    put(&second, (struct change){ CHANGE_ADD_INFO, .info = { .module = SLICE("M"),
                                                             .version = 40,
                                                             .released = true,
                                                             .types = types,
                                                             .type_count = 2 } });
    put(&second, (struct change){ CHANGE_MOVE_POINTERS, .pointers = { SLICE("M"), 40, 40, true } });
    struct snapshot *two = apply(&one->pub, &second, 2);
    const struct cat_module *l1 = cat_find_module(&one->pub, SLICE("L")),
                            *l2 = cat_find_module(&two->pub, SLICE("L"));
    const struct cat_module *m1 = cat_find_module(&one->pub, SLICE("M")),
                            *m2 = cat_find_module(&two->pub, SLICE("M"));
    assert_int_equal(l2->epoch, 1);
    assert_int_equal(l2->in_count, 2);
    assert_int_equal(l1->in_count, 1);
    assert_int_equal(m2->epoch, 2);
    assert_ptr_equal(m1->versions[2], m2->versions[2]);
    assert_int_equal(m2->version_count, 4);
    assert_true(cat_effectively_released(m2, cat_last(m2)));
    assert_false(cat_effectively_released(m2, m2->versions[2]));

    change_set_init(&third, &arena);
    put(&third, (struct change){ CHANGE_DROP_OWNER, .owner = { SLICE("M"), SLICE("ann"), false } });
    put(&third, (struct change){ CHANGE_SET_RELEASED, .pointers = { SLICE("M"), 30, 0, false } });
    put(&third, (struct change){ CHANGE_DROP_REQUESTS, .owner = { SLICE("P"), SLICE("zoe"), true } });
    put(&third, (struct change){ CHANGE_DROP_REQUESTS, .owner = { SLICE("Q"), SLICE("zoe"), true } });
    struct snapshot *three = apply(&two->pub, &third, 3);
    const struct cat_module *m3 = cat_find_module(&three->pub, SLICE("M"));
    assert_ptr_equal(cat_find_module(&three->pub, SLICE("L")), l2);
    assert_null(cat_find_owner(m3, SLICE("ann")));
    assert_non_null(cat_find_owner(m2, SLICE("ann")));
    assert_true(cat_find_version(m3, 30)->released);
    assert_false(cat_find_version(m2, 30)->released);
    assert_int_equal(three->pub.request_count, 1);
    assert_int_equal(three->pub.requests_epoch, 3);
    assert_int_equal(two->pub.requests_epoch, 1);
    assert_ptr_equal(two->pub.requests, one->pub.requests);

    snapshot_free(one);
    snapshot_free(two);
    assert_int_equal(m3->type_count, 2);
    snapshot_free(three);
}

static void test_lookups(void **state)
{
    AUTO_ARENA(arena);
    struct change_set set;
    const struct cat_edge *edges;

    (void)state;
    change_set_init(&set, &arena);
    fill_example(&set);
    struct snapshot *snap = apply(NULL, &set, 1);
    const struct cat_module *m = cat_find_module(&snap->pub, SLICE("M"));
    assert_null(cat_find_module(&snap->pub, SLICE("")));
    assert_null(cat_find_module(&snap->pub, SLICE("Ma")));
    assert_null(cat_find_version(m, 15));
    assert_int_equal(cat_find_version(m, 20)->version, 20);
    assert_int_equal(cat_last(m)->version, 30);
    assert_int_equal(cat_released(m)->version, 10);
    assert_null(cat_version_type(cat_last(m), SLICE("B")));
    assert_int_equal(cat_version_func(cat_last(m), SLICE("T"))->version.minor, 2);
    assert_null(cat_find_row(cat_find_type(m, SLICE("T")), V(0, 2)));
    assert_int_equal(cat_find_row(cat_find_type(m, SLICE("T")), V(0, 10))->module_version, 30);
    assert_null(cat_find_func(m, SLICE("A")));
    assert_int_equal(cat_edges_of(m->out, m->out_count, SLICE("T"), V(0, 10), &edges), 1);
    assert_true(slice_is(edges->other_name, "A"));
    assert_int_equal(cat_edges_of(m->out, m->out_count, SLICE("T"), V(0, 11), &edges), 0);
    assert_int_equal(cat_edges_of(m->out, m->out_count, SLICE("Z"), V(0, 1), &edges), 0);
    snapshot_free(snap);
}

/* Many modules and versions load in a time that nobody notices, and one more commit costs next to nothing. */
static void test_size(void **state)
{
    enum { MODULES = 100, VERSIONS = 100, TYPES = 10 };
    AUTO_ARENA(arena);
    struct change_set set, more;
    struct rec_entry types[TYPES];
    uint64_t start = clock_us();

    (void)state;
    change_set_init(&set, &arena);
    for (int m = 0; m < MODULES; m++) {
        struct slice module = slice_str(arena_printf(&arena, "Module%d", m));
        for (int v = 1; v <= VERSIONS; v++) {
            struct rec_entry *copy = arena_alloc(&arena, sizeof(types));
            for (int t = 0; t < TYPES; t++) {
                copy[t] = (struct rec_entry){ slice_str(arena_printf(&arena, "Type%d", t)), { 1, v }, true };
                const struct rec_row row = { module, copy[t].name, copy[t].version, v, SLICE(""), SLICE("") };
                put(&set, (struct change){ CHANGE_ADD_SCHEMA, .row = row });
                put(&set, (struct change){ CHANGE_ADD_TYPE_PARSE, .row = row });
                put(&set,
                    (struct change){
                        CHANGE_ADD_TYPE_REF,
                        .edge = { module, copy[t].name, { 1, v }, v, module, copy[0].name, { 1, v } } });
            }
            put(&set, (struct change){ CHANGE_ADD_SPEC, .spec = { module, v, SLICE("") } });
            put(&set, (struct change){
                          CHANGE_ADD_INFO,
                          .info = { .module = module, .version = v, .types = copy, .type_count = TYPES } });
        }
        put(&set, (struct change){ CHANGE_ADD_MODULE, .pointers = { module, VERSIONS, VERSIONS, true } });
    }
    struct snapshot *snap = apply(NULL, &set, 1);
    const struct cat_module *last = snap->pub.modules[MODULES - 1];
    assert_int_equal(snap->pub.module_count, MODULES);
    assert_int_equal(last->types[TYPES - 1].row_count, VERSIONS);
    assert_int_equal(last->in_count, VERSIONS * TYPES);
    assert_false(last->damaged);
    assert_true(clock_us() - start < 30 * 1000000);

    change_set_init(&more, &arena);
    put(&more, (struct change){ CHANGE_PUT_OWNER, .owner = { SLICE("Module7"), SLICE("ann"), false } });
    struct snapshot *next = apply(&snap->pub, &more, 2);
    assert_int_equal(cat_find_module(&next->pub, SLICE("Module7"))->owner_count, 1);
    snapshot_free(snap);
    snapshot_free(next);
}

/* ---- snapshots under load ---- */

enum { READERS = 4, PUBLISHED = 3000 };

struct stress {
    struct snapshot_table *table;
    atomic_bool done;
};

static void *read_snapshots(void *ctx)
{
    struct stress *stress = ctx;
    const struct catalogue *kept[8] = { NULL };
    uint64_t last = 0;
    size_t bad = 0;

    for (size_t i = 0; !atomic_load(&stress->done); i++) {
        const struct catalogue *cat = snapshot_take(stress->table);
        bad += cat->sequence < last; /* never backwards */
        last = cat->sequence;
        const struct cat_module *m = cat_find_module(cat, SLICE("M"));
        bad += !m || m->last != (int64_t)cat->sequence || m->owner_count != 1;
        catalogue_unref(kept[i % ARRAY_LEN(kept)]);
        kept[i % ARRAY_LEN(kept)] = cat;
    }
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        catalogue_unref(kept[i]);
    return (void *)(uintptr_t)bad;
}

static struct snapshot *numbered(const struct catalogue *base, uint64_t number)
{
    AUTO_ARENA(arena);
    struct change_set set;
    const struct rec_info info = { .module = SLICE("M"), .version = (int64_t)number, .first = true };

    change_set_init(&set, &arena);
    if (number == 1 || number % 100 == 0)
        put(&set, (struct change){ CHANGE_ADD_INFO, .info = info });
    put(&set, (struct change){ CHANGE_PUT_OWNER, .owner = { SLICE("M"), SLICE("ann"), number % 2 } });
    put(&set, (struct change){ CHANGE_ADD_MODULE, .pointers = { SLICE("M"), (int64_t)number, 1, true } });
    return apply(base, &set, number);
}

static void test_snapshot_stress(void **state)
{
    struct stress stress = { snapshot_table_new(numbered(NULL, 1)), false };
    pthread_t threads[READERS];
    AUTO_ERR(err);

    (void)state;
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_snapshots, &stress), 0);
    for (uint64_t n = 2; n <= PUBLISHED; n++) {
        unsigned slot;
        const struct catalogue *now = snapshot_take(stress.table);
        assert_int_equal(now->sequence, n - 1);
        assert_int_equal(snapshot_reserve(stress.table, clock_us() + QUEUE_US, &slot, &err), 0);
        snapshot_publish(stress.table, slot, numbered(now, n));
        catalogue_unref(now);
    }
    atomic_store(&stress.done, true);
    for (size_t i = 0; i < READERS; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
    /* the last one may be given back after the table is gone */
    const struct catalogue *last = snapshot_take(stress.table);
    snapshot_table_close(stress.table);
    assert_int_equal(last->sequence, PUBLISHED);
    catalogue_unref(last);
}

/* Readers that never give anything back stop publishing with an error, not for ever. */
static void test_snapshot_slots(void **state)
{
    static const struct catalogue *held[SNAPSHOT_SLOTS];
    struct snapshot_table *table = snapshot_table_new(numbered(NULL, 1));
    unsigned slot;
    AUTO_ERR(err);

    (void)state;
    for (uint64_t n = 0; n < SNAPSHOT_SLOTS; n++) {
        held[n] = snapshot_take(table);
        if (n == SNAPSHOT_SLOTS - 1)
            break;
        assert_int_equal(snapshot_reserve(table, 0, &slot, &err), 0);
        snapshot_publish(table, slot, numbered(held[n], n + 2));
    }
    assert_int_equal(snapshot_reserve(table, clock_us() + 5000, &slot, &err), -ERR_BUSY);
    catalogue_unref(held[7]);
    err_clear(&err);
    assert_int_equal(snapshot_reserve(table, 0, &slot, &err), 0);
    for (size_t n = 0; n < SNAPSHOT_SLOTS; n++)
        if (n != 7)
            catalogue_unref(held[n]);
    snapshot_table_close(table);
}

/* ---- version numbers ---- */

static void test_versions(void **state)
{
    static const struct {
        const char *module;
        int64_t last, now, want;
    } rows[] = {
        { "A", 0, 1000, 1000 },   { "A", 0, 1000, 1001 }, { "A", 0, 900, 1002 },
        { "A", 5000, 900, 5001 }, { "A", 0, 900, 5002 },  { "A", 0, 9000, 9000 },
        { "B", 0, 1000, 1000 },   { "C", 0, 1000, 7778 }, { "C", 9000, 9000, 9001 },
    };
    struct versions *versions = versions_new();

    (void)state;
    versions_note(versions, SLICE("C"), 7777);
    versions_note(versions, SLICE("C"), 3);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(versions_draw(versions, slice_str(rows[i].module), rows[i].last, rows[i].now),
                         rows[i].want);
    versions_free(versions);
}

/* ---- the queue ---- */

struct waiter {
    struct queue *queue;
    const char *module;
    uint64_t wait_us;
    atomic_int *order;
    int rc, place;
    char text[128];
};

static void *wait_turn(void *ctx)
{
    struct waiter *w = ctx;
    struct queue_turn *turn = NULL;
    AUTO_ERR(err);

    w->rc = queue_enter(w->queue, slice_str(w->module), clock_us() + w->wait_us, &turn, &err);
    w->place = atomic_fetch_add(w->order, 1);
    snprintf(w->text, sizeof(w->text), "%s", err_text(&err));
    queue_leave(w->queue, turn);
    return NULL;
}

static void test_queue(void **state)
{
    struct queue *queue = queue_new();
    struct queue_turn *turn;
    atomic_int order = 0;
    struct waiter waiters[] = {
        { queue, "M", 20000, &order, .place = -1 },
        { queue, "M", QUEUE_US, &order, .place = -1 },
        { queue, "M", QUEUE_US, &order, .place = -1 },
        { queue, "N", 0, &order, .place = -1 },
    };
    const struct timespec pause = { .tv_nsec = 60000000 };
    pthread_t threads[ARRAY_LEN(waiters)];
    AUTO_ERR(err);

    (void)state;
    assert_int_equal(queue_enter(queue, SLICE("M"), 0, &turn, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_turn, &waiters[i]), 0);
        nanosleep(&pause, NULL);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[3], NULL);
    queue_leave(queue, turn);
    pthread_join(threads[1], NULL);
    pthread_join(threads[2], NULL);
    assert_int_equal(waiters[0].rc, -ERR_BUSY);
    assert_string_equal(waiters[0].text, "Waited too long for other changes of module M");
    assert_int_equal(waiters[0].place, 0);
    assert_int_equal(waiters[3].rc, 0); /* another module does not wait at all */
    assert_int_equal(waiters[3].place, 1);
    assert_int_equal(waiters[1].rc, 0);
    assert_int_equal(waiters[1].place, 2);
    assert_int_equal(waiters[2].place, 3);
    queue_free(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_building),       cmocka_unit_test(test_applying),
        cmocka_unit_test(test_lookups),        cmocka_unit_test(test_size),
        cmocka_unit_test(test_versions),       cmocka_unit_test(test_queue),
        cmocka_unit_test(test_snapshot_slots), cmocka_unit_test(test_snapshot_stress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
