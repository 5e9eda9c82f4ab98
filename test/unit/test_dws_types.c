#include "test/unit/t.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dws/snapshot.h"

#define SECOND ((uint64_t)1000000)
#define TTL (300 * SECOND)

static const char schema_text[] =
    "{\"id\":\"T\",\"description\":\"\",\"type\":\"object\",\"original-type\":\"kidl-structure\","
    "\"properties\":{},\"additionalProperties\":true}";

/* ---- a clock and a target that do what the test says ---- */

static uint64_t now_us;

static uint64_t fake_clock(void)
{
    return now_us;
}

struct question {
    char ref[64];
    loader_done_fn *done;
    void *ctx;
    bool answered;
};

/* Questions wait until the test answers them. */
struct script {
    size_t count;
    struct question questions[64];
};

static void ask(void *ctx, struct slice ref, loader_done_fn *done, void *done_ctx)
{
    struct script *script = ctx;

    assert_true(script->count < ARRAY_LEN(script->questions));
    struct question *q = &script->questions[script->count++];
    snprintf(q->ref, sizeof(q->ref), "%.*s", (int)ref.n, ref.p);
    q->done = done;
    q->ctx = done_ctx;
}

static struct question *newest(struct script *script, const char *ref)
{
    assert_true(script->count > 0);
    struct question *q = &script->questions[script->count - 1];
    assert_string_equal(q->ref, ref);
    assert_false(q->answered);
    q->answered = true;
    return q;
}

static void answer_to(struct question *q, const char *absolute, const char *schema, bool released)
{
    struct loaded loaded = { .schema = slice_str(schema), .released = released };

    assert_int_equal(type_id_parse(slice_str(absolute), false, &loaded.id, NULL), 0);
    q->done(q->ctx, 0, &loaded, NULL);
}

static void answer(struct script *script, const char *ref, const char *absolute, bool released)
{
    answer_to(newest(script, ref), absolute, schema_text, released);
}

static void fail_at(struct question *q, enum err_code code, const char *text)
{
    AUTO_ERR(err);

    err_set(&err, code, "%s", text);
    q->done(q->ctx, -(int)code, NULL, &err);
}

static void fail_it(struct script *script, const char *ref, enum err_code code, const char *text)
{
    fail_at(newest(script, ref), code, text);
}

/* ---- what is tested ---- */

struct bench {
    struct config config;
    struct script script;
    struct types *types;
};

static void setup(struct bench *b, uint64_t max_stale, size_t schemas)
{
    *b = (struct bench){ .config = { .type_schema_cache_max_size = (int64_t)schemas,
                                     .type_mapping_cache_time = (int64_t)TTL,
                                     .type_mapping_cache_max_size = 1 << 20,
                                     .type_mapping_max_stale = (int64_t)max_stale,
                                     .type_negative_cache_time = (int64_t)(2 * SECOND) } };
    const struct types_options options = { &b->config, ask, &b->script, fake_clock };
    now_us = 1000 * SECOND;
    b->types = types_new(&options);
}

static void bench_release(struct bench *b)
{
    types_free(b->types);
}

#define BENCH(name, max_stale) \
    AUTO(bench_release) struct bench name; \
    setup(&name, max_stale, 1 << 20)

struct got {
    int calls, rc;
    char absolute[64], schema[256], error[256];
    enum type_source source;
    uint64_t age_us;
};

static void take(struct got *got, int rc, struct type_found *found, struct err *err)
{
    got->calls++;
    got->rc = rc;
    if (rc < 0) {
        snprintf(got->error, sizeof(got->error), "%s", err_text(err));
        return;
    }
    struct slice absolute = schema_of(found->schema)->absolute;
    snprintf(got->absolute, sizeof(got->absolute), "%.*s", (int)absolute.n, absolute.p);
    snprintf(got->schema, sizeof(got->schema), "%s", found->schema->bytes);
    got->source = found->source;
    got->age_us = found->age_us;
    blob_unref(found->schema);
}

static void done(void *ctx, int rc, struct type_found *found, struct err *err)
{
    take(ctx, rc, found, err);
}

