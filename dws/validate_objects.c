#include "dws/validate_objects.h"

#include "dws/app.h"
#include "dws/methods_types.h"
#include "dws/validate_request.h"
#include "shared/base/log.h"
#include "shared/rpc/service.h"

enum {
    INLINE_BELOW = 16384, /* bytes of a body that are checked where they were read */
    DEFAULT_MAX_IDS = 100000,
    STATUS_OK = 200,
};

#define MAX_ANSWER ((size_t)1 << 40)

/*
 * Upstream does each stage for all objects before the next one, so a failure of an early stage in a late
 * object hides one of a late stage in an early object.
 */
enum stage { STAGE_NONE, STAGE_CHECK, STAGE_SIZE, STAGE_SORT, STAGE_METADATA };

struct failure {
    enum stage stage;
    size_t index;
    struct sbuf message;
    size_t end; /* of the answer with this object's entry */
    uint64_t unique_ids;
};

struct validation {
    struct call *call;
    struct validate_request request;
    struct types_batch batch;
    struct check_counter counter;
    struct spool *answer;
    struct failure failure;
    bool tight, much; /* as of check_result and check_options */
    struct err err;   /* ends the call */
};

static void validation_free(struct validation *v)
{
    types_batch_release(&v->batch);
    free(v->batch.items);
    validate_request_release(&v->request);
    sbuf_release(&v->failure.message);
    spool_free(v->answer);
    err_clear(&v->err);
    free(v);
}

/* ---- the answer ---- */

static int put(struct validation *v, struct slice bytes)
{
    return bytes.n ? spool_add(v->answer, bytes.p, bytes.n, &v->err) : 0;
}

static int put_sbuf(struct validation *v, const struct sbuf *bytes)
{
    return put(v, sbuf_slice(bytes));
}

static int put_head(struct validation *v)
{
    const struct config *config = service_config(v->call->service);
    const struct spool_limits limits = { (size_t)config->body_memory, MAX_ANSWER, config->temp_dir };

    v->answer = spool_new(&limits);
    return put(v, SLICE("{\"version\":\"1.1\",\"result\":[{\"objects\":["));
}

static int put_tail(struct validation *v)
{
    const struct failure *f = &v->failure;
    AUTO_SBUF(tail, SBUF_NO_LIMIT);

    if (f->stage == STAGE_NONE) {
        sbuf_addf(&tail, "],\"valid\":1,\"failed_object\":null,\"message\":null,\"unique_ids\":%llu}]}",
                  (unsigned long long)v->counter.unique_ids);
    } else {
        sbuf_addf(&tail, "],\"valid\":0,\"failed_object\":%zu,\"message\":", f->index + 1);
        json_put_string(&tail, sbuf_slice(&f->message));
        sbuf_addf(&tail, ",\"unique_ids\":%llu}]}", (unsigned long long)f->unique_ids);
        spool_cut(v->answer, f->end);
    }
    return put_sbuf(v, &tail);
}

/* Keeps the failure that upstream would meet first. message: taken. The object's entry is complete. */
static void note_failure(struct validation *v, enum stage stage, size_t index, struct sbuf *message)
{
    struct failure *f = &v->failure;

    if (f->stage != STAGE_NONE && f->stage <= stage) {
        sbuf_release(message);
        return;
    }
    sbuf_release(&f->message);
    f->message = *message;
    f->stage = stage;
    f->index = index;
    f->end = spool_size(v->answer);
    f->unique_ids = v->counter.unique_ids;
}

static void add_name(const struct validation *v, size_t index, struct sbuf *out)
{
    validate_request_put_name(&v->request, index, out);
}

/* An object of which nothing is known but that it cannot be saved. */
static int put_bare_entry(struct validation *v)
{
    return put(v, SLICE("{\"type\":null,\"valid\":0,\"errors\":[],\"ids\":{},\"metadata\":null,\"size\":null,"
                        "\"md5\":null,\"final\":0,\"data\":null}"));
}

