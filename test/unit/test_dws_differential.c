#include "test/unit/t.h"

#include "test/differential/generate.h"
#include "test/differential/tree_check.h"

enum { CASES = 4000, SPLIT_EVERY = 16 };

static uint64_t first_case = 1, case_count = CASES;

static int keep_text(void *ctx, const char *bytes, size_t n)
{
    sbuf_add(ctx, bytes, n);
    return 0;
}

/* Feeds the object in pieces: the first of `first` bytes, then of `more` bytes, each in memory of its own. */
static enum check_status feed(struct check_job *job, struct slice object, size_t first, size_t more)
{
    enum check_status status = CHECK_MORE;
    size_t used;

    for (size_t at = 0, n = first; at < object.n && status == CHECK_MORE; at += n, n = more) {
        n = n < object.n - at ? n : object.n - at;
        char *copy = xmalloc(n + !n);
        memcpy(copy, object.p + at, n);
        status = check_feed(job, copy, n, &used);
        free(copy);
        assert_true(used <= n);
    }
    return status;
}

static void stream_check(struct check_program *program, struct slice object, bool mapped, size_t first,
                         size_t more, size_t memory, struct sbuf *out)
{
    const struct check_text types[] = { { "ws", 2 }, { "handle", 6 }, { "kb", 2 }, { "sample", 6 } };
    AUTO_SBUF(canonical, SBUF_NO_LIMIT);
    struct check_options options = { .id_types = types,
                                     .id_type_count = ARRAY_LEN(types),
                                     .map_id = mapped ? tree_check_map : NULL,
                                     .sink = keep_text,
                                     .sink_ctx = &canonical,
                                     .memory = memory };
    struct check_job *job = check_begin(program, &options);
    const struct check_result *result;

    feed(job, object, first, more);
    if (check_end(job, &result) == CHECK_DONE) {
        tree_check_describe(result, sbuf_slice(&canonical), out);
    } else {
        sbuf_adds(out, "J ");
        sbuf_add(out, check_problem(job).p, check_problem(job).n);
    }
    check_free(job);
}

static void assert_same(struct slice schema, struct slice object, uint64_t seed, const struct sbuf *want,
                        const struct sbuf *got)
{
    if (!slice_eq(sbuf_slice(want), sbuf_slice(got)))
        fail_msg("case %llu\ntree:\n%.1000s\nstream:\n%.1000s\nschema: %s\nobject: %s",
                 (unsigned long long)seed, want->p ? want->p : "", got->p ? got->p : "", schema.p, object.p);
}

static void one_case(uint64_t seed)
{
    struct generator g = { seed * 2654435761u + 88172645463325252u };
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    AUTO_SBUF(object, SBUF_NO_LIMIT);
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(got, SBUF_NO_LIMIT);
    char *problem = NULL;
    bool mapped = generate_number(&g, 2);

    generate_schema(&g, &schema);
    generate_object(&g, sbuf_slice(&schema), 30, &object);
    struct check_program *program = check_program_new((struct check_text){ schema.p, schema.len }, &problem);
    if (!program)
        fail_msg("%s: %s", schema.p, problem);
    tree_check(sbuf_slice(&schema), sbuf_slice(&object), mapped, &want);
    stream_check(program, sbuf_slice(&object), mapped, object.len, 1, 0, &got);
    assert_same(sbuf_slice(&schema), sbuf_slice(&object), seed, &want, &got);
    sbuf_reset(&got);
    stream_check(program, sbuf_slice(&object), mapped, 1, 1, 0, &got);
    assert_same(sbuf_slice(&schema), sbuf_slice(&object), seed, &want, &got);
    for (size_t at = 1; seed % SPLIT_EVERY == 0 && at < object.len && object.len < 2000; at++) {
        sbuf_reset(&got);
        stream_check(program, sbuf_slice(&object), mapped, at, object.len, 0, &got);
        assert_same(sbuf_slice(&schema), sbuf_slice(&object), seed, &want, &got);
    }
    check_program_unref(program);
}

static void test_stream_equals_tree(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < case_count; i++)
        one_case(first_case + i);
}

/* `test_dws_differential COUNT [FIRST]` runs other cases. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_stream_equals_tree) };

    if (argc > 1)
        case_count = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        first_case = strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
