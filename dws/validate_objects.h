/*
 * validate_objects: the method TypeService.validate_objects: what a workspace finds out about objects before
 * it saves them.
 *
 * Types are resolved first, all at once; then the objects are checked one after the other, on a worker unless
 * the call is small.  Neither the objects nor the answer are ever in memory as a whole: the request's body is
 * mapped, the answer spooled.  Any thread.
 */
#ifndef DWS_VALIDATE_OBJECTS_H
#define DWS_VALIDATE_OBJECTS_H

#include "shared/rpc/call.h"

/* Fits struct method's `run`. */
int validate_objects_run(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;

#endif
