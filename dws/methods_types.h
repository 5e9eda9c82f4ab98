/*
 * methods_types: what a DWS answers about types out of its own caches: TypeService.resolve_types, cache_info,
 * cache_flush.  The functions fit struct method's `run`; none of them waits.  Any thread.
 */
#ifndef DWS_METHODS_TYPES_H
#define DWS_METHODS_TYPES_H

#include "shared/rpc/call.h"

int types_run_resolve(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;
int types_run_cache_info(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;
int types_run_cache_flush(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;

/* -ERR_PARAMS `Wrong type of parameter 0 for method <m> (<what>)`. */
int types_wrong_param(const struct call *call, const char *what, struct err *err);

#endif