/* ---- types that are none ---- */

static const char fetch_text[] =
    " failed type checking - a fatal error occurred attempting to fetch the type "
    "specification: ";

static void put_type_problem(const struct validation *v, size_t index, const struct types_wanted *type,
                             struct sbuf *out)
{
    struct slice text = slice_of(type->err.text, type->err.len);

    /* upstream does not say which object has an MD5 type */
    if (type->rc != -ERR_ARGUMENT) {
        add_name(v, index, out);
        sbuf_adds(out, type->rc == -ERR_NO_TYPE || type->rc == -ERR_NO_MODULE ? " failed type checking: "
                                                                              : fetch_text);
    }
    sbuf_add_slice(out, text);
}

static int fail_type(struct validation *v, size_t index, const struct types_wanted *type)
{
    struct sbuf message = SBUF_INIT(SBUF_NO_LIMIT);
    int rc = put_bare_entry(v);

    if (type->rc < 0)
        put_type_problem(v, index, type, &message);
    else
        sbuf_adds(&message, schema_of(type->found.schema)->problem);
    note_failure(v, STAGE_CHECK, index, &message);
    return rc;
}

/* ---- one object ---- */

/* Where canonical data goes: into the answer, as a member of the entry. */
struct sink {
    struct validation *v;
    bool begun;
};

static int sink_add(void *ctx, const char *bytes, size_t n)
{
    struct sink *sink = ctx;

    sink->begun = true;
    return put(sink->v, slice_of(bytes, n));
}

static enum stage stage_of(enum check_outcome outcome)
{
    static const enum stage stages[] = {
        [CHECK_VALID] = STAGE_NONE,   [CHECK_INVALID] = STAGE_CHECK,   [CHECK_TOO_MANY_IDS] = STAGE_CHECK,
        [CHECK_TOO_BIG] = STAGE_SIZE, [CHECK_UNSORTABLE] = STAGE_SORT, [CHECK_BAD_METADATA] = STAGE_METADATA,
    };

    return stages[outcome];
}

static uint64_t max_ids(const struct validation *v)
{
    return v->request.max_ids ? v->request.max_ids : DEFAULT_MAX_IDS;
}

/* What the object's entry said is taken back. */
static int fail_refs(struct validation *v, size_t index, size_t begin)
{
    struct sbuf message = SBUF_INIT(SBUF_NO_LIMIT);

    spool_cut(v->answer, begin);
    int rc = put_bare_entry(v);

    add_name(v, index, &message);
    sbuf_addf(&message,
              " failed type checking - the number of unique IDs in the saved objects exceeds the maximum "
              "allowed, %llu",
              (unsigned long long)max_ids(v));
    note_failure(v, STAGE_CHECK, index, &message);
    return rc;
}

/* References of the provenance count as ids of the object. begin: of its entry. */
static int count_refs(struct validation *v, size_t index, size_t begin)
{
    size_t refs;
    AUTO_ERR(problem);

    if (validate_request_count_refs(&v->request.objects[index], &refs, &problem) < 0)
        return types_wrong_param(v->call, err_text(&problem), &v->err);
    if (v->counter.unique_ids + refs > max_ids(v))
        return fail_refs(v, index, begin);
    v->counter.unique_ids += refs;
    return 0;
}

