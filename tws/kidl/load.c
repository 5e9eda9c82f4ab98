#include "shared/base/javahash.h"
#include "shared/base/json.h"
#include "shared/base/utf.h"
#include "tws/kidl/annot.h"

/*
 * The common reader of JSON is used, not jansson: stored comments may hold lone surrogates, as the specs may
 * that they come from.
 */

struct loader {
    struct arena *arena;
    struct err *err;
};

enum {
    /* an object of the tree is up to four levels of JSON: field list, field, typedef, body */
    JSON_DEPTH = 4 * DEPTH_HARD_LIMIT,
    JSON_NODES = 1 << 26,
};

static int load_type(struct loader *l, const struct json_val *val, const struct annotations *above,
                     unsigned depth, const struct kidl_node **ret_node);

/* What a property is until it was found. */
static const struct json_val nothing = { 0 };

/* Texts are copied, so that the JSON can be freed. */
static struct slice keep(struct loader *l, struct slice text)
{
    return arena_slice(l->arena, text);
}

/* Properties, with upstream's text for one that is missing. */

static int missing(struct loader *l, const char *key)
{
    return err_set(l->err, ERR_STORE, "No property in the map: %s", key);
}

static int get(struct loader *l, const struct json_val *object, const char *key, enum json_kind kind,
               const struct json_val **ret_val)
{
    const struct json_val *val = json_member(object, key);

    if (!val || val->kind == JSON_KIND_NULL)
        return missing(l, key);
    if (val->kind != kind)
        return err_set(l->err, ERR_STORE, "Property of a stored parse tree has the wrong type: %s", key);
    *ret_val = val;
    return 0;
}

static int get_text(struct loader *l, const struct json_val *object, const char *key, struct slice *ret_text)
{
    const struct json_val *val = &nothing;
    int rc = get(l, object, key, JSON_KIND_STRING, &val);

    if (rc == 0)
        *ret_text = keep(l, val->text);
    return rc;
}

static struct words get_words(struct loader *l, const struct json_val *list)
{
    struct slice *items = arena_alloc(l->arena, (list->count + 1) * sizeof(*items));
    size_t count = 0;

    for (const struct json_val *item = list->first; item; item = item->next)
        if (item->kind == JSON_KIND_STRING)
            items[count++] = keep(l, item->text);
    return (struct words){ items, count };
}

/* The text of a class, a scalar type: not kept. */
static int get_word(struct loader *l, const struct json_val *object, const char *key, struct slice *ret_word)
{
    const struct json_val *val = &nothing;
    int rc = get(l, object, key, JSON_KIND_STRING, &val);

    if (rc == 0)
        *ret_word = val->text;
    return rc;
}

/* A member that is an object or array with members, or NULL. */
static const struct json_val *member_of_kind(const struct json_val *object, const char *key,
                                             enum json_kind kind)
{
    const struct json_val *val = object ? json_member(object, key) : NULL;

    return val && val->kind == kind ? val : NULL;
}

/* Annotations. */

static int load_id(struct loader *l, const struct json_val *val, struct annotations *out)
{
    const struct json_val *attributes = member_of_kind(val, "attributes", JSON_KIND_ARRAY);
    struct id_annotation *id = arena_zalloc(l->arena, sizeof(*id));
    int rc = get_text(l, val, "type", &id->type);

    if (attributes)
        id->attributes = get_words(l, attributes);
    out->id = id;
    return rc;
}

static int load_bound(struct loader *l, const struct json_val *range, const char *key,
                      struct bigdecimal *ret_bound, bool *ret_has)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);
    const struct json_val *val = json_member(range, key);

    if (!val)
        return 0;
    if (!bigdecimal_parse(val->text, l->arena, ret_bound, &message))
        return err_set_text(l->err, ERR_STORE, sbuf_slice(&message));
    *ret_has = true;
    return 0;
}

/* Upstream does not read the exclusive flags back. */
static int load_range(struct loader *l, const struct json_val *val, struct annotations *out)
{
    struct range_annotation *range = arena_zalloc(l->arena, sizeof(*range));
    int rc = load_bound(l, val, "minimum", &range->minimum, &range->has_minimum);

    out->range = range;
    return rc < 0 ? rc : load_bound(l, val, "maximum", &range->maximum, &range->has_maximum);
}