/* calls stays 0 if it has to wait. */
static void resolve(struct bench *b, const char *ref, struct got *got)
{
    struct type_found found;
    AUTO_ERR(err);

    *got = (struct got){ .calls = 0 };
    int rc = types_resolve(b->types, slice_str(ref), &found, done, got, &err);
    if (rc != TYPES_LATER)
        take(got, rc, &found, &err);
}

static void expect_cached(struct bench *b, const char *ref, const char *absolute)
{
    struct got got;
    size_t asked = b->script.count;

    resolve(b, ref, &got);
    assert_int_equal(got.calls, 1);
    assert_int_equal(b->script.count, asked);
    assert_int_equal(got.rc, 0);
    assert_string_equal(got.absolute, absolute);
    assert_int_equal(got.source, TYPE_FROM_CACHE);
}

static void load(struct bench *b, const char *ref, const char *absolute, bool released)
{
    struct got got;

    resolve(b, ref, &got);
    assert_int_equal(got.calls, 0);
    answer(&b->script, ref, absolute, released);
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.rc, 0);
    assert_string_equal(got.absolute, absolute);
    assert_int_equal(got.source, TYPE_FROM_TWS);
    assert_int_equal(got.age_us, 0);
}

static void expect_error(struct bench *b, const char *ref, int rc, const char *text)
{
    struct got got;

    resolve(b, ref, &got);
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.rc, rc);
    assert_string_equal(got.error, text);
}

static void expect_asks(struct bench *b, const char *ref, struct got *got)
{
    size_t asked = b->script.count;

    resolve(b, ref, got);
    assert_int_equal(got->calls, 0);
    assert_int_equal(b->script.count, asked + 1);
}

/* ---- cases ---- */

static void one_load_each(void **state)
{
    BENCH(b, 0);
    (void)state;
    load(&b, "M.T", "M.T-1.2", true);
    now_us += 7 * SECOND;
    struct got got;
    resolve(&b, "M.T", &got);
    assert_int_equal(got.age_us, 7 * SECOND);
    assert_string_equal(got.schema, schema_text);
    expect_cached(&b, "M.T-1.2", "M.T-1.2");
    expect_cached(&b, "M.T.-01.2", "M.T-1.2");
    load(&b, "M.T-1", "M.T-1.2", true);
    load(&b, "M.U-3.1", "M.U-3.1", false);
    expect_cached(&b, "M.U-3.1", "M.U-3.1");
    assert_int_equal(b.script.count, 3);
}

static void names_that_are_none(void **state)
{
    BENCH(b, 0);
    (void)state;
    expect_error(&b, "", -ERR_ARGUMENT, "Typestring cannot be null or the empty string");
    expect_error(&b, "M", -ERR_ARGUMENT, "Type M could not be split into a module and name");
    expect_error(&b, "M.T-0123456789abcdef0123456789abcdef", -ERR_ARGUMENT, "MD5 types are not allowed");
    assert_int_equal(b.script.count, 0);
}

static void absolute_adds_no_mapping(void **state)
{
    BENCH(b, 0);
    struct got got;
    (void)state;
    load(&b, "M.T-7.2", "M.T-7.2", true);
    expect_asks(&b, "M.T-7", &got);
    answer_to(newest(&b.script, "M.T-7"), "M.T-7.2", "{}", true);
    /* the first schema of an absolute type wins */
    assert_string_equal(got.schema, schema_text);
    load(&b, "M.T", "M.T-7.2", true);
}

static void newer_mappings_stay(void **state)
{
    BENCH(b, 0);
    (void)state;
    load(&b, "M.T", "M.T-7.3", true);
    load(&b, "M.T-7", "M.T-7.3", true);
    load(&b, "M.T-7.2", "M.T-7.2", true);
    load(&b, "M.T-6.9", "M.T-6.9", true);
    expect_cached(&b, "M.T", "M.T-7.3");
    expect_cached(&b, "M.T-7", "M.T-7.3");
}

