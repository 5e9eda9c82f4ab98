/*
 * admin: the method `administer` of a TWS.
 */
#ifndef TWS_ADMIN_H
#define TWS_ADMIN_H

#include "shared/rpc/call.h"

int admin_run(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;

#endif