static void load_tree(struct loader *l, const struct json_val *object, struct path_tree *tree)
{
    for (const struct json_val *val = object ? object->first : NULL; val; val = val->next) {
        struct path_tree *below = arena_zalloc(l->arena, sizeof(*below));
        load_tree(l, val->kind == JSON_KIND_OBJECT ? val : NULL, below);
        names_put(&tree->steps, l->arena, keep(l, val->key), below);
    }
    names_sort(&tree->steps, l->arena);
}

static void load_search(struct loader *l, const struct json_val *val, struct annotations *out)
{
    out->search = arena_zalloc(l->arena, sizeof(*out->search));
    load_tree(l, member_of_kind(val, "fields", JSON_KIND_OBJECT), &out->search->fields);
    load_tree(l, member_of_kind(val, "keys", JSON_KIND_OBJECT), &out->search->keys);
}

static void load_metadata(struct loader *l, const struct json_val *object, struct annotations *out)
{
    const struct json_val *ws = member_of_kind(object, "ws", JSON_KIND_OBJECT);

    out->metadata = arena_zalloc(l->arena, sizeof(*out->metadata));
    for (const struct json_val *val = ws ? ws->first : NULL; val; val = val->next) {
        struct slice *expression = arena_alloc(l->arena, sizeof(*expression));
        *expression = keep(l, val->text);
        names_put(out->metadata, l->arena, keep(l, val->key), expression);
    }
    names_sort(out->metadata, l->arena);
}

static void load_unknown(struct loader *l, const struct json_val *object, struct annotations *out)
{
    struct names unknown = { 0 };

    for (const struct json_val *val = object->first; val; val = val->next) {
        struct words *words = arena_alloc(l->arena, sizeof(*words));
        *words = get_words(l, val);
        names_put(&unknown, l->arena, keep(l, val->key), words);
    }
    annotations_order_unknown(out, &unknown, java_hash_putall_capacity(unknown.count), l->arena);
}

static int load_annotations(struct loader *l, const struct json_val *object, const struct annotations **ret)
{
    struct annotations *out = arena_zalloc(l->arena, sizeof(*out));
    const struct json_val *optional = member_of_kind(object, "optional", JSON_KIND_ARRAY);
    const struct json_val *id = member_of_kind(object, "id", JSON_KIND_OBJECT);
    const struct json_val *range = member_of_kind(object, "range", JSON_KIND_OBJECT);
    const struct json_val *search = member_of_kind(object, "searchable_ws_subset", JSON_KIND_OBJECT);
    const struct json_val *metadata = member_of_kind(object, "metadata", JSON_KIND_OBJECT);
    const struct json_val *unknown = member_of_kind(object, "unknown_annotations", JSON_KIND_OBJECT);
    int rc = 0;

    out->has_optional = optional != NULL;
    if (optional)
        out->optional = get_words(l, optional);
    if (id)
        rc = load_id(l, id, out);
    if (rc == 0 && range)
        rc = load_range(l, range, out);
    if (search)
        load_search(l, search, out);
    if (metadata)
        load_metadata(l, metadata, out);
    if (unknown)
        load_unknown(l, unknown, out);
    *ret = out;
    return rc;
}

/* Nodes. */

struct place_in_tree {
    const struct json_val *val;
    const struct annotations *above; /* of the typedef right above, or NULL */
    unsigned depth;
};

static struct kidl_node *new_node(struct loader *l, enum node_kind kind)
{
    struct kidl_node *node = arena_zalloc(l->arena, sizeof(*node));

    node->kind = kind;
    node->loaded = true;
    return node;
}

static int done(struct kidl_node *node, int rc, const struct kidl_node **ret_node)
{
    if (rc < 0)
        return rc;
    node_finish(node);
    *ret_node = node;
    return 0;
}

static int load_part(struct loader *l, const struct place_in_tree *at, const char *key,
                     const struct annotations *above, const struct kidl_node **ret_node)
{
    const struct json_val *val = &nothing;
    int rc = get(l, at->val, key, JSON_KIND_OBJECT, &val);

    return rc < 0 ? rc : load_type(l, val, above, at->depth + 1, ret_node);
}

static int load_scalar(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct slice word = { 0 };
    int rc = get_word(l, at->val, "scalar_type", &word);

    for (int i = 0; rc == 0 && i < SCALAR_KINDS; i++) {
        if (slice_is(word, scalar_word((enum scalar_kind)i))) {
            *ret_node = node_scalar((enum scalar_kind)i, true);
            return 0;
        }
    }
    return rc < 0 ? rc : err_set(l->err, ERR_STORE, "Unknown scalar type in a stored parse tree");
}