/* The entry but for its opening brace and data. */
static int put_result(struct validation *v, size_t index, const struct types_wanted *type,
                      const struct check_result *result)
{
    struct slice absolute = schema_of(type->found.schema)->absolute;
    AUTO_SBUF(name, SBUF_NO_LIMIT);
    size_t n, message_len;
    AUTO(free_str_auto) char *json = check_json(result, check_text_of(absolute), &n);
    int rc = put(v, slice_of(json, n));

    if (rc == 0 && type->found.source == TYPE_FROM_STALE)
        rc = put(v, SLICE(",\"stale\":1"));
    if (rc == 0)
        rc = put(v, SLICE("}"));
    if (rc < 0)
        return rc;
    if (result->outcome == CHECK_VALID)
        return 0;
    v->tight = v->tight || result->tight;
    add_name(v, index, &name);
    AUTO(free_str_auto) char *text = check_message(result, check_text_of(sbuf_slice(&name)), &message_len);
    struct sbuf message = SBUF_INIT(SBUF_NO_LIMIT);
    sbuf_add(&message, text, message_len);
    note_failure(v, stage_of(result->outcome), index, &message);
    return 0;
}

/* The object cannot be read to its end. */
static int fail_reading(struct validation *v, size_t index, enum check_status status,
                        struct check_text problem)
{
    struct sbuf message = SBUF_INIT(SBUF_NO_LIMIT);
    int rc = put_bare_entry(v);

    add_name(v, index, &message);
    sbuf_addf(&message, " failed type checking - a fatal %s error occurred: ",
              status == CHECK_JSON ? "JSON processing" : "IO");
    sbuf_add(&message, problem.p, problem.n);
    note_failure(v, STAGE_CHECK, index, &message);
    return rc;
}

static enum check_status feed_all(struct check_job *job, struct slice data, const struct check_result **ret)
{
    enum check_status status;
    size_t used;

    do {
        status = check_feed(job, data.p, data.n, &used);
        if (status == CHECK_MORE || status == CHECK_DONE)
            status = check_end(job, ret);
    } while (status == CHECK_AGAIN);
    return status;
}

static struct check_options options_of(struct validation *v, struct sink *sink)
{
    const struct config *config = service_config(v->call->service);
    struct validate_request *r = &v->request;

    return (struct check_options){
        .id_types = r->id_types,
        .id_type_count = r->id_type_count,
        .unavailable_id_types = r->unavailable,
        .unavailable_id_type_count = r->unavailable_count,
        .map_id = r->id_map ? id_map_find : NULL,
        .map_ctx = r->id_map,
        .sink = r->return_data ? sink_add : NULL,
        .sink_ctx = sink,
        .counter = &v->counter,
        .max_ids = r->max_ids,
        .max_object_size = r->max_object_size,
        .max_depth = (size_t)config->max_json_depth,
        .temp_dir = config->temp_dir,
        .repeatable = true,
        .much = v->much,
    };
}

static int check_object(struct validation *v, size_t index, const struct types_wanted *type)
{
    struct sink sink = { v, false };
    const struct check_options options = options_of(v, &sink);
    const struct check_result *result = NULL;
    size_t begin = spool_size(v->answer);
    int rc = put(v, SLICE("{\"data\":"));

    if (rc < 0)
        return rc;
    size_t data = spool_size(v->answer);
    struct check_job *job = check_begin(schema_of(type->found.schema)->program, &options);
    enum check_status status = feed_all(job, v->request.objects[index].data, &result);
    if (v->err.code) {
        rc = -(int)v->err.code;
    } else if (status != CHECK_DONE) {
        spool_cut(v->answer, begin);
        rc = fail_reading(v, index, status, check_problem(job));
    } else {
        if (result->outcome != CHECK_VALID)
            spool_cut(v->answer, data);
        bool has_data = sink.begun && result->outcome == CHECK_VALID;
        rc = put(v, has_data ? SLICE(",") : SLICE("null,"));
        if (rc == 0)
            rc = put_result(v, index, type, result);
        if (rc == 0 && result->outcome == CHECK_VALID)
            rc = count_refs(v, index, begin);
    }
    check_free(job);
    return rc;
}

/* ---- the call ---- */

static int check_one(struct validation *v, size_t index)
{
    const struct types_wanted *type = &v->batch.items[v->request.objects[index].type];
    int rc = index ? put(v, SLICE(",")) : 0;

    if (rc < 0)
        return rc;
    if (type->rc < 0 || !schema_of(type->found.schema)->program)
        return fail_type(v, index, type);
    return check_object(v, index, type);
}

