#include "dws/validate/program.h"

#include "shared/base/double_text.h"
#include "shared/base/json.h"
#include "shared/base/utf.h"

enum { TABLE_FROM = 6, MAX_SCHEMA_NODES = 50000000, MAX_SCHEMA_DEPTH = 10000 };

struct compiler {
    struct check_program *program;
    struct err *err;
    struct node *nodes;
    const struct json_val **sources; /* of the nodes */
    size_t count, cap;
    struct id_ref *id_refs;
    size_t id_ref_count, id_ref_cap;
    struct check_text *id_types;
    size_t id_type_count, id_type_cap;
};

static int bad_schema(struct compiler *c, const char *what)
{
    return err_set(c->err, ERR_SPEC, "Could not parse type schema document: %s", what);
}

/* Room for one more item. */
static void *grown(void *items, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap ? 2 * *cap : 16;
    return xrealloc(items, *cap * size);
}

/* Room for n more nodes; the first one's index plus one. */
static uint32_t add_nodes(struct compiler *c, size_t n)
{
    size_t first = c->count;

    for (size_t i = 0; i < n; i++) {
        if (c->count == c->cap) {
            c->cap = c->cap ? 2 * c->cap : 64;
            c->nodes = xrealloc(c->nodes, c->cap * sizeof(*c->nodes));
            c->sources = xrealloc(c->sources, c->cap * sizeof(*c->sources));
        }
        c->nodes[c->count++] = (struct node){ .kind = NODE_OBJECT };
    }
    return (uint32_t)first + 1;
}

static uint32_t add_node(struct compiler *c, const struct json_val *source)
{
    uint32_t node = add_nodes(c, 1);

    c->sources[node - 1] = source;
    return node;
}

static struct slice keep(struct compiler *c, struct slice text)
{
    return arena_slice(&c->program->arena, text);
}

static struct check_text keep_text(struct compiler *c, struct slice text)
{
    struct slice kept = keep(c, text);

    return (struct check_text){ kept.p, kept.n };
}

static bool is_kind(const struct json_val *val, enum json_kind kind)
{
    return val && val->kind == kind;
}

/* Id references. */

static uint32_t find_id_type(struct compiler *c, struct slice name)
{
    for (size_t i = 0; i < c->id_type_count; i++)
        if (slice_eq(slice_of(c->id_types[i].p, c->id_types[i].n), name))
            return (uint32_t)i;
    c->id_types = grown(c->id_types, &c->id_type_cap, c->id_type_count, sizeof(*c->id_types));
    c->id_types[c->id_type_count] = keep_text(c, name);
    return (uint32_t)c->id_type_count++;
}

static bool same_attributes(const struct id_ref *ref, const struct json_val *list)
{
    size_t i = 0;

    if (ref->attribute_count != (list ? list->count : 0))
        return false;
    for (const struct json_val *a = list ? list->first : NULL; a; a = a->next, i++)
        if (!slice_eq(a->text, slice_of(ref->attributes[i].p, ref->attributes[i].n)))
            return false;
    return true;
}

static uint32_t find_id_ref(struct compiler *c, uint32_t type, const struct json_val *list)
{
    for (size_t i = 0; i < c->id_ref_count; i++)
        if (c->id_refs[i].type == type && same_attributes(&c->id_refs[i], list))
            return (uint32_t)i + 1;
    c->id_refs = grown(c->id_refs, &c->id_ref_cap, c->id_ref_count, sizeof(*c->id_refs));
    struct id_ref *ref = &c->id_refs[c->id_ref_count];
    *ref = (struct id_ref){ .type = type, .attribute_count = list ? list->count : 0 };
    struct check_text *attributes =
        arena_alloc(&c->program->arena, (ref->attribute_count + 1) * sizeof(*attributes));
    size_t i = 0;
    for (const struct json_val *a = list ? list->first : NULL; a; a = a->next)
        attributes[i++] = keep_text(c, a->text);
    ref->attributes = attributes;
    return (uint32_t)++c->id_ref_count;
}

