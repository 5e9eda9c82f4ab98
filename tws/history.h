/*
 * history: in which module versions a version of a type or function stands, and which versions it ever had.
 *
 * "Released" is meant in two ways, as upstream has it: of a module version that holds something, its flag; of
 * a version of a type, that a module version not above the released one holds it.  The two differ only in a
 * damaged database.
 *
 * Pure functions on a snapshot, any thread; everything is in the arena or the snapshot.
 */
#ifndef TWS_HISTORY_H
#define TWS_HISTORY_H

#include "tws/registry/registry.h"

struct history_version {
    struct semver version;
    bool released;
};

struct history {
    size_t holder_count, seen_count;
    const struct cat_version **holders; /* module versions that hold it (types: as supported), ascending */
    struct history_version *seen; /* every version that a module version names, in the order of appearance */
    bool any_released;            /* of the holders */
};

void history_of(const struct resolved_type *type, bool is_func, struct arena *arena,
                struct history *ret_history);
/* The lowest of the holders that are shown; there must be one. */
int64_t history_first(const struct history *history, bool only_released);

#endif
