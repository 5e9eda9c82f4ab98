/*
 * draft: one module of a catalogue that is being built: lists of records in any order, which freezing sorts,
 * joins, and rids of what is not committed.  Used by the builder only.
 *
 * Threads: one.  Texts belong to the builder's arena, or to the module that the draft was seeded from.
 */
#ifndef TWS_REGISTRY_DRAFT_H
#define TWS_REGISTRY_DRAFT_H

#include "shared/base/uth.h"
#include "tws/registry/blocks.h"

/* A type or function version: named by an info, or found as a row, or both once they are joined. */
struct draft_row {
    struct slice name;
    bool is_func;
    bool named;
    struct cat_row row;
};

struct draft_version {
    struct version_block *block;
    bool mine; /* not shared with another catalogue yet, so it may be changed in place */
};

struct draft {
    UT_hash_handle hh;
    struct slice name;
    bool changed;          /* in anything but its in-edges */
    struct slice damage;   /* what is wrong with the records; p NULL: nothing */
    size_t recent_version; /* where the last version was found */
    uint64_t epoch;
    int64_t last, released, stored_last, stored_released;
    bool supported;
    size_t owner_count, owner_cap, version_count, version_cap, row_count, row_cap;
    size_t out_count, out_cap, out_checked, in_count, in_cap;
    struct cat_owner *owners;
    struct draft_version *versions;
    struct draft_row *rows;
    struct cat_edge *out; /* those before out_checked have known ends */
    struct cat_edge *in;
};

struct draft *draft_new(struct slice name) MUST_USE;
/* Of a module of another catalogue; its texts are borrowed. */
struct draft *draft_seed(const struct cat_module *module) MUST_USE;
void draft_free(struct draft *draft);

void draft_put_owner(struct draft *draft, struct slice user, bool can_grant);
void draft_drop_owner(struct draft *draft, struct slice user);
/* Takes the block. */
void draft_add_version(struct draft *draft, struct version_block *block);
void draft_add_row(struct draft *draft, const struct draft_row *row);
void draft_add_out(struct draft *draft, const struct cat_edge *edge);
void draft_add_in(struct draft *draft, const struct cat_edge *edge);
/* The version to change, made ours; NULL if there is none. */
struct version_block *draft_edit_version(struct draft *draft, int64_t version);

/* Adds to what is wrong; the texts are in that arena, which lasts as long as the draft. */
void draft_note_damage(struct draft *draft, const char *what, struct arena *arena);
/*
 * After loading, before the rows are joined: a pointer to no complete version is taken for one to the largest
 * below it that is, and what is above is hidden.
 */
void draft_settle(struct draft *draft, struct arena *arena);
/* After loading, when the rows are joined: notes what versions name and no row has. */
void draft_check_rows(struct draft *draft, struct arena *arena);

/* Sorts versions, sorts and joins rows; afterwards draft_has() can be asked, and the draft frozen. */
void draft_join_rows(struct draft *draft);
/* Whether a committed version names or wrote it. */
bool draft_has(const struct draft *draft, struct slice name, struct semver version, bool is_func);
struct module_block *draft_freeze(struct draft *draft, uint64_t sequence) MUST_USE;

#endif
