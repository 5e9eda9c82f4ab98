#include "shared/rpc/envelope.h"

#include "shared/rpc/convert.h"

static const char call_class[] = "us.kbase.common.service.JsonServerServlet$RpcCallData";
static const char context_class[] = "us.kbase.common.service.RpcContext";
static const char step_class[] = "us.kbase.common.service.MethodCall";

/* Strings of an object that has others, too. */
static int check_strings(struct convert *c, const struct json_val *object, const char *java_class,
                         const char *const *names, size_t count)
{
    struct param_text ignored;

    for (const struct json_val *m = object->first; m; m = m->next)
        for (size_t i = 0; i < count; i++) {
            if (!slice_is(m->key, names[i]))
                continue;
            convert_enter_key(c, java_class, m->key);
            int rc = convert_string(c, m, &ignored);
            convert_leave(c);
            if (rc)
                return rc;
        }
    return 0;
}

static int check_call_stack(struct convert *c, const struct json_val *list)
{
    static const char *const names[] = { "time", "method", "job_id" };
    size_t i = 0;
    int rc = convert_check_list(c, list);

    for (const struct json_val *step = list->first; !rc && step; step = step->next, i++) {
        convert_enter_index(c, "java.util.ArrayList", i);
        rc = convert_check_object(c, step, step_class);
        if (!rc)
            rc = check_strings(c, step, step_class, names, ARRAY_LEN(names));
        convert_leave(c);
    }
    return rc;
}

static int read_context(struct convert *c, const struct json_val *val, struct envelope *env)
{
    static const char *const names[] = { "run_id" };
    int rc = convert_check_object(c, val, context_class);

    env->marked = false;
    if (rc || val->kind == JSON_KIND_NULL)
        return rc;
    if ((rc = check_strings(c, val, context_class, names, ARRAY_LEN(names))))
        return rc;
    for (const struct json_val *m = val->first; m; m = m->next) {
        if (!slice_is(m->key, "call_stack"))
            continue;
        convert_enter_key(c, context_class, m->key);
        rc = check_call_stack(c, m);
        convert_leave(c);
        if (rc)
            return rc;
    }
    const struct json_val *mark = json_member(val, "wstyped");
    if (!mark)
        return 0;
    env->marked = true;
    return hops_parse_json(mark, &env->hops, c->err);
}

static int read_method(struct convert *c, const struct json_val *val, struct envelope *env)
{
    struct param_text text;
    int rc = convert_string(c, val, &text);

    if (rc)
        return rc;
    env->has_method = text.given;
    env->method = text.text;
    if (text.given && !(text.text.n && memchr(text.text.p, '.', text.text.n))) {
        AUTO_SBUF(full, SBUF_NO_LIMIT);
        sbuf_adds(&full, "Workspace.");
        sbuf_add_slice(&full, text.text);
        env->method = arena_slice(c->arena, sbuf_slice(&full));
    }
    return 0;
}

static int read_params(struct convert *c, const struct json_val *val, struct envelope *env)
{
    int rc = convert_check_list(c, val);

    if (rc)
        return rc;
    env->has_params = val->kind == JSON_KIND_ARRAY;
    if (!env->has_params)
        return 0;
    if (env->params)
        env->last_params = val;
    else
        env->params = val;
    return 0;
}

static int read_id(struct convert *c, const struct json_val *val, struct envelope *env)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    env->has_id = val->kind != JSON_KIND_NULL;
    json_java_text(val, &text);
    env->id = arena_slice(c->arena, sbuf_slice(&text));
    return 0;
}

static int read_nothing(struct convert *c, const struct json_val *val, struct envelope *env)
{
    (void)c;
    (void)val;
    (void)env;
    return 0;
}

static const struct {
    const char *key;
    int (*read)(struct convert *c, const struct json_val *val, struct envelope *env);
} members[] = {
    { "context", read_context }, { "params", read_params }, { "version", read_nothing },
    { "id", read_id },           { "method", read_method },
};

static int read_member(struct convert *c, const struct json_val *m, struct envelope *env)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (slice_is(m->key, members[i].key)) {
            convert_enter_key(c, call_class, m->key);
            int rc = members[i].read(c, m, env);
            convert_leave(c);
            return rc;
        }
    return convert_fail_unknown(c, m, call_class, "\"context\", \"params\", \"version\", \"id\", \"method\"",
                                ARRAY_LEN(members));
}