static int load_unspecified(struct loader *l UNUSED, const struct place_in_tree *at UNUSED,
                            const struct kidl_node **ret_node)
{
    *ret_node = node_unspecified(true);
    return 0;
}

static int load_list(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(l, NODE_LIST);

    return done(node, load_part(l, at, "element_type", NULL, &node->inner), ret_node);
}

static int load_mapping(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(l, NODE_MAPPING);
    int rc = load_part(l, at, "key_type", NULL, &node->key);

    if (rc == 0)
        rc = load_part(l, at, "value_type", NULL, &node->inner);
    return done(node, rc, ret_node);
}

static int load_tuple(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(l, NODE_TUPLE);
    const struct json_val *names = &nothing, *types = &nothing;
    int rc = get(l, at->val, "element_names", JSON_KIND_ARRAY, &names);

    if (rc == 0)
        rc = get(l, at->val, "element_types", JSON_KIND_ARRAY, &types);
    if (rc < 0)
        return rc;
    if (names->count != types->count)
        return err_set(l->err, ERR_STORE, "A tuple in a stored parse tree has not as many names as types");
    node->members = arena_zalloc(l->arena, (types->count + 1) * sizeof(*node->members));
    const struct json_val *name = names->first;
    for (const struct json_val *type = types->first; type && rc == 0; type = type->next, name = name->next) {
        node->members[node->member_count].name = keep(l, name->text);
        rc = load_type(l, type, NULL, at->depth + 1, &node->members[node->member_count++].type);
    }
    return done(node, rc, ret_node);
}

static int load_field(struct loader *l, const struct json_val *item, unsigned depth, struct member *ret_field)
{
    struct place_in_tree at = { item, NULL, depth };
    int rc;

    if (item->kind != JSON_KIND_OBJECT)
        return missing(l, "item_type");
    rc = load_part(l, &at, "item_type", NULL, &ret_field->type);
    return rc < 0 ? rc : get_text(l, item, "name", &ret_field->name);
}

/* Which fields are optional is told by the typedef only. */
static void mark_optional(struct kidl_node *structure, const struct annotations *above)
{
    for (size_t i = 0; above && i < above->optional.count; i++) {
        struct member *field = names_get(structure->index, above->optional.items[i]);
        if (field)
            field->optional = true;
    }
}

static int load_structure(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(l, NODE_STRUCTURE);
    const struct json_val *items = &nothing;
    int rc = get_text(l, at->val, "name", &node->name);

    if (rc == 0)
        rc = get(l, at->val, "items", JSON_KIND_ARRAY, &items);
    if (rc < 0)
        return rc;
    node->members = arena_zalloc(l->arena, (items->count + 1) * sizeof(*node->members));
    for (const struct json_val *item = items->first; item && rc == 0; item = item->next)
        rc = load_field(l, item, at->depth, &node->members[node->member_count++]);
    if (rc < 0)
        return rc;
    node_index_fields(node, l->arena);
    mark_optional(node, at->above);
    return done(node, 0, ret_node);
}

static int load_typedef(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(l, NODE_TYPEDEF);
    int rc = get_text(l, at->val, "name", &node->name);

    if (rc == 0)
        rc = get_text(l, at->val, "module", &node->module);
    if (rc == 0)
        rc = get_text(l, at->val, "comment", &node->comment);
    if (rc == 0)
        rc = load_annotations(l, json_member(at->val, "annotations"), &node->annotations);
    if (rc == 0)
        rc = load_part(l, at, "alias_type", node->annotations, &node->inner);
    return done(node, rc, ret_node);
}

static int load_parameters(struct loader *l, const struct place_in_tree *at, const char *key, bool want_names,
                           struct member **ret_members, size_t *ret_count)
{
    const struct json_val *list = &nothing;
    size_t count = 0;
    int rc = get(l, at->val, key, JSON_KIND_ARRAY, &list);

