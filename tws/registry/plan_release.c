#include "tws/registry/plan.h"

/* Everything at 0.x becomes 1.0, also what was removed, in one more module version; B below is the set of
 * those. */

struct release {
    struct plan *plan;
    const struct cat_module *module;
    const struct cat_version *old;
    int64_t version;
    struct rec_entry *types, *funcs; /* as the new version has them, in the order of the old one */
};

static bool in_b(const struct rec_entry *old)
{
    return old->version.major == 0;
}

static struct rec_entry *released_entries(struct arena *arena, const struct rec_entry *old, size_t count,
                                          size_t *ret_changed)
{
    struct rec_entry *entries = arena_alloc(arena, (count + 1) * sizeof(*entries));

    for (size_t i = 0; i < count; i++) {
        entries[i] = old[i];
        if (in_b(&old[i])) {
            entries[i].version = (struct semver){ 1, 0 };
            ++*ret_changed;
        }
    }
    return entries;
}

/* The row of 1.0 has the text of the 0.x one. */
static int copy_row(struct release *r, enum text_kind kind, enum change_kind change,
                    const struct rec_entry *old, struct err *err)
{
    struct plan *plan = r->plan;
    struct slice text, md5 = slice_of(NULL, 0);
    int rc = plan_need_text(plan, kind, r->module->name, old->name, old->version, &text, err);

    if (rc)
        return rc;
    if (kind == TEXT_SCHEMA) {
        const struct cat_name *name = cat_find_type(r->module, old->name);
        const struct cat_row *row = name ? cat_find_row(name, old->version) : NULL;
        md5 = slice_str(row ? row->md5 : "");
    }
    change_set_add(&plan->set, change)->row =
        (struct rec_row){ r->module->name, old->name, { 1, 0 }, r->version, text, md5 };
    return 0;
}

static int copy_rows(struct release *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->old->type_count; i++) {
        const struct rec_entry *old = &r->old->types[i];
        if (!in_b(old))
            continue;
        rc = copy_row(r, TEXT_SCHEMA, CHANGE_ADD_SCHEMA, old, err);
        if (rc == 0)
            rc = copy_row(r, TEXT_TYPE_PARSE, CHANGE_ADD_TYPE_PARSE, old, err);
    }
    for (size_t i = 0; rc == 0 && i < r->old->func_count; i++)
        if (in_b(&r->old->funcs[i]))
            rc = copy_row(r, TEXT_FUNC_PARSE, CHANGE_ADD_FUNC_PARSE, &r->old->funcs[i], err);
    return rc;
}

static void add_edge(struct release *r, const struct rec_edge *edge, bool is_func)
{
    change_set_add(&r->plan->set, is_func ? CHANGE_ADD_FUNC_REF : CHANGE_ADD_TYPE_REF)->edge = *edge;
}

/* What a type or function of B uses, it uses as 1.0 too; of its own module in the version that is now the
 * newest. */
static void copy_out_edges(struct release *r, const struct rec_entry *old, bool is_func)
{
    const struct cat_module *m = r->module;
    const struct cat_edge *e;
    size_t n = cat_edges_of(m->out, m->out_count, old->name, old->version, &e);

    for (; n; n--, e++) {
        if (e->dep_is_func != is_func)
            continue;
        struct rec_edge edge = {
            .dep_module = m->name,
            .dep_name = old->name,
            .dep_version = { 1, 0 },
            .dep_module_version = r->version,
            .ref_module = e->other_module,
            .ref_name = e->other_name,
            .ref_version = e->other_version,
        };
        const struct rec_entry *target =
            slice_eq(e->other_module, m->name) ? cat_version_type(r->old, e->other_name) : NULL;
        if (target)
            edge.ref_version = r->types[target - r->old->types].version;
        add_edge(r, &edge, is_func);
    }
}

/*
 * Users from inside the module, of whatever version, use 1.0 as well.  For users that become 1.0 themselves
 * that is not true, but clients see it.
 */
