#include "shared/rpc/call.h"

#include <stdio.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/utf.h"
#include "shared/rpc/service_inner.h"

enum {
    MAX_LOGGED_ID = 64,
    MAX_LOGGED_IP = 128,
    MAX_LOGGED_FORWARDED = 500,
    MAX_LOGGED_MESSAGE = 500,
    MAX_LOG_LINE = 16384,
    MAX_NOTES = 8192,
    MAX_ALLOW_HEADERS = 1024,
    STATUS_OK = 200,
    STATUS_ERROR = 500, /* whatever the error is */
};

static struct slice cut(struct slice s, size_t max)
{
    return slice_of(s.p, s.n < max ? s.n : max);
}

/* ---- a new call ---- */

/* First of a comma separated list, without blanks; empty if there is nothing. */
static struct slice first_item(const char *list)
{
    return list ? utf_trim(slice_of(list, strcspn(list, ","))) : SLICE("");
}

static const char *find_client_ip(struct call *call)
{
    const struct config *config = call->service->config;
    struct slice ip = SLICE("");

    if (!config->dont_trust_x_ip_headers && !config->dont_trust_x_ip_headers2) {
        const char *real = http_header(call->http, "X-Real-IP");
        ip = first_item(http_header(call->http, "X-Forwarded-For"));
        if (ip.n == 0 && real)
            ip = utf_trim(slice_str(real));
    }
    if (ip.n == 0)
        ip = slice_str(http_peer(call->http));
    ip = cut(ip, MAX_LOGGED_IP);
    return arena_memdup(&call->arena, ip.p, ip.n);
}

/* The first half differs per process, the second counts. */
static void make_id(struct call *call, uint64_t number)
{
    snprintf(call->id, sizeof(call->id), "%.8s%08x", call->service->node_id, (unsigned)number);
}

struct call *call_new(struct service *service, struct http_request *request)
{
    struct dispatched *dispatched = xcalloc(1, sizeof(*dispatched));
    struct call *call = &dispatched->call;
    const char *token = http_header(request, "Authorization");

    atomic_fetch_add(&service->calls_active, 1);
    call->service = service;
    make_id(call, atomic_fetch_add(&service->calls_total, 1));
    dispatched->utf8 = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    call->app = service->app;
    call->http = request;
    call->notes = (struct sbuf)SBUF_INIT(MAX_NOTES);
    call->start_us = http_started_us(request);
    call->deadline_us = call->start_us + (uint64_t)service->config->request_timeout;
    call->client_ip = find_client_ip(call);
    call->has_token = token != NULL;
    call->token = slice_str(token ? token : "");
    return call;
}

static void call_free(struct call *call)
{
    struct dispatched *dispatched = (struct dispatched *)call;
    struct service *service = call->service;

    sbuf_release(&dispatched->utf8);
    sbuf_release(&call->notes);
    err_clear(&call->role_err);
    arena_release(&call->arena);
    free(dispatched);
    atomic_fetch_sub(&service->calls_active, 1);
}

static void call_on_worker(void *ctx)
{
    struct dispatched *dispatched = ctx;

    dispatched->call.may_block = true;
    dispatched->next(&dispatched->call);
}

void call_run_on_worker(struct call *call, void (*fn)(struct call *call))
{
    struct dispatched *dispatched = (struct dispatched *)call;
    AUTO_ERR(err);

    dispatched->next = fn;
    if (workers_run(call->service->workers, call_on_worker, call, &err) < 0)
        call_finish(call, -ERR_BUSY, NULL, &err);
}

/* ---- the answer ---- */