static int compile_id(struct compiler *c, const struct json_val *source, struct node *node)
{
    const struct json_val *info = json_member(source, "id-reference");

    if (!info)
        return 0;
    if (info->kind != JSON_KIND_OBJECT)
        return bad_schema(c, "id-reference is no object");
    const struct json_val *type = json_member(info, "id-type");
    if (!is_kind(type, JSON_KIND_STRING))
        return err_set(c->err, ERR_SPEC, "ID reference in type schema is missing type");
    const struct json_val *names = json_member(info, "valid-typedef-names");
    const struct json_val *attributes = json_member(info, "attributes");
    names = is_kind(names, JSON_KIND_ARRAY) ? names : NULL;
    attributes = is_kind(attributes, JSON_KIND_ARRAY) ? attributes : NULL;
    if (names && attributes)
        return err_set(
            c->err, ERR_SPEC,
            "ID reference in type schema with valid-typedef-names and attributes both set is illegal");
    node->id_ref = find_id_ref(c, find_id_type(c, type->text), names ? names : attributes);
    return 0;
}

/* Objects. */

static uint32_t hash_key(struct slice key)
{
    const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t first = 0, last = 0;

    if (key.n >= 8) {
        memcpy(&first, key.p, 8);
        memcpy(&last, key.p + key.n - 8, 8);
    } else if (key.n) {
        memcpy(&first, key.p, key.n);
    }
    uint64_t h = (first ^ (last * odd) ^ key.n) * odd;
    return (uint32_t)(h >> 32);
}

const struct property *program_property(const struct node *node, struct slice key, uint32_t *guess)
{
    const struct property *p = node->properties;

    if (*guess < node->property_count && slice_eq(p[*guess].key, key))
        return &p[(*guess)++];
    if (!node->mask) {
        for (uint32_t i = 0; i < node->property_count; i++)
            if (slice_eq(p[i].key, key)) {
                *guess = i + 1;
                return &p[i];
            }
        return NULL;
    }
    for (uint32_t h = hash_key(key) & node->mask; node->table[h]; h = (h + 1) & node->mask)
        if (slice_eq(p[node->table[h] - 1].key, key)) {
            *guess = node->table[h];
            return &p[node->table[h] - 1];
        }
    return NULL;
}

static int compare_properties(const void *a, const void *b)
{
    return utf_compare(((const struct property *)a)->key, ((const struct property *)b)->key);
}

static void make_table(struct compiler *c, struct node *node)
{
    uint32_t size = 16;

    if (node->property_count < TABLE_FROM)
        return;
    while (size < 2 * node->property_count)
        size *= 2;
    uint32_t *table = arena_zalloc(&c->program->arena, size * sizeof(*table));
    for (uint32_t i = 0; i < node->property_count; i++) {
        uint32_t h = hash_key(node->properties[i].key) & (size - 1);
        while (table[h])
            h = (h + 1) & (size - 1);
        table[h] = i + 1;
    }
    node->mask = size - 1;
    node->table = table;
}

/* Puts the required keys to the others; the same key once. */
static void add_required(struct compiler *c, const struct json_val *list, struct node *node,
                         struct property *props)
{
    struct slice *required = arena_alloc(&c->program->arena, (list->count + 1) * sizeof(*required));
    uint32_t known = node->property_count, guess = 0;
    struct node sorted = { .properties = props, .property_count = known };

    qsort(props, known, sizeof(*props), compare_properties);
    make_table(c, &sorted);
    for (const struct json_val *name = list->first; name; name = name->next) {
        struct property *found = NULL;
        const struct property *p = program_property(&sorted, name->text, &guess);
        if (p)
            found = &props[p - props];
        for (uint32_t i = known; !found && i < node->property_count; i++)
            if (slice_eq(props[i].key, name->text))
                found = &props[i];
        if (!found) {
            found = &props[node->property_count++];
            *found = (struct property){ .key = keep(c, name->text) };
        }
        if (!found->required) {
            required[node->required_count++] = found->key;
            found->required = node->required_count;
        }
    }
    node->required = required;
}

