#include "tws/admin.h"

#include "shared/base/json.h"
#include "shared/base/log.h"
#include "shared/rpc/local_methods.h"
#include "tws/app.h"

typedef int command_fn(struct call *call, const struct admin_command *command, struct sbuf *ret_result,
                       struct err *err);

static int list_requests(struct call *call, const struct admin_command *command UNUSED,
                         struct sbuf *ret_result, struct err *err UNUSED)
{
    const struct catalogue *cat = registry_snapshot(tws_of(call)->registry);

    sbuf_addc(ret_result, '[');
    for (size_t i = 0; i < cat->request_count; i++) {
        sbuf_adds(ret_result, i ? ",{\"ownerUserId\":" : "{\"ownerUserId\":");
        json_put_string(ret_result, cat->requests[i].user);
        sbuf_adds(ret_result, ",\"withChangeOwnersPrivilege\":");
        sbuf_adds(ret_result, cat->requests[i].can_grant ? "true" : "false");
        sbuf_adds(ret_result, ",\"moduleName\":");
        json_put_string(ret_result, cat->requests[i].module);
        sbuf_addc(ret_result, '}');
    }
    sbuf_addc(ret_result, ']');
    catalogue_unref(cat);
    return 0;
}

static int approve(struct call *call, const struct admin_command *command, struct sbuf *ret_result UNUSED,
                   struct err *err)
{
    struct slice module = tws_or_null(command->module);
    int rc = tws_begin_change(call, module, err);

    return rc < 0 ? rc : registry_approve(tws_of(call)->registry, module, err);
}

static int deny(struct call *call, const struct admin_command *command, struct sbuf *ret_result UNUSED,
                struct err *err)
{
    struct slice module = tws_or_null(command->module);
    int rc = tws_begin_change(call, module, err);

    return rc < 0 ? rc : registry_deny(tws_of(call)->registry, module, err);
}

static int read_params(struct call *call, const struct admin_command *command, const struct param_spec *spec,
                       const void **ret_object, struct err *err)
{
    const void *object;
    int rc = admin_command_params(call->body, command, spec, &call->arena, &object, err);

    if (rc < 0)
        return rc;
    *ret_object = object;
    return params_check_unexpected(object, err);
}

static int grant(struct call *call, const struct admin_command *command, struct sbuf *ret_result UNUSED,
                 struct err *err)
{
    const void *object;
    int rc = read_params(call, command, param_spec_GRANT_MODULE_OWNERSHIP, &object, err);

    if (rc < 0)
        return rc;
    const struct grant_module_ownership_params *params = object;
    struct slice module = tws_or_null(params->mod);
    if ((rc = tws_begin_change(call, module, err)) < 0)
        return rc;
    return registry_grant(tws_of(call)->registry, NULL, module, tws_or_null(params->new_owner),
                          params->with_grant_option.given && params->with_grant_option.value != 0, err);
}

static int remove_owner(struct call *call, const struct admin_command *command,
                        struct sbuf *ret_result UNUSED, struct err *err)
{
    const void *object;
    int rc = read_params(call, command, param_spec_REMOVE_MODULE_OWNERSHIP, &object, err);

    if (rc < 0)
        return rc;
    const struct remove_module_ownership_params *params = object;
    struct slice module = tws_or_null(params->mod);
    if ((rc = tws_begin_change(call, module, err)) < 0)
        return rc;
    return registry_remove_owner(tws_of(call)->registry, NULL, module, tws_or_null(params->old_owner), err);
}

static int delegation_target(struct call *call UNUSED, const struct admin_command *command UNUSED,
                             struct sbuf *ret_result, struct err *err UNUSED)
{
    sbuf_adds(ret_result, "{\"delegateTarget\":null}");
    return 0;
}

static const struct {
    const char *name;
    bool needs_full;
    command_fn *run;
} commands[] = {
    { "listModRequests", false, list_requests },
    { "approveModRequest", true, approve },
    { "denyModRequest", true, deny },
    { "grantModuleOwnership", true, grant },
    { "removeModuleOwnership", true, remove_owner },
    { "getTypeDelegationTarget", false, delegation_target },
};

static int run_command(struct call *call, const struct admin_command *command, struct sbuf *ret_result,
                       struct err *err)
{
    struct slice name = tws_or_null(command->command);

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (!slice_is(name, commands[i].name))
            continue;
        log_put(&call->notes, "command", name);
        int rc = commands[i].needs_full ? local_admin_check_full(call, err) : 0;
        return rc < 0 ? rc : commands[i].run(call, command, ret_result, err);
    }
    return local_admin_command(call, command, ret_result, err);
}

int admin_run(struct call *call, struct sbuf *ret_result, struct err *err)
{
    struct admin_command command;
    int rc = local_admin_check(call, err);

    if (rc < 0)
        return rc;
    rc = admin_command_read(call->body, call->params[0].any, &call->arena, &command, err);
    return rc < 0 ? rc : run_command(call, &command, ret_result, err);
}
