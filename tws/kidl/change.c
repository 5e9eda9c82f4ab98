#include "tws/kidl/ast.h"

static enum kidl_change change(const struct kidl_node *before, const struct kidl_node *after);

static enum kidl_change greater(enum kidl_change a, enum kidl_change b)
{
    return a > b ? a : b;
}

static bool same_words(struct words a, struct words b)
{
    if (a.count != b.count)
        return false;
    for (size_t i = 0; i < a.count; i++)
        if (!slice_eq(a.items[i], b.items[i]))
            return false;
    return true;
}

static bool same_id(const struct id_annotation *a, const struct id_annotation *b)
{
    if (!a || !b)
        return a == b;
    return slice_eq(a->type, b->type) && same_words(a->attributes, b->attributes);
}

static bool is_string(const struct kidl_node *node)
{
    return node->kind == NODE_SCALAR && node->scalar == SCALAR_STRING;
}

static enum kidl_change change_typedef(const struct kidl_node *before, const struct kidl_node *after)
{
    if (!slice_eq(before->name, after->name))
        return KIDL_INCOMPATIBLE;
    if (is_string(before->inner) && is_string(after->inner) &&
        !same_id(before->annotations->id, after->annotations->id))
        return KIDL_INCOMPATIBLE;
    return change(before->inner, after->inner);
}

static enum kidl_change change_scalar(const struct kidl_node *before, const struct kidl_node *after)
{
    return before->scalar == after->scalar ? KIDL_NO_CHANGE : KIDL_INCOMPATIBLE;
}

static enum kidl_change change_unspecified(const struct kidl_node *before UNUSED,
                                           const struct kidl_node *after UNUSED)
{
    return KIDL_NO_CHANGE;
}

static enum kidl_change change_list(const struct kidl_node *before, const struct kidl_node *after)
{
    return change(before->inner, after->inner);
}

static enum kidl_change change_mapping(const struct kidl_node *before, const struct kidl_node *after)
{
    enum kidl_change key = change(before->key, after->key);

    return key == KIDL_INCOMPATIBLE ? key : greater(key, change(before->inner, after->inner));
}

/* By position. */
static enum kidl_change change_members(const struct member *before, size_t before_count,
                                       const struct member *after, size_t after_count)
{
    enum kidl_change result = KIDL_NO_CHANGE;

    if (before_count != after_count)
        return KIDL_INCOMPATIBLE;
    for (size_t i = 0; i < before_count && result != KIDL_INCOMPATIBLE; i++)
        result = greater(result, change(before[i].type, after[i].type));
    return result;
}

static enum kidl_change change_tuple(const struct kidl_node *before, const struct kidl_node *after)
{
    return change_members(before->members, before->member_count, after->members, after->member_count);
}

/* Fields that only the new structure has. */
static enum kidl_change change_added(const struct kidl_node *before, const struct kidl_node *after)
{
    enum kidl_change result = KIDL_NO_CHANGE;

    for (size_t i = 0; i < after->member_count; i++) {
        const struct member *field = &after->members[i];
        if (!node_field(before, field->name))
            result = greater(result, field->optional ? KIDL_COMPATIBLE : KIDL_INCOMPATIBLE);
    }
    return result;
}

static enum kidl_change change_structure(const struct kidl_node *before, const struct kidl_node *after)
{
    enum kidl_change result = change_added(before, after);

    for (size_t i = 0; i < before->member_count && result != KIDL_INCOMPATIBLE; i++) {
        const struct member *old_field = &before->members[i];
        const struct member *new_field = node_field(after, old_field->name);
        if (!new_field || new_field->optional != old_field->optional)
            return KIDL_INCOMPATIBLE;
        result = greater(result, change(old_field->type, new_field->type));
    }
    return result;
}

static enum kidl_change change(const struct kidl_node *before, const struct kidl_node *after)
{
    static enum kidl_change (*const by_kind[])(const struct kidl_node *, const struct kidl_node *) = {
        [NODE_SCALAR] = change_scalar,   [NODE_UNSPECIFIED] = change_unspecified,
        [NODE_LIST] = change_list,       [NODE_MAPPING] = change_mapping,
        [NODE_TUPLE] = change_tuple,     [NODE_STRUCTURE] = change_structure,
        [NODE_TYPEDEF] = change_typedef, [NODE_FUNCTION] = kidl_func_change,
    };

    return before->kind == after->kind ? by_kind[before->kind](before, after) : KIDL_INCOMPATIBLE;
}

static bool same_tree(const struct path_tree *a, const struct path_tree *b)
{
    if (a->steps.count != b->steps.count)
        return false;
    for (size_t i = 0; i < a->steps.count; i++)
        if (!slice_eq(a->steps.entries[i].name, b->steps.entries[i].name) ||
            !same_tree(a->steps.entries[i].value, b->steps.entries[i].value))
            return false;
    return true;
}

/* Records have trees, empty without annotation. Only old ones have none, which differs from empty ones. */
static bool same_search(const struct search_annotation *a, const struct search_annotation *b)
{
    if (!a || !b)
        return a == b;
    return same_tree(&a->fields, &b->fields) && same_tree(&a->keys, &b->keys);
}

enum kidl_change kidl_type_change(const struct kidl_node *old_type, const struct kidl_node *new_type)
{
    if (!same_search(old_type->annotations->search, new_type->annotations->search))
        return KIDL_INCOMPATIBLE;
    return change(old_type, new_type);
}

enum kidl_change kidl_func_change(const struct kidl_node *old_func, const struct kidl_node *new_func)
{
    enum kidl_change results;

    if (old_func->member_count != new_func->member_count)
        return KIDL_INCOMPATIBLE;
    results =
        change_members(old_func->results, old_func->result_count, new_func->results, new_func->result_count);
    return greater(results, change_members(old_func->members, old_func->member_count, new_func->members,
                                           new_func->member_count));
}
