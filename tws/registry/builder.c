#include "tws/registry/builder.h"

#include <assert.h>

#include "tws/registry/draft.h"

struct builder {
    const struct catalogue *base; /* or NULL; the caller holds a reference */
    struct versions *versions;
    struct strays *strays;
    struct arena arena; /* texts of new records */
    struct draft *drafts;
    struct draft *recent; /* records of one module come together */
    bool requests_changed;
    struct stray_damage *damage; /* records that could not be read; in the arena */
    size_t request_count, request_cap;
    struct rec_owner *requests; /* once they have changed */
};

struct builder *builder_new(const struct catalogue *base, struct versions *versions, struct strays *strays)
{
    struct builder *builder = xcalloc(1, sizeof(*builder));

    builder->base = base;
    builder->versions = versions;
    builder->strays = strays;
    return builder;
}

void builder_free(struct builder *builder)
{
    struct draft *draft, *next;

    if (!builder)
        return;
    HASH_ITER (hh, builder->drafts, draft, next) {
        HASH_DEL(builder->drafts, draft);
        draft_free(draft);
    }
    free(builder->requests);
    arena_release(&builder->arena);
    free(builder);
}

static void note_version(struct builder *builder, struct slice module, int64_t version)
{
    if (builder->versions)
        versions_note(builder->versions, module, version);
}

static struct slice keep(struct builder *builder, struct slice text)
{
    return arena_slice(&builder->arena, text);
}

static void add_draft(struct builder *builder, struct draft *draft)
{
    HASH_ADD_KEYPTR(hh, builder->drafts, draft->name.p, draft->name.n, draft);
}

/* The draft of a module that exists, else NULL. */
static struct draft *find_draft(struct builder *builder, struct slice module)
{
    struct draft *draft = builder->recent;

    if (draft && slice_eq(draft->name, module))
        return draft;
    HASH_FIND(hh, builder->drafts, module.p, module.n, draft);
    if (!draft && builder->base) {
        const struct cat_module *old = cat_find_module(builder->base, module);
        if (old) {
            draft = draft_seed(old);
            add_draft(builder, draft);
        }
    }
    if (draft)
        builder->recent = draft;
    return draft;
}

/* ---- one function per kind of record ---- */

static void put_pointers(struct builder *builder, const struct rec_pointers *rec)
{
    struct draft *draft = find_draft(builder, rec->module);

    note_version(builder, rec->module, rec->last);
    if (!draft) {
        draft = draft_new(keep(builder, rec->module));
        add_draft(builder, draft);
    }
    draft->changed = true;
    draft->last = draft->stored_last = rec->last;
    draft->released = draft->stored_released = rec->released;
    draft->supported = rec->supported;
}

static void put_owner(struct builder *builder, const struct rec_owner *rec)
{
    struct draft *draft = find_draft(builder, rec->module);

    /* nobody is called that, so it is nobody's */
    if (rec->user.n == 0)
        return;
    if (draft) {
        draft_put_owner(draft, keep(builder, rec->user), rec->can_grant);
    } else if (builder->strays) {
        struct arena *arena = &builder->strays->arena;
        struct stray_owner *stray = arena_zalloc(arena, sizeof(*stray));
        stray->owner = (struct rec_owner){ arena_slice(arena, rec->module), arena_slice(arena, rec->user),
                                           rec->can_grant };
        stray->next = builder->strays->first;
        builder->strays->first = stray;
    }
}

static void drop_owner(struct builder *builder, const struct rec_owner *rec)
{
    struct draft *draft = find_draft(builder, rec->module);

    if (draft)
        draft_drop_owner(draft, rec->user);
}

static struct rec_owner *add_request_slot(struct builder *builder)
{
    if (builder->request_count == builder->request_cap) {
        builder->request_cap = builder->request_cap ? builder->request_cap * 2 : 16;
        builder->requests = xrealloc(builder->requests, builder->request_cap * sizeof(*builder->requests));
    }
    return &builder->requests[builder->request_count++];
}

