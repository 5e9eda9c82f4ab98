/*
 * plan: one attempt at a change: what it read, what it will write.  Private to the registry.
 *
 * A plan function reads one snapshot (and texts, which never change once written), checks every rule, and
 * fills the change set.  The commit applies the set only if every module that the plan watched still has the
 * epoch it had in that snapshot.
 *
 * Threads: one.  Everything lives in the arena of the attempt.
 */
#ifndef TWS_REGISTRY_PLAN_H
#define TWS_REGISTRY_PLAN_H

#include "tws/registry/builder.h"
#include "tws/registry/registry.h"
#include "tws/registry/versions.h"

struct watch {
    struct watch *next;
    struct slice module;
    bool exists;
    uint64_t epoch;
};

struct plan {
    struct store *store;
    struct versions *versions;
    const struct kidl_limits *limits;
    const struct strays *strays;
    const struct catalogue *cat;
    struct arena *arena;
    struct change_set set;
    struct watch *watches;
    bool watch_requests;
    struct slice module; /* whose turn the commit needs */
    bool dry_run;
};

/* What one kind of change reads and answers is in its context. */
typedef int plan_fn(struct plan *plan, void *ctx, struct err *err);

/* Finds the module, or NULL, and has the commit check that this stays so. */
const struct cat_module *plan_module(struct plan *plan, struct slice name);
/* True if what the plan read is still so in `now`. */
bool plan_holds(const struct plan *plan, const struct catalogue *now);
/* A new version number for the module that the plan changes. */
int64_t plan_draw_version(struct plan *plan, struct slice module, int64_t last) MUST_USE;

/* A stored text in the plan's arena: 1, 0 if there is none, or -ERR_STORE. */
int plan_text(struct plan *plan, enum text_kind kind, struct slice module, struct slice name,
              struct semver version, struct slice *ret_text, struct err *err) MUST_USE;
int plan_spec(struct plan *plan, struct slice module, int64_t version, struct slice *ret_text,
              struct err *err) MUST_USE;
/* The same, but a missing row is `<Type schema|Type parse|Function parse> record was not found for M.T.1.0`.
 */
int plan_need_text(struct plan *plan, enum text_kind kind, struct slice module, struct slice name,
                   struct semver version, struct slice *ret_text, struct err *err) MUST_USE;

/* As Java writes the text to the database: a lone surrogate becomes `?`. */
struct slice plan_java_bytes(struct plan *plan, struct slice text);

/* A text made of parts; no part ends it, not even one with NUL in it. */
int fail_parts(struct err *err, enum err_code code, const struct slice *parts, size_t count);
#define FAIL(err, code, ...) \
    fail_parts(err, code, (const struct slice[]){ __VA_ARGS__ }, \
               sizeof((const struct slice[]){ __VA_ARGS__ }) / sizeof(struct slice))

/* As Java prints it: `null` for a text that is not there. */
static inline struct slice or_null(struct slice text)
{
    return text.p ? text : SLICE("null");
}

/* Guards of changes; module may be NULL, name is what the caller said. */
int need_registered(const struct cat_module *module, struct slice name, struct err *err) MUST_USE;
int need_supported(const struct cat_module *module, struct err *err) MUST_USE;
int need_owner(const struct cat_module *module, struct slice name, const char *user, bool grant,
               struct err *err) MUST_USE;
/* A module whose records are damaged is not changed. */
int need_sound(const struct cat_module *module, struct err *err) MUST_USE;

/* ---- the plans ---- */

struct request_ctx {
    const char *user; /* of a request */
    struct slice module;
};

struct owner_ctx {
    const char *user; /* NULL: an administrator */
    struct slice module, owner;
    bool can_grant;
};

struct register_ctx {
    const struct registry_change *change;
    struct registry_registered done; /* in the plan's arena */
};

struct release_ctx {
    const char *user;
    struct slice module;
    struct rec_entry *types; /* in the plan's arena */
    size_t type_count;
};

plan_fn plan_request, plan_approve, plan_deny, plan_grant, plan_remove_owner, plan_register, plan_release;

#endif
