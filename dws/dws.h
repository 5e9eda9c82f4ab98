/*
 * dws: a process that delegates all work on types to the service at type-delegation-target.
 */
#ifndef DWS_DWS_H
#define DWS_DWS_H

#include "shared/base/config.h"
#include "shared/base/err.h"

/*
 * Opens the port, finds out who the target is, serves until SIGTERM.  Returns the exit status, or -ERR_x if
 * it could not start, with a text that names the key at fault.  ready_file may be NULL.
 */
int dws_run(const struct config *config, const char *ready_file, struct err *err) MUST_USE;

#endif
