#include "shared/rpc/role.h"

const char *role_name(enum admin_role role)
{
    static const char *const names[] = {
        [ADMIN_NONE] = "none", [ADMIN_READ] = "read", [ADMIN_FULL] = "full"
    };

    return names[role];
}

bool role_external(const struct config *config)
{
    return config->auth2_service_url &&
           (config->auth2_ws_admin_full_roles.count > 0 || config->auth2_ws_admin_read_only_roles.count > 0);
}

static bool in_list(const struct config_list *list, const json_t *names)
{
    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; k < json_array_size(names); k++) {
            const char *name = json_string_value(json_array_get(names, k));
            if (name && strcmp(name, list->items[i]) == 0)
                return true;
        }
    }
    return false;
}

enum admin_role role_from_names(const struct config *config, const json_t *names)
{
    if (in_list(&config->auth2_ws_admin_full_roles, names))
        return ADMIN_FULL;
    return in_list(&config->auth2_ws_admin_read_only_roles, names) ? ADMIN_READ : ADMIN_NONE;
}

enum admin_role role_local(const struct config *config, const char *user, const struct token_row *row)
{
    static const enum admin_role from_file[] = {
        [TOKEN_USER] = ADMIN_NONE,
        [TOKEN_READ_ADMIN] = ADMIN_READ,
        [TOKEN_ADMIN] = ADMIN_FULL,
    };

    if (config->ws_admin && strcmp(config->ws_admin, user) == 0)
        return ADMIN_FULL;
    return row ? from_file[row->role] : ADMIN_NONE;
}
