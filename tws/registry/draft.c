#include "tws/registry/draft.h"

#include <inttypes.h>

#include "shared/base/utf.h"

/* A longer text about damage is not added to: whoever reads that much asks fsck. */
enum { MAX_DAMAGE = 300 };

/* Makes room for one more element and returns where it goes. */
static void *grow(void **array, size_t *count, size_t *cap, size_t size)
{
    if (*count == *cap) {
        *cap = *cap ? *cap * 2 : 8;
        *array = xrealloc(*array, *cap * size);
    }
    return (char *)*array + (*count)++ * size;
}

#define ADD(draft, list, count, cap) \
    (*(__typeof__((draft)->list))grow((void **)&(draft)->list, &(draft)->count, &(draft)->cap, \
                                      sizeof(*(draft)->list)))

struct draft *draft_new(struct slice name)
{
    struct draft *draft = xcalloc(1, sizeof(*draft));

    draft->name = name;
    draft->changed = true;
    return draft;
}

static void seed_rows(struct draft *draft, const struct cat_name *names, size_t count, bool is_func)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < names[i].row_count; j++) {
            const struct draft_row row = { names[i].name, is_func, true, names[i].rows[j] };
            draft_add_row(draft, &row);
        }
    }
}

struct draft *draft_seed(const struct cat_module *module)
{
    struct draft *draft = draft_new(module->name);

    draft->changed = false;
    draft->damage = module->damage;
    draft->epoch = module->epoch;
    draft->last = module->last;
    draft->released = module->released;
    draft->stored_last = module->stored_last;
    draft->stored_released = module->stored_released;
    draft->supported = module->supported;
    for (size_t i = 0; i < module->owner_count; i++)
        ADD(draft, owners, owner_count, owner_cap) = module->owners[i];
    for (size_t i = 0; i < module->version_count; i++)
        ADD(draft, versions, version_count, version_cap) =
            (struct draft_version){ version_block_ref(module->versions[i]), false };
    seed_rows(draft, module->types, module->type_count, false);
    seed_rows(draft, module->funcs, module->func_count, true);
    for (size_t i = 0; i < module->out_count; i++)
        draft_add_out(draft, &module->out[i]);
    draft->out_checked = draft->out_count;
    for (size_t i = 0; i < module->in_count; i++)
        draft_add_in(draft, &module->in[i]);
    return draft;
}

void draft_free(struct draft *draft)
{
    if (!draft)
        return;
    for (size_t i = 0; i < draft->version_count; i++)
        version_block_unref(&draft->versions[i].block->pub);
    free(draft->owners);
    free(draft->versions);
    free(draft->rows);
    free(draft->out);
    free(draft->in);
    free(draft);
}

static struct cat_owner *find_owner(struct draft *draft, struct slice user)
{
    for (size_t i = 0; i < draft->owner_count; i++)
        if (slice_eq(draft->owners[i].user, user))
            return &draft->owners[i];
    return NULL;
}

void draft_put_owner(struct draft *draft, struct slice user, bool can_grant)
{
    struct cat_owner *owner = find_owner(draft, user);

    draft->changed = true;
    if (owner)
        owner->can_grant = can_grant;
    else
        ADD(draft, owners, owner_count, owner_cap) = (struct cat_owner){ user, can_grant };
}

void draft_drop_owner(struct draft *draft, struct slice user)
{
    struct cat_owner *owner = find_owner(draft, user);

    draft->changed = true;
    if (owner)
        *owner = draft->owners[--draft->owner_count];
}

void draft_add_version(struct draft *draft, struct version_block *block)
{
    draft->changed = true;
    ADD(draft, versions, version_count, version_cap) = (struct draft_version){ block, true };
}

void draft_add_row(struct draft *draft, const struct draft_row *row)
{
    ADD(draft, rows, row_count, row_cap) = *row;
}

void draft_add_out(struct draft *draft, const struct cat_edge *edge)
{
    ADD(draft, out, out_count, out_cap) = *edge;
}

void draft_add_in(struct draft *draft, const struct cat_edge *edge)
{
    ADD(draft, in, in_count, in_cap) = *edge;
}