static void change_requests(struct builder *builder)
{
    if (builder->requests_changed)
        return;
    builder->requests_changed = true;
    for (size_t i = 0; builder->base && i < builder->base->request_count; i++)
        *add_request_slot(builder) = builder->base->requests[i];
}

static void add_request(struct builder *builder, const struct rec_owner *rec)
{
    change_requests(builder);
    *add_request_slot(builder) =
        (struct rec_owner){ keep(builder, rec->module), keep(builder, rec->user), rec->can_grant };
}

static void drop_requests(struct builder *builder, const struct rec_owner *rec)
{
    size_t kept = 0;

    change_requests(builder);
    for (size_t i = 0; i < builder->request_count; i++) {
        const struct rec_owner *r = &builder->requests[i];
        bool whoever = rec->user.p == NULL;
        if (!slice_eq(r->module, rec->module) || !(whoever || slice_eq(r->user, rec->user)))
            builder->requests[kept++] = *r;
    }
    builder->request_count = kept;
}

/* Names the versions that an info holds, but those that `before` has named already. */
static void name_entries(struct draft *draft, const struct rec_entry *entries, size_t count, bool is_func,
                         const struct cat_version *before)
{
    for (size_t i = 0; i < count; i++) {
        const struct rec_entry *e = &entries[i], *old = NULL;
        if (before)
            old = is_func ? cat_version_func(before, e->name) : cat_version_type(before, e->name);
        if (old && semver_compare(old->version, e->version) == 0)
            continue;
        const struct draft_row row = {
            .name = e->name, .is_func = is_func, .named = true, .row.version = e->version
        };
        draft_add_row(draft, &row);
    }
}

static void put_info(struct builder *builder, const struct rec_info *rec)
{
    struct draft *draft = find_draft(builder, rec->module);

    note_version(builder, rec->module, rec->version);
    if (!draft)
        return;
    if (rec->version > draft->last) {
        draft_note_damage(draft, "there is a version above the newest one", &builder->arena);
        return;
    }
    const struct cat_version like = {
        .version = rec->version,
        .first = rec->first,
        .released = rec->released,
        .description = rec->description,
        .md5 = rec->md5,
        .user = rec->user,
        .method = rec->method,
        .include_count = rec->include_count,
        .includes = rec->includes,
        .type_count = rec->type_count,
        .types = rec->types,
        .func_count = rec->func_count,
        .funcs = rec->funcs,
    };
    const struct cat_version *before =
        draft->version_count ? &draft->versions[draft->version_count - 1].block->pub : NULL;
    struct version_block *block = version_block_new(&like);
    name_entries(draft, block->pub.types, block->pub.type_count, false, before);
    name_entries(draft, block->pub.funcs, block->pub.func_count, true, before);
    draft_add_version(draft, block);
}

static void put_spec(struct builder *builder, const struct rec_spec *rec)
{
    struct draft *draft = find_draft(builder, rec->module);

    note_version(builder, rec->module, rec->version);
    if (!draft)
        return;
    struct version_block *block = draft_edit_version(draft, rec->version);
    if (block)
        block->pub.has_spec = true;
}

static void set_released(struct builder *builder, struct slice module, int64_t version)
{
    struct draft *draft = find_draft(builder, module);
    struct version_block *block = draft ? draft_edit_version(draft, version) : NULL;

    if (block)
        block->pub.released = true;
}

enum row_kind { ROW_SCHEMA, ROW_TYPE_PARSE, ROW_FUNC_PARSE };

static void put_row(struct builder *builder, const struct rec_row *rec, enum row_kind kind)
{
    struct draft *draft = find_draft(builder, rec->module);
    struct draft_row row = { .is_func = kind == ROW_FUNC_PARSE };

    note_version(builder, rec->module, rec->module_version);
    if (!draft)
        return;
    row.name = keep(builder, rec->name);
    row.row.version = rec->version;
    row.row.module_version = rec->module_version;
    row.row.has_schema = kind == ROW_SCHEMA;
    row.row.has_parse = kind != ROW_SCHEMA;
    if (kind == ROW_SCHEMA && rec->md5.n == MD5_HEX)
        memcpy(row.row.md5, rec->md5.p, MD5_HEX);
    draft_add_row(draft, &row);
}

