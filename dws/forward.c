#include "dws/forward.h"

#include <stdio.h>
#include <strings.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

enum {
    STATUS_OK = 200,
    STATUS_ERROR = 500,
    MAX_FIELDS = 4,
    MAX_HASHED = 65536,
    MAX_TEXT = 16384,
};

/* Shorter than this there is no point in trying again or beginning at all. */
#define LEAST_US ((uint64_t)1000)

struct forward {
    struct forwarder *forwarder;
    struct call *call;
    bool write, retried;
    unsigned slot;
    size_t field_count;
    struct http_field fields[MAX_FIELDS];
    struct slice parts[3];
    size_t part_count;
};

/* ---- loops ---- */

static void put_nodes(const struct hops *hops, const char *node, struct sbuf *out)
{
    for (size_t i = 0; i < hops->count; i++)
        sbuf_addf(out, "%s -> ", hops->nodes[i]);
    sbuf_adds(out, node);
}

static bool is_probe(struct forwarder *f, const struct call *call)
{
    const struct json_val *param = call->env.params->first;

    return slice_is(call->env.method, "Workspace.get_type_info") && param &&
           param->kind == JSON_KIND_STRING && target_is_probe(f->target, param->text);
}

int forward_admit(struct forwarder *f, const struct call *call, struct err *err)
{
    AUTO_SBUF(nodes, MAX_TEXT);
    size_t max = (size_t)f->config->delegation_max_hops;

    if (is_probe(f, call))
        return err_set(err, ERR_LOOP, "Delegation loop: type-delegation-target of %s leads back to it",
                       f->node);
    if (call->hops.count == 0 || (call->method->flags & METHOD_LOCAL))
        return 0;
    put_nodes(&call->hops, f->node, &nodes);
    if (hops_contains(&call->hops, f->node)) {
        target_saw_loop(f->target);
        return err_set(err, ERR_LOOP,
                       "Delegation loop: the call has come back to a node that it had passed: %s "
                       "(see type-delegation-target of each)",
                       nodes.p);
    }
    if (call->hops.count >= max)
        return err_set(err, ERR_LOOP,
                       "Delegation loop or chain: the call was delegated before, and this node would "
                       "delegate it, too: %s (see type-delegation-target of each; delegation-max-hops "
                       "is %zu here)",
                       nodes.p, max);
    return 0;
}

/* FNV-1a over the method and the text of the parameters. Collisions only cost a check of the target. */
static unsigned slot_of(const struct call *call)
{
    const struct json_val *params = call->env.params;
    struct slice text = slice_of(call->body.p + params->begin, params->end - params->begin);
    uint64_t hash = 14695981039346656037u ^ text.n;

    for (size_t i = 0; i < call->env.method.n; i++)
        hash = (hash ^ (unsigned char)call->env.method.p[i]) * 1099511628211u;
    for (size_t i = 0; i < text.n && i < MAX_HASHED; i++)
        hash = (hash ^ (unsigned char)text.p[i]) * 1099511628211u;
    return (unsigned)((hash ^ hash >> 32) % FORWARD_SLOTS);
}

/* ---- what is sent ---- */

static void add_field(struct forward *fw, const char *name, const char *value)
{
    fw->fields[fw->field_count++] = (struct http_field){ name, value };
}

/* The client first, as this node sees it, then who it was that asked this node. */
static const char *forwarded_for(struct call *call, const struct config *config)
{
    bool trusted = !config->dont_trust_x_ip_headers && !config->dont_trust_x_ip_headers2;
    const char *before = trusted ? http_header(call->http, "X-Forwarded-For") : NULL;
    const char *peer = http_peer(call->http);

    if (before && before[0])
        return arena_printf(&call->arena, "%s, %s", before, peer);
    if (call->client_ip && strcmp(call->client_ip, peer) != 0)
        return arena_printf(&call->arena, "%s, %s", call->client_ip, peer);
    return arena_strdup(&call->arena, peer);
}

static const char *in_arena(struct call *call, const struct sbuf *text)
{
    return arena_memdup(&call->arena, text->p ? text->p : "", text->len);
}

