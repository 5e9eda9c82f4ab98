/*
 * The canonical form: of any JSON object, written while it goes by, is the same as from a tree, keys sorted;
 * and the canonical form of it is itself.  Objects are blown up by the first byte so that all ways of sorting
 * are taken.
 */
#include "dws/validate/wstyped_check.h"
#include "shared/base/digest.h"
#include "shared/base/json.h"
#include "test/differential/tree_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema[] =
    "{\"type\":\"object\",\"original-type\":\"kidl-structure\",\"additionalProperties\":true}";

static void require(bool fine)
{
    if (!fine)
        abort();
}

static int keep_text(void *ctx, const char *bytes, size_t n)
{
    sbuf_add(ctx, bytes, n);
    return 0;
}

static void stream(struct check_program *program, struct slice object, bool repeatable,
                   struct sbuf *canonical, struct sbuf *out)
{
    struct check_options options = { .sink = repeatable ? NULL : keep_text,
                                     .sink_ctx = canonical,
                                     .memory = 1,
                                     .repeatable = repeatable,
                                     .max_depth = 900,
                                     .max_text = 1 << 20 };
    struct check_job *job = check_begin(program, &options);
    const struct check_result *result;
    enum check_status status;
    size_t used;

    do {
        check_feed(job, object.p, object.n, &used);
        status = check_end(job, &result);
    } while (status == CHECK_AGAIN);
    if (status == CHECK_DONE)
        tree_check_describe(result, sbuf_slice(canonical), out);
    else
        sbuf_addf(out, "J %.*s", (int)check_problem(job).n, check_problem(job).p);
    check_free(job);
}

static void compare(struct check_program *program, struct slice object)
{
    AUTO_SBUF(canonical, SBUF_NO_LIMIT);
    AUTO_SBUF(again, SBUF_NO_LIMIT);
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    AUTO_SBUF(got, SBUF_NO_LIMIT);

    tree_check(SLICE(schema), object, false, &want);
    stream(program, object, false, &canonical, &got);
    require(want.len && (want.p[0] == 'J' || slice_eq(sbuf_slice(&want), sbuf_slice(&got))));
    if (want.p[0] == 'J')
        require(got.p[0] == 'J');
    if (want.p[0] != 'F')
        return;
    sbuf_reset(&got);
    stream(program, sbuf_slice(&canonical), false, &again, &got);
    require(slice_eq(sbuf_slice(&canonical), sbuf_slice(&again)));
    sbuf_reset(&got);
    stream(program, object, true, &canonical, &got);
    require(slice_eq(sbuf_slice(&want), sbuf_slice(&got)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *problem = NULL;
    AUTO_SBUF(object, SBUF_NO_LIMIT);

    if (!size)
        return 0;
    struct check_program *program =
        check_program_new((struct check_text){ schema, sizeof(schema) - 1 }, &problem);
    size_t fill = data[0] < 128 ? 0 : data[0] < 240 ? data[0] * 40 : 300000;
    if (fill) {
        sbuf_adds(&object, "{\"m\":\"");
        memset(sbuf_room(&object, fill), 'x', fill);
        sbuf_added(&object, fill);
        sbuf_adds(&object, "\",\"k\":");
    }
    sbuf_add(&object, data + 1, size - 1);
    if (fill)
        sbuf_addc(&object, '}');
    compare(program, sbuf_slice(&object));
    check_program_unref(program);
    return 0;
}