static struct draft_version *find_version(struct draft *draft, int64_t version)
{
    /* records mostly come in the order of versions, so the next one is the likely one */
    for (size_t i = 0; i < draft->version_count; i++) {
        size_t at = (draft->recent_version + 1 + i) % draft->version_count;
        if (draft->versions[at].block->pub.version == version) {
            draft->recent_version = at;
            return &draft->versions[at];
        }
    }
    return NULL;
}

struct version_block *draft_edit_version(struct draft *draft, int64_t version)
{
    struct draft_version *v = find_version(draft, version);

    if (!v)
        return NULL;
    draft->changed = true;
    if (!v->mine) {
        struct version_block *copy = version_block_new(&v->block->pub);
        version_block_unref(&v->block->pub);
        *v = (struct draft_version){ copy, true };
    }
    return v->block;
}

static int compare_row_to(const struct draft_row *row, struct slice name, struct semver version, bool is_func)
{
    if (row->is_func != is_func)
        return row->is_func ? 1 : -1;
    int order = name_compare(row->name, name);
    return order ? order : semver_compare(row->row.version, version);
}

static int compare_rows(const void *a, const void *b)
{
    const struct draft_row *y = b;

    return compare_row_to(a, y->name, y->row.version, y->is_func);
}

static void join_into(struct draft_row *to, const struct draft_row *from)
{
    to->named |= from->named;
    to->row.has_schema |= from->row.has_schema;
    to->row.has_parse |= from->row.has_parse;
    if (from->row.module_version)
        to->row.module_version = from->row.module_version;
    if (from->row.md5[0])
        memcpy(to->row.md5, from->row.md5, sizeof(to->row.md5));
}

static int compare_versions(const void *a, const void *b)
{
    const struct draft_version *x = a, *y = b;
    int64_t v = x->block->pub.version, w = y->block->pub.version;

    return (v > w) - (v < w);
}

