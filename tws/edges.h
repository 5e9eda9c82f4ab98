/*
 * edges: which types a type or function uses and what uses it, as one caller may see it.
 *
 * Lists of types are in the order of the text `<module>.<name>.<major>.<minor>`, as upstream has them (so
 * 0.10 comes before 0.2); lists that upstream leaves to hashing are sorted by module, name and numeric
 * version.
 *
 * Pure functions on a snapshot, any thread; lists are in the arena.
 */
#ifndef TWS_EDGES_H
#define TWS_EDGES_H

#include "tws/registry/registry.h"

struct edge_list {
    size_t count;
    const struct cat_edge **items;
};

/* owner: of the type's own module, who sees all; others only used versions that are released. */
void edges_used(const struct catalogue *cat, bool owner, const struct resolved_type *type, bool is_func,
                struct arena *arena, struct edge_list *ret_list);
/* What uses the type: functions or types.  A user sees what is released, and everything of modules he owns.
 */
void edges_using(const struct catalogue *cat, const char *user, const struct resolved_type *type, bool funcs,
                 struct arena *arena, struct edge_list *ret_list);

#endif
