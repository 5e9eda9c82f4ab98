/*
 * snapshot: both caches in a file, so that a DWS that starts while the target is down can resolve and check.
 *
 * The file is written beside its place and renamed, so there is always a whole one.  It holds a version, the
 * cluster and the URL of the target that the entries came from, the entries with the time they were written,
 * and a SHA-256 over all of it.  Numbers are little-endian.  Any thread, but one writer at a time.
 */
#ifndef DWS_SNAPSHOT_H
#define DWS_SNAPSHOT_H

#include "dws/types.h"

struct snapshot_counts {
    size_t schemas, mappings;
};

/* -ERR_IO with a text. */
int snapshot_write(struct types *types, const char *url, const char *path, struct snapshot_counts *ret_counts,
                   struct err *err) MUST_USE;
/*
 * Puts into the caches what has not expired.  The cluster becomes that of `types` until the target says
 * otherwise. -ERR_IO if there is no such file or it cannot be read; -ERR_CONFIG with a text if it is damaged,
 * of another version or of another target: then nothing was put.
 */
int snapshot_read(struct types *types, const char *url, const char *path, struct snapshot_counts *ret_counts,
                  struct err *err) MUST_USE;

#endif