static bool has_version(const struct draft *draft, int64_t version)
{
    size_t low = 0, high = draft->version_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int64_t v = draft->versions[mid].block->pub.version;
        if (v == version)
            return true;
        if (v < version)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/*
 * A row counts if a version names it, or wrote it: a type that a spec defines twice gets two rows, and the
 * version names the second one only.
 */
void draft_join_rows(struct draft *draft)
{
    struct draft_row *rows = draft->rows;
    size_t joined = 0, kept = 0;

    if (draft->version_count)
        qsort(draft->versions, draft->version_count, sizeof(*draft->versions), compare_versions);
    if (draft->row_count)
        qsort(rows, draft->row_count, sizeof(*rows), compare_rows);
    for (size_t i = 0; i < draft->row_count; i++) {
        if (joined && compare_rows(&rows[joined - 1], &rows[i]) == 0)
            join_into(&rows[joined - 1], &rows[i]);
        else
            rows[joined++] = rows[i];
    }
    for (size_t i = 0; i < joined; i++)
        if (rows[i].named || has_version(draft, rows[i].row.module_version))
            rows[kept++] = rows[i];
    draft->row_count = kept;
}

bool draft_has(const struct draft *draft, struct slice name, struct semver version, bool is_func)
{
    size_t low = 0, high = draft->row_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare_row_to(&draft->rows[mid], name, version, is_func);
        if (order == 0)
            return true;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/* ---- damage ---- */

void draft_note_damage(struct draft *draft, const char *what, struct arena *arena)
{
    if (!draft->damage.p)
        draft->damage = slice_str(arena_strdup(arena, what));
    else if (draft->damage.n < MAX_DAMAGE)
        draft->damage = slice_str(arena_printf(arena, "%s; %s", draft->damage.p, what));
}

static const struct cat_version *version_of(const struct draft *draft, int64_t version)
{
    for (size_t i = 0; i < draft->version_count; i++)
        if (draft->versions[i].block->pub.version == version)
            return &draft->versions[i].block->pub;
    return NULL;
}

static bool is_complete(const struct cat_version *version)
{
    return version->has_spec || version->first;
}

/* The largest complete version up to a limit, or `none`. */
static int64_t newest_up_to(const struct draft *draft, int64_t limit, bool only_released, int64_t none)
{
    int64_t best = none;
    bool found = false;

    for (size_t i = 0; i < draft->version_count; i++) {
        const struct cat_version *v = &draft->versions[i].block->pub;
        if (v->version > limit || !is_complete(v) || (only_released && !v->released))
            continue;
        if (!found || v->version > best)
            best = v->version;
        found = true;
    }
    return best;
}

static bool is_named(const struct draft *draft, const struct draft_row *row)
{
    for (size_t i = 0; i < draft->version_count; i++) {
        const struct cat_version *v = &draft->versions[i].block->pub;
        const struct rec_entry *e =
            row->is_func ? cat_version_func(v, row->name) : cat_version_type(v, row->name);
        if (e && semver_compare(e->version, row->row.version) == 0)
            return true;
    }
    return false;
}

static void hide_above(struct draft *draft, int64_t last)
{
    size_t kept = 0;

    for (size_t i = 0; i < draft->version_count; i++) {
        if (draft->versions[i].block->pub.version > last)
            version_block_unref(&draft->versions[i].block->pub);
        else
            draft->versions[kept++] = draft->versions[i];
    }
    if (kept == draft->version_count)
        return;
    draft->version_count = kept;
    draft->recent_version = 0;
    for (size_t i = 0; i < draft->row_count; i++)
        draft->rows[i].named = draft->rows[i].named && is_named(draft, &draft->rows[i]);
}

static void note_version(struct draft *draft, const char *which, int64_t version, const char *what,
                         struct arena *arena)
{
    AUTO(free_str_auto) char *text = xasprintf("the %s version %" PRId64 " %s", which, version, what);

    draft_note_damage(draft, text, arena);
}

void draft_settle(struct draft *draft, struct arena *arena)
{
    const struct cat_version *last = version_of(draft, draft->last);
    const struct cat_version *released = version_of(draft, draft->released);

    if (!last)
        note_version(draft, "newest", draft->last, "has no info record", arena);
    else if (!is_complete(last))
        note_version(draft, "newest", draft->last, "has no spec", arena);
    if (!released)
        note_version(draft, "released", draft->released, "has no info record", arena);
    if (draft->released > draft->last)
        note_version(draft, "released", draft->released, "is newer than the newest one", arena);
    if (!last || !is_complete(last))
        draft->last = newest_up_to(draft, draft->last, false, draft->last);
    if (!released || draft->released > draft->last) {
        int64_t limit = draft->released < draft->last ? draft->released : draft->last;
        draft->released = newest_up_to(draft, limit, true, draft->released);
    }
    hide_above(draft, draft->last);
}

void draft_check_rows(struct draft *draft, struct arena *arena)
{
    for (size_t i = 0; i < draft->row_count; i++) {
        const struct draft_row *row = &draft->rows[i];
        bool schema = row->row.has_schema || row->is_func;
        if (!row->named || (schema && row->row.has_parse))
            continue;
        AUTO(free_str_auto)
        char *text = xasprintf("%s %.*s-%d.%d has no %s", row->is_func ? "function" : "type",
                               (int)row->name.n, row->name.p, row->row.version.major, row->row.version.minor,
                               schema ? "parse record" : "schema");
        draft_note_damage(draft, text, arena);
    }
}

/* ---- freezing ---- */

static int compare_owners(const void *a, const void *b)
{
    const struct cat_owner *x = a, *y = b;

    return utf_compare(x->user, y->user);
}

static int compare_edges(const void *a, const void *b)
{
    const struct cat_edge *x = a, *y = b;
    int order = name_compare(x->name, y->name);

    if (!order)
        order = semver_compare(x->version, y->version);
    if (!order)
        order = (x->dep_is_func > y->dep_is_func) - (x->dep_is_func < y->dep_is_func);
    if (!order)
        order = name_compare(x->other_module, y->other_module);
    if (!order)
        order = name_compare(x->other_name, y->other_name);
    return order ? order : semver_compare(x->other_version, y->other_version);
}

static void freeze_versions(struct draft *draft, struct module_block *block)
{
    const struct cat_version **versions =
        arena_alloc(&block->arena, (draft->version_count + 1) * sizeof(*versions));

    for (size_t i = 0; i < draft->version_count; i++)
        versions[i] = &draft->versions[i].block->pub;
    block->pub.versions = versions;
    block->pub.version_count = draft->version_count;
    draft->version_count = 0; /* their references have moved */
}

static void freeze_owners(struct draft *draft, struct module_block *block)
{
    struct cat_owner *owners = arena_alloc(&block->arena, (draft->owner_count + 1) * sizeof(*owners));

    for (size_t i = 0; i < draft->owner_count; i++)
        owners[i] = (struct cat_owner){ arena_slice(&block->arena, draft->owners[i].user),
                                        draft->owners[i].can_grant };
    if (draft->owner_count)
        qsort(owners, draft->owner_count, sizeof(*owners), compare_owners);
    block->pub.owners = owners;
    block->pub.owner_count = draft->owner_count;
}

/* Rows from `begin` on that are of one kind become names with their versions; returns where they end. */
static size_t freeze_names(const struct draft *draft, size_t begin, bool is_func, struct arena *arena,
                           const struct cat_name **ret_names, size_t *ret_count)
{
    size_t end = begin, count = 0;

    for (; end < draft->row_count && draft->rows[end].is_func == is_func; end++)
        if (end == begin || name_compare(draft->rows[end - 1].name, draft->rows[end].name) != 0)
            count++;
    struct cat_name *names = arena_alloc(arena, (count + 1) * sizeof(*names));
    struct cat_row *rows = arena_alloc(arena, (end - begin + 1) * sizeof(*rows));
    size_t n = 0;
    for (size_t i = begin; i < end; i++, rows++) {
        *rows = draft->rows[i].row;
        if (i > begin && name_compare(draft->rows[i - 1].name, draft->rows[i].name) == 0)
            names[n - 1].row_count++;
        else
            names[n++] = (struct cat_name){ arena_slice(arena, draft->rows[i].name), 1, rows };
    }
    *ret_names = names;
    *ret_count = count;
    return end;
}

/* Neighbours in the sorted list often have the same texts. */
static struct slice copy_like(struct arena *arena, struct slice text, struct slice before)
{
    return before.p && slice_eq(text, before) ? before : arena_slice(arena, text);
}

static const struct cat_edge *freeze_edges(struct cat_edge *from, size_t count, struct arena *arena,
                                           size_t *ret_count)
{
    struct cat_edge *edges = arena_alloc(arena, (count + 1) * sizeof(*edges)),
                    before = { .dep_is_func = false };
    size_t n = 0;

    if (count)
        qsort(from, count, sizeof(*from), compare_edges);
    for (size_t i = 0; i < count; i++) {
        if (i && compare_edges(&from[i - 1], &from[i]) == 0)
            continue;
        edges[n] = from[i];
        edges[n].name = copy_like(arena, from[i].name, before.name);
        edges[n].other_module = copy_like(arena, from[i].other_module, before.other_module);
        edges[n].other_name = copy_like(arena, from[i].other_name, before.other_name);
        before = edges[n++];
    }
    *ret_count = n;
    return edges;
}

static bool is_damaged(const struct cat_module *module)
{
    const struct cat_version *last = cat_last(module), *released = cat_released(module);

    return !last || !released || module->released > module->last || (!last->has_spec && !last->first);
}

struct module_block *draft_freeze(struct draft *draft, uint64_t sequence)
{
    struct module_block *block = xcalloc(1, sizeof(*block));
    struct cat_module *module = &block->pub;
    struct arena *arena = &block->arena;

    atomic_init(&block->refs, 1);
    module->name = arena_slice(arena, draft->name);
    module->last = draft->last;
    module->released = draft->released;
    module->stored_last = draft->stored_last;
    module->stored_released = draft->stored_released;
    module->supported = draft->supported;
    module->epoch = draft->changed ? sequence : draft->epoch;
    freeze_owners(draft, block);
    freeze_versions(draft, block);
    size_t funcs = freeze_names(draft, 0, false, arena, &module->types, &module->type_count);
    freeze_names(draft, funcs, true, arena, &module->funcs, &module->func_count);
    module->out = freeze_edges(draft->out, draft->out_count, arena, &module->out_count);
    module->in = freeze_edges(draft->in, draft->in_count, arena, &module->in_count);
    module->damaged = draft->damage.p || is_damaged(module);
    if (module->damaged)
        module->damage = draft->damage.p ? arena_slice(arena, draft->damage)
                                         : SLICE("pointers and versions do not fit together");
    return block;
}