    if (rc < 0)
        return rc;
    struct member *members = arena_zalloc(l->arena, (list->count + 1) * sizeof(*members));
    for (const struct json_val *item = list->first; item && rc == 0; item = item->next, count++) {
        struct place_in_tree here = { item, NULL, at->depth };
        const struct json_val *name = member_of_kind(item, "name", JSON_KIND_STRING);
        if (name)
            members[count].name = keep(l, name->text);
        else if (want_names)
            members[count].name = slice_str(arena_printf(l->arena, "arg%zu", count + 1));
        rc = load_part(l, &here, "type", NULL, &members[count].type);
    }
    *ret_members = members;
    *ret_count = count;
    return rc;
}

static int load_function(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(l, NODE_FUNCTION);
    int rc = get_text(l, at->val, "name", &node->name);

    if (rc == 0)
        rc = get_text(l, at->val, "authentication", &node->authentication);
    if (rc == 0)
        rc = get_text(l, at->val, "comment", &node->comment);
    if (rc == 0)
        rc = load_parameters(l, at, "parameters", true, &node->members, &node->member_count);
    if (rc == 0)
        rc = load_parameters(l, at, "return_type", false, &node->results, &node->result_count);
    return done(node, rc, ret_node);
}

static const struct class_row {
    const char *name;
    int (*load)(struct loader *l, const struct place_in_tree *at, const struct kidl_node **ret_node);
} classes[] = {
    { "Scalar", load_scalar },   { "UnspecifiedObject", load_unspecified },
    { "List", load_list },       { "Mapping", load_mapping },
    { "Tuple", load_tuple },     { "Struct", load_structure },
    { "Typedef", load_typedef },
};

/* `Bio::KBase::KIDL::KBT::Scalar` -> Scalar */
static struct slice class_name(struct slice s)
{
    const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;

    return colon ? slice_of(colon + 1, s.n - (size_t)(colon + 1 - s.p)) : s;
}

static int load_type(struct loader *l, const struct json_val *val, const struct annotations *above,
                     unsigned depth, const struct kidl_node **ret_node)
{
    struct place_in_tree at = { val, above, depth };
    struct slice class = { 0 };

    if (val->kind != JSON_KIND_OBJECT)
        return missing(l, "!");
    if (depth > DEPTH_HARD_LIMIT)
        return err_set(l->err, ERR_LIMIT, "A stored parse tree is nested deeper than %d levels",
                       DEPTH_HARD_LIMIT);
    int rc = get_word(l, val, "!", &class);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (slice_is(class_name(class), classes[i].name))
            return classes[i].load(l, &at, ret_node);
    return err_set(l->err, ERR_STORE, "Unknown kind of type in a stored parse tree");
}

/* Lone surrogates as escapes, because in bytes the reader takes them for damage. */
static void escape_surrogates(struct slice s, struct sbuf *out)
{
    size_t used;

    while (s.n) {
        const char *lead = memchr(s.p, 0xed, s.n);
        size_t n = lead ? (size_t)(lead - s.p) : s.n;
        sbuf_add(out, s.p, n);
        s = slice_of(s.p + n, s.n - n);
        if (s.n == 0)
            break;
        uint32_t cp = utf_decode(s.p, s.n, &used);
        if (utf_is_surrogate(cp))
            sbuf_addf(out, "\\u%04x", (unsigned)cp);
        else
            sbuf_add(out, s.p, used);
        s = slice_of(s.p + used, s.n - used);
    }
}

static int load_any(struct loader *l, const struct json_val *val, const struct kidl_node **ret_node)
{
    struct place_in_tree at = { val, NULL, 1 };
    struct slice class = { 0 };

    if (val->kind != JSON_KIND_OBJECT)
        return missing(l, "!");
    int rc = get_word(l, val, "!", &class);
    if (rc < 0)
        return rc;
    return slice_is(class_name(class), "Funcdef") ? load_function(l, &at, ret_node)
                                                  : load_type(l, val, NULL, 1, ret_node);
}

int kidl_load(struct slice stored, struct arena *arena, const struct kidl_node **ret_node, struct err *err)
{
    static const struct json_limits limits = { JSON_DEPTH, JSON_NODES };
    AUTO_ERR(own);
    AUTO_ARENA(tree);
    AUTO_SBUF(escaped, SBUF_NO_LIMIT);
    struct loader l = { arena, err };
    struct json_val *val;

    escape_surrogates(stored, &escaped);
    if (json_read(sbuf_slice(&escaped), &limits, &tree, &val, NULL, &own) < 0)
        return err_set(err, ERR_STORE, "A stored parse tree is not valid JSON: %s", err_text(&own));
    return load_any(&l, val, ret_node);
}
