/*
 * tws: a process that owns a type database: opens it, takes the writer's lease, loads the catalogue, serves.
 *
 * If another process has the type database it ends, or, as a standby, opens its port, answers nothing and
 * waits for it.  Where nothing may be written it serves reads without a lease.
 */
#ifndef TWS_TWS_H
#define TWS_TWS_H

#include "shared/base/config.h"
#include "shared/base/err.h"

/*
 * Serves until SIGTERM.  Returns the exit status (0; 1 when the lease was lost and the
 * configuration does not say to go on reading), or -ERR_x if it could not
 * start, with a text that names the key at fault.  ready_file may be NULL.
 */
int tws_run(const struct config *config, const char *ready_file, struct err *err) MUST_USE;

#endif