static void older_mappings_move(void **state)
{
    BENCH(b, 0);
    (void)state;
    load(&b, "M.T", "M.T-7.2", true);
    load(&b, "M.T-7", "M.T-7.2", true);
    load(&b, "M.T-6", "M.T-6.1", true);
    load(&b, "M.Tx", "M.Tx-1.0", true);
    now_us += TTL - SECOND;
    load(&b, "M.T-7.10", "M.T-7.10", true);
    expect_cached(&b, "M.T", "M.T-7.10");
    expect_cached(&b, "M.T-7", "M.T-7.10");
    expect_cached(&b, "M.T-6", "M.T-6.1");
    expect_cached(&b, "M.Tx", "M.Tx-1.0");
    /* what moved begins anew */
    now_us += TTL - SECOND;
    expect_cached(&b, "M.T", "M.T-7.10");
    struct got got;
    expect_asks(&b, "M.T-6", &got);
    fail_it(&b.script, "M.T-6", ERR_TARGET, "x");
}

static void a_hit_moves_too(void **state)
{
    BENCH(b, 0);
    (void)state;
    load(&b, "M.T-1.1", "M.T-1.1", true);
    load(&b, "M.T", "M.T-1.0", true);
    expect_cached(&b, "M.T-1.1", "M.T-1.1");
    expect_cached(&b, "M.T", "M.T-1.1");
}

static void unreleased_moves_nothing(void **state)
{
    BENCH(b, 0);
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    load(&b, "M.T-1", "M.T-1.0", true);
    load(&b, "M.T-1.1", "M.T-1.1", false);
    expect_cached(&b, "M.T-1.1", "M.T-1.1");
    expect_cached(&b, "M.T", "M.T-1.0");
    expect_cached(&b, "M.T-1", "M.T-1.0");
}

static void equal_is_not_renewed(void **state)
{
    BENCH(b, 0);
    struct got got;
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    now_us += TTL - 1;
    expect_cached(&b, "M.T-1.0", "M.T-1.0");
    expect_cached(&b, "M.T", "M.T-1.0");
    now_us += 1;
    expect_asks(&b, "M.T", &got);
    answer(&b.script, "M.T", "M.T-1.1", true);
    assert_string_equal(got.absolute, "M.T-1.1");
}

static void overtaken_by_a_release(void **state)
{
    BENCH(b, 0);
    struct got slow, fast;
    (void)state;
    expect_asks(&b, "M.T", &slow);
    struct question *q = newest(&b.script, "M.T");
    expect_asks(&b, "M.T-1.1", &fast);
    answer(&b.script, "M.T-1.1", "M.T-1.1", true);
    answer_to(q, "M.T-1.0", schema_text, true);
    assert_string_equal(slow.absolute, "M.T-1.0");
    /* served, but not kept */
    load(&b, "M.T", "M.T-1.1", true);
    expect_cached(&b, "M.T", "M.T-1.1");
}

static void waiters_share_a_load(void **state)
{
    BENCH(b, 0);
    struct got one, two, three;
    (void)state;
    expect_asks(&b, "M.T", &one);
    resolve(&b, "M.T", &two);
    resolve(&b, "M.T.", &three);
    assert_int_equal(b.script.count, 1);
    answer(&b.script, "M.T", "M.T-1.0", true);
    assert_int_equal(one.calls + two.calls + three.calls, 3);
    assert_string_equal(three.absolute, "M.T-1.0");
    expect_asks(&b, "M.U", &one);
    resolve(&b, "M.U", &two);
    fail_it(&b.script, "M.U", ERR_TARGET, "down");
    assert_int_equal(one.rc, -ERR_TARGET);
    assert_string_equal(two.error, "down");
}

static void failures_are_not_kept(void **state)
{
    static const enum err_code codes[] = { ERR_TARGET, ERR_BUSY, ERR_LOOP, ERR_TIMEOUT };
    BENCH(b, 0);
    struct got got;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        expect_asks(&b, "M.T", &got);
        fail_it(&b.script, "M.T", codes[i], "text");
        assert_int_equal(got.rc, -(int)codes[i]);
    }
    struct types_counters counters;
    types_get_counters(b.types, &counters);
    assert_int_equal(counters.failed_loads, ARRAY_LEN(codes));
    assert_int_equal(counters.waiting, 0);
}