static void put_edge(struct builder *builder, const struct rec_edge *rec, bool is_func)
{
    struct draft *draft = find_draft(builder, rec->dep_module);

    note_version(builder, rec->dep_module, rec->dep_module_version);
    if (!draft)
        return;
    const struct cat_edge edge = {
        .name = keep(builder, rec->dep_name),
        .version = rec->dep_version,
        .dep_is_func = is_func,
        .other_module = keep(builder, rec->ref_module),
        .other_name = keep(builder, rec->ref_name),
        .other_version = rec->ref_version,
    };
    draft->changed = true;
    draft_add_out(draft, &edge);
}

static int note_damage(void *ctx, struct slice module, const char *what)
{
    struct builder *builder = ctx;
    struct stray_damage *damage = arena_alloc(&builder->arena, sizeof(*damage));

    *damage = (struct stray_damage){ builder->damage, keep(builder, module),
                                     slice_str(arena_printf(&builder->arena, "a record in %s cannot be read",
                                                            what)) };
    builder->damage = damage;
    return 0;
}

/* ---- from a store ---- */

#define SINK(name, type, call) \
    static int sink_##name(void *ctx, const struct type *rec, struct err *err UNUSED) \
    { \
        struct builder *builder = ctx; \
        call; \
        return 0; \
    }

SINK(pointers, rec_pointers, put_pointers(builder, rec))
SINK(owner, rec_owner, put_owner(builder, rec))
SINK(request, rec_owner, add_request(builder, rec))
SINK(info, rec_info, put_info(builder, rec))
SINK(spec, rec_spec, put_spec(builder, rec))
SINK(schema, rec_row, put_row(builder, rec, ROW_SCHEMA))
SINK(type_parse, rec_row, put_row(builder, rec, ROW_TYPE_PARSE))
SINK(func_parse, rec_row, put_row(builder, rec, ROW_FUNC_PARSE))
SINK(type_ref, rec_edge, put_edge(builder, rec, false))
SINK(func_ref, rec_edge, put_edge(builder, rec, true))

void builder_sink(struct builder *builder, struct store_sink *ret_sink)
{
    *ret_sink = (struct store_sink){
        .ctx = builder,
        .pointers = sink_pointers,
        .owner = sink_owner,
        .request = sink_request,
        .info = sink_info,
        .spec = sink_spec,
        .schema = sink_schema,
        .type_parse = sink_type_parse,
        .func_parse = sink_func_parse,
        .type_ref = sink_type_ref,
        .func_ref = sink_func_ref,
        .damage = note_damage,
    };
}

/* ---- from a change ---- */

/* In the order in which store_load() hands out kinds, because infos are judged by the pointers. */
enum { PASS_POINTERS, PASS_OWNERS, PASS_INFOS, PASS_REST, PASS_COUNT };

static const unsigned char pass_of[] = {
    [CHANGE_ADD_REQUEST] = PASS_OWNERS,  [CHANGE_DROP_REQUESTS] = PASS_OWNERS,
    [CHANGE_PUT_OWNER] = PASS_OWNERS,    [CHANGE_DROP_OWNER] = PASS_OWNERS,
    [CHANGE_ADD_SCHEMA] = PASS_REST,     [CHANGE_ADD_TYPE_PARSE] = PASS_REST,
    [CHANGE_ADD_FUNC_PARSE] = PASS_REST, [CHANGE_ADD_TYPE_REF] = PASS_REST,
    [CHANGE_ADD_FUNC_REF] = PASS_REST,   [CHANGE_ADD_SPEC] = PASS_REST,
    [CHANGE_ADD_INFO] = PASS_INFOS,      [CHANGE_SET_RELEASED] = PASS_REST,
    [CHANGE_ADD_MODULE] = PASS_POINTERS, [CHANGE_MOVE_POINTERS] = PASS_POINTERS,
    [CHANGE_DROP_INFO] = PASS_REST, /* the last kind; repairs do not come here */
};

