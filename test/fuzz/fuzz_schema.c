/*
 * Schema programs: the input is a schema, a newline and an object.  Whatever both are, compiling gives a
 * program or a text, and checking an answer that does not depend on where the object was cut, and that is
 * JSON.
 */
#include "dws/validate/wstyped_check.h"
#include "shared/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fine)
{
    if (!fine)
        abort();
}

static int drop(void *ctx, const char *bytes, size_t n)
{
    (void)bytes;
    *(size_t *)ctx += n;
    return 0;
}

static bool map_id(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped)
{
    (void)ctx;
    (void)type;
    if (!id.n || id.p[0] % 2)
        return false;
    *ret_mapped = (struct check_text){ id.p, 1 };
    return true;
}

static void check(struct check_program *program, struct slice object, size_t piece, struct sbuf *out)
{
    const struct check_text types[] = { { "ws", 2 }, { "bytestream", 10 }, { "sample", 6 } };
    size_t sunk = 0, used, n;
    struct check_options options = { .id_types = types,
                                     .id_type_count = 3,
                                     .unavailable_id_types = types + 2,
                                     .unavailable_id_type_count = 1,
                                     .max_ids = 20,
                                     .max_text = 300,
                                     .max_path = 1000,
                                     .max_depth = 100,
                                     .sink = drop,
                                     .sink_ctx = &sunk,
                                     .map_id = object.n % 2 ? map_id : NULL };
    struct check_job *job = check_begin(program, &options);
    const struct check_result *result;
    enum check_status status = CHECK_MORE;

    for (size_t at = 0; at < object.n && status == CHECK_MORE; at += used) {
        n = piece < object.n - at ? piece : object.n - at;
        status = check_feed(job, object.p + at, n, &used);
        require(used <= n);
    }
    status = check_end(job, &result);
    if (status == CHECK_DONE) {
        char *json = check_json(result, (struct check_text){ "M.T-1.0", 7 }, &n);
        char *message = check_message(result, (struct check_text){ "o", 1 }, &used);
        sbuf_addc(out, '{');
        sbuf_add(out, json, n);
        sbuf_adds(out, ",\"message\":");
        json_put_string(out, slice_of(message ? message : "", message ? used : 0));
        sbuf_addc(out, '}');
        require(!message == (result->outcome == CHECK_VALID));
        require(!result->final || sunk == result->size);
        free(json);
        free(message);
    } else {
        require(status == CHECK_JSON);
        json_put_string(out, slice_of(check_problem(job).p, check_problem(job).n));
    }
    check_free(job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits = { 200, 1000000 };
    const char *text = (const char *)data, *line = size ? memchr(text, '\n', size) : NULL;
    size_t n = line ? (size_t)(line - text) : size;
    struct slice object = line ? slice_of(line + 1, size - n - 1) : SLICE("{}");
    char *problem = NULL;
    struct json_val *val;
    AUTO_ARENA(arena);
    AUTO_SBUF(whole, SBUF_NO_LIMIT);
    AUTO_SBUF(pieces, SBUF_NO_LIMIT);

    struct check_program *program = check_program_new((struct check_text){ text, n }, &problem);
    if (!program) {
        require(problem && problem[0]);
        free(problem);
        return 0;
    }
    check(program, object, object.n + 1, &whole);
    check(program, object, 1 + size % 7, &pieces);
    require(slice_eq(sbuf_slice(&whole), sbuf_slice(&pieces)));
    require(json_read(sbuf_slice(&whole), &limits, &arena, &val, NULL, NULL) == 0);
    check_program_unref(program);
    return 0;
}
