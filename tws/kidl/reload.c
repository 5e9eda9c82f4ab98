#include "shared/base/javahash.h"
#include "tws/kidl/annot.h"

/* What kidl_load() makes of the printed text, without printing it. Typedefs stay shared. */
struct reloader {
    struct arena *arena;
    struct arena scratch;
    struct names done; /* bytes of the pointer to a fresh typedef -> its reloaded node */
};

static const struct kidl_node *reload(struct reloader *r, const struct kidl_node *fresh);

static const struct annotations *reload_annotations(struct reloader *r, const struct annotations *fresh)
{
    struct annotations *a = arena_alloc(r->arena, sizeof(*a));
    struct names unknown = { 0 };

    *a = *fresh;
    if (fresh->range) {
        struct range_annotation *range = arena_alloc(r->arena, sizeof(*range));
        *range = *fresh->range;
        range->exclusive_minimum = range->exclusive_maximum = false;
        a->range = range;
    }
    /* the printed text has both, empty if there are none */
    if (!fresh->search)
        a->search = arena_zalloc(r->arena, sizeof(*a->search));
    if (!fresh->metadata)
        a->metadata = arena_zalloc(r->arena, sizeof(*a->metadata));
    for (size_t i = 0; i < fresh->unknown_count; i++)
        names_put(&unknown, &r->scratch, fresh->unknown[i].type, (void *)(uintptr_t)&fresh->unknown[i].words);
    annotations_order_unknown(a, &unknown, java_hash_putall_capacity(unknown.count), r->arena);
    return a;
}

static struct member *reload_members(struct reloader *r, const struct member *fresh, size_t count)
{
    struct member *members = arena_alloc(r->arena, (count + 1) * sizeof(*members));

    for (size_t i = 0; i < count; i++) {
        members[i] = fresh[i];
        members[i].type = reload(r, fresh[i].type);
    }
    return members;
}

static void name_parameters(struct reloader *r, struct kidl_node *function)
{
    for (size_t i = 0; i < function->member_count; i++)
        if (!function->members[i].name.p)
            function->members[i].name = slice_str(arena_printf(r->arena, "arg%zu", i + 1));
}

static const struct kidl_node *reload_new(struct reloader *r, const struct kidl_node *fresh)
{
    struct kidl_node *node = arena_alloc(r->arena, sizeof(*node));

    *node = *fresh;
    node->loaded = true;
    node->inner = fresh->inner ? reload(r, fresh->inner) : NULL;
    node->key = fresh->key ? reload(r, fresh->key) : NULL;
    node->members = reload_members(r, fresh->members, fresh->member_count);
    node->results = reload_members(r, fresh->results, fresh->result_count);
    if (fresh->annotations)
        node->annotations = reload_annotations(r, fresh->annotations);
    if (fresh->kind == NODE_STRUCTURE) {
        node->name = fresh->owner ? fresh->owner->name : SLICE("");
        node_index_fields(node, r->arena);
    }
    if (fresh->kind == NODE_FUNCTION)
        name_parameters(r, node);
    node->owner = NULL;
    return node;
}

static const struct kidl_node *reload(struct reloader *r, const struct kidl_node *fresh)
{
    if (fresh->kind == NODE_SCALAR)
        return node_scalar(fresh->scalar, true);
    if (fresh->kind == NODE_UNSPECIFIED)
        return node_unspecified(true);
    if (fresh->kind != NODE_TYPEDEF)
        return reload_new(r, fresh);
    void *node = names_get(&r->done, slice_of((const char *)&fresh, sizeof(fresh)));
    if (!node) {
        node = (void *)(uintptr_t)reload_new(r, fresh);
        const char *key = arena_memdup(&r->scratch, &fresh, sizeof(fresh));
        names_put(&r->done, &r->scratch, slice_of(key, sizeof(fresh)), node);
    }
    return node;
}

const struct kidl_node *kidl_reload(const struct kidl_node *fresh, struct arena *arena)
{
    struct reloader r = { .arena = arena, .scratch = ARENA_INIT };
    const struct kidl_node *node = reload(&r, fresh);

    arena_release(&r.scratch);
    return node;
}
