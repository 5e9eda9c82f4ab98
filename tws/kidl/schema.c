#include "shared/base/json.h"
#include "tws/kidl/print.h"

/* Pretty printing as Jackson's default: two blanks per level of objects, arrays on the line they begin on. */
struct schema {
    struct sbuf *out;
    size_t level;
    bool is_empty; /* nothing was written into the innermost object yet */
    bool measuring;
    uint64_t more;  /* sizes of what was not printed */
    uint64_t lines; /* line ends, those not printed too */
};

static void put_members(struct schema *s, const struct kidl_node *type);

static void put(struct schema *s, const char *text)
{
    sbuf_adds(s->out, text);
}

static void put_line_end(struct schema *s)
{
    static const char blanks[] = "                                                                ";

    s->lines++;
    sbuf_addc(s->out, '\n');
    for (size_t n = 2 * s->level; n > 0;) {
        size_t part = n < sizeof(blanks) - 1 ? n : sizeof(blanks) - 1;
        sbuf_add(s->out, blanks, part);
        n -= part;
    }
}

static void put_key(struct schema *s, struct slice key)
{
    if (!s->is_empty)
        sbuf_addc(s->out, ',');
    put_line_end(s);
    json_put_string_raw(s->out, key);
    put(s, " : ");
    s->is_empty = false;
}

static void open_object(struct schema *s)
{
    sbuf_addc(s->out, '{');
    s->level++;
    s->is_empty = true;
}

static void close_object(struct schema *s)
{
    s->level--;
    if (s->is_empty)
        sbuf_addc(s->out, ' ');
    else
        put_line_end(s);
    sbuf_addc(s->out, '}');
    s->is_empty = false;
}

static void put_text(struct schema *s, const char *key, struct slice text)
{
    put_key(s, slice_str(key));
    json_put_string_raw(s->out, text);
}

static void put_kind(struct schema *s, const char *type, const char *original)
{
    put_text(s, "type", slice_str(type));
    put_key(s, SLICE("original-type"));
    sbuf_addf(s->out, "\"kidl-%s\"", original);
}

/* A type that is the value of a member or the element of an array. */
static void put_type(struct schema *s, const struct kidl_node *type)
{
    if (s->measuring && type->kind == NODE_TYPEDEF) {
        s->more =
            size_bounded(s->more + type->measures.schema_bytes + 2 * s->level * type->measures.schema_lines);
        s->lines = size_bounded(s->lines + type->measures.schema_lines);
        return;
    }
    if (s->out->failed)
        return;
    open_object(s);
    put_members(s, type);
    close_object(s);
}

/* Scalars. */

static void put_id_reference(struct schema *s, const struct annotations *annotations)
{
    if (!annotations || !annotations->id)
        return;
    const struct words *attributes = &annotations->id->attributes;
    put_key(s, SLICE("id-reference"));
    open_object(s);
    put_key(s, SLICE("attributes"));
    put(s, "[ ");
    for (size_t i = 0; i < attributes->count; i++) {
        put(s, i ? ", " : "");
        json_put_string_raw(s->out, attributes->items[i]);
    }
    put(s, attributes->count ? " ]" : "]");
    put_text(s, "id-type", annotations->id->type);
    close_object(s);
}

/* A bound as it is printed: for an int rounded, and then exclusive only if that changed nothing. */
struct bound {
    bool is_set;
    bool is_exclusive;
    struct bigdecimal value;
};

static struct bound make_bound(bool is_set, bool exclusive, const struct bigdecimal *value, bool is_int,
                               bool up, struct arena *arena)
{
    struct bound bound = { is_set, is_set && exclusive, *value };

    if (is_set && is_int) {
        /* bounds that are too long were refused when the annotation was read */
        bound.is_set = bigdecimal_round(value, up, arena, &bound.value);
        bound.is_exclusive &= bound.is_set && bigdecimal_compare(&bound.value, value) == 0;
    }
    return bound;
}

