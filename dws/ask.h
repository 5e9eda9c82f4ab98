/*
 * ask: one question to a running service about a type, for the offline commands.  Blocks until there is an
 * answer or the time is up.
 */
#ifndef DWS_ASK_H
#define DWS_ASK_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"

/* The schema of `type` and its absolute name from the service at url. ctx is not used. */
int ask_schema(void *ctx, const char *url, struct slice type, struct sbuf *ret_schema,
               struct sbuf *ret_absolute, struct err *err) MUST_USE;

#endif