static int read_object(struct slice body, const struct json_limits *limits, bool outline, struct arena *arena,
                       struct envelope *env, struct err *err)
{
    struct convert c = {
        .body = body, .source = CONVERT_BODY, .code = ERR_PARSE, .arena = arena, .err = err
    };
    struct json_val *top;
    int rc = json_read_outline(body, limits, outline ? "params" : NULL, arena, &top, NULL, err);

    if (rc || (rc = convert_check_object(&c, top, call_class)))
        return rc;
    if (top->kind == JSON_KIND_NULL)
        return err_set(err, ERR_UNEXPECTED, "null");
    for (const struct json_val *m = top->first; m; m = m->next)
        if ((rc = read_member(&c, m, env)))
            return rc;
    env->object_end = top->end - 1;
    return 0;
}

static int read_envelope(struct slice body, const struct json_limits *limits, bool outline,
                         struct arena *arena, struct envelope *ret_env, struct err *err)
{
    AUTO_ERR(inner);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    struct envelope env = { .body = body, .params_unread = outline };

    if (body.n == 0)
        return err_set(err, ERR_UNEXPECTED,
                       "Unexpected internal error (Data must be at least 1 byte / char)");
    if (!read_object(body, limits, outline, arena, &env, &inner)) {
        *ret_env = env;
        return 0;
    }
    sbuf_adds(&text, inner.code == ERR_PARSE ? "Parse error (" : "Unexpected internal error (");
    sbuf_add(&text, inner.text, inner.len);
    sbuf_addc(&text, ')');
    return err_set_text(err, inner.code, sbuf_slice(&text));
}

int envelope_read(struct slice body, const struct json_limits *limits, struct arena *arena,
                  struct envelope *ret_env, struct err *err)
{
    return read_envelope(body, limits, false, arena, ret_env, err);
}

int envelope_read_outline(struct slice body, const struct json_limits *limits, struct arena *arena,
                          struct envelope *ret_env, struct err *err)
{
    return read_envelope(body, limits, true, arena, ret_env, err);
}

int envelope_check(const struct envelope *env, struct err *err)
{
    struct slice name = env->method;

    if (!env->has_method)
        return err_set(err, ERR_METHOD, "JSON RPC method property is not defined");
    if (!env->has_params)
        return err_set(err, ERR_METHOD, "JSON RPC params property is not defined");
    while (name.n && name.p[name.n - 1] == '.')
        name.n--;
    int pieces = name.n == 0 ? 0 : memchr(name.p, '.', name.n) ? 2 : 1;
    if (pieces < 2)
        return err_set(err, ERR_UNEXPECTED,
                       "Unexpected internal error (Index %d out of bounds for length %d)", pieces, pieces);
    return 0;
}

void envelope_put_result(struct sbuf *out, struct slice result, enum result_kind kind)
{
    sbuf_adds(out, "{\"version\":\"1.1\",\"result\":");
    if (kind == RESULT_VOID) {
        sbuf_adds(out, "null}");
        return;
    }
    sbuf_addc(out, '[');
    sbuf_add_slice(out, kind == RESULT_NULL || result.n == 0 ? SLICE("null") : result);
    sbuf_adds(out, "]}");
}

void envelope_put_error(struct sbuf *out, const struct err *err, struct slice trace, bool has_id,
                        struct slice id)
{
    struct slice message = err->text ? slice_of(err->text, err->len) : slice_str(err_name(err->code));

    sbuf_addf(out, "{\"version\":\"1.1\",\"error\":{\"name\":\"JSONRPCError\",\"code\":%d,\"message\":",
              err_rpc_code(err->code));
    json_put_string(out, message);
    sbuf_adds(out, ",\"error\":");
    if (trace.n)
        json_put_string(out, trace);
    else
        sbuf_adds(out, "null");
    sbuf_addc(out, '}');
    if (has_id) {
        sbuf_adds(out, ",\"id\":");
        json_put_string(out, id);
    }
    sbuf_addc(out, '}');
}

void envelope_put_mark(struct sbuf *out, int unit, bool big_endian, const struct hops *hops)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    char wide[4] = { 0 };

    sbuf_adds(&text, ",\"context\":{\"wstyped\":");
    hops_put_json(&text, hops);
    sbuf_addc(&text, '}');
    for (size_t i = 0; i < text.len; i++) {
        wide[big_endian ? unit - 1 : 0] = text.p[i];
        sbuf_add(out, wide, (size_t)unit);
    }
}
