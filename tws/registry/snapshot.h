/*
 * snapshot: the current catalogue, handed to readers without any waiting.
 *
 * One 64-bit word holds the slot of the current snapshot and how many readers have taken it since it was
 * published.  A reader adds one to that word and thereby both learns the slot and owns a reference; the
 * publisher swaps the word and moves the count to the old snapshot, which is freed when as many references
 * came back.
 *
 * Threads: snapshot_take() and catalogue_unref() from anywhere, wait-free (the last catalogue_unref() of a
 * snapshot frees it); reserve and publish by one thread at a time.  Snapshots may outlive the table.
 */
#ifndef TWS_REGISTRY_SNAPSHOT_H
#define TWS_REGISTRY_SNAPSHOT_H

#include "shared/base/err.h"
#include "tws/registry/blocks.h"

enum { SNAPSHOT_SLOTS = 1024 };

/* `first` becomes the current snapshot; the table owns it from here on. */
struct snapshot_table *snapshot_table_new(struct snapshot *first) MUST_USE;
/* Nobody may take snapshots any more. */
void snapshot_table_close(struct snapshot_table *table);

const struct catalogue *snapshot_take(struct snapshot_table *table) MUST_USE;

/*
 * Finds a free slot for the next publication, so that publishing itself cannot fail; waits until deadline_us
 * (clock_us) for readers that sit on so many old snapshots that none is free: -ERR_BUSY.
 */
int snapshot_reserve(struct snapshot_table *table, uint64_t deadline_us, unsigned *ret_slot, struct err *err)
    MUST_USE;
void snapshot_publish(struct snapshot_table *table, unsigned slot, struct snapshot *next);

#endif