static void apply_change(struct builder *builder, const struct change *c)
{
    switch (c->kind) {
    case CHANGE_ADD_REQUEST:
        add_request(builder, &c->owner);
        break;
    case CHANGE_DROP_REQUESTS:
        drop_requests(builder, &c->owner);
        break;
    case CHANGE_PUT_OWNER:
        put_owner(builder, &c->owner);
        break;
    case CHANGE_DROP_OWNER:
        drop_owner(builder, &c->owner);
        break;
    case CHANGE_ADD_SCHEMA:
        put_row(builder, &c->row, ROW_SCHEMA);
        break;
    case CHANGE_ADD_TYPE_PARSE:
        put_row(builder, &c->row, ROW_TYPE_PARSE);
        break;
    case CHANGE_ADD_FUNC_PARSE:
        put_row(builder, &c->row, ROW_FUNC_PARSE);
        break;
    case CHANGE_ADD_TYPE_REF:
    case CHANGE_ADD_FUNC_REF:
        put_edge(builder, &c->edge, c->kind == CHANGE_ADD_FUNC_REF);
        break;
    case CHANGE_ADD_SPEC:
        put_spec(builder, &c->spec);
        break;
    case CHANGE_ADD_INFO:
        put_info(builder, &c->info);
        break;
    case CHANGE_SET_RELEASED:
        set_released(builder, c->pointers.module, c->pointers.last);
        break;
    case CHANGE_ADD_MODULE:
    case CHANGE_MOVE_POINTERS:
        put_pointers(builder, &c->pointers);
        break;
    case CHANGE_DROP_SCHEMA:
    case CHANGE_DROP_TYPE_PARSE:
    case CHANGE_DROP_FUNC_PARSE:
    case CHANGE_DROP_TYPE_REF:
    case CHANGE_DROP_FUNC_REF:
    case CHANGE_DROP_SPEC:
    case CHANGE_DROP_INFO:
        assert(false); /* repairs are not made on a catalogue */
        break;
    }
}

void builder_apply(struct builder *builder, const struct change_set *set)
{
    for (int pass = 0; pass < PASS_COUNT; pass++)
        for (const struct change *c = set->changes; c; c = c->next)
            if (pass_of[c->kind] == pass)
                apply_change(builder, c);
}

/* ---- finishing ---- */

/* Drops new edges without known ends, and shows the others to the module that they point to. */
static void link_edges(struct builder *builder, struct draft *draft)
{
    size_t kept = draft->out_checked;

    for (size_t i = draft->out_checked; i < draft->out_count; i++) {
        const struct cat_edge *e = &draft->out[i];
        struct draft *target = find_draft(builder, e->other_module);
        if (!target || !draft_has(draft, e->name, e->version, e->dep_is_func) ||
            !draft_has(target, e->other_name, e->other_version, false))
            continue;
        const struct cat_edge in = {
            .name = e->other_name,
            .version = e->other_version,
            .dep_is_func = e->dep_is_func,
            .other_module = draft->name,
            .other_name = e->name,
            .other_version = e->version,
        };
        draft_add_in(target, &in);
        draft->out[kept++] = *e;
    }
    draft->out_checked = draft->out_count = kept;
}

static int compare_drafts(const struct draft *a, const struct draft *b)
{
    return name_compare(a->name, b->name);
}

