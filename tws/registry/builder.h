/*
 * builder: makes a catalogue, either from everything in a store or from a catalogue and what a change adds to
 * it.  Both go through the same functions, one per kind of record, so that a catalogue kept by applying
 * changes is the one that a restart would load.
 *
 * What no committed version names stays out: versions above the module's pointer, rows and edges of versions
 * that no info holds, edges to unknown ends, owners of modules that do not exist.
 *
 * Threads: one.  Records are copied.
 */
#ifndef TWS_REGISTRY_BUILDER_H
#define TWS_REGISTRY_BUILDER_H

#include "tws/registry/blocks.h"
#include "tws/registry/versions.h"

struct builder;

/*
 * base NULL: starts empty.  versions, unless NULL, is told of every version number that records name. strays,
 * unless NULL, collects owners of modules that do not exist (yet).
 */
struct stray_owner {
    struct stray_owner *next;
    struct rec_owner owner;
};

/* Records that cannot be read, of a module that is not known otherwise. */
struct stray_damage {
    struct stray_damage *next;
    struct slice module, what;
};

struct strays {
    struct arena arena;
    struct stray_owner *first;
    struct stray_damage *damage;
};

struct builder *builder_new(const struct catalogue *base, struct versions *versions, struct strays *strays)
    MUST_USE;
void builder_free(struct builder *builder);
DEFINE_AUTO(struct builder, builder_free);

/* The sink borrows the builder. */
void builder_sink(struct builder *builder, struct store_sink *ret_sink);
void builder_apply(struct builder *builder, const struct change_set *set);
/* The catalogue, with that sequence number; the builder can only be freed afterwards. */
struct snapshot *builder_finish(struct builder *builder, uint64_t sequence) MUST_USE;

#endif
