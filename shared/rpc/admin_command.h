/*
 * admin_command: the one parameter of `administer`: an object with the keys command, module, user, params.
 *
 * Texts may point into the body; the rest is in the arena.  Pure functions, any thread.
 */
#ifndef SHARED_RPC_ADMIN_COMMAND_H
#define SHARED_RPC_ADMIN_COMMAND_H

#include "shared/rpc/params.h"

struct admin_command {
    struct param_text command, module, user;
    const struct json_val *params; /* NULL if missing or null */
};

/*
 * -ERR_ARGUMENT `Unable to deserialize a workspace admin command from the input: <parser's text>`: for what
 * is not an object, unknown keys, wrong types, and null.  body: the text that val was read from.
 */
int admin_command_read(struct slice body, const struct json_val *val, struct arena *arena,
                       struct admin_command *ret_command, struct err *err) MUST_USE;

/*
 * The structure in `params`, of signature GRANT_MODULE_OWNERSHIP or REMOVE_MODULE_OWNERSHIP.  -ERR_ARGUMENT
 * `Method parameters <name> may not be null`, `Unable to deserialize <name> out of params field: <parser's
 * text>`. Unknown keys are for params_check_unexpected().
 */
int admin_command_params(struct slice body, const struct admin_command *command,
                         const struct param_spec *spec, struct arena *arena, const void **ret_object,
                         struct err *err) MUST_USE;

#endif