static void definite_failures_are_kept_a_while(void **state)
{
    static const struct {
        const char *ref;
        enum err_code code;
    } cases[] = { { "M.T", ERR_NO_TYPE }, { "M.T-1", ERR_NO_MODULE }, { "M.T-1.0", ERR_NO_TYPE } };
    BENCH(b, 0);
    struct got got;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_asks(&b, cases[i].ref, &got);
        fail_it(&b.script, cases[i].ref, cases[i].code, "There is none");
        assert_int_equal(got.rc, -(int)cases[i].code);
        now_us += 2 * SECOND - 1;
        expect_error(&b, cases[i].ref, -(int)cases[i].code, "There is none");
        now_us += 1;
        load(&b, cases[i].ref, "M.T-1.0", true);
        types_flush(b.types, SLICE(""), &(struct types_dropped){ 0, 0, 0 });
    }
}

static void expires_at_the_limit(void **state)
{
    BENCH(b, 0);
    struct got got;
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    now_us += TTL - 1;
    expect_cached(&b, "M.T", "M.T-1.0");
    now_us++;
    expect_asks(&b, "M.T", &got);
    fail_it(&b.script, "M.T", ERR_TARGET, "down");
    assert_int_equal(got.rc, -ERR_TARGET);
    /* schemas never expire */
    now_us += 1000 * TTL;
    expect_cached(&b, "M.T-1.0", "M.T-1.0");
}

static void stale_serves_while_the_target_is_away(void **state)
{
    BENCH(b, 100 * SECOND);
    struct got got;
    struct types_counters counters;
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    now_us += TTL + 10 * SECOND;
    expect_asks(&b, "M.T", &got);
    fail_it(&b.script, "M.T", ERR_TARGET, "down");
    assert_int_equal(got.rc, 0);
    assert_int_equal(got.source, TYPE_FROM_STALE);
    assert_int_equal(got.age_us, TTL + 10 * SECOND);
    /* for a second it is not asked again */
    now_us += SECOND - 1;
    resolve(&b, "M.T", &got);
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.source, TYPE_FROM_STALE);
    now_us += 1;
    expect_asks(&b, "M.T", &got);
    fail_it(&b.script, "M.T", ERR_TARGET, "down");
    assert_int_equal(got.source, TYPE_FROM_STALE);
    types_get_counters(b.types, &counters);
    assert_int_equal(counters.stale_serves, 3);
    /* others are still asked for */
    expect_asks(&b, "M.U", &got);
    fail_it(&b.script, "M.U", ERR_TARGET, "down");
    assert_int_equal(got.rc, -ERR_TARGET);
    now_us += 90 * SECOND;
    expect_asks(&b, "M.T", &got);
    fail_it(&b.script, "M.T", ERR_TARGET, "down");
    assert_int_equal(got.rc, -ERR_TARGET);
}

static void a_definite_answer_ends_stale(void **state)
{
    BENCH(b, 100 * SECOND);
    struct got got;
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    now_us += TTL;
    expect_asks(&b, "M.T", &got);
    fail_it(&b.script, "M.T", ERR_NO_TYPE, "gone");
    assert_int_equal(got.rc, -ERR_NO_TYPE);
    now_us += 3 * SECOND;
    expect_asks(&b, "M.T", &got);
    fail_it(&b.script, "M.T", ERR_TARGET, "down");
    assert_int_equal(got.rc, -ERR_TARGET);
}

static void larger_than_the_cache(void **state)
{
    AUTO(bench_release) struct bench b;
    struct got got;
    (void)state;
    setup(&b, 0, 100);
    load(&b, "M.T", "M.T-1.0", true);
    assert_string_equal(b.script.questions[0].ref, "M.T");
    /* the mapping is known, its schema has to come each time */
    resolve(&b, "M.T", &got);
    assert_int_equal(got.calls, 0);
    answer(&b.script, "M.T-1.0", "M.T-1.0", true);
    assert_string_equal(got.schema, schema_text);
    struct cache_stats stats;
    cache_get_stats(schemas_cache(types_schemas(b.types)), &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.bytes, 0);
}

