#include "tws/kidl/ast.h"

static const struct {
    const char *word;
    const char *schema_word;
} scalars[SCALAR_KINDS] = {
    [SCALAR_STRING] = { "string", "string" },
    [SCALAR_INT] = { "int", "integer" },
    [SCALAR_FLOAT] = { "float", "number" },
};

#define SCALAR_NODE(kind_of_scalar, is_loaded) \
    { \
        .kind = NODE_SCALAR, .scalar = (kind_of_scalar), .loaded = (is_loaded), .depth = 1 \
    }

static const struct kidl_node scalar_nodes[2][SCALAR_KINDS] = {
    { SCALAR_NODE(SCALAR_STRING, false), SCALAR_NODE(SCALAR_INT, false), SCALAR_NODE(SCALAR_FLOAT, false) },
    { SCALAR_NODE(SCALAR_STRING, true), SCALAR_NODE(SCALAR_INT, true), SCALAR_NODE(SCALAR_FLOAT, true) },
};

static const struct kidl_node unspecified_nodes[2] = {
    { .kind = NODE_UNSPECIFIED, .loaded = false, .depth = 1 },
    { .kind = NODE_UNSPECIFIED, .loaded = true, .depth = 1 },
};

const char *scalar_word(enum scalar_kind kind)
{
    return scalars[kind].word;
}

const char *scalar_schema_word(enum scalar_kind kind)
{
    return scalars[kind].schema_word;
}

const struct kidl_node *node_scalar(enum scalar_kind kind, bool loaded)
{
    return &scalar_nodes[loaded][kind];
}

const struct kidl_node *node_unspecified(bool loaded)
{
    return &unspecified_nodes[loaded];
}

static void take_part(struct kidl_node *node, const struct kidl_node *part)
{
    if (!part)
        return;
    if (part->depth >= node->depth)
        node->depth = part->depth + 1;
    if (node->reload_error)
        return;
    /* a structure is named by the typedef right above it; upstream asks for the name before the fields */
    bool anonymous = part->kind == NODE_STRUCTURE && node->kind != NODE_TYPEDEF;
    node->reload_error = anonymous ? "No property in the map: name" : part->reload_error;
}

/* Java writes bounds near the end of what an exponent can be in a way that it cannot read. */
static const char *range_error(const struct annotations *annotations)
{
    const struct range_annotation *range = annotations ? annotations->range : NULL;
    bool readable = !range || ((!range->has_minimum || bigdecimal_is_readable(&range->minimum)) &&
                               (!range->has_maximum || bigdecimal_is_readable(&range->maximum)));

    return readable ? NULL : "Exponent overflow.";
}

void node_finish(struct kidl_node *node)
{
    node->depth = 1;
    node->reload_error = range_error(node->annotations);
    take_part(node, node->key);
    take_part(node, node->inner);
    for (size_t i = 0; i < node->member_count; i++)
        take_part(node, node->members[i].type);
    for (size_t i = 0; i < node->result_count; i++)
        take_part(node, node->results[i].type);
}

const struct kidl_node *node_resolve(const struct kidl_node *node)
{
    while (node->kind == NODE_TYPEDEF)
        node = node->inner;
    return node;
}

const struct member *node_field(const struct kidl_node *structure, struct slice name)
{
    return names_get(structure->index, name);
}

void node_index_fields(struct kidl_node *structure, struct arena *arena)
{
    struct names *index = arena_zalloc(arena, sizeof(*index));

    for (size_t i = 0; i < structure->member_count; i++)
        names_put(index, arena, structure->members[i].name, &structure->members[i]);
    structure->index = index;
}

void *array_grow(struct arena *arena, void *items, size_t count, size_t size)
{
    if (count & (count - 1) || (count == 0 && items))
        return items;
    void *grown = arena_alloc(arena, (count ? count * 2 : 1) * size);
    if (count)
        memcpy(grown, items, count * size);
    return grown;
}
