#include <inttypes.h>

#include "shared/base/javahash.h"
#include "shared/base/utf.h"
#include "tws/registry/includes.h"
#include "tws/registry/plan.h"

#define WRAP "Unexpected error during spec-file parsing: "

/* A type that the walk of a changed type or function ended at. */
struct reference {
    struct slice module, name;
    bool local;            /* of the module itself: its version is that of the new info */
    struct semver version; /* else */
};

/* A type or function of the spec that is new, changed, or put back as it was. */
struct component {
    struct component *next;
    bool is_func;
    bool put_back; /* removed before, unchanged since: supported again at its old version */
    enum kidl_change change;
    struct slice name;
    struct semver version; /* in the result: counted from the previous module version */
    const struct kidl_node *node;
    struct slice schema; /* types */
    size_t reference_count;
    struct reference *references; /* sorted, without duplicates */
};

/* A name of the old info or of the spec, or both. */
struct entry_state {
    struct rec_entry entry;
    bool present; /* in the new info so far */
    bool old_supported;
    bool defined; /* by the spec */
};

struct entries {
    size_t count;
    struct entry_state *states; /* sorted by name */
};

struct job {
    struct plan *plan;
    const struct registry_change *change;
    struct slice *add, *remove; /* sorted */
    struct slice spec;          /* normalised */
    struct includes includes;
    const struct kidl_module *spec_module;
    char md5[33];
    const struct cat_module *module;
    const struct cat_version *old;
    struct entries types, funcs;
    struct component *components, **components_end;
    bool removes; /* some type or function goes */
    int64_t version;
};

/* ---- the spec ---- */

static int wrap(int rc, struct err *err)
{
    if (rc)
        err_prefix(err, "%s", WRAP);
    return rc;
}

/* A refresh compiles the newest spec again, released or not. */
static int find_spec(struct job *job, struct slice *ret_spec, struct err *err)
{
    struct slice name = job->change->module;
    const struct cat_module *module;
    const struct cat_version *last;
    int found = 0;

    if (!job->change->refresh) {
        *ret_spec = job->change->spec;
        return 0;
    }
    module = plan_module(job->plan, name);
    if (!module)
        return FAIL(err, ERR_STORE, SLICE("Module"), or_null(name), SLICE(" was not registered"));
    last = cat_last(module);
    if (last && last->has_spec)
        found = plan_spec(job->plan, name, module->last, ret_spec, err);
    if (found < 0)
        return found;
    return found ? 0 : FAIL(err, ERR_NO_MODULE, SLICE("Module wasn't uploaded: "), name);
}