static int compile_properties(struct compiler *c, const struct json_val *list, struct node *node,
                              struct property *props)
{
    AUTO_ARENA(scratch);
    const struct json_val **members;
    size_t n = json_distinct(list, &scratch, &members);
    struct slice *names = arena_alloc(&c->program->arena, (n + 1) * sizeof(*names));

    for (size_t i = 0; i < n; i++) {
        if (members[i]->kind != JSON_KIND_OBJECT)
            return bad_schema(c, "a property is no object");
        names[i] = keep(c, members[i]->key);
        props[i] = (struct property){ .key = names[i], .node = add_node(c, members[i]) };
    }
    node->names = names;
    node->named_count = node->property_count = (uint32_t)n;
    return 0;
}

static int compile_object(struct compiler *c, const struct json_val *source, struct node *node)
{
    const struct json_val *list = json_member(source, "properties"),
                          *required = json_member(source, "required");
    const struct json_val *other = json_member(source, "additionalProperties");
    int rc;

    list = is_kind(list, JSON_KIND_OBJECT) ? list : NULL;
    required = is_kind(required, JSON_KIND_ARRAY) ? required : NULL;
    size_t most = (list ? list->count : 0) + (required ? required->count : 0);
    struct property *props = arena_alloc(&c->program->arena, (most + 1) * sizeof(*props));
    if (list && (rc = compile_properties(c, list, node, props)))
        return rc;
    if (required)
        add_required(c, required, node, props);
    if (node->property_count)
        qsort(props, node->property_count, sizeof(*props), compare_properties);
    node->properties = props;
    make_table(c, node);
    if (is_kind(other, JSON_KIND_OBJECT))
        node->other = add_node(c, other);
    node->closed = node->named_count && !node->other && !is_kind(other, JSON_KIND_TRUE);
    return 0;
}

/* Arrays. */

static int read_count(struct compiler *c, const struct json_val *source, const char *key, bool *ret_set,
                      uint64_t *ret_count)
{
    const struct json_val *val = json_member(source, key);

    if (!val || val->kind == JSON_KIND_NULL)
        return 0;
    if ((val->kind != JSON_KIND_INT && val->kind != JSON_KIND_STRING) || val->text.n == 0 || val->text.n > 9)
        return bad_schema(c, "minItems or maxItems is no integer");
    for (size_t i = 0; i < val->text.n; i++) {
        if (val->text.p[i] < '0' || val->text.p[i] > '9')
            return bad_schema(c, "minItems or maxItems is no integer");
        *ret_count = *ret_count * 10 + (uint64_t)(val->text.p[i] - '0');
    }
    *ret_set = true;
    return 0;
}

static int compile_array(struct compiler *c, const struct json_val *source, struct node *node)
{
    const struct json_val *items = json_member(source, "items");
    int rc;

    if (is_kind(items, JSON_KIND_OBJECT)) {
        node->items = add_node(c, items);
    } else if (is_kind(items, JSON_KIND_ARRAY)) {
        node->item_count = (uint32_t)items->count;
        node->items = items->count ? add_nodes(c, items->count) : 0;
        size_t at = node->items - 1;
        for (const struct json_val *item = items->first; item; item = item->next) {
            if (item->kind != JSON_KIND_OBJECT)
                return bad_schema(c, "an item is no object");
            c->sources[at++] = item;
        }
    } else {
        return bad_schema(c, "items is missing");
    }
    if ((rc = read_count(c, source, "minItems", &node->has_min, &node->min_items)))
        return rc;
    return read_count(c, source, "maxItems", &node->has_max, &node->max_items);
}

/* Numbers. */

static bool fits_64_bits(struct slice text)
{
    bool negative = text.p[0] == '-';
    struct slice digits = slice_of(text.p + negative, text.n - negative);

    if (digits.n != 19)
        return digits.n < 19;
    return memcmp(digits.p, negative ? "9223372036854775808" : "9223372036854775807", 19) <= 0;
}

