#include "dws/loader.h"

#include "shared/base/clock.h"
#include "shared/rpc/envelope.h"

enum {
    MAX_TEXT = 16384,
    MAX_DEPTH = 1000,
    MAX_NODES = 1000000,
    MAX_IN_MEMORY = 1 << 20,
};

/* A question gets at least so long. */
#define LEAST_US ((uint64_t)1000)

struct load {
    struct loader *loader;
    struct type_id id; /* points into ref */
    char *ref;
    loader_done_fn *done;
    void *ctx;
    struct sbuf body, mark;
    uint64_t deadline_us;
    bool retried;
    struct spool *answer;
    struct err err;
};

/* ---- reading ---- */

static int classify(struct slice message, struct err *err)
{
    static const struct {
        const char *part;
        enum err_code code;
    } definite[] = {
        { "Module doesn't exist: ", ERR_NO_MODULE },   { "was not initialized. For", ERR_NO_MODULE },
        { "Module wasn't uploaded: ", ERR_NO_MODULE }, { "This type wasn't released yet", ERR_NO_TYPE },
        { "Unable to locate type: ", ERR_NO_TYPE },
    };
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < ARRAY_LEN(definite); i++)
        if (memmem(message.p, message.n, definite[i].part, strlen(definite[i].part)))
            return err_set_text(err, definite[i].code, message);
    sbuf_adds(&text, LOADER_FAILED);
    sbuf_add_slice(&text, message);
    return err_set_text(err, ERR_TARGET, sbuf_slice(&text));
}

static int no_answer(struct err *err, const char *what)
{
    return err_set(err, ERR_TARGET, LOADER_FAILED "%s", what);
}

static bool is_same_type(const struct type_id *asked, const struct type_id *got)
{
    if (got->form != TYPE_ID_FULL || !slice_eq(asked->module, got->module) ||
        !slice_eq(asked->name, got->name))
        return false;
    if (asked->form == TYPE_ID_NONE)
        return true;
    return asked->version.major == got->version.major &&
           (asked->form == TYPE_ID_MAJOR || asked->version.minor == got->version.minor);
}

static bool text_member(const struct json_val *object, const char *key, struct slice *ret_text)
{
    const struct json_val *val = json_member(object, key);

    if (!val || val->kind != JSON_KIND_STRING)
        return false;
    *ret_text = val->text;
    return true;
}

static bool is_listed(const struct json_val *list, struct slice text)
{
    if (!list || list->kind != JSON_KIND_ARRAY)
        return false;
    for (const struct json_val *item = list->first; item; item = item->next)
        if (item->kind == JSON_KIND_STRING && slice_eq(item->text, text))
            return true;
    return false;
}

static int read_info(const struct json_val *info, const struct type_id *asked, struct loaded *ret,
                     struct err *err)
{
    struct loaded loaded;
    struct slice absolute;
    AUTO_ERR(ignored);

    if (!text_member(info, "type_def", &absolute) || !text_member(info, "json_schema", &loaded.schema) ||
        type_id_parse(absolute, false, &loaded.id, &ignored) < 0)
        return no_answer(err, "the answer has no type_def or no json_schema");
    if (!is_same_type(asked, &loaded.id))
        return no_answer(err, "the answer is about another type");
    /* by name only released versions are found without a token */
    loaded.released =
        asked->form != TYPE_ID_FULL || is_listed(json_member(info, "released_type_vers"), absolute);
    *ret = loaded;
    return 0;
}

static int read_error(const struct json_val *error, struct err *err)
{
    struct slice message;

    if (!text_member(error, "message", &message))
        return no_answer(err, "an error without a text");
    return classify(message, err);
}

int loader_read_answer(struct slice body, const struct type_id *asked, struct arena *arena,
                       struct loaded *ret, struct err *err)
{
    static const struct json_limits limits = { .max_depth = MAX_DEPTH, .max_nodes = MAX_NODES };
    struct json_val *top;
    AUTO_ERR(ignored);

    if (json_read(body, &limits, arena, &top, NULL, &ignored) < 0 || top->kind != JSON_KIND_OBJECT)
        return no_answer(err, "the answer is not JSON");
    const struct json_val *error = json_member(top, "error"), *result = json_member(top, "result");
    if (error && error->kind == JSON_KIND_OBJECT)
        return read_error(error, err);
    if (!result || result->kind != JSON_KIND_ARRAY || result->count != 1 ||
        result->first->kind != JSON_KIND_OBJECT)
        return no_answer(err, "the answer has no result");
    return read_info(result->first, asked, ret, err);
}

/* ---- asking ---- */

/* The load is gone before done() is called: whoever waits may end the process then. */
static void finish(struct load *load, int rc, const struct loaded *loaded)
{
    loader_done_fn *done = load->done;
    void *ctx = load->ctx;
    struct spool *answer = load->answer;
    struct err err = ERR_INIT;
    char *ref = load->ref;

    err_move(&err, &load->err);
    sbuf_release(&load->body);
    sbuf_release(&load->mark);
    free(load);
    done(ctx, rc, loaded, &err);
    err_clear(&err);
    spool_free(answer);
    free(ref);
}

