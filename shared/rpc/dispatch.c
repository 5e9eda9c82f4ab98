#include "shared/rpc/dispatch.h"

#include "shared/base/typename.h"
#include "shared/rpc/pages.h"
#include "shared/rpc/service_inner.h"

/* No answer of a method is larger. */
#define MAX_RESULT ((size_t)2 << 30)
/* Larger bodies may be of a method that does not want a tree of its parameters, so none is made at first. */
#define OUTLINE_ABOVE ((size_t)64 << 10)

static void step_params(struct call *call);
static void step_run(struct call *call);

/* ---- run ---- */

static void run_method(struct call *call)
{
    struct sbuf result = SBUF_INIT(MAX_RESULT);
    struct err err = ERR_INIT;
    bool may_block = call->may_block;
    int rc = call->method->run(call, &result, &err);

    /* once it will finish later, the call may be gone already */
    if (rc == CALL_LATER) {
        sbuf_release(&result);
        err_clear(&err);
    } else if (rc == -ERR_AGAIN && !may_block) {
        sbuf_release(&result);
        err_clear(&err);
        call_run_on_worker(call, run_method);
    } else {
        call_finish(call, rc, &result, &err);
    }
}

static void step_run(struct call *call)
{
    if (!call->may_block && (call->method->flags & METHOD_WRITE))
        call_run_on_worker(call, run_method);
    else
        run_method(call);
}

/* ---- role ---- */

static void take_role(struct call *call, int rc, enum admin_role role, struct err *err)
{
    call->role = rc < 0 ? ADMIN_NONE : role;
    if (rc < 0)
        err_move(&call->role_err, err);
}

static void role_known(void *ctx, int rc, enum admin_role role, struct err *err)
{
    struct call *call = ctx;

    take_role(call, rc, role, err);
    call_run_on_worker(call, step_run);
}

/* Why a role could not be found out is for the method to say: it comes before its own checks. */
static void step_role(struct call *call)
{
    AUTO_ERR(err);
    enum admin_role role = ADMIN_NONE;
    int rc = auth_role(call->service->auth, call->user, call->token, &role, role_known, call, &err);

    if (rc == CALL_LATER)
        return;
    take_role(call, rc, role, &err);
    step_run(call);
}

/* ---- parameters ---- */

/*
 * Upstream makes a user object, which refuses illegal names, in its methods, after converting the parameters;
 * only those that are about administrators, or ignore the user, never make one.
 */
static int check_user(const struct call *call, struct err *err)
{
    if (!call->user || (call->method->flags & (METHOD_NEEDS_ROLE | METHOD_ANY_USER)))
        return 0;
    return username_check(slice_str(call->user), false, err);
}

static void step_params(struct call *call)
{
    struct err err = ERR_INIT;
    int rc = params_convert(&call->env, call->method, &call->arena, &call->params, &err);

    if (rc == 0)
        rc = check_user(call, &err);
    if (rc < 0)
        call_finish(call, rc, NULL, &err);
    else if (call->method->flags & METHOD_NEEDS_ROLE)
        step_role(call);
    else
        step_run(call);
}

/* ---- token ---- */

static void user_known(void *ctx, int rc, const char *user, struct err *err)
{
    struct call *call = ctx;

    if (rc < 0) {
        call_finish(call, rc, NULL, err);
        return;
    }
    call->user = arena_strdup(&call->arena, user);
    call_run_on_worker(call, step_params);
}

static void step_token(struct call *call)
{
    struct err err = ERR_INIT;
    const char *user = NULL;
    enum auth_need need = call->method->auth;

    if (need == AUTH_NONE || (need == AUTH_OPTIONAL && !call->has_token)) {
        step_params(call);
        return;
    }
    /* a missing token is refused there like an empty one */
    int rc = auth_user(call->service->auth, call->token, &call->arena, &user, user_known, call, &err);
    if (rc == CALL_LATER)
        return;
    if (rc < 0) {
        call_finish(call, rc, NULL, &err);
        return;
    }
    call->user = user;
    step_params(call);
}

/* ---- envelope and method ---- */