static void put_bound(struct schema *s, const char *key, const struct bound *bound)
{
    if (!bound->is_set)
        return;
    put_key(s, slice_str(key));
    bigdecimal_put(&bound->value, s->out);
}

static void put_exclusive(struct schema *s, const char *key, const struct bound *bound)
{
    if (!bound->is_exclusive)
        return;
    put_key(s, slice_str(key));
    put(s, "true");
}

static void put_range(struct schema *s, const struct kidl_node *scalar, const struct annotations *annotations)
{
    AUTO_ARENA(arena);
    bool is_int = scalar->scalar == SCALAR_INT;

    if (!annotations || !annotations->range || scalar->scalar == SCALAR_STRING)
        return;
    const struct range_annotation *r = annotations->range;
    struct bound least = make_bound(r->has_minimum, r->exclusive_minimum, &r->minimum, is_int, true, &arena);
    struct bound most = make_bound(r->has_maximum, r->exclusive_maximum, &r->maximum, is_int, false, &arena);
    put_exclusive(s, "exclusiveMaximum", &most);
    put_exclusive(s, "exclusiveMinimum", &least);
    put_bound(s, "maximum", &most);
    put_bound(s, "minimum", &least);
}

/* annotations: of the typedef whose body the scalar is, or NULL */
static void put_scalar(struct schema *s, const struct kidl_node *scalar,
                       const struct annotations *annotations)
{
    put_kind(s, scalar_schema_word(scalar->scalar), scalar_word(scalar->scalar));
    put_id_reference(s, annotations);
    put_range(s, scalar, annotations);
}

/* Containers. */

static void put_tuple(struct schema *s, const struct kidl_node *tuple)
{
    put_kind(s, "array", "tuple");
    put_key(s, SLICE("maxItems"));
    sbuf_addf(s->out, "%zu", tuple->member_count);
    put_key(s, SLICE("minItems"));
    sbuf_addf(s->out, "%zu", tuple->member_count);
    put_key(s, SLICE("items"));
    put(s, "[ ");
    for (size_t i = 0; i < tuple->member_count; i++) {
        put(s, i ? ", " : "");
        put_type(s, tuple->members[i].type);
    }
    put(s, " ]");
}

/* The typedef right above what the type is an alias of, or NULL. */
static const struct kidl_node *last_typedef(const struct kidl_node *type)
{
    const struct kidl_node *above = NULL;

    for (; type->kind == NODE_TYPEDEF; type = type->inner)
        above = type;
    return above;
}

static void put_mapping(struct schema *s, const struct kidl_node *mapping)
{
    const struct kidl_node *key = last_typedef(mapping->key);

    put_kind(s, "object", "mapping");
    put_key(s, SLICE("additionalProperties"));
    put_type(s, mapping->inner);
    if (key && key->inner->kind == NODE_SCALAR)
        put_id_reference(s, key->annotations);
}

static void put_required(struct schema *s, const struct kidl_node *structure)
{
    bool any = false;

    for (size_t i = 0; i < structure->member_count; i++) {
        if (structure->members[i].optional)
            continue;
        if (!any) {
            put_key(s, SLICE("required"));
            put(s, "[ ");
        } else {
            put(s, ", ");
        }
        any = true;
        json_put_string_raw(s->out, structure->members[i].name);
    }
    put(s, any ? " ]" : "");
}

static void put_structure(struct schema *s, const struct kidl_node *structure)
{
    put_kind(s, "object", "structure");
    put_key(s, SLICE("properties"));
    open_object(s);
    for (size_t i = 0; i < structure->member_count; i++) {
        put_key(s, structure->members[i].name);
        put_type(s, structure->members[i].type);
    }
    close_object(s);
    put_key(s, SLICE("additionalProperties"));
    put(s, "true");
    put_required(s, structure);
}

