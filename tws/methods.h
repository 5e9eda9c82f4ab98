/*
 * methods: the methods of a TWS.  Reading ones use one snapshot of the catalogue and cached texts; those that
 * need the store return -ERR_AGAIN until they run on a worker.
 */
#ifndef TWS_METHODS_H
#define TWS_METHODS_H

#include "shared/rpc/method.h"

extern const struct method_table tws_methods;

/* For texts that Java leaves out: no message is ever null. */
int methods_need_object(const void *object, struct err *err) MUST_USE;

#endif
