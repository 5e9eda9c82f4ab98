/*
 * registry: the rules of the type database: who may do what to a module, what that changes, and in which
 * order it is told.
 *
 * Every change is planned on one snapshot, then committed under the commit lock after checking that nothing
 * that planning read has changed since; if it has, it is planned anew.  Changes of one module queue up to the
 * caller's deadline.  The new snapshot is visible before the function returns.
 *
 * Threads: all functions from any worker thread; all but registry_snapshot() may block.  Error texts are
 * upstream's.
 */
#ifndef TWS_REGISTRY_REGISTRY_H
#define TWS_REGISTRY_REGISTRY_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"
#include "tws/kidl/kidl.h"
#include "tws/registry/catalogue.h"
#include "tws/store/store.h"

struct registry;

struct registry_options {
    struct kidl_limits kidl;
    uint64_t queue_us; /* how long a change waits for others of its module */
};

/* Loads the catalogue. The store is borrowed; fence is the token of its lease. */
int registry_open(struct store *store, int64_t fence, const struct registry_options *options,
                  struct registry **ret_reg, struct err *err) MUST_USE;
void registry_close(struct registry *reg);

const struct catalogue *registry_snapshot(struct registry *reg);

/* Appends {"module":..,"what":..} elements for what is damaged; the module is "" where that is not known. */
void registry_put_damaged(struct registry *reg, const struct catalogue *cat, struct sbuf *json);

/* ---- changes; user is never NULL; module/user texts with is_null semantics: p == NULL means JSON null ----
 */

int registry_request_module(struct registry *reg, const char *user, struct slice module, struct err *err)
    MUST_USE;
int registry_approve(struct registry *reg, struct slice module, struct err *err) MUST_USE;
int registry_deny(struct registry *reg, struct slice module, struct err *err) MUST_USE;

struct registry_change { /* register_typespec, its refresh and its copy */
    const char *user;
    bool refresh; /* compile the stored spec of `module` again; spec unused */
    struct slice module;
    struct slice spec;
    size_t add_count, remove_count, dependency_count;
    const struct slice *add, *remove; /* type names; p == NULL is a JSON null element */
    const struct rec_include *dependencies;
    bool dry_run;
    bool has_prev;
    int64_t prev;
};

struct registry_schema {
    struct slice module, name;
    struct semver version;
    struct slice text;
};

/* Types that are new or changed, sorted by name, then version; in the arena. */
struct registry_registered {
    size_t count;
    const struct registry_schema *schemas;
    int64_t version; /* the module's newest version afterwards */
};

int registry_register(struct registry *reg, const struct registry_change *change, struct arena *arena,
                      struct registry_registered *ret_done, struct err *err) MUST_USE;

/* All types of the released version (removed ones too), sorted by name; in the arena. */
int registry_release(struct registry *reg, const char *user, struct slice module, struct arena *arena,
                     const struct rec_entry **ret_types, size_t *ret_count, struct err *err) MUST_USE;

/* user NULL: as admin; granting needs a module that exists, removing what is not there is fine. */
int registry_grant(struct registry *reg, const char *user, struct slice module, struct slice new_owner,
                   bool can_grant, struct err *err) MUST_USE;
int registry_remove_owner(struct registry *reg, const char *user, struct slice module, struct slice old_owner,
                          struct err *err) MUST_USE;

/* ---- resolving names on a snapshot (user NULL: anonymous); never block ---- */

/* Guards of the readers, with upstream's texts. */
int registry_need_module(const struct catalogue *cat, struct slice module,
                         const struct cat_module **ret_module, struct err *err)
    MUST_USE; /* Module doesn't exist: M */
int registry_need_owner(const struct catalogue *cat, const char *user, struct slice module, bool grant,
                        struct err *err)
    MUST_USE; /* User U is not in list of owners of module M / can not change ... */
bool registry_is_owner(const struct cat_module *module, const char *user);

struct resolved_type {
    const struct cat_module *module;
    const struct cat_name *name;
    const struct cat_row *row;
};

/*
 * A type id to the version that the caller sees.  md5_text: with the texts of translate_to_MD5_types, which
 * never say "wasn't released yet".
 */
int registry_resolve_type(const struct catalogue *cat, const char *user, const struct type_id *id,
                          bool md5_text, struct resolved_type *ret_type, struct err *err) MUST_USE;
int registry_resolve_func(const struct catalogue *cat, const char *user, const struct type_id *id,
                          struct resolved_type *ret_func, struct err *err) MUST_USE;
/* The version that get_module_info gives: has_version picks one, else newest (owner) or last released; has a
 * spec. */
int registry_resolve_module(const struct catalogue *cat, const char *user, struct slice module,
                            bool has_version, int64_t version, const struct cat_module **ret_module,
                            const struct cat_version **ret_version, struct err *err) MUST_USE;

#endif
