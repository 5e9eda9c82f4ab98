/*
 * keeper: keeps what `types` holds true and safe: drops it when the target turns out to serve another type
 * database, and writes the snapshot file, if there is one, at intervals and at the end.  One thread of its
 * own.
 */
#ifndef DWS_KEEPER_H
#define DWS_KEEPER_H

#include "dws/target.h"
#include "dws/types.h"

struct keeper;

/* Reads the snapshot; one that cannot be used is told to the log and ignored. */
struct keeper *keeper_new(const struct config *config, struct types *types, struct target *target) MUST_USE;
/* Ends the thread and writes the snapshot. */
void keeper_free(struct keeper *keeper);
void keeper_start(struct keeper *keeper);
/* True if there was a snapshot to begin with. */
bool keeper_has_snapshot(const struct keeper *keeper);
/* Compares the target's cluster with that of the caches now. Any thread. */
void keeper_check(struct keeper *keeper);
/* `"snapshot":...` for /status. */
void keeper_put_status(struct keeper *keeper, struct sbuf *json);

DEFINE_AUTO(struct keeper, keeper_free);

#endif
