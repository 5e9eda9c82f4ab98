#include "shared/rpc/local_methods.h"

#include <unistd.h>

#include "shared/rpc/role.h"
#include "shared/rpc/service_inner.h"

/* the build may name the commit that it was made from */
#ifndef WSTYPED_COMMIT
#define WSTYPED_COMMIT "0000000000000000000000000000000000000000"
#endif

enum { MAX_DEPENDENCIES = 1 << 20 };

int local_ver(struct call *call UNUSED, struct sbuf *ret_result, struct err *err UNUSED)
{
    json_put_str(ret_result, SERVICE_VERSION);
    return 0;
}

/* Clients expect numbers above zero. */
static long long memory_bytes(int pages_name)
{
    long pages = sysconf(pages_name), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (long long)pages * size : 1;
}

int local_status(struct call *call, struct sbuf *ret_result, struct err *err UNUSED)
{
    const struct service_mode *mode = call->service->mode;
    AUTO_SBUF(dependencies, MAX_DEPENDENCIES);
    bool ok = !mode->dependencies || mode->dependencies(call->app, &dependencies);

    sbuf_addf(ret_result, "{\"state\":\"%s\",\"message\":\"%s\",\"dependencies\":[", ok ? "OK" : "Fail",
              ok ? "OK" : "Dependency failure");
    sbuf_add_slice(ret_result, sbuf_slice(&dependencies));
    sbuf_addf(ret_result,
              "],\"version\":\"%s\",\"git_url\":\"https://github.com/kbase/workspace_deluxe\","
              "\"git_commit\":\"%s\",\"freemem\":%lld,\"totalmem\":%lld,\"maxmem\":%lld}",
              SERVICE_VERSION, WSTYPED_COMMIT, memory_bytes(_SC_AVPHYS_PAGES), memory_bytes(_SC_PHYS_PAGES),
              memory_bytes(_SC_PHYS_PAGES));
    return 0;
}

int local_get_admin_role(struct call *call, struct sbuf *ret_result, struct err *err)
{
    if (call->role_err.code != ERR_NONE)
        return err_move(err, &call->role_err);
    sbuf_addf(ret_result, "{\"adminrole\":\"%s\"}", role_name(call->role));
    return 0;
}

int local_admin_check(struct call *call, struct err *err)
{
    if (call->role_err.code != ERR_NONE)
        return err_move(err, &call->role_err);
    if (call->role == ADMIN_NONE)
        return err_set(err, ERR_PRIVILEGE, "User %s is not an admin", call->user);
    return 0;
}

int local_admin_check_full(const struct call *call, struct err *err)
{
    if (call->role != ADMIN_FULL)
        return err_set(err, ERR_PRIVILEGE, "Full administration rights required for this command");
    return 0;
}

static int list_admins(struct call *call, struct sbuf *ret_result, struct err *err UNUSED)
{
    sbuf_addc(ret_result, '[');
    auth_put_admins(call->service->auth, ret_result);
    sbuf_addc(ret_result, ']');
    return 0;
}

/* Upstream keeps these in the workspace database, which is not ours. */
static int change_admins(struct call *call UNUSED, struct sbuf *ret_result UNUSED, struct err *err)
{
    return err_set(
        err, ERR_ARGUMENT,
        "Administrators cannot be changed by a call: they are named in the configuration (ws-admin) or in "
        "the tokens file of this service");
}

static int unknown_command(struct slice name, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "I don't know how to process the command: ");
    sbuf_add_slice(&text, name);
    return err_set_text(err, ERR_ARGUMENT, sbuf_slice(&text));
}

int local_admin_command(struct call *call, const struct admin_command *command, struct sbuf *ret_result,
                        struct err *err)
{
    static const struct {
        const char *name;
        bool needs_full;
        int (*run)(struct call *call, struct sbuf *ret_result, struct err *err);
    } commands[] = {
        { "listAdmins", false, list_admins },
        { "addAdmin", true, change_admins },
        { "removeAdmin", true, change_admins },
    };

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (!command->command.given || !slice_is(command->command.text, commands[i].name))
            continue;
        int rc = commands[i].needs_full ? local_admin_check_full(call, err) : 0;
        if (rc < 0)
            return rc;
        if (auth_roles_external(call->service->auth))
            return err_set(err, ERR_ARGUMENT,
                           "This operation is delegated to the KBase Authentication service");
        return commands[i].run(call, ret_result, err);
    }
    return unknown_command(command->command.given ? command->command.text : SLICE("null"), err);
}