static void read_on_worker(void *ctx)
{
    struct load *load = ctx;
    struct loaded loaded = { .released = false };
    struct slice bytes = SLICE("");
    struct arena arena = ARENA_INIT;
    int rc = load->err.code ? -(int)load->err.code : 0;

    if (rc == 0)
        rc = load->answer ? spool_bytes(load->answer, &bytes, &load->err) : 0;
    if (rc == 0)
        rc = loader_read_answer(bytes, &load->id, &arena, &loaded, &load->err);
    finish(load, rc, rc == 0 ? &loaded : NULL);
    arena_release(&arena);
}

static void hand_over(struct load *load)
{
    struct service *service = load->loader->service;
    AUTO_ERR(busy);

    if (!service) {
        read_on_worker(load);
    } else if (service_run_on_worker(service, read_on_worker, load, &busy) < 0) {
        err_clear(&load->err);
        finish(load, err_move(&load->err, &busy), NULL);
    }
}

static void send_it(struct load *load);

static void answered(void *ctx, struct http_result *result)
{
    struct load *load = ctx;

    /* a kept connection may just have been closed by the other side */
    if (result->outcome == HTTP_BROKEN && result->reused && !load->retried) {
        load->retried = true;
        send_it(load);
        return;
    }

    if (result->outcome != HTTP_CANCELLED)
        target_note(load->loader->target, result->address, result->outcome == HTTP_ANSWERED);
    if (result->outcome == HTTP_ANSWERED)
        load->answer = TAKE(result->body);
    else
        err_set(
            &load->err, ERR_TARGET,
            LOADER_FAILED "The delegation target (type-delegation-target) did not answer: %s after %llu ms",
            result->problem ? result->problem : "cancelled", (unsigned long long)(result->took_us / 1000));
    hand_over(load);
}

static void send_it(struct load *load)
{
    const struct config *config = load->loader->config;
    uint64_t now = clock_us(), connect = (uint64_t)config->delegation_connect_timeout;
    uint64_t left = load->deadline_us > now + LEAST_US ? load->deadline_us - now : LEAST_US;
    const struct http_field fields[] = { { "Content-Type", "application/json" },
                                         { HOPS_HEADER, load->mark.p } };
    const struct http_send send = {
        .verb = "POST",
        .url = target_url(load->loader->target),
        .field_count = ARRAY_LEN(fields),
        .fields = fields,
        .part_count = 1,
        .parts = { sbuf_slice(&load->body) },
        .connect_us = connect < left ? connect : left,
        .total_us = left,
        .answer = { MAX_IN_MEMORY, (size_t)config->delegation_max_answer, config->temp_dir },
        .flags = load->retried ? HTTP_FRESH : 0,
        .done = answered,
        .ctx = load,
    };

    http_send(load->loader->client, &send);
}

static int put_question(struct load *load, struct err *err)
{
    struct hops hops = HOPS_INIT;
    char cluster[HOPS_ID_LEN + 1];

    target_cluster(load->loader->target, cluster);
    int rc = hops_add(&hops, cluster, load->loader->node, err);
    if (rc < 0)
        return rc;
    sbuf_adds(&load->body, "{\"params\":[");
    json_put_str(&load->body, load->ref);
    sbuf_adds(&load->body, "],\"method\":\"Workspace.get_type_info\",\"version\":\"1.1\",\"id\":\"1\"");
    envelope_put_mark(&load->body, 1, false, &hops);
    sbuf_addc(&load->body, '}');
    hops_put_header(&load->mark, &hops);
    return 0;
}

static void admitted(void *ctx, int rc, struct err *err)
{
    struct load *load = ctx;

    if (rc == 0)
        rc = put_question(load, err);
    if (rc < 0) {
        err_set(&load->err, err->code, LOADER_FAILED "%s", err_text(err));
        hand_over(load);
    } else {
        send_it(load);
    }
}

void loader_load(struct loader *loader, struct slice ref, loader_done_fn *done, void *ctx)
{
    struct load *load = xcalloc(1, sizeof(*load));
    AUTO_ERR(err);

    load->loader = loader;
    load->ref = xmemdup(ref.p, ref.n);
    load->body = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    load->mark = (struct sbuf)SBUF_INIT(MAX_TEXT);
    load->deadline_us = clock_us() + (uint64_t)loader->config->type_load_timeout;
    load->done = done;
    load->ctx = ctx;
    if (type_id_parse(slice_of(load->ref, ref.n), false, &load->id, &load->err) < 0) {
        hand_over(load);
        return;
    }
    int rc = target_gate(loader->target, false, load->deadline_us, admitted, load, &err);
    if (rc != TARGET_LATER)
        admitted(load, rc, &err);
}
