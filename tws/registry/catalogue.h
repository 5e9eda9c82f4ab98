/*
 * catalogue: everything about modules, versions, types, functions, owners, requests and references that
 * answers are made from, without the big texts.  An immutable snapshot; a commit makes the next one and swaps
 * it in.
 *
 * Threads: a reader takes a reference with registry_snapshot() (wait-free: one atomic add; it never waits for
 * a writer) and gives it back with catalogue_unref(), maybe on another thread.  Nothing reachable from a
 * snapshot ever changes.
 *
 * Only committed things are in it: a row, edge, spec or info that no module version up to the module's `last`
 * names or wrote is left out, so leftovers of crashed writers are invisible.
 */
#ifndef TWS_REGISTRY_CATALOGUE_H
#define TWS_REGISTRY_CATALOGUE_H

#include "shared/base/err.h"
#include "shared/base/typename.h"
#include "tws/store/records.h"
#include "tws/store/store.h"

/* One module version (info document). Shared between snapshots. */
struct cat_version {
    int64_t version;
    bool first;    /* made by the approval; hidden from version lists */
    bool released; /* raw flag */
    bool has_spec;
    struct slice description, md5, user, method; /* empty when first */
    size_t include_count, type_count, func_count;
    const struct rec_include *includes; /* in the stored order */
    const struct rec_entry *types;      /* sorted by name; removed ones stay, unsupported */
    const struct rec_entry *funcs;      /* sorted by name */
};

/* One version of a type or function: its rows. */
struct cat_row {
    struct semver version;
    int64_t module_version;     /* that wrote it */
    bool has_schema, has_parse; /* functions: has_parse only */
    char md5[33];               /* of the schema; "" for functions */
};

/* A type or function by name: all its committed versions, ascending. */
struct cat_name {
    struct slice name;
    size_t row_count;
    const struct cat_row *rows;
};

struct cat_owner {
    struct slice user;
    bool can_grant;
};

/* An edge seen from one of its ends; sorted and without duplicates. */
struct cat_edge {
    struct slice name; /* this module's side: the using (out) or used (in) type or function */
    struct semver version;
    bool dep_is_func; /* the using side is a function */
    struct slice other_module, other_name;
    struct semver other_version;
};

struct cat_module {
    struct slice name;
    int64_t last, released; /* P and R, or what they should be where they name no complete version */
    int64_t stored_last, stored_released; /* P and R as the database has them */
    bool supported;
    bool
        damaged; /* records are missing or contradict each other: the rest can be read, changes are refused */
    struct slice damage; /* what is wrong */
    uint64_t epoch;      /* changes whenever anything but in-edges changes; for re-checking a plan */
    size_t owner_count, version_count, type_count, func_count, out_count, in_count;
    const struct cat_owner *owners;            /* sorted by user */
    const struct cat_version *const *versions; /* ascending; all <= last */
    const struct cat_name *types, *funcs;      /* sorted by name; every name any version holds */
    const struct cat_edge *out;                /* sorted by (name, version, func, other) */
    const struct cat_edge *in;                 /* sorted by (name, version, func, other) */
};

struct catalogue {
    size_t module_count;
    const struct cat_module *const *modules; /* sorted by name */
    size_t request_count;
    const struct rec_owner *requests; /* in order of insertion */
    uint64_t requests_epoch;
    uint64_t sequence; /* commits since start; grows by one with each snapshot */
};

void catalogue_unref(const struct catalogue *cat);

const struct cat_module *cat_find_module(const struct catalogue *cat, struct slice name);
/* NULL if there is no such version (or it is not committed). */
const struct cat_version *cat_find_version(const struct cat_module *module, int64_t version);
const struct cat_version *cat_last(const struct cat_module *module);     /* of P */
const struct cat_version *cat_released(const struct cat_module *module); /* of R */
const struct rec_entry *cat_version_type(const struct cat_version *version, struct slice name);
const struct rec_entry *cat_version_func(const struct cat_version *version, struct slice name);
const struct cat_name *cat_find_type(const struct cat_module *module, struct slice name);
const struct cat_name *cat_find_func(const struct cat_module *module, struct slice name);
const struct cat_row *cat_find_row(const struct cat_name *name, struct semver version);
const struct cat_owner *cat_find_owner(const struct cat_module *module, struct slice user);
/* First edge of (name, version) in a sorted edge list and how many follow. */
size_t cat_edges_of(const struct cat_edge *edges, size_t count, struct slice name, struct semver version,
                    const struct cat_edge **ret_first);
/* info.released and version <= R */
bool cat_effectively_released(const struct cat_module *module, const struct cat_version *version);

#endif