static int compile_bound(struct compiler *c, const struct json_val *source, const char *key, const char *flag,
                         bool integer, struct bound *bound)
{
    const struct json_val *val = json_member(source, key), *exclusive = json_member(source, flag);

    if (!val || val->kind == JSON_KIND_NULL)
        return 0;
    if (val->kind != JSON_KIND_INT && (val->kind != JSON_KIND_FLOAT || integer))
        return bad_schema(c, "a bound is no number of its type");
    /* what the flag says does not matter */
    *bound = (struct bound){ .set = true, .exclusive = exclusive && exclusive->kind != JSON_KIND_NULL };
    bound->value = double_value(val->text);
    if (integer) {
        bound->fits = fits_64_bits(val->text);
        bound->text = slice_is(val->text, "-0") ? SLICE("0") : keep(c, val->text);
        if (bound->fits)
            bound->value = (double)strtoll(bound->text.p, NULL, 10);
    }
    return 0;
}

static int compile_bounds(struct compiler *c, const struct json_val *source, struct node *node)
{
    bool integer = node->kind == NODE_INTEGER;
    struct bound bounds[2] = { { .set = false }, { .set = false } };
    int rc;

    if ((rc = compile_bound(c, source, "minimum", "exclusiveMinimum", integer, &bounds[0])) ||
        (rc = compile_bound(c, source, "maximum", "exclusiveMaximum", integer, &bounds[1])))
        return rc;
    if (bounds[0].set || bounds[1].set) {
        struct bound *kept = arena_alloc(&c->program->arena, sizeof(bounds));
        memcpy(kept, bounds, sizeof(bounds));
        node->bounds = kept;
    }
    return 0;
}

static int compile_node(struct compiler *c, size_t i)
{
    static const struct {
        const char *name;
        enum node_kind kind;
    } kinds[] = { { "object", NODE_OBJECT },
                  { "array", NODE_ARRAY },
                  { "string", NODE_STRING },
                  { "integer", NODE_INTEGER },
                  { "number", NODE_NUMBER } };
    const struct json_val *source = c->sources[i], *type = json_member(source, "type");
    struct node node = { .kind = NODE_OBJECT };
    struct slice name = type && type->text.p ? type->text : SLICE("null");
    size_t k = 0;
    int rc;

    while (k < ARRAY_LEN(kinds) && !slice_is(name, kinds[k].name))
        k++;
    if (k == ARRAY_LEN(kinds))
        return err_set(c->err, ERR_SPEC,
                       "No enum constant us.kbase.typedobj.core.JsonTokenValidationSchema.Type.%.*s",
                       (int)(name.n < 200 ? name.n : 200), name.p);
    node.kind = kinds[k].kind;
    if ((rc = compile_id(c, source, &node)))
        return rc;
    if (node.kind == NODE_OBJECT)
        rc = compile_object(c, source, &node);
    else if (node.kind == NODE_ARRAY)
        rc = compile_array(c, source, &node);
    else if (node.kind != NODE_STRING)
        rc = compile_bounds(c, source, &node);
    c->nodes[i] = node; /* the array may have moved */
    return rc;
}

/* Metadata. */

static struct meta_node *meta_child(struct compiler *c, struct meta_node *parent, struct slice key)
{
    struct meta_node **at = &parent->child;

    while (*at && !slice_eq((*at)->key, key))
        at = &(*at)->next;
    if (!*at) {
        *at = arena_zalloc(&c->program->arena, sizeof(**at));
        (*at)->key = keep(c, key);
    }
    return *at;
}