static void make_fields(struct forward *fw, const struct hops *hops)
{
    struct call *call = fw->call;
    AUTO_SBUF(mark, MAX_TEXT);

    hops_put_header(&mark, hops);
    add_field(fw, "Content-Type", "application/json");
    add_field(fw, HOPS_HEADER, in_arena(call, &mark));
    add_field(fw, "X-Forwarded-For", forwarded_for(call, fw->forwarder->config));
    if (call->has_token && call->method->auth != AUTH_NONE && !(call->method->flags & METHOD_NO_TOKEN))
        add_field(fw, "Authorization", arena_memdup(&call->arena, call->token.p, call->token.n));
}

static void make_parts(struct forward *fw, const struct hops *hops)
{
    struct call *call = fw->call;
    AUTO_SBUF(mark, MAX_TEXT);
    size_t end =
        json_raw_offset(call->raw_body, call->body_unit, call->body_big_endian, call->env.object_end);

    envelope_put_mark(&mark, call->body_unit, call->body_big_endian, hops);
    fw->parts[0] = slice_of(call->raw_body.p, end);
    fw->parts[1] = slice_of(in_arena(call, &mark), mark.len);
    fw->parts[2] = slice_of(call->raw_body.p + end, (size_t)call->body_unit);
    fw->part_count = 3;
}

static int make_request(struct forward *fw, struct err *err)
{
    struct hops hops = fw->call->hops;
    char cluster[HOPS_ID_LEN + 1];

    target_cluster(fw->forwarder->target, cluster);
    int rc = hops_add(&hops, cluster, fw->forwarder->node, err);
    if (rc < 0)
        return rc;
    make_fields(fw, &hops);
    make_parts(fw, &hops);
    return 0;
}

/* ---- the end of a call ---- */

static void leave(struct forward *fw)
{
    struct forwarder *f = fw->forwarder;

    atomic_fetch_sub(&f->equal[fw->slot], 1);
    atomic_fetch_sub(&f->in_flight, 1);
}

static void finish_error(struct forward *fw, struct err *err)
{
    struct call *call = fw->call;

    atomic_fetch_add(&fw->forwarder->failed, 1);
    leave(fw);
    call_finish(call, -(int)err->code, NULL, err);
}

/* nothing_sent: then nothing can have changed. */
static void fail(struct forward *fw, bool nothing_sent, const char *what, const char *problem,
                 uint64_t took_us)
{
    AUTO_ERR(err);

    err_set(&err, ERR_TARGET, "The delegation target (type-delegation-target) %s: %s after %llu ms%s", what,
            problem, (unsigned long long)(took_us / 1000),
            fw->write && !nothing_sent ? "; it is not known whether the change was made" : "");
    finish_error(fw, &err);
}

/* A JSON-RPC answer is an object; all else comes from something in between. */
static const char *answer_problem(struct http_result *result)
{
    struct slice bytes;
    size_t i = 0;

    if (!http_is_success(result->status) && result->status != STATUS_ERROR)
        return "an HTTP status other than 2xx and 500";
    if (result->content_type[0] && strncasecmp(result->content_type, "application/json", 16) != 0)
        return "an answer that is not application/json";
    if (!result->body || spool_bytes(result->body, &bytes, NULL) < 0)
        return "an answer that cannot be read";
    while (i < bytes.n && strchr(" \t\r\n", bytes.p[i]) && bytes.p[i])
        i++;
    return i < bytes.n && bytes.p[i] == '{' ? NULL : "an answer that is not a JSON object";
}

static void pass_answer(struct forward *fw, struct http_result *result)
{
    struct call *call = fw->call;
    const char *problem = answer_problem(result);

    if (problem) {
        AUTO(free_str_auto) char *text = xasprintf("%s (status %d)", problem, result->status);
        fail(fw, false, "did not answer properly", text, result->took_us);
        return;
    }
    atomic_fetch_add(&fw->forwarder->answered, 1);
    leave(fw);
    call_finish_raw(call, http_is_success(result->status) ? STATUS_OK : STATUS_ERROR, TAKE(result->body),
                    http_is_success(result->status) ? "ok" : "error_of_target");
}

static void send_it(struct forward *fw);