static int read_body(struct call *call, struct err *err)
{
    struct dispatched *dispatched = (struct dispatched *)call;
    struct spool *spool = http_body(call->http);
    struct slice raw = SLICE("");
    AUTO_ERR(problem);

    if (spool && spool_bytes(spool, &raw, &problem) < 0)
        return err_set(err, ERR_UNEXPECTED, "Unexpected internal error (%s)", err_text(&problem));
    call->raw_body = raw;
    call->body = json_to_utf8(raw, &dispatched->utf8, &call->body_unit, &call->body_big_endian);
    return 0;
}

static int read_hops(struct call *call, struct err *err)
{
    const char *header = http_header(call->http, HOPS_HEADER);
    struct hops from_header = HOPS_INIT;

    if (call->env.marked)
        call->hops = call->env.hops;
    if (!header)
        return 0;
    int rc = hops_parse_header(slice_str(header), &from_header, err);
    return rc < 0 ? rc : hops_merge(&call->hops, &from_header, err);
}

static int read_call(struct call *call, struct err *err)
{
    struct service *service = call->service;
    int rc = read_body(call, err);
    bool outline = call->body.n > OUTLINE_ABOVE;

    if (rc == 0)
        rc = (outline ? envelope_read_outline : envelope_read)(call->body, &service->limits, &call->arena,
                                                               &call->env, err);
    if (rc == 0)
        rc = envelope_check(&call->env, err);
    if (rc == 0)
        rc = read_hops(call, err);
    if (rc < 0)
        return rc;
    call->method = method_find(service->mode->methods, call->env.method);
    if (!call->method)
        return method_set_unknown(err, call->env.method);
    if (outline && call->method->params->kind != PARAM_RAW) {
        rc = envelope_read(call->body, &service->limits, &call->arena, &call->env, err);
        if (rc < 0)
            return rc;
    }
    return service->mode->admit ? service->mode->admit(call, err) : 0;
}

static void begin(struct call *call)
{
    struct err err = ERR_INIT;
    int rc = read_call(call, &err);

    if (rc < 0)
        call_finish(call, rc, NULL, &err);
    else
        step_token(call);
}

static void post(struct service *service, struct http_request *request)
{
    struct call *call = call_new(service, request);
    struct err err = ERR_INIT;
    const char *problem;

    if (atomic_load(&service->closing)) {
        call_finish(call, err_set(&err, ERR_NOT_STARTED, SHUTDOWN_TEXT), NULL, &err);
        return;
    }
    if (http_body_too_big(request)) {
        int rc = err_set(&err, ERR_TOO_BIG, "Object is too big, length is more than %lld bytes",
                         (long long)service->config->max_body_size);
        call_finish(call, rc, NULL, &err);
        return;
    }
    if (http_body_failed(request, &problem)) {
        int rc = err_set(&err, ERR_UNEXPECTED, "Unexpected internal error (%s)", problem);
        call_finish(call, rc, NULL, &err);
        return;
    }
    struct spool *body = http_body(request);
    size_t size = body ? spool_size(body) : 0;
    ((struct dispatched *)call)->bytes_in = size;
    if (size > (size_t)service->config->body_memory)
        call_run_on_worker(call, begin);
    else
        begin(call);
}

/* ---- the other verbs ---- */

static void get(struct service *service, struct http_request *request)
{
    static const char body[] = "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":-32300,"
                               "\"message\":\"HTTP GET not allowed.\",\"error\":null}}";

    if (!pages_answer(service, request))
        reply_bytes(service, request, 500, "application/json", false, xmemdup(body, sizeof(body) - 1),
                    sizeof(body) - 1);
}

static void preflight(struct service *service, struct http_request *request)
{
    reply_bytes(service, request, 200, "application/json", true, xmemdup("", 0), 0);
}

static void refuse_verb(struct service *service, struct http_request *request)
{
    static const char body[] = "<html><head><title>Error 405</title></head>"
                               "<body><h1>405 HTTP method is not supported by this URL</h1></body></html>\n";

    reply_bytes(service, request, 405, "text/html", false, xmemdup(body, sizeof(body) - 1), sizeof(body) - 1);
}

void dispatch_request(void *ctx, struct http_request *request)
{
    static void (*const verbs[])(struct service *, struct http_request *) = {
        [HTTP_GET] = get,           [HTTP_HEAD] = get,          [HTTP_POST] = post,
        [HTTP_OPTIONS] = preflight, [HTTP_OTHER] = refuse_verb,
    };

    verbs[http_verb(request)](ctx, request);
}
