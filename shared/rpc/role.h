/*
 * role: who is an administrator.  Either the custom roles that the auth service gives a user decide (when one
 * of the two role options is set), or the name in ws-admin and the roles of the tokens file.  Pure functions,
 * any thread.
 */
#ifndef SHARED_RPC_ROLE_H
#define SHARED_RPC_ROLE_H

#include <jansson.h>

#include "shared/base/config.h"
#include "shared/base/tokens.h"
#include "shared/rpc/call.h"

/* "none", "read", "full": what get_admin_role answers. */
const char *role_name(enum admin_role role);
bool role_external(const struct config *config);
/* names: a list of texts; anything else counts as an empty one. */
enum admin_role role_from_names(const struct config *config, const json_t *names);
/* row: the user's line in the tokens file, or NULL. */
enum admin_role role_local(const struct config *config, const char *user, const struct token_row *row);

#endif