/* What the client named, if that can stand in a header. */
static const char *allowed_headers(const struct http_request *request)
{
    const char *asked = http_header(request, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS");

    if (!asked || !*asked || strlen(asked) > MAX_ALLOW_HEADERS)
        return "authorization";
    for (const char *p = asked; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return "authorization";
    return asked;
}

static void reply(struct service *service, struct http_request *request, struct http_reply *what,
                  const char *type, bool cors)
{
    struct http_field fields[4];
    size_t n = 0;

    fields[n++] = (struct http_field){ "Content-Type", type };
    if (cors) {
        fields[n++] = (struct http_field){ "Access-Control-Allow-Origin", "*" };
        fields[n++] = (struct http_field){ "Access-Control-Allow-Headers", allowed_headers(request) };
    }
    /* kept connections would hold up the end */
    if (atomic_load(&service->draining))
        fields[n++] = (struct http_field){ "Connection", "close" };
    what->field_count = n;
    what->fields = fields;
    http_reply(request, what);
}

void reply_bytes(struct service *service, struct http_request *request, int status, const char *type,
                 bool cors, char *bytes, size_t len)
{
    struct http_reply what = { .status = status, .bytes = bytes, .len = len };

    reply(service, request, &what, type, cors);
}

/* Those that upstream throws as an exception come with its trace. */
static bool has_trace(const struct err *err)
{
    switch (err->code) {
    case ERR_TOO_BIG:
    case ERR_GET:
    case ERR_METHOD:
    case ERR_NOT_STARTED:
        return false;
    case ERR_PARAMS:
        return params_has_trace(err);
    default:
        return true;
    }
}

/*
 * Upstream sends a Java stack trace.  Its test suite looks for the names of two classes in it, and people for
 * the place where an error was made, when it has passed more than one server.
 */
static void put_trace(struct sbuf *out, const struct call *call, const struct err *err)
{
    const char *dot = call->method ? strchr(call->method->name, '.') : NULL;
    bool admin = call->method && (call->method->flags & METHOD_NEEDS_ROLE);

    if (!has_trace(err))
        return;
    sbuf_addf(out, "%s: ", err_name(err->code));
    sbuf_add(out, err->text, err->len);
    if (dot)
        sbuf_addf(out, "\n\tat %s.%s (wstyped %s)", admin ? "TypeDefinitionDB" : "LocalTypeServerMethods",
                  dot + 1, call->service->mode->role);
    else
        sbuf_addf(out, "\n\tat wstyped %s", call->service->mode->role);
}

/* Failures that a look at the log should explain; the others are the caller's. */
static bool is_unexpected(enum err_code code)
{
    static const bool unexpected[ERR_COUNT] = {
        [ERR_UNEXPECTED] = true, [ERR_NOT_STARTED] = true, [ERR_STORE] = true,  [ERR_BUSY] = true,
        [ERR_FENCED] = true,     [ERR_LOOP] = true,        [ERR_TARGET] = true, [ERR_REMOTE] = true,
        [ERR_TIMEOUT] = true,    [ERR_IO] = true,          [ERR_CONFIG] = true, [ERR_CONFLICT] = true,
        [ERR_AGAIN] = true,
    };

    return unexpected[code];
}

/* Errors that may just come from our own ending of what was waited for. */
static bool may_be_cancelled(enum err_code code)
{
    static const bool may_be[ERR_COUNT] = {
        [ERR_AUTH] = true, [ERR_BUSY] = true, [ERR_TARGET] = true, [ERR_REMOTE] = true, [ERR_TIMEOUT] = true,
    };

    return may_be[code];
}

struct outcome {
    const char *name;
    const struct err *err; /* NULL: none */
    size_t bytes_out;
};

static void log_call(const struct call *call, const struct outcome *outcome)
{
    const char *forwarded = http_header(call->http, "X-Forwarded-For");
    AUTO_SBUF(fields, MAX_LOG_LINE);

    if (!log_wants(LOG_LEVEL_INFO))
        return;
    log_put(&fields, "id", slice_str(call->id));
    log_put(&fields, "ip", slice_str(call->client_ip));
    log_put(&fields, "user", slice_str(call->user ? call->user : "-"));
    log_put(&fields, "method", slice_str(call->method ? call->method->name : "-"));
    if (call->env.has_id)
        log_put(&fields, "rpc_id", cut(call->env.id, MAX_LOGGED_ID));
    log_put(&fields, "outcome", slice_str(outcome->name));
    if (outcome->err)
        log_putf(&fields, "code", "%d", err_rpc_code(outcome->err->code));
    log_putf(&fields, "us", "%llu", (unsigned long long)(clock_us() - call->start_us));
    if (call->hop_us)
        log_putf(&fields, "hop_us", "%llu", (unsigned long long)call->hop_us);
    log_putf(&fields, "in", "%zu", ((const struct dispatched *)call)->bytes_in);
    log_putf(&fields, "out", "%zu", outcome->bytes_out);
    /* as it came, whether `ip` was taken from it or not */
    if (forwarded && *forwarded)
        log_put(&fields, "forwarded_for", cut(slice_str(forwarded), MAX_LOGGED_FORWARDED));
    if (outcome->err && is_unexpected(outcome->err->code))
        log_put(&fields, "message", cut(slice_of(outcome->err->text, outcome->err->len), MAX_LOGGED_MESSAGE));
    sbuf_add_slice(&fields, sbuf_slice(&call->notes));
    log_event(LOG_LEVEL_INFO, "request", &fields);
}

static void end_call(struct call *call, struct http_reply *what, const struct outcome *outcome)
{
    /* what the log line says must be read before the reply: the request's memory goes with it */
    log_call(call, outcome);
    reply(call->service, call->http, what, "application/json", true);
    call_free(call);
}

static void finish_error(struct call *call, struct err *err)
{
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    AUTO_SBUF(trace, SBUF_NO_LIMIT);
    struct http_reply what = { .status = STATUS_ERROR };

    if (err->code == ERR_NONE)
        err_set(err, ERR_UNEXPECTED, "Unexpected internal error (no text)");
    if (atomic_load(&call->service->closing) && may_be_cancelled(err->code)) {
        err_clear(err);
        err_set(err, ERR_NOT_STARTED, SHUTDOWN_TEXT);
    }
    put_trace(&trace, call, err);
    envelope_put_error(&body, err, sbuf_slice(&trace), call->env.has_id, call->env.id);
    what.bytes = sbuf_take(&body, &what.len);
    atomic_fetch_add(&call->service->calls_failed, 1);
    end_call(call, &what, &(struct outcome){ err_name(err->code), err, what.len });
}

void call_finish(struct call *call, int rc, struct sbuf *result, struct err *err)
{
    AUTO_ERR(problem);
    AUTO_SBUF(body, SBUF_NO_LIMIT);
    struct http_reply what = { .status = STATUS_OK };

    if (err)
        err_move(&problem, err);
    if (rc == 0 && result && result->failed)
        rc = err_set(&problem, ERR_LIMIT, "The answer is larger than %zu bytes", result->limit);
    if (rc < 0) {
        if (result)
            sbuf_release(result);
        finish_error(call, &problem);
        return;
    }
    enum result_kind kind = call->method->result;
    if (kind == RESULT_LIST && (!result || result->len == 0))
        kind = RESULT_NULL;
    envelope_put_result(&body, result ? sbuf_slice(result) : SLICE(""), kind);
    if (result)
        sbuf_release(result);
    what.bytes = sbuf_take(&body, &what.len);
    end_call(call, &what, &(struct outcome){ "ok", NULL, what.len });
}

void call_finish_raw(struct call *call, int status, struct spool *body, const char *outcome)
{
    struct http_reply what = { .status = status, .spool = body };

    if (status != STATUS_OK)
        atomic_fetch_add(&call->service->calls_failed, 1);
    end_call(call, &what, &(struct outcome){ outcome, NULL, spool_size(body) });
}