static void weight(void **state)
{
    struct cache_stats one, two;
    BENCH(b, 0);
    struct got got;
    char long_schema[400];
    (void)state;
    load(&b, "M.T-1.0", "M.T-1.0", true);
    cache_get_stats(schemas_cache(types_schemas(b.types)), &one);
    snprintf(long_schema, sizeof(long_schema), "%.*s,\"x\":\"%0100d\"}", (int)sizeof(schema_text) - 2,
             schema_text, 0);
    expect_asks(&b, "M.U-1.0", &got);
    answer_to(newest(&b.script, "M.U-1.0"), "M.U-1.0", long_schema, true);
    cache_get_stats(schemas_cache(types_schemas(b.types)), &two);
    assert_true(one.bytes > sizeof(schema_text));
    assert_int_equal(two.bytes - one.bytes, one.bytes + strlen(long_schema) - strlen(schema_text));
}

static void flush(void **state)
{
    BENCH(b, 0);
    struct types_dropped dropped;
    struct got got;
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    load(&b, "Mx.T", "Mx.T-1.0", true);
    expect_asks(&b, "M.None", &got);
    fail_it(&b.script, "M.None", ERR_NO_TYPE, "none");
    types_flush(b.types, SLICE("M"), &dropped);
    assert_int_equal(dropped.schemas, 1);
    assert_int_equal(dropped.mappings, 1);
    assert_int_equal(dropped.negatives, 1);
    expect_cached(&b, "Mx.T", "Mx.T-1.0");
    load(&b, "M.None", "M.None-1.0", true);
    types_flush(b.types, SLICE(""), &dropped);
    assert_int_equal(dropped.mappings, 2);
    /* what was asked before is not kept */
    expect_asks(&b, "M.T", &got);
    types_flush(b.types, SLICE(""), &dropped);
    answer(&b.script, "M.T", "M.T-1.0", true);
    assert_int_equal(got.rc, 0);
    load(&b, "M.T", "M.T-1.0", true);
}

#define CLUSTER_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CLUSTER_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NO_CLUSTER "00000000000000000000000000000000"

static void another_cluster_drops_all(void **state)
{
    BENCH(b, 0);
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    assert_false(types_note_cluster(b.types, NO_CLUSTER));
    assert_false(types_note_cluster(b.types, CLUSTER_A));
    assert_false(types_note_cluster(b.types, ""));
    expect_cached(&b, "M.T", "M.T-1.0");
    assert_true(types_note_cluster(b.types, CLUSTER_B));
    load(&b, "M.T", "M.T-1.0", true);
}

static void questions_to_another_cluster_are_asked_again(void **state)
{
    BENCH(b, 100 * SECOND);
    struct got one, two, three;
    (void)state;
    types_note_cluster(b.types, CLUSTER_A);
    load(&b, "M.U", "M.U-1.0", true);
    now_us += TTL;
    expect_asks(&b, "M.T", &one);
    expect_asks(&b, "M.V", &two);
    expect_asks(&b, "M.U", &three);
    assert_true(types_note_cluster(b.types, CLUSTER_B));
    answer_to(&b.script.questions[1], "M.T-1.0", schema_text, true);
    assert_int_equal(one.calls, 0);
    assert_int_equal(b.script.count, 5);
    answer(&b.script, "M.T", "M.T-2.0", true);
    assert_string_equal(one.absolute, "M.T-2.0");
    expect_cached(&b, "M.T", "M.T-2.0");
    /* neither is there a type because there is none elsewhere */
    fail_at(&b.script.questions[2], ERR_NO_TYPE, "none");
    assert_int_equal(two.calls, 0);
    fail_it(&b.script, "M.V", ERR_NO_TYPE, "none here either");
    assert_string_equal(two.error, "none here either");
    /* trouble says nothing about it, and there is nothing stale any more */
    fail_at(&b.script.questions[3], ERR_TARGET, "down");
    assert_int_equal(three.rc, -ERR_TARGET);
}

static void batches_known_at_once(void **state)
{
    BENCH(b, 0);
    struct types_wanted items[] = { { .ref = SLICE("M.T") }, { .ref = SLICE("M") } };
    struct types_batch batch = { .count = ARRAY_LEN(items), .items = items };
    (void)state;
    load(&b, "M.T", "M.T-1.0", true);
    assert_int_equal(types_resolve_all(b.types, &batch), 0);
    assert_int_equal(items[0].rc, 0);
    assert_int_equal(items[1].rc, -ERR_ARGUMENT);
    types_batch_release(&batch);
}

