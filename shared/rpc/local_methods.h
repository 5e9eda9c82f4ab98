/*
 * local_methods: what both modes answer themselves: ver, status, get_admin_role, and the parts of administer
 * that do not concern types.  The functions fit struct method's `run`; none of them waits.  Any thread.
 */
#ifndef SHARED_RPC_LOCAL_METHODS_H
#define SHARED_RPC_LOCAL_METHODS_H

#include "shared/rpc/admin_command.h"
#include "shared/rpc/call.h"

int local_ver(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;
int local_status(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;
int local_get_admin_role(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;

/*
 * What administer looks at before the command itself: the role could be found out, and the user is an
 * administrator. -ERR_REMOTE with the reason, -ERR_PRIVILEGE `User <name> is not an admin`.
 */
int local_admin_check(struct call *call, struct err *err) MUST_USE;
/* -ERR_PRIVILEGE `Full administration rights required for this command` unless the caller has them. */
int local_admin_check_full(const struct call *call, struct err *err) MUST_USE;
/*
 * What is left when a mode does not know a command, after local_admin_check(): listAdmins, addAdmin,
 * removeAdmin; others are -ERR_ARGUMENT `I don't know how to process the command: <name>`.
 */
int local_admin_command(struct call *call, const struct admin_command *command, struct sbuf *ret_result,
                        struct err *err) MUST_USE;

#endif
