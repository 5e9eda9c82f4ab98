/*
 * The request reader: any body in any encoding gives a call or an error, every signature's conversion gives
 * values or a text, a marked body reads as before but marked, and what is answered is JSON that says the same
 * text.
 */
#include "shared/base/utf.h"
#include "shared/rpc/admin_command.h"
#include "shared/rpc/envelope.h"
#include "shared/rpc/method.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits limits = { .max_depth = 200, .max_nodes = 10000 };

/* The mark takes some room, too. */
static const struct json_limits wider = { .max_depth = 210, .max_nodes = 10100 };

static void require(bool fine)
{
    if (!fine)
        abort();
}

static void check_error(const struct err *err, int rc, const struct envelope *env)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    AUTO_ARENA(arena);
    struct json_val *answer;

    require(rc == -(int)err->code && err->len > 0);
    require(utf_valid(slice_of(err->text, err->len)));
    envelope_put_error(&out, err, SLICE("trace"), env && env->has_id, env ? env->id : SLICE(""));
    require(json_read(sbuf_slice(&out), &wider, &arena, &answer, NULL, NULL) == 0);
    const struct json_val *message = json_member(json_member(answer, "error"), "message");
    require(slice_eq(message->text, slice_of(err->text, err->len)));
    const struct json_val *id = json_member(answer, "id");
    require(!id == !(env && env->has_id) && (!id || slice_eq(id->text, env->id)));
}

static void check_object(const void *object, const struct envelope *env)
{
    const struct param_head *head = object;
    AUTO_ERR(err);

    if (!head)
        return;
    int rc = params_check_unexpected(head, &err);
    require(!rc == !head->unknown_count);
    if (rc)
        check_error(&err, rc, env);
}

static void check_admin(const struct envelope *env, const struct json_val *val, struct arena *arena)
{
    struct admin_command command;
    const void *object;
    AUTO_ERR(err);
    int rc = admin_command_read(env->body, val, arena, &command, &err);

    if (!rc) {
        rc = admin_command_params(env->body, &command, param_spec_GRANT_MODULE_OWNERSHIP, arena, &object,
                                  &err);
        if (!rc)
            check_object(object, env);
    }
    if (rc)
        check_error(&err, rc, env);
}

static void check_params(const struct envelope *env, struct arena *arena)
{
    static const struct param_spec integer[1] = { { PARAM_INT, NULL } }, map[1] = { { PARAM_INT_MAP, NULL } };
    static const struct method methods[] = {
#define ROW(signature, n) { .name = "M.m", .params = param_spec_##signature, .param_count = (n) },
        PARAM_SIGNATURES(ROW)
#undef ROW
            { .name = "M.m", .params = integer, .param_count = 1 },
        { .name = "M.m", .params = map, .param_count = 1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        const union param_value *values;
        AUTO_ERR(err);
        int rc = params_convert(env, &methods[i], arena, &values, &err);
        if (rc)
            check_error(&err, rc, env);
        else if (methods[i].param_count && methods[i].params->kind == PARAM_STRUCT)
            check_object(values[0].object, env);
        else if (methods[i].param_count && methods[i].params->kind == PARAM_ANY)
            check_admin(env, values[0].any, arena);
    }
}

static void check_marked(struct slice raw, int unit, bool big, const struct envelope *env)
{
    AUTO_SBUF(marked, SBUF_NO_LIMIT);
    AUTO_SBUF(buf, SBUF_NO_LIMIT);
    AUTO_ARENA(arena);
    struct hops hops = HOPS_INIT;
    struct envelope again;
    size_t at = json_raw_offset(raw, unit, big, env->object_end);

    require(hops_add(&hops, "00112233445566778899aabbccddeeff", "0123456789abcdef0123456789abcdef", NULL) ==
            0);
    require(at < raw.n);
    if (!env->has_method)
        return; /* an empty object cannot be continued with a comma */
    sbuf_add(&marked, raw.p, at);
    envelope_put_mark(&marked, unit, big, &hops);
    sbuf_add(&marked, raw.p + at, raw.n - at);
    struct slice utf8 = json_to_utf8(sbuf_slice(&marked), &buf, &unit, &big);
    require(envelope_read(utf8, &wider, &arena, &again, NULL) == 0);
    require(again.marked && again.hops.count == 1 && slice_eq(again.method, env->method));
}

/* Without a tree of the parameters there are the same errors, and the same of everything else. */
static void check_outline(struct slice body, int rc, const struct envelope *env, const struct err *err)
{
    AUTO_ARENA(arena);
    AUTO_ERR(outline_err);
    struct envelope outline;
    int outline_rc = envelope_read_outline(body, &limits, &arena, &outline, &outline_err);

    /* values that are not kept are not counted */
    if (rc && strstr(err_text(err), "More than"))
        return;
    require(rc == outline_rc);
    require(strcmp(err_text(err), err_text(&outline_err)) == 0);
    if (rc)
        return;
    require(outline.object_end == env->object_end && outline.has_params == env->has_params);
    require(slice_eq(outline.method, env->method) && slice_eq(outline.id, env->id));
    if (env->has_params)
        require(outline.params->begin == env->params->begin && outline.params->end == env->params->end &&
                outline.params->count == env->params->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_SBUF(buf, SBUF_NO_LIMIT);
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct slice raw = slice_of((const char *)data, size);
    struct envelope env;
    int unit;
    bool big;
    struct slice body = json_to_utf8(raw, &buf, &unit, &big);
    int rc = envelope_read(body, &limits, &arena, &env, &err);

    check_outline(body, rc, &env, &err);
    if (rc) {
        check_error(&err, rc, NULL);
        return 0;
    }
    require(body.p[env.object_end] == '}');
    check_marked(raw, unit, big, &env);
    rc = envelope_check(&env, &err);
    if (rc)
        check_error(&err, rc, &env);
    else
        check_params(&env, &arena);
    return 0;
}