/* Once, and only what the target has not seen, or what may be done twice and met a connection that was just
 * closed. */
static bool may_retry(const struct forward *fw, const struct http_result *result)
{
    if (fw->retried || clock_us() + LEAST_US >= fw->call->deadline_us)
        return false;
    if (result->outcome == HTTP_NOT_SENT)
        return result->took_us < (uint64_t)fw->forwarder->config->delegation_connect_timeout / 2 &&
               !strstr(result->problem, "waiting");
    return result->outcome == HTTP_BROKEN && result->reused && !fw->write;
}

static void on_done(void *ctx, struct http_result *result)
{
    struct forward *fw = ctx;
    struct forwarder *f = fw->forwarder;

    fw->call->hop_us += result->took_us;
    if (may_retry(fw, result)) {
        fw->retried = true;
        atomic_fetch_add(&f->retried, 1);
        send_it(fw);
        return;
    }
    if (result->outcome != HTTP_CANCELLED)
        target_note(f->target, result->address, result->outcome == HTTP_ANSWERED);
    if (result->outcome == HTTP_ANSWERED)
        pass_answer(fw, result);
    else if (result->outcome == HTTP_ANSWER_TOO_BIG)
        fail(fw, false, "did not answer properly", "the answer is larger than delegation-max-answer",
             result->took_us);
    else
        fail(fw, result->outcome == HTTP_NOT_SENT, "did not answer", result->problem, result->took_us);
}

static uint64_t at_most(uint64_t us, uint64_t limit)
{
    return us < limit ? us : limit;
}

static void send_it(struct forward *fw)
{
    const struct config *config = fw->forwarder->config;
    uint64_t now = clock_us(), deadline = fw->call->deadline_us;
    uint64_t left = deadline > now + LEAST_US ? deadline - now : LEAST_US;
    struct http_send send = {
        .verb = "POST",
        .url = target_url(fw->forwarder->target),
        .field_count = fw->field_count,
        .fields = fw->fields,
        .part_count = fw->part_count,
        .connect_us = at_most((uint64_t)config->delegation_connect_timeout, left),
        .first_byte_us = at_most((uint64_t)config->delegation_first_byte_timeout, left),
        .total_us = at_most((uint64_t)config->delegation_timeout, left),
        .answer = { (size_t)config->body_memory, (size_t)config->delegation_max_answer, config->temp_dir },
        .flags = fw->write || fw->retried ? HTTP_FRESH : 0,
        .done = on_done,
        .ctx = fw,
    };

    memcpy(send.parts, fw->parts, sizeof(fw->parts));
    http_send(fw->forwarder->client, &send);
}

/* ---- the beginning ---- */

static void on_admitted(void *ctx, int rc, struct err *err)
{
    struct forward *fw = ctx;

    if (rc == 0)
        rc = make_request(fw, err);
    if (rc < 0)
        finish_error(fw, err);
    else
        send_it(fw);
}

int forward_call(struct forwarder *f, struct call *call, bool write, struct err *err)
{
    struct forward *fw = arena_zalloc(&call->arena, sizeof(*fw));

    fw->forwarder = f;
    fw->call = call;
    fw->write = write;
    fw->slot = slot_of(call);
    bool many = atomic_fetch_add(&f->equal[fw->slot], 1) >= FORWARD_MAX_EQUAL;
    atomic_fetch_add(&f->in_flight, 1);
    int rc = target_gate(f->target, many, call->deadline_us, on_admitted, fw, err);
    if (rc == 0)
        rc = make_request(fw, err);
    if (rc < 0) {
        atomic_fetch_add(&f->failed, 1);
        leave(fw);
        return rc;
    }
    if (rc == 0)
        send_it(fw);
    return CALL_LATER;
}

void forward_put_status(struct forwarder *f, struct sbuf *json)
{
    sbuf_addf(json, "\"in_flight\":%zu,\"answered\":%llu,\"failed\":%llu,\"retried\":%llu",
              atomic_load(&f->in_flight), (unsigned long long)atomic_load(&f->answered),
              (unsigned long long)atomic_load(&f->failed), (unsigned long long)atomic_load(&f->retried));
}
