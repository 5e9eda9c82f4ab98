/*
 * names: a map from names to pointers that keeps the order of insertion; for everything in a spec that is
 * looked up by name.  Lives in an arena; keys are borrowed.  Not thread safe while it grows; reading is.
 */
#ifndef TWS_KIDL_NAMES_H
#define TWS_KIDL_NAMES_H

#include "shared/base/arena.h"

struct name_entry {
    struct slice name;
    void *value;
};

struct names {
    struct name_entry *entries; /* in order of insertion, until sorted */
    size_t count;
    size_t cap;
    uint32_t *slots; /* open addressing: entry number + 1, or 0; NULL while there are few entries */
    size_t slot_count;
};

/* The value, or NULL. */
void *names_get(const struct names *names, struct slice name);
/* Adds or replaces (an entry that is there keeps its place). */
void names_put(struct names *names, struct arena *arena, struct slice name, void *value);
/* Puts the entries into Java's natural order. */
void names_sort(struct names *names, struct arena *arena);

#endif