static void count_one(void *ctx)
{
    ++*(int *)ctx;
}

static void batches_wait(void **state)
{
    BENCH(b, 0);
    int finished = 0;
    struct types_wanted items[] = {
        { .ref = SLICE("M.T") }, { .ref = SLICE("M") }, { .ref = SLICE("M.U") }, { .ref = SLICE("M.T") }
    };
    struct types_batch batch = {
        .count = ARRAY_LEN(items), .items = items, .done = count_one, .ctx = &finished
    };
    (void)state;
    assert_int_equal(types_resolve_all(b.types, &batch), TYPES_LATER);
    assert_int_equal(b.script.count, 2);
    fail_it(&b.script, "M.U", ERR_NO_TYPE, "none");
    assert_int_equal(finished, 0);
    answer_to(&b.script.questions[0], "M.T-1.0", schema_text, true);
    assert_int_equal(finished, 1);
    assert_int_equal(items[3].rc, 0);
    assert_int_equal(items[2].rc, -ERR_NO_TYPE);
    assert_int_equal(items[1].rc, -ERR_ARGUMENT);
    types_batch_release(&batch);
}

/* ---- many threads ---- */

enum { THREADS = 4, ROUNDS = 400 };

struct crowd {
    struct types *types;
    atomic_int done, bad;
};

static atomic_int loads;

/* Answers at once, in the asker's thread. */
static void ask_and_answer(void *ctx, struct slice ref, loader_done_fn *loaded_fn, void *done_ctx)
{
    struct loaded loaded = { .schema = slice_str(schema_text), .released = true };
    char *text = xasprintf("%.*s-1.%d", (int)ref.n, ref.p, atomic_fetch_add(&loads, 1));

    (void)ctx;
    if (type_id_parse(ref, false, &loaded.id, NULL) < 0)
        abort();
    if (loaded.id.form != TYPE_ID_FULL && type_id_parse(slice_str(text), false, &loaded.id, NULL) < 0)
        abort();
    loaded_fn(done_ctx, 0, &loaded, NULL);
    free(text);
}

static void crowd_done(void *ctx, int rc, struct type_found *found, struct err *err)
{
    struct crowd *crowd = ctx;

    (void)err;
    if (rc < 0)
        atomic_fetch_add(&crowd->bad, 1);
    else
        blob_unref(found->schema);
    atomic_fetch_add(&crowd->done, 1);
}

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;

    for (int i = 0; i < ROUNDS; i++) {
        char ref[32];
        struct type_found found;
        struct types_dropped dropped;
        AUTO_ERR(err);
        snprintf(ref, sizeof(ref), "M.T%d", i % 16);
        int rc = types_resolve(crowd->types, slice_str(ref), &found, crowd_done, crowd, &err);
        if (rc != TYPES_LATER)
            crowd_done(crowd, rc, &found, &err);
        if (i % 50 == 49)
            types_flush(crowd->types, SLICE("M"), &dropped);
    }
    return NULL;
}

static void a_crowd(void **state)
{
    BENCH(b, 0);
    const struct types_options options = { &b.config, ask_and_answer, NULL, fake_clock };
    AUTO(types_free_auto) struct types *types = types_new(&options);
    struct crowd crowd = { .types = types };
    pthread_t threads[THREADS];
    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.bad), 0);
    assert_int_equal(atomic_load(&crowd.done), THREADS * ROUNDS);
    struct types_counters counters;
    types_get_counters(types, &counters);
    assert_int_equal(counters.waiting, 0);
}

/* ---- snapshots ---- */

#define URL "http://127.0.0.1:1/"

static char *temp_path(void)
{
    char *path = xstrdup("/tmp/wstyped-snapshot-XXXXXX");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    return path;
}

