#include "tws/edges.h"

/* True if a module version that is flagged as released holds it: types only as supported ones. */
static bool is_released(const struct cat_module *module, struct slice name, struct semver version,
                        bool is_func)
{
    for (size_t i = 0; i < module->version_count; i++) {
        const struct cat_version *info = module->versions[i];
        const struct rec_entry *entry;
        if (!info->released)
            continue;
        entry = is_func ? cat_version_func(info, name) : cat_version_type(info, name);
        if (entry && (is_func || entry->supported) && semver_compare(entry->version, version) == 0)
            return true;
    }
    return false;
}

static int compare_bytes(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_version(const void *x, const void *y)
{
    const struct cat_edge *a = *(const struct cat_edge *const *)x, *b = *(const struct cat_edge *const *)y;
    int order = compare_bytes(a->other_module, b->other_module);

    if (!order)
        order = compare_bytes(a->other_name, b->other_name);
    return order ? order : semver_compare(a->other_version, b->other_version);
}

struct edge_text {
    struct slice text;
    const struct cat_edge *edge;
};

static int by_text(const void *x, const void *y)
{
    const struct edge_text *a = x, *b = y;

    return compare_bytes(a->text, b->text);
}

/*
 * Upstream sorts the text of the whole edge.  One of its ends is the same for all edges of a list; what
 * follows the other end is '-' or nothing, both below any character of a name or number.
 */
static void sort_by_text(struct edge_list *list, struct arena *arena)
{
    struct edge_text *sorted = arena_alloc(arena, (list->count + 1) * sizeof(*sorted));

    for (size_t i = 0; i < list->count; i++) {
        const struct cat_edge *edge = list->items[i];
        const char *text = arena_printf(arena, "%.*s.%.*s.%d.%d", (int)edge->other_module.n,
                                        edge->other_module.p, (int)edge->other_name.n, edge->other_name.p,
                                        edge->other_version.major, edge->other_version.minor);
        sorted[i] = (struct edge_text){ slice_str(text), edge };
    }
    qsort(sorted, list->count, sizeof(*sorted), by_text);
    for (size_t i = 0; i < list->count; i++)
        list->items[i] = sorted[i].edge;
}

static void sort_list(struct edge_list *list, bool like_upstream, struct arena *arena)
{
    if (list->count < 2)
        return;
    if (like_upstream)
        sort_by_text(list, arena);
    else
        qsort(list->items, list->count, sizeof(*list->items), by_version);
}

void edges_used(const struct catalogue *cat, bool owner, const struct resolved_type *type, bool is_func,
                struct arena *arena, struct edge_list *ret_list)
{
    const struct cat_edge *first = NULL;
    size_t count = cat_edges_of(type->module->out, type->module->out_count, type->name->name,
                                type->row->version, &first);
    struct edge_list list = { 0, arena_alloc(arena, (count + 1) * sizeof(*list.items)) };

    for (size_t i = 0; i < count; i++) {
        const struct cat_edge *edge = &first[i];
        const struct cat_module *other;
        if (edge->dep_is_func != is_func)
            continue;
        other = owner ? NULL : cat_find_module(cat, edge->other_module);
        if (owner || (other && is_released(other, edge->other_name, edge->other_version, false)))
            list.items[list.count++] = edge;
    }
    sort_list(&list, !is_func, arena);
    *ret_list = list;
}

void edges_using(const struct catalogue *cat, const char *user, const struct resolved_type *type, bool funcs,
                 struct arena *arena, struct edge_list *ret_list)
{
    const struct cat_edge *first = NULL;
    size_t count =
        cat_edges_of(type->module->in, type->module->in_count, type->name->name, type->row->version, &first);
    struct edge_list list = { 0, arena_alloc(arena, (count + 1) * sizeof(*list.items)) };

    for (size_t i = 0; i < count; i++) {
        const struct cat_edge *edge = &first[i];
        const struct cat_module *other =
            edge->dep_is_func == funcs ? cat_find_module(cat, edge->other_module) : NULL;
        if (other && (registry_is_owner(other, user) ||
                      is_released(other, edge->other_name, edge->other_version, funcs)))
            list.items[list.count++] = edge;
    }
    sort_list(&list, !funcs, arena);
    *ret_list = list;
}