static void select_path(struct compiler *c, struct slice name, struct slice expression)
{
    static const struct slice length = { "length(", 7 };
    struct slice path = utf_trim(expression);
    bool is_length =
        path.n > length.n && memcmp(path.p, length.p, length.n) == 0 && path.p[path.n - 1] == ')';
    struct meta_node *node = &c->program->meta;

    if (is_length)
        path = utf_trim(slice_of(path.p + length.n, path.n - length.n - 1));
    for (;;) {
        const char *dot = path.n ? memchr(path.p, '.', path.n) : NULL;
        size_t n = dot ? (size_t)(dot - path.p) : path.n;
        node = meta_child(c, node, slice_of(path.p, n));
        if (!dot)
            break;
        path = slice_of(dot + 1, path.n - n - 1);
    }
    struct selection *s = arena_alloc(&c->program->arena, sizeof(*s));
    *s = (struct selection){ keep(c, name), is_length, (uint32_t)c->program->selection_count++,
                             node->selections };
    node->selections = s;
}

static void compile_metadata(struct compiler *c, const struct json_val *root)
{
    const struct json_val *list = json_member(root, "metadata-ws");
    AUTO_ARENA(scratch);
    const struct json_val **members;

    if (!is_kind(list, JSON_KIND_OBJECT))
        return;
    size_t n = json_distinct(list, &scratch, &members);
    for (size_t i = 0; i < n; i++)
        if (members[i]->kind == JSON_KIND_STRING)
            select_path(c, members[i]->key, members[i]->text);
}

static int compile(struct compiler *c, struct slice schema)
{
    static const struct json_limits limits = { MAX_SCHEMA_DEPTH, MAX_SCHEMA_NODES };
    struct check_program *program = c->program;
    AUTO_ARENA(scratch);
    struct json_val *root;
    int rc = json_read(schema, &limits, &scratch, &root, NULL, c->err);

    if (rc) {
        err_prefix(c->err, "Could not parse type schema document: ");
        return rc;
    }
    if (root->kind != JSON_KIND_OBJECT)
        return bad_schema(c, "it is no object");
    add_node(c, root);
    for (size_t i = 0; !rc && i < c->count; i++)
        rc = compile_node(c, i);
    if (rc)
        return rc;
    const struct json_val *original = json_member(root, "original-type");
    program->is_structure = is_kind(original, JSON_KIND_STRING) && slice_is(original->text, "kidl-structure");
    compile_metadata(c, root);
    program->node_count = c->count;
    program->nodes =
        (struct node *)(void *)arena_memdup(&program->arena, c->nodes, c->count * sizeof(*c->nodes));
    program->id_ref_count = c->id_ref_count;
    if (c->id_ref_count) {
        program->id_refs = (struct id_ref *)(void *)arena_memdup(&program->arena, c->id_refs,
                                                                 c->id_ref_count * sizeof(*c->id_refs));
        program->id_types = (struct check_text *)(void *)arena_memdup(
            &program->arena, c->id_types, c->id_type_count * sizeof(*c->id_types));
    }
    program->id_type_count = c->id_type_count;
    return 0;
}

struct check_program *check_program_new(struct check_text schema, char **ret_problem)
{
    struct check_program *program = xcalloc(1, sizeof(*program));
    AUTO_ERR(err);
    struct compiler c = { .program = program, .err = &err };
    int rc = compile(&c, slice_of(schema.p, schema.n));

    free(c.nodes);
    free(c.sources);
    free(c.id_refs);
    free(c.id_types);
    program->refs = 1;
    if (!rc)
        return program;
    *ret_problem = xmemdup(err.text, err.len);
    check_program_unref(program);
    return NULL;
}

struct check_program *check_program_ref(struct check_program *program)
{
    __atomic_add_fetch(&program->refs, 1, __ATOMIC_RELAXED);
    return program;
}

void check_program_unref(struct check_program *program)
{
    if (!program || __atomic_sub_fetch(&program->refs, 1, __ATOMIC_ACQ_REL))
        return;
    arena_release(&program->arena);
    free(program);
}

size_t check_program_bytes(const struct check_program *program)
{
    return sizeof(*program) + arena_used(&program->arena);
}

size_t check_program_id_type_count(const struct check_program *program)
{
    return program->id_type_count;
}

struct check_text check_program_id_type(const struct check_program *program, size_t i)
{
    return program->id_types[i];
}