static void snapshot_round_trip(void **state)
{
    AUTO(free_str_auto) char *path = temp_path();
    struct snapshot_counts counts;
    AUTO_ERR(err);
    (void)state;
    {
        BENCH(b, 0);
        load(&b, "M.T", "M.T-1.0", true);
        load(&b, "M.U-1.1", "M.U-1.1", false);
        types_note_cluster(b.types, CLUSTER_A);
        now_us += 100 * SECOND;
        assert_int_equal(snapshot_write(b.types, URL, path, &counts, &err), 0);
        assert_int_equal(counts.schemas, 2);
        assert_int_equal(counts.mappings, 1);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    {
        BENCH(b, 0);
        struct got got;
        assert_int_equal(snapshot_read(b.types, URL, path, &counts, &err), 0);
        assert_int_equal(counts.schemas, 2);
        expect_cached(&b, "M.T", "M.T-1.0");
        expect_cached(&b, "M.U-1.1", "M.U-1.1");
        resolve(&b, "M.T", &got);
        assert_true(got.age_us >= 100 * SECOND && got.age_us < 110 * SECOND);
        now_us += TTL - 100 * SECOND;
        resolve(&b, "M.T", &got);
        assert_int_equal(got.calls, 0);
        fail_it(&b.script, "M.T", ERR_TARGET, "down");
        /* the target turns out to be another one */
        assert_true(types_note_cluster(b.types, CLUSTER_B));
        expect_asks(&b, "M.U-1.1", &got);
        fail_it(&b.script, "M.U-1.1", ERR_TARGET, "down");
    }
    unlink(path);
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void expect_refused(const char *path, const char *url, int rc)
{
    BENCH(b, 0);
    struct snapshot_counts counts;
    struct cache_stats stats;
    AUTO_ERR(err);

    assert_int_equal(snapshot_read(b.types, url, path, &counts, &err), rc);
    assert_non_null(strstr(err_text(&err), path));
    cache_get_stats(schemas_cache(types_schemas(b.types)), &stats);
    assert_int_equal(stats.entries, 0);
}

static void damaged_snapshots_are_refused(void **state)
{
    AUTO(free_str_auto) char *path = temp_path();
    struct snapshot_counts counts;
    char bytes[4096];
    AUTO_ERR(err);
    (void)state;
    {
        BENCH(b, 0);
        load(&b, "M.T", "M.T-1.0", true);
        assert_int_equal(snapshot_write(b.types, URL, path, &counts, &err), 0);
    }
    FILE *file = fopen(path, "re");
    size_t n = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    assert_true(n > 100 && n < sizeof(bytes));
    for (size_t i = 0; i < n; i += 3) {
        bytes[i] = (char)(bytes[i] ^ 1);
        write_bytes(path, bytes, n);
        expect_refused(path, URL, -ERR_CONFIG);
        bytes[i] = (char)(bytes[i] ^ 1);
    }
    for (size_t cut = 0; cut < n; cut += 7) {
        write_bytes(path, bytes, cut);
        expect_refused(path, URL, -ERR_CONFIG);
    }
    write_bytes(path, bytes, n);
    expect_refused(path, "http://elsewhere/", -ERR_CONFIG);
    unlink(path);
    expect_refused(path, URL, -ERR_IO);
}

/* ---- answers of the target ---- */

#define INFO(def, released) \
    "{\"version\":\"1.1\",\"result\":[{\"type_def\":\"" def \
    "\",\"json_schema\":\"{}\",\"released_type_vers\":[" released "]}]}"
#define FAILED(message) \
    "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32500,\"message\":\"" message \
    "\",\"error\":null}}"

static void answers(void **state)
{
    static const struct {
        const char *asked, *body;
        int rc;
        const char *text;
    } cases[] = {
        { "M.T", INFO("M.T-1.0", "\"M.T-1.0\""), 0, "released" },
        { "M.T", INFO("M.T-1.0", ""), 0, "released" },
        { "M.T-1", INFO("M.T-1.3", ""), 0, "released" },
        { "M.T-1.3", INFO("M.T-1.3", "\"M.T-1.2\""), 0, "unreleased" },
        { "M.T-1.3", INFO("M.T-1.3", "\"M.T-1.2\",\"M.T-1.3\""), 0, "released" },
        { "M.T-1.3", INFO("M.T-1.4", ""), -ERR_TARGET, LOADER_FAILED "the answer is about another type" },
        { "M.T-1", INFO("M.T-2.0", ""), -ERR_TARGET, LOADER_FAILED "the answer is about another type" },
        { "M.T", INFO("M.U-2.0", ""), -ERR_TARGET, LOADER_FAILED "the answer is about another type" },
        { "M.T", INFO("M.T", ""), -ERR_TARGET, LOADER_FAILED "the answer is about another type" },
        { "M.T", INFO("M", ""), -ERR_TARGET, LOADER_FAILED "the answer has no type_def or no json_schema" },
        { "M.T", "{\"result\":[{\"type_def\":\"M.T-1.0\",\"json_schema\":null}]}", -ERR_TARGET,
          LOADER_FAILED "the answer has no type_def or no json_schema" },
        { "M.T", "{\"result\":[null]}", -ERR_TARGET, LOADER_FAILED "the answer has no result" },
        { "M.T", "{\"result\":null}", -ERR_TARGET, LOADER_FAILED "the answer has no result" },
        { "M.T", "{}", -ERR_TARGET, LOADER_FAILED "the answer has no result" },
        { "M.T", "<html>", -ERR_TARGET, LOADER_FAILED "the answer is not JSON" },
        { "M.T", "", -ERR_TARGET, LOADER_FAILED "the answer is not JSON" },
        { "M.T", "{\"error\":{\"message\":null}}", -ERR_TARGET, LOADER_FAILED "an error without a text" },
        { "M.T", FAILED("Module doesn't exist: M"), -ERR_NO_MODULE, "Module doesn't exist: M" },
        { "M.T", FAILED("Module M was not initialized. For that"), -ERR_NO_MODULE,
          "Module M was not initialized. For that" },
        { "M.T", FAILED("Module wasn't uploaded: M"), -ERR_NO_MODULE, "Module wasn't uploaded: M" },
        { "M.T", FAILED("This type wasn't released yet and"), -ERR_NO_TYPE,
          "This type wasn't released yet and" },
        { "M.T", FAILED("Unable to locate type: M.T"), -ERR_NO_TYPE, "Unable to locate type: M.T" },
        { "M.T", FAILED("Unable to locate type:"), -ERR_TARGET, LOADER_FAILED "Unable to locate type:" },
        { "M.T", FAILED("The server is shutting down"), -ERR_TARGET,
          LOADER_FAILED "The server is shutting down" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_ARENA(arena);
        AUTO_ERR(err);
        struct type_id asked;
        struct loaded loaded;
        assert_int_equal(type_id_parse(slice_str(cases[i].asked), false, &asked, NULL), 0);
        assert_int_equal(loader_read_answer(slice_str(cases[i].body), &asked, &arena, &loaded, &err),
                         cases[i].rc);
        if (cases[i].rc < 0)
            assert_string_equal(err_text(&err), cases[i].text);
        else
            assert_string_equal(loaded.released ? "released" : "unreleased", cases[i].text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_load_each),
        cmocka_unit_test(names_that_are_none),
        cmocka_unit_test(absolute_adds_no_mapping),
        cmocka_unit_test(newer_mappings_stay),
        cmocka_unit_test(older_mappings_move),
        cmocka_unit_test(a_hit_moves_too),
        cmocka_unit_test(unreleased_moves_nothing),
        cmocka_unit_test(equal_is_not_renewed),
        cmocka_unit_test(overtaken_by_a_release),
        cmocka_unit_test(waiters_share_a_load),
        cmocka_unit_test(failures_are_not_kept),
        cmocka_unit_test(definite_failures_are_kept_a_while),
        cmocka_unit_test(expires_at_the_limit),
        cmocka_unit_test(stale_serves_while_the_target_is_away),
        cmocka_unit_test(a_definite_answer_ends_stale),
        cmocka_unit_test(larger_than_the_cache),
        cmocka_unit_test(weight),
        cmocka_unit_test(flush),
        cmocka_unit_test(another_cluster_drops_all),
        cmocka_unit_test(questions_to_another_cluster_are_asked_again),
        cmocka_unit_test(batches_known_at_once),
        cmocka_unit_test(batches_wait),
        cmocka_unit_test(a_crowd),
        cmocka_unit_test(snapshot_round_trip),
        cmocka_unit_test(damaged_snapshots_are_refused),
        cmocka_unit_test(answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
