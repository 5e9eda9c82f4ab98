/*
 * includes: which version of which module a spec is compiled against: those in its header, and those that
 * they were compiled against themselves.  One version per module in all.
 *
 * Threads: one.  Everything is in the plan's arena.
 */
#ifndef TWS_REGISTRY_INCLUDES_H
#define TWS_REGISTRY_INCLUDES_H

#include "tws/registry/plan.h"

struct include {
    struct include *next;
    const struct include *parent; /* NULL: named in the header */
    struct slice module;
    const struct cat_version *version;
    struct slice text;
};

struct includes {
    struct include *first, **end;
    size_t count, direct_count;
    struct rec_include *direct; /* as the info keeps them: in the order of the header, without duplicates */
};

/* names as in the header; dependencies fix versions, here and in everything included. */
int includes_resolve(struct plan *plan, const struct slice *names, size_t count,
                     const struct rec_include *dependencies, size_t dependency_count,
                     struct includes *ret_includes, struct err *err) MUST_USE;
/* NULL if the module is not among them. */
const struct include *includes_find(const struct includes *includes, struct slice module);
/* A kidl_include_fn; ctx is the struct includes. */
int includes_text(void *ctx, struct slice name, struct slice *ret_text, struct err *err);

#endif