static int check_each(struct validation *v)
{
    int rc = put_head(v);

    for (size_t i = 0; rc == 0 && i < v->request.count && v->failure.stage != STAGE_CHECK; i++)
        rc = check_one(v, i);
    return rc;
}

/* Begins anew: the objects have more bytes together than it seemed when one of them was refused. */
static int check_again(struct validation *v)
{
    spool_free(TAKE(v->answer));
    sbuf_release(&v->failure.message);
    v->failure = (struct failure){ .message = SBUF_INIT(SBUF_NO_LIMIT) };
    v->counter = (struct check_counter){ .bytes = 0 };
    v->much = true;
    return check_each(v);
}

static int check_all(struct validation *v)
{
    int rc = check_each(v);

    if (rc == 0 && v->failure.stage == STAGE_SORT && v->tight && v->counter.bytes > CHECK_MUCH)
        rc = check_again(v);
    return rc < 0 ? rc : put_tail(v);
}

/* What upstream finds wrong before it checks any type: the objects before it were not looked at. */
static int answer_problem(struct validation *v)
{
    struct sbuf message = SBUF_INIT(SBUF_NO_LIMIT);
    int rc = put_head(v);

    for (size_t i = 1; rc == 0 && i < v->request.problem.number; i++)
        rc = put(v, SLICE("null,"));
    if (rc == 0)
        rc = put_bare_entry(v);
    sbuf_add_slice(&message, sbuf_slice(&v->request.problem.text));
    note_failure(v, STAGE_CHECK, v->request.problem.number - 1, &message);
    return rc < 0 ? rc : put_tail(v);
}

static void finish(struct validation *v, int rc)
{
    struct call *call = v->call;
    struct spool *answer = TAKE(v->answer);
    struct err err = ERR_INIT;

    log_putf(&call->notes, "objects", "%zu", v->request.count);
    log_putf(&call->notes, "valid", "%d", v->failure.stage == STAGE_NONE);
    err_move(&err, &v->err);
    validation_free(v);
    if (rc == 0) {
        call_finish_raw(call, STATUS_OK, answer, "ok");
        return;
    }
    spool_free(answer);
    call_finish(call, rc, NULL, &err);
}

static void check_on_worker(void *ctx)
{
    struct validation *v = ctx;

    finish(v, check_all(v));
}

static void types_known(void *ctx)
{
    struct validation *v = ctx;

    if (service_run_on_worker(v->call->service, check_on_worker, v, &v->err) < 0)
        finish(v, -ERR_BUSY);
}

static void start(struct validation *v)
{
    struct validate_request *r = &v->request;

    v->batch.count = r->type_count;
    v->batch.items = xcalloc(r->type_count + 1, sizeof(*v->batch.items));
    v->batch.done = types_known;
    v->batch.ctx = v;
    for (size_t i = 0; i < r->type_count; i++)
        v->batch.items[i].ref = r->types[i];
    if (types_resolve_all(dws_of(v->call)->types, &v->batch) != TYPES_LATER)
        finish(v, check_all(v));
}

int validate_objects_run(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    AUTO_ERR(problem);

    if (!call->may_block && call->body.n > INLINE_BELOW)
        return -ERR_AGAIN;
    struct validation *v = xcalloc(1, sizeof(*v));
    v->call = call;
    v->failure.message = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    int rc = validate_request_read(&v->request, call->params[0].raw, &problem);
    if (rc < 0) {
        rc = rc == -ERR_PARAMS ? types_wrong_param(call, err_text(&problem), err) : err_move(err, &problem);
        validation_free(v);
        return rc;
    }
    if (v->request.has_problem)
        finish(v, answer_problem(v));
    else
        start(v);
    return CALL_LATER;
}
