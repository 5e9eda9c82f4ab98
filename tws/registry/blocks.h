/*
 * blocks: the memory behind a catalogue.  A snapshot holds references to module blocks, a module block to
 * version blocks; blocks are shared between snapshots, so that a commit copies neither other modules nor the
 * history of its own.
 *
 * Threads: references are counted atomically and may be dropped on any thread; contents never change once a
 * block is reachable from a published snapshot.  The public struct is always the first member, so that the
 * catalogue's pointers lead back to their blocks.
 */
#ifndef TWS_REGISTRY_BLOCKS_H
#define TWS_REGISTRY_BLOCKS_H

#include <stdatomic.h>

#include "shared/base/arena.h"
#include "tws/registry/catalogue.h"

struct version_block { /* one allocation, texts and arrays behind it */
    struct cat_version pub;
    atomic_size_t refs;
};

struct module_block {
    struct cat_module pub;
    atomic_size_t refs;
    struct arena arena;
};

struct request_block {
    atomic_size_t refs;
    struct arena arena;
    size_t count;
    const struct rec_owner *requests;
};

struct snapshot_table;

struct snapshot {
    struct catalogue pub;
    _Atomic int64_t refs; /* see snapshot.c; negative while readers are counted at the head of the table */
    struct snapshot_table *table;
    unsigned slot;
    struct request_block *requests;
};

/* A copy of everything that `like` points to, with its entries sorted by name; one reference. */
struct version_block *version_block_new(const struct cat_version *like) MUST_USE;
struct version_block *version_block_ref(const struct cat_version *version) MUST_USE;
void version_block_unref(const struct cat_version *version);

struct module_block *module_block_ref(const struct cat_module *module) MUST_USE;
void module_block_unref(const struct cat_module *module);

void request_block_unref(struct request_block *block);

/* Gives up what the snapshot refers to, and the snapshot. */
void snapshot_free(struct snapshot *snap);

/* Order of names: by bytes, which for the names allowed here is also the order of Java chars. */
int name_compare(struct slice a, struct slice b);

#endif
