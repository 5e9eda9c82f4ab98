#include "dws/methods.h"

#include "dws/app.h"
#include "dws/methods_types.h"
#include "dws/validate_objects.h"
#include "shared/base/log.h"
#include "shared/rpc/local_methods.h"
#include "shared/rpc/service.h"
#include "shared/rpc/type_methods.h"

/* ---- types ---- */

static int run_forward(struct call *call, struct sbuf *ret_result UNUSED, struct err *err)
{
    return forward_call(&dws_of(call)->forwarder, call, call->method->flags & METHOD_WRITE, err);
}

/* The one method whose unknown members upstream's DWS refuses itself. */
static int run_list_all_types(struct call *call, struct sbuf *ret_result, struct err *err)
{
    const struct param_head *head = call->params[0].object;
    int rc = head ? params_check_unexpected(head, err) : 0;

    return rc < 0 ? rc : run_forward(call, ret_result, err);
}

/* ---- administer ---- */

static int delegation_target(struct call *call, struct sbuf *ret_result, struct err *err UNUSED)
{
    sbuf_adds(ret_result, "{\"delegateTarget\":");
    json_put_str(ret_result, service_config(call->service)->type_delegation_target);
    sbuf_addc(ret_result, '}');
    return 0;
}

/* Commands about types are forwarded if there is no function. */
static const struct command {
    const char *name;
    bool needs_full, write;
    const struct param_spec *params; /* what must be in `params`, or NULL */
    int (*run)(struct call *call, struct sbuf *ret_result, struct err *err);
} commands[] = {
    { "listModRequests", false, false, NULL, NULL },
    { "approveModRequest", true, true, NULL, NULL },
    { "denyModRequest", true, true, NULL, NULL },
    { "grantModuleOwnership", true, true, param_spec_GRANT_MODULE_OWNERSHIP, NULL },
    { "removeModuleOwnership", true, true, param_spec_REMOVE_MODULE_OWNERSHIP, NULL },
    { "getTypeDelegationTarget", false, false, NULL, delegation_target },
};

static int run_command(struct call *call, const struct command *what, const struct admin_command *command,
                       struct sbuf *ret_result, struct err *err)
{
    const void *object;
    int rc = what->needs_full ? local_admin_check_full(call, err) : 0;

    if (rc == 0 && what->params)
        rc = admin_command_params(call->body, command, what->params, &call->arena, &object, err);
    if (rc < 0)
        return rc;
    if (what->run)
        return what->run(call, ret_result, err);
    return forward_call(&dws_of(call)->forwarder, call, what->write, err);
}

static int find_command(struct call *call, const struct admin_command *command, struct sbuf *ret_result,
                        struct err *err)
{
    for (size_t i = 0; command->command.given && i < ARRAY_LEN(commands); i++) {
        if (!slice_is(command->command.text, commands[i].name))
            continue;
        log_put(&call->notes, "command", command->command.text);
        return run_command(call, &commands[i], command, ret_result, err);
    }
    return local_admin_command(call, command, ret_result, err);
}

static int run_administer(struct call *call, struct sbuf *ret_result, struct err *err)
{
    struct admin_command command;
    int rc = local_admin_check(call, err);

    if (rc < 0)
        return rc;
    rc = admin_command_read(call->body, call->params[0].any, &call->arena, &command, err);
    return rc < 0 ? rc : find_command(call, &command, ret_result, err);
}

/* ---- about this server ---- */

static int run_describe(struct call *call, struct sbuf *ret_result, struct err *err UNUSED)
{
    sbuf_addf(ret_result, "{\"role\":\"dws\",\"node\":\"%s\",\"version\":\"%s\",\"protocol\":%d,",
              service_node_id(call->service), WSTYPED_VERSION, PROTOCOL_VERSION);
    target_put_description(dws_of(call)->target, ret_result);
    sbuf_addc(ret_result, '}');
    return 0;
}

#define run_cache_flush types_run_cache_flush
#define run_cache_info types_run_cache_info
#define run_resolve_types types_run_resolve
#define run_validate_objects validate_objects_run
#define run_ver local_ver
#define run_status local_status
#define run_get_admin_role local_get_admin_role
#define run_get_all_func_info run_forward
#define run_get_all_type_info run_forward
#define run_get_func_info run_forward
#define run_get_jsonschema run_forward
#define run_get_module_info run_forward
#define run_get_type_info run_forward
#define run_grant_module_ownership run_forward
#define run_list_module_versions run_forward
#define run_list_modules run_forward
#define run_register_typespec run_forward
#define run_register_typespec_copy run_forward
#define run_release_module run_forward
#define run_remove_module_ownership run_forward
#define run_request_module_ownership run_forward
#define run_translate_from_MD5_types run_forward
#define run_translate_to_MD5_types run_forward

#define SERVICE_ROW(n, auth, flags, sig, result, doc) \
    METHOD_ROW("TypeService", n, auth, flags, sig, result, run_##n, doc)
#define TYPE_ROW(n, auth, flags, sig, result, doc) \
    METHOD_ROW("Workspace", n, auth, flags, sig, result, run_##n, doc)

static const struct method rows[] = { DWS_SERVICE_METHODS(SERVICE_ROW) TYPE_METHODS(TYPE_ROW) };

const struct method_table dws_methods = { rows, ARRAY_LEN(rows) };