/* Modules of the base with those that have a draft replaced or added; both lists are sorted. */
static void merge_modules(struct builder *builder, struct snapshot *snap, uint64_t sequence)
{
    const struct catalogue *base = builder->base;
    size_t old = 0, old_count = base ? base->module_count : 0, n = 0;
    const struct cat_module **modules =
        xcalloc(old_count + HASH_COUNT(builder->drafts) + 1, sizeof(*modules));

    HASH_SORT(builder->drafts, compare_drafts);
    for (struct draft *d = builder->drafts; d; d = d->hh.next) {
        for (; old < old_count && name_compare(base->modules[old]->name, d->name) < 0; old++)
            modules[n++] = &module_block_ref(base->modules[old])->pub;
        if (old < old_count && slice_eq(base->modules[old]->name, d->name))
            old++;
        modules[n++] = &draft_freeze(d, sequence)->pub;
    }
    for (; old < old_count; old++)
        modules[n++] = &module_block_ref(base->modules[old])->pub;
    snap->pub.modules = modules;
    snap->pub.module_count = n;
}

static void finish_requests(struct builder *builder, struct snapshot *snap, uint64_t sequence)
{
    const struct catalogue *base = builder->base;

    if (base && !builder->requests_changed) {
        snap->requests = ((const struct snapshot *)(const void *)base)->requests;
        atomic_fetch_add_explicit(&snap->requests->refs, 1, memory_order_relaxed);
        snap->pub.requests_epoch = base->requests_epoch;
    } else {
        struct request_block *block = xcalloc(1, sizeof(*block));
        struct rec_owner *copy = arena_alloc(&block->arena, (builder->request_count + 1) * sizeof(*copy));
        for (size_t i = 0; i < builder->request_count; i++)
            copy[i] = (struct rec_owner){ arena_slice(&block->arena, builder->requests[i].module),
                                          arena_slice(&block->arena, builder->requests[i].user),
                                          builder->requests[i].can_grant };
        atomic_init(&block->refs, 1);
        block->count = builder->request_count;
        block->requests = copy;
        snap->requests = block;
        snap->pub.requests_epoch = sequence;
    }
    snap->pub.requests = snap->requests->requests;
    snap->pub.request_count = snap->requests->count;
}

/* What could not be read is told of its module, or of none. */
static void spread_damage(struct builder *builder)
{
    struct stray_damage *next;

    for (struct stray_damage *d = builder->damage; d; d = next) {
        struct draft *draft = find_draft(builder, d->module);
        next = d->next;
        if (draft) {
            draft_note_damage(draft, d->what.p, &builder->arena);
        } else if (builder->strays) {
            struct arena *arena = &builder->strays->arena;
            struct stray_damage *stray = arena_alloc(arena, sizeof(*stray));
            *stray = (struct stray_damage){ builder->strays->damage, arena_slice(arena, d->module),
                                            arena_slice(arena, d->what) };
            builder->strays->damage = stray;
        }
    }
}

struct snapshot *builder_finish(struct builder *builder, uint64_t sequence)
{
    struct snapshot *snap = xcalloc(1, sizeof(*snap));

    /* the modules that new edges point to get drafts too; the list grows at its end while we walk it */
    for (struct draft *d = builder->drafts; d; d = d->hh.next)
        for (size_t i = d->out_checked; i < d->out_count; i++)
            find_draft(builder, d->out[i].other_module);
    for (struct draft *d = builder->drafts; d && !builder->base; d = d->hh.next)
        draft_settle(d, &builder->arena);
    spread_damage(builder);
    for (struct draft *d = builder->drafts; d; d = d->hh.next) {
        draft_join_rows(d);
        if (!builder->base)
            draft_check_rows(d, &builder->arena);
        /* whatever R names is released: the two marks are written by one change, but not by every writer
         * there was */
        struct version_block *block = NULL;
        for (size_t i = 0; i < d->version_count; i++)
            if (d->versions[i].block->pub.version == d->released && !d->versions[i].block->pub.released)
                block = draft_edit_version(d, d->released);
        if (block)
            block->pub.released = true;
    }
    for (struct draft *d = builder->drafts; d; d = d->hh.next)
        link_edges(builder, d);
    merge_modules(builder, snap, sequence);
    finish_requests(builder, snap, sequence);
    snap->pub.sequence = sequence;
    return snap;
}