static void put_body(struct schema *s, const struct kidl_node *body, const struct annotations *annotations)
{
    switch (body->kind) {
    case NODE_SCALAR:
        put_scalar(s, body, annotations);
        break;
    case NODE_UNSPECIFIED:
        put_kind(s, "object", "UnspecifiedObject");
        break;
    case NODE_LIST:
        put_kind(s, "array", "list");
        put_key(s, SLICE("items"));
        put_type(s, body->inner);
        break;
    case NODE_MAPPING:
        put_mapping(s, body);
        break;
    case NODE_TUPLE:
        put_tuple(s, body);
        break;
    case NODE_STRUCTURE:
        put_structure(s, body);
        break;
    case NODE_TYPEDEF:
    case NODE_FUNCTION:
        break;
    }
}

/* The members of the schema of a type, expanded in place. */
static void put_members(struct schema *s, const struct kidl_node *type)
{
    const struct kidl_node *above = last_typedef(type);

    put_body(s, node_resolve(type), above ? above->annotations : NULL);
}

/* A typedef at the outermost level. */

static void put_tree(struct schema *s, const struct path_tree *tree)
{
    open_object(s);
    for (size_t i = 0; i < tree->steps.count; i++) {
        put_key(s, tree->steps.entries[i].name);
        put_tree(s, tree->steps.entries[i].value);
    }
    close_object(s);
}

static void put_search(struct schema *s, const struct search_annotation *search)
{
    put_key(s, SLICE("searchable-ws-subset"));
    open_object(s);
    put_key(s, SLICE("fields"));
    put_tree(s, &search->fields);
    put_key(s, SLICE("keys"));
    put_tree(s, &search->keys);
    close_object(s);
}

static void put_metadata(struct schema *s, const struct names *metadata)
{
    put_key(s, SLICE("metadata-ws"));
    open_object(s);
    for (size_t i = 0; i < metadata->count; i++) {
        put_key(s, metadata->entries[i].name);
        json_put_string_raw(s->out, *(const struct slice *)metadata->entries[i].value);
    }
    close_object(s);
}

static void put_typedef(struct schema *s, const struct kidl_node *node)
{
    open_object(s);
    put_text(s, "id", node->name);
    put_text(s, "description", node->comment);
    if (s->measuring && node->inner->kind == NODE_TYPEDEF) {
        s->more += node->inner->measures.schema_bytes;
    } else {
        put_members(s, node);
    }
    if (node->inner->kind == NODE_STRUCTURE && node->annotations->search)
        put_search(s, node->annotations->search);
    if (node->inner->kind == NODE_STRUCTURE && node->annotations->metadata)
        put_metadata(s, node->annotations->metadata);
    close_object(s);
}

void schema_measure(const struct kidl_node *node, struct measures *ret)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    struct schema own = { .out = &text, .measuring = true }, inner = { .out = &text, .measuring = true };

    put_typedef(&own, node);
    ret->own_schema_bytes = size_bounded(text.len + own.more);
    sbuf_reset(&text);
    if (node->inner->kind == NODE_TYPEDEF) {
        put_type(&inner, node->inner);
    } else {
        open_object(&inner);
        put_members(&inner, node);
        close_object(&inner);
    }
    ret->schema_bytes = size_bounded(text.len + inner.more);
    ret->schema_lines = size_bounded(inner.lines);
}

int kidl_schema(const struct kidl_node *node, const struct kidl_limits *limits, struct sbuf *ret_text,
                struct err *err)
{
    struct schema s = { .out = ret_text };

    if (node->measures.own_schema_bytes <= limits->max_output_bytes)
        put_typedef(&s, node);
    if (node->measures.own_schema_bytes > limits->max_output_bytes || ret_text->failed)
        return err_set(err, ERR_LIMIT,
                       "The schema of type %.*s is longer than %zu bytes (limit max_output_bytes)",
                       (int)node->name.n, node->name.p, limits->max_output_bytes);
    return 0;
}
