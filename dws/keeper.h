/*
 * keeper: keeps what `types` holds true and safe: drops it when the target turns out to serve another type
 * database, and writes the snapshot file, if there is one, at intervals and at the end, on a thread of its
 * own.
 */
#ifndef DWS_KEEPER_H
#define DWS_KEEPER_H

#include "dws/target.h"
#include "dws/types.h"

struct keeper;

/*
 * Reads the snapshot; one that cannot be used is told to the log and ignored.  To be made before
 * target_start() and freed after target_stop(): checks of the target tell it the cluster before anybody else
 * can know of it.
 */
struct keeper *keeper_new(const struct config *config, struct types *types, struct target *target) MUST_USE;
/* Ends the thread and writes the snapshot. */
void keeper_free(struct keeper *keeper);
void keeper_start(struct keeper *keeper);
/* True if there was a snapshot to begin with. */
bool keeper_has_snapshot(const struct keeper *keeper);
/* `"snapshot":...` for /status. */
void keeper_put_status(struct keeper *keeper, struct sbuf *json);

DEFINE_AUTO(struct keeper, keeper_free);

#endif