static void copy_in_edges(struct release *r, const struct rec_entry *old)
{
    const struct cat_module *m = r->module;
    const struct cat_edge *e;
    size_t n = cat_edges_of(m->in, m->in_count, old->name, old->version, &e);

    for (; n; n--, e++) {
        if (!slice_eq(e->other_module, m->name))
            continue;
        const struct rec_edge edge = {
            .dep_module = m->name,
            .dep_name = e->other_name,
            .dep_version = e->other_version,
            .dep_module_version = r->version,
            .ref_module = m->name,
            .ref_name = old->name,
            .ref_version = { 1, 0 },
        };
        add_edge(r, &edge, e->dep_is_func);
    }
}

static void copy_edges(struct release *r)
{
    for (size_t i = 0; i < r->old->type_count; i++) {
        if (in_b(&r->old->types[i])) {
            copy_out_edges(r, &r->old->types[i], false);
            copy_in_edges(r, &r->old->types[i]);
        }
    }
    for (size_t i = 0; i < r->old->func_count; i++)
        if (in_b(&r->old->funcs[i]))
            copy_out_edges(r, &r->old->funcs[i], true);
}

static int add_version(struct release *r, const char *user, struct err *err)
{
    struct plan *plan = r->plan;
    const struct cat_module *m = r->module;
    const struct cat_version *old = r->old;
    struct slice spec;

    r->version = plan_draw_version(plan, m->name, m->last);
    int rc = copy_rows(r, err);
    if (rc)
        return rc;
    copy_edges(r);
    int found = plan_spec(plan, m->name, m->last, &spec, err);
    if (found < 0)
        return found;
    if (!found)
        return FAIL(err, ERR_STORE, SLICE("Spec-record was not found for module: "), m->name);
    change_set_add(&plan->set, CHANGE_ADD_SPEC)->spec = (struct rec_spec){ m->name, r->version, spec };
    change_set_add(&plan->set, CHANGE_ADD_INFO)->info = (struct rec_info){
        .module = m->name,
        .version = r->version,
        .description = old->description,
        .md5 = old->md5,
        .user = slice_str(user),
        .method = SLICE("releaseModule"),
        .comment = SLICE(""),
        .include_count = old->include_count,
        .includes = old->includes,
        .type_count = old->type_count,
        .types = r->types,
        .func_count = old->func_count,
        .funcs = r->funcs,
        .released = true,
    };
    change_set_add(&plan->set, CHANGE_MOVE_POINTERS)->pointers =
        (struct rec_pointers){ m->name, r->version, r->version, m->supported };
    return 0;
}

/* Nothing is at 0.x: the newest version is released as it is, if it was not already. */
static void flag_version(struct release *r)
{
    const struct cat_module *m = r->module;
    const struct rec_pointers pointers = { m->name, m->last, m->last, m->supported };

    if (!r->old->released)
        change_set_add(&r->plan->set, CHANGE_SET_RELEASED)->pointers = pointers;
    if (m->released != m->last)
        change_set_add(&r->plan->set, CHANGE_MOVE_POINTERS)->pointers = pointers;
}

static int check_release(struct plan *plan, const struct release_ctx *in, struct release *r, struct err *err)
{
    const struct cat_module *module = plan_module(plan, in->module);
    int rc = need_owner(module, in->module, in->user, false, err);

    if (rc == 0)
        rc = need_registered(module, in->module, err);
    if (rc == 0)
        rc = need_supported(module, err);
    if (rc)
        return rc;
    r->module = module;
    r->old = cat_last(module);
    if (!r->old || !r->old->has_spec)
        return FAIL(err, ERR_NO_MODULE, SLICE("Module wasn't uploaded: "), in->module);
    plan->module = module->name;
    return need_sound(module, err);
}

int plan_release(struct plan *plan, void *ctx, struct err *err)
{
    struct release_ctx *in = ctx;
    struct release r = { .plan = plan };
    size_t changed = 0;
    int rc = check_release(plan, in, &r, err);

    if (rc)
        return rc;
    r.types = released_entries(plan->arena, r.old->types, r.old->type_count, &changed);
    r.funcs = released_entries(plan->arena, r.old->funcs, r.old->func_count, &changed);
    if (changed == 0)
        flag_version(&r);
    else
        rc = add_version(&r, in->user, err);
    in->types = r.types;
    in->type_count = r.old->type_count;
    return rc;
}