static int check_unit(const struct kidl_unit *unit, struct err *err)
{
    for (size_t i = 0; i < unit->module_count; i++) {
        int rc = wrap(kidl_check_reload(&unit->modules[i], err), err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < unit->module_count; i++)
        if (!slice_eq(unit->modules[i].service, unit->modules[0].service))
            return err_set(err, ERR_SPEC, "Spec-file should consist of only one service");
    if (unit->module_count == 0)
        return err_set(err, ERR_SPEC, "Spec-file should consist of only one service");
    if (unit->module_count > 1)
        return err_set(err, ERR_SPEC, "Spec-file should consist of only one module");
    return 0;
}

static int check_names(const struct kidl_module *module, struct err *err)
{
    int rc = name_check(module->name, false, "Module name", err);

    for (size_t i = 0; rc == 0 && i < module->component_count; i++) {
        const struct kidl_component *c = &module->components[i];
        rc = c->is_func ? name_check(c->func.name, false, "Function name", err)
                        : name_check(c->type.name, false, "Type name", err);
    }
    return rc;
}

static int compile(struct job *job, struct err *err)
{
    struct plan *plan = job->plan;
    const struct registry_change *change = job->change;
    struct kidl_unit unit = { 0 };
    struct slice raw, *names;
    size_t count;
    bool lexical = false;
    int rc = find_spec(job, &raw, err);

    if (rc)
        return rc;
    rc = kidl_correct_includes(raw, plan->arena, &job->spec, &names, &count, err);
    if (rc) {
        err_prefix(err, "Unexpected error during parsing of spec-file include declarations: ");
        return rc;
    }
    rc = includes_resolve(plan, names, count, change->dependencies, change->dependency_count, &job->includes,
                          err);
    if (rc)
        return rc;
    rc = kidl_compile(job->spec, includes_text, &job->includes, plan->limits, plan->arena, &unit, &lexical,
                      err);
    if (rc)
        return lexical ? rc : wrap(rc, err);
    rc = check_unit(&unit, err);
    if (rc == 0)
        rc = check_names(unit.modules, err);
    if (rc == 0)
        rc = wrap(kidl_module_md5(unit.modules, plan->limits, job->md5, err), err);
    job->spec_module = unit.modules;
    return rc;
}

/* ---- the lists of the caller ---- */

static int compare_slices(const void *a, const void *b)
{
    return name_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static struct slice *sorted_copy(struct arena *arena, const struct slice *list, size_t count)
{
    struct slice *copy = arena_alloc(arena, (count + 1) * sizeof(*copy));

    if (count) {
        memcpy(copy, list, count * sizeof(*copy));
        qsort(copy, count, sizeof(*copy), compare_slices);
    }
    return copy;
}

static bool contains(const struct slice *sorted, size_t count, struct slice name)
{
    return count && bsearch(&name, sorted, count, sizeof(*sorted), compare_slices);
}

static bool was_registered(const struct job *job, struct slice name)
{
    const struct rec_entry *old = name.p ? cat_version_type(job->old, name) : NULL;

    return old && old->supported;
}

/* In the set of types that this registration is about. */
static bool is_registered(const struct job *job, struct slice name)
{
    const struct registry_change *c = job->change;

    return (was_registered(job, name) && !contains(job->remove, c->remove_count, name)) ||
           contains(job->add, c->add_count, name);
}

/* In the order of the HashSet that upstream makes of the list: of several wrong names the first is told. */
static struct slice *hashed_copy(struct arena *arena, const struct slice *list, size_t count)
{
    uint32_t capacity = java_hash_putall_capacity(count);
    size_t *order = arena_alloc(arena, (count + 1) * sizeof(*order));
    struct slice *copy = arena_alloc(arena, (count + 1) * sizeof(*copy));

    java_hash_order(list, count, capacity > 16 ? capacity : 16, order);
    for (size_t i = 0; i < count; i++)
        copy[i] = list[order[i]];
    return copy;
}

static int check_lists(struct job *job, struct err *err)
{
    const struct registry_change *c = job->change;
    struct arena *arena = job->plan->arena;
    const struct slice *remove = hashed_copy(arena, c->remove, c->remove_count);
    const struct slice *add = hashed_copy(arena, c->add, c->add_count);

    job->add = sorted_copy(arena, c->add, c->add_count);
    job->remove = sorted_copy(arena, c->remove, c->remove_count);
    for (size_t i = 0; i < c->remove_count; i++)
        if (!was_registered(job, remove[i]))
            return FAIL(err, ERR_SPEC,
                        SLICE("Type is in unregistering type list but was not already registered: "),
                        or_null(remove[i]));
    for (size_t i = 0; i < c->add_count; i++)
        if (was_registered(job, add[i]))
            return FAIL(err, ERR_SPEC, SLICE("Type was already registered before: "), add[i]);
    return 0;
}

static int check_module(struct job *job, struct err *err)
{
    const struct registry_change *change = job->change;
    struct slice name = job->spec_module->name;
    const struct cat_module *module = plan_module(job->plan, name);
    int rc = need_registered(module, name, err);

    if (rc == 0)
        rc = need_supported(module, err);
    if (rc == 0)
        rc = need_owner(module, name, change->user, false, err);
    if (rc)
        return rc;
    if (change->has_prev && !change->refresh && change->prev != module->last)
        return err_set(err, ERR_SPEC,
                       "Concurrent modification: previous module version is %" PRId64
                       " (but should be %" PRId64 ")",
                       module->last, change->prev);
    job->module = module;
    job->old = cat_last(module);
    job->plan->module = module->name;
    if (!job->old)
        return FAIL(err, ERR_STORE, SLICE("Info-record was not found for module: "), name);
    return need_sound(module, err);
}

/* ---- old and new entries by name ---- */

static int compare_states(const void *a, const void *b)
{
    const struct entry_state *x = a, *y = b;

    return name_compare(x->entry.name, y->entry.name);
}

static struct entry_state *find_state(const struct entries *entries, struct slice name)
{
    const struct entry_state key = { .entry.name = name };

    return entries->count ? bsearch(&key, entries->states, entries->count, sizeof(key), compare_states)
                          : NULL;
}

static void collect_entries(struct job *job, bool funcs, struct entries *ret_entries)
{
    const struct kidl_module *m = job->spec_module;
    const struct rec_entry *old = funcs ? job->old->funcs : job->old->types;
    size_t old_count = funcs ? job->old->func_count : job->old->type_count, n = 0, kept = 0;
    struct entry_state *s = arena_zalloc(job->plan->arena, (old_count + m->component_count + 1) * sizeof(*s));

    for (size_t i = 0; i < old_count; i++)
        s[n++] = (struct entry_state){ .entry = old[i], .present = true, .old_supported = old[i].supported };
    for (size_t i = 0; i < m->component_count; i++) {
        const struct kidl_component *c = &m->components[i];
        if (c->is_func == funcs)
            s[n++] =
                (struct entry_state){ .entry.name = funcs ? c->func.name : c->type.name, .defined = true };
    }
    if (n)
        qsort(s, n, sizeof(*s), compare_states);
    for (size_t i = 0; i < n; i++) {
        if (!kept || compare_states(&s[kept - 1], &s[i]) != 0) {
            s[kept++] = s[i];
            continue;
        }
        bool defined = s[kept - 1].defined || s[i].defined;
        if (s[i].present)
            s[kept - 1] = s[i];
        s[kept - 1].defined = defined;
    }
    *ret_entries = (struct entries){ kept, s };
}

/* ---- what changed ---- */

static struct semver next_version(const struct entry_state *state, enum kidl_change change)
{
    struct semver v = state->entry.version;

    if (!state->present)
        return (struct semver){ 0, 1 };
    if (v.major >= 1 && change == KIDL_INCOMPATIBLE)
        return (struct semver){ v.major + 1, 0 };
    return (struct semver){ v.major, v.minor + 1 };
}

struct reference_walk {
    struct job *job;
    size_t count, cap;
    struct reference *found; /* with duplicates */
};

static void add_reference(struct reference_walk *walk, const struct reference *found)
{
    if (walk->count == walk->cap) {
        walk->cap = walk->cap ? walk->cap * 2 : 16;
        walk->found = xrealloc(walk->found, walk->cap * sizeof(*walk->found));
    }
    walk->found[walk->count++] = *found;
}

static int compare_references(const void *a, const void *b)
{
    const struct reference *x = a, *y = b;
    int order = name_compare(x->module, y->module);

    return order ? order : name_compare(x->name, y->name);
}

/* Ends at types of other modules, which must be registered there (removed ones too), and at registered ones
 * of our own. */
static bool visit_reference(void *ctx, struct slice module, struct slice name, struct err *err)
{
    struct reference_walk *walk = ctx;
    struct job *job = walk->job;
    struct reference found = { .module = module, .name = name };

    if (slice_eq(module, job->module->name)) {
        if (!is_registered(job, name))
            return false;
        found.local = true;
        add_reference(walk, &found);
        return true;
    }
    const struct include *include = includes_find(&job->includes, module);
    const struct rec_entry *entry = include ? cat_version_type(include->version, name) : NULL;
    if (!entry) {
        FAIL(err, ERR_SPEC, SLICE("Reference to external not registered module/type is missing: "), module,
             SLICE("."), name);
        return true;
    }
    found.version = entry->version;
    add_reference(walk, &found);
    return true;
}

static int find_references(struct job *job, struct component *c, struct err *err)
{
    struct reference_walk walk = { .job = job };
    int rc = kidl_references(c->node, visit_reference, &walk, err);

    if (walk.count)
        qsort(walk.found, walk.count, sizeof(*walk.found), compare_references);
    c->references = arena_alloc(job->plan->arena, (walk.count + 1) * sizeof(*c->references));
    for (size_t i = 0; i < walk.count; i++)
        if (i == 0 || compare_references(&walk.found[i - 1], &walk.found[i]) != 0)
            c->references[c->reference_count++] = walk.found[i];
    free(walk.found);
    return rc;
}

static int load_old(struct job *job, enum text_kind kind, const struct entry_state *state,
                    const struct kidl_node **ret_node, struct err *err)
{
    struct slice text;
    int rc = plan_need_text(job->plan, kind, job->module->name, state->entry.name, state->entry.version,
                            &text, err);

    return rc ? rc : wrap(kidl_load(text, job->plan->arena, ret_node, err), err);
}

static int judge_type(struct job *job, const struct entry_state *state, struct component *c, struct err *err)
{
    struct arena *arena = job->plan->arena;
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    const struct kidl_node *old, *last = kidl_find_type(job->spec_module, c->name);
    struct slice old_schema;

    /* of the last typedef with that name, whichever one this is */
    int rc = wrap(kidl_schema(last, job->plan->limits, &schema, err), err);
    if (rc)
        return rc;
    c->schema = arena_slice(arena, sbuf_slice(&schema));
    c->change = KIDL_INCOMPATIBLE;
    if (!state->present)
        return 0;
    rc = load_old(job, TEXT_TYPE_PARSE, state, &old, err);
    if (rc)
        return rc;
    c->change = kidl_type_change(old, kidl_reload(c->node, arena));
    if (c->change != KIDL_NO_CHANGE)
        return 0;
    rc = plan_need_text(job->plan, TEXT_SCHEMA, job->module->name, c->name, state->entry.version, &old_schema,
                        err);
    if (rc == 0 && !slice_eq(utf_trim(old_schema), utf_trim(c->schema)))
        c->change = KIDL_COMPATIBLE;
    return rc;
}

static int judge_func(struct job *job, const struct entry_state *state, struct component *c, struct err *err)
{
    const struct kidl_node *old;

    c->change = KIDL_INCOMPATIBLE;
    if (!state->present)
        return 0;
    int rc = load_old(job, TEXT_FUNC_PARSE, state, &old, err);
    if (rc == 0)
        c->change = kidl_func_change(old, kidl_reload(c->node, job->plan->arena));
    return rc;
}

static int judge(struct job *job, const struct kidl_component *from, struct err *err)
{
    bool is_func = from->is_func;
    struct slice name = is_func ? from->func.name : from->type.name;
    const struct entry_state *state = find_state(is_func ? &job->funcs : &job->types, name);
    struct component *c = arena_zalloc(job->plan->arena, sizeof(*c));

    c->is_func = is_func;
    c->name = name;
    c->node = is_func ? from->func.node : from->type.node;
    int rc = is_func ? judge_func(job, state, c, err) : judge_type(job, state, c, err);
    if (rc)
        return rc;
    if (c->change == KIDL_NO_CHANGE) {
        c->put_back = !state->old_supported;
        c->version = state->entry.version;
        if (!c->put_back)
            return 0;
    } else {
        rc = find_references(job, c, err);
        c->version = next_version(state, c->change);
    }
    *job->components_end = c;
    job->components_end = &c->next;
    return rc;
}

static int judge_all(struct job *job, struct err *err)
{
    const struct kidl_module *m = job->spec_module;

    for (size_t i = 0; i < m->component_count; i++) {
        const struct kidl_component *c = &m->components[i];
        int rc = c->is_func || is_registered(job, c->type.name) ? judge(job, c, err) : 0;
        if (rc)
            return rc;
    }
    const struct slice *add = hashed_copy(job->plan->arena, job->change->add, job->change->add_count);
    for (size_t i = 0; i < job->change->add_count; i++) {
        struct slice name = add[i];
        const struct entry_state *state = name.p ? find_state(&job->types, name) : NULL;
        if (!state || !state->defined)
            return FAIL(err, ERR_SPEC, SLICE("Type is in adding type list but is not defined in spec-file: "),
                        or_null(name));
    }
    return 0;
}

/* Types that are told to go, and types and functions that the spec has no more. */
static void mark_removed(struct job *job)
{
    for (size_t i = 0; i < job->types.count; i++) {
        struct entry_state *s = &job->types.states[i];
        if (s->old_supported && (!s->defined || !is_registered(job, s->entry.name))) {
            s->entry.supported = false;
            job->removes = true;
        }
    }
    for (size_t i = 0; i < job->funcs.count; i++) {
        struct entry_state *s = &job->funcs.states[i];
        if (s->old_supported && !s->defined) {
            s->entry.supported = false;
            job->removes = true;
        }
    }
}

static int check_difference(struct job *job, struct err *err)
{
    struct slice old_spec;

    if (job->components || job->removes || !slice_is(job->old->md5, job->md5) || job->old->include_count ||
        job->includes.direct_count)
        return 0;
    int found = plan_spec(job->plan, job->module->name, job->old->version, &old_spec, err);
    if (found < 0)
        return found;
    if (!found)
        return FAIL(err, ERR_STORE, SLICE("Spec-record was not found for module: "), job->module->name);
    if (!slice_eq(old_spec, job->spec))
        return 0;
    return FAIL(err, ERR_SPEC,
                SLICE("There is no difference between previous and current versions of module "),
                job->module->name);
}

/* ---- the result ---- */

static int compare_schemas(const void *a, const void *b)
{
    const struct registry_schema *x = a, *y = b;
    int order = name_compare(x->name, y->name);

    return order ? order : semver_compare(x->version, y->version);
}

static void fill_result(const struct job *job, struct registry_registered *done)
{
    size_t count = 0, kept = 0;

    for (const struct component *c = job->components; c; c = c->next)
        count += !c->is_func;
    struct registry_schema *schemas = arena_alloc(job->plan->arena, (count + 1) * sizeof(*schemas));
    count = 0;
    for (const struct component *c = job->components; c; c = c->next)
        if (!c->is_func)
            schemas[count++] = (struct registry_schema){ job->module->name, c->name, c->version, c->schema };
    if (count)
        qsort(schemas, count, sizeof(*schemas), compare_schemas);
    /* a type that is defined twice has one text */
    for (size_t i = 0; i < count; i++)
        if (!kept || compare_schemas(&schemas[kept - 1], &schemas[i]) != 0)
            schemas[kept++] = schemas[i];
    *done = (struct registry_registered){ kept, schemas, job->version };
}

/* ---- the change set ---- */

static void add_row(struct job *job, enum change_kind kind, const struct component *c, struct semver version,
                    struct slice text, struct slice md5)
{
    struct change *change = change_set_add(&job->plan->set, kind);

    change->row = (struct rec_row){
        job->module->name, c->name, version, job->version, plan_java_bytes(job->plan, text), md5
    };
}

static int add_rows(struct job *job, const struct component *c, struct semver version, struct err *err)
{
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    int rc = wrap(kidl_tree_text(c->node, job->plan->limits, &tree, err), err);

    if (rc)
        return rc;
    if (c->is_func) {
        add_row(job, CHANGE_ADD_FUNC_PARSE, c, version, sbuf_slice(&tree), slice_of(NULL, 0));
        return 0;
    }
    char *md5 = arena_alloc(job->plan->arena, MD5_HEX + 1);
    md5_hex(c->schema, md5);
    add_row(job, CHANGE_ADD_SCHEMA, c, version, c->schema, slice_of(md5, MD5_HEX));
    add_row(job, CHANGE_ADD_TYPE_PARSE, c, version, sbuf_slice(&tree), slice_of(NULL, 0));
    return 0;
}

static void add_edges(struct job *job, const struct component *c, struct semver version)
{
    for (size_t i = 0; i < c->reference_count; i++) {
        const struct reference *r = &c->references[i];
        struct change *change =
            change_set_add(&job->plan->set, c->is_func ? CHANGE_ADD_FUNC_REF : CHANGE_ADD_TYPE_REF);
        change->edge = (struct rec_edge){
            .dep_module = job->module->name,
            .dep_name = c->name,
            .dep_version = version,
            .dep_module_version = job->version,
            .ref_module = r->module,
            .ref_name = r->name,
            .ref_version = r->local ? find_state(&job->types, r->name)->entry.version : r->version,
        };
    }
}

/*
 * In the order of the spec, so that a type that was declared before already has its new number, and one
 * declared twice gets two.
 */
static int add_components(struct job *job, struct err *err)
{
    for (const struct component *c = job->components; c; c = c->next) {
        struct entry_state *state = find_state(c->is_func ? &job->funcs : &job->types, c->name);
        int rc = 0;
        if (!c->put_back) {
            state->entry.version = next_version(state, c->change);
            state->present = true;
            rc = add_rows(job, c, state->entry.version, err);
            add_edges(job, c, state->entry.version);
        }
        state->entry.supported = true;
        if (rc)
            return rc;
    }
    return 0;
}

static const struct rec_entry *new_entries(struct job *job, const struct entries *entries, size_t *ret_count)
{
    struct rec_entry *list = arena_alloc(job->plan->arena, (entries->count + 1) * sizeof(*list));
    size_t n = 0;

    for (size_t i = 0; i < entries->count; i++)
        if (entries->states[i].present)
            list[n++] = entries->states[i].entry;
    *ret_count = n;
    return list;
}

static int build_changes(struct job *job, struct err *err)
{
    struct plan *plan = job->plan;
    const struct cat_module *module = job->module;

    job->version = plan_draw_version(plan, module->name, module->last);
    int rc = add_components(job, err);
    if (rc)
        return rc;
    struct change *spec = change_set_add(&plan->set, CHANGE_ADD_SPEC);
    spec->spec = (struct rec_spec){ module->name, job->version, plan_java_bytes(plan, job->spec) };
    struct rec_info info = {
        .module = module->name,
        .version = job->version,
        .description = plan_java_bytes(plan, job->spec_module->comment),
        .md5 = arena_slice(plan->arena, slice_of(job->md5, MD5_HEX)),
        .user = slice_str(job->change->user),
        .method = job->change->refresh ? SLICE("refreshModule") : SLICE("registerModule"),
        .comment = SLICE(""),
        .includes = job->includes.direct,
        .include_count = job->includes.direct_count,
    };
    info.types = new_entries(job, &job->types, &info.type_count);
    info.funcs = new_entries(job, &job->funcs, &info.func_count);
    change_set_add(&plan->set, CHANGE_ADD_INFO)->info = info;
    change_set_add(&plan->set, CHANGE_MOVE_POINTERS)->pointers =
        (struct rec_pointers){ module->name, job->version, module->released, module->supported };
    return 0;
}

int plan_register(struct plan *plan, void *ctx, struct err *err)
{
    struct register_ctx *in = ctx;
    struct job job = { .plan = plan, .change = in->change };

    job.components_end = &job.components;
    plan->dry_run = in->change->dry_run;
    int rc = compile(&job, err);
    if (rc == 0)
        rc = check_module(&job, err);
    if (rc == 0)
        rc = check_lists(&job, err);
    if (rc)
        return rc;
    collect_entries(&job, false, &job.types);
    collect_entries(&job, true, &job.funcs);
    rc = judge_all(&job, err);
    if (rc)
        return rc;
    mark_removed(&job);
    rc = check_difference(&job, err);
    if (rc)
        return rc;
    job.version = job.module->last;
    if (!plan->dry_run)
        rc = build_changes(&job, err);
    if (rc == 0)
        fill_result(&job, &in->done);
    return rc;
}
