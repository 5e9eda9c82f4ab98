#include "tws/kidl/print.h"

#include "shared/base/json.h"

#define CLASS "{\"!\":\"Bio::KBase::KIDL::KBT::"

struct printer {
    struct sbuf *out;
    bool measuring;
    uint64_t more; /* sizes of what was not printed */
};

static void put_node(struct printer *p, const struct kidl_node *node);

static void put(struct printer *p, const char *text)
{
    sbuf_adds(p->out, text);
}

static void put_member(struct printer *p, const char *key, struct slice text)
{
    put(p, ",\"");
    put(p, key);
    put(p, "\":");
    json_put_string_raw(p->out, text);
}

static void put_words(struct printer *p, struct words words)
{
    put(p, "[");
    for (size_t i = 0; i < words.count; i++) {
        put(p, i ? "," : "");
        json_put_string_raw(p->out, words.items[i]);
    }
    put(p, "]");
}

/* Annotations. */

static void put_id(struct printer *p, const struct id_annotation *id)
{
    put(p, "\"id\":{\"attributes\":");
    put_words(p, id->attributes);
    put_member(p, "type", id->type);
    put(p, "},");
}

static void put_metadata(struct printer *p, const struct names *metadata)
{
    put(p, "\"metadata\":{");
    if (metadata) {
        put(p, "\"ws\":{");
        for (size_t i = 0; i < metadata->count; i++) {
            put(p, i ? "," : "");
            json_put_string_raw(p->out, metadata->entries[i].name);
            put(p, ":");
            json_put_string_raw(p->out, *(const struct slice *)metadata->entries[i].value);
        }
        put(p, "}");
    }
    put(p, "},");
}

static void put_flag(struct printer *p, const char *key, bool is_set)
{
    sbuf_addf(p->out, "\"%s\":\"%d\",", key, is_set);
}

static void put_bound(struct printer *p, const char *key, const struct bigdecimal *bound)
{
    sbuf_addf(p->out, "\"%s\":\"", key);
    bigdecimal_put(bound, p->out);
    put(p, "\"");
}

static void put_range(struct printer *p, const struct range_annotation *range)
{
    put(p, "\"range\":{");
    if (range->has_maximum)
        put_flag(p, "exclusiveMaximum", range->exclusive_maximum);
    if (range->has_minimum)
        put_flag(p, "exclusiveMinimum", range->exclusive_minimum);
    if (range->has_maximum)
        put_bound(p, "maximum", &range->maximum);
    if (range->has_maximum && range->has_minimum)
        put(p, ",");
    if (range->has_minimum)
        put_bound(p, "minimum", &range->minimum);
    put(p, "},");
}

static void put_tree(struct printer *p, const struct path_tree *tree)
{
    put(p, "{");
    for (size_t i = 0; i < tree->steps.count; i++) {
        put(p, i ? "," : "");
        json_put_string_raw(p->out, tree->steps.entries[i].name);
        put(p, ":");
        put_tree(p, tree->steps.entries[i].value);
    }
    put(p, "}");
}

static void put_search(struct printer *p, const struct search_annotation *search)
{
    put(p, "\"searchable_ws_subset\":{");
    if (search) {
        put(p, "\"fields\":");
        put_tree(p, &search->fields);
        put(p, ",\"keys\":");
        put_tree(p, &search->keys);
    }
    put(p, "},");
}

static void put_annotations(struct printer *p, const struct annotations *a)
{
    put(p, "\"annotations\":{");
    if (a->id)
        put_id(p, a->id);
    put_metadata(p, a->metadata);
    if (a->has_optional) {
        put(p, "\"optional\":");
        put_words(p, a->optional);
        put(p, ",");
    }
    if (a->range)
        put_range(p, a->range);
    put_search(p, a->search);
    put(p, "\"unknown_annotations\":{");
    for (size_t i = 0; i < a->unknown_count; i++) {
        put(p, i ? "," : "");
        json_put_string_raw(p->out, a->unknown[i].type);
        put(p, ":");
        put_words(p, a->unknown[i].words);
    }
    put(p, "}}");
}

/* Nodes. */

static void put_scalar(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "Scalar\",\"annotations\":{},\"scalar_type\":\"");
    put(p, scalar_word(node->scalar));
    put(p, "\"}");
}

static void put_unspecified(struct printer *p, const struct kidl_node *node UNUSED)
{
    put(p, CLASS "UnspecifiedObject\",\"annotations\":{}}");
}

static void put_list(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "List\",\"annotations\":{},\"element_type\":");
    put_node(p, node->inner);
    put(p, "}");
}

static void put_mapping(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "Mapping\",\"annotations\":{},\"key_type\":");
    put_node(p, node->key);
    put(p, ",\"value_type\":");
    put_node(p, node->inner);
    put(p, "}");
}

static void put_owner_comment(struct printer *p, const struct kidl_node *node)
{
    if (node->owner && node->owner->comment.n)
        put_member(p, "comment", node->owner->comment);
}

static void put_tuple(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "Tuple\",\"annotations\":{}");
    put_owner_comment(p, node);
    put(p, ",\"element_names\":[");
    for (size_t i = 0; i < node->member_count; i++) {
        put(p, i ? "," : "");
        json_put_string_raw(p->out, node->members[i].name);
    }
    put(p, "],\"element_types\":[");
    for (size_t i = 0; i < node->member_count; i++) {
        put(p, i ? "," : "");
        put_node(p, node->members[i].type);
    }
    put(p, "]");
    if (node->owner)
        put_member(p, "name", node->owner->name);
    put(p, "}");
}

/* Upstream leaves an empty entry for each of the two that the typedef does not have; Java's map puts metadata
 * first. */
static void put_structure_annotations(struct printer *p, const struct kidl_node *node)
{
    bool metadata = !node->loaded && !(node->owner && node->owner->annotations->metadata);
    bool search = !node->loaded && !(node->owner && node->owner->annotations->search);

    put(p, "\"annotations\":{");
    put(p, metadata ? "\"metadata\":{}" : "");
    put(p, metadata && search ? "," : "");
    put(p, search ? "\"searchable_ws_subset\":{}" : "");
    put(p, "}");
}

static void put_structure(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "Struct\",");
    put_structure_annotations(p, node);
    put_owner_comment(p, node);
    put(p, ",\"items\":[");
    for (size_t i = 0; i < node->member_count; i++) {
        put(p, i ? "," : "");
        put(p, CLASS "StructItem\",\"item_type\":");
        put_node(p, node->members[i].type);
        put_member(p, "name", node->members[i].name);
        put(p, ",\"nullable\":\"0\"}");
    }
    put(p, "]");
    if (node->owner)
        put_member(p, "module", node->owner->module);
    if (node->owner || node->loaded)
        put_member(p, "name", node->owner ? node->owner->name : node->name);
    put(p, "}");
}

static void put_typedef(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "Typedef\",\"alias_type\":");
    put_node(p, node->inner);
    put(p, ",");
    put_annotations(p, node->annotations);
    put_member(p, "comment", node->comment);
    put_member(p, "module", node->module);
    put_member(p, "name", node->name);
    put(p, "}");
}

static void put_parameters(struct printer *p, const char *key, const struct member *members, size_t count)
{
    sbuf_addf(p->out, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        put(p, i ? ",{" : "{");
        if (members[i].name.p) {
            put(p, "\"name\":");
            json_put_string_raw(p->out, members[i].name);
            put(p, ",");
        }
        put(p, "\"type\":");
        put_node(p, members[i].type);
        put(p, "}");
    }
    put(p, "]");
}

static void put_function(struct printer *p, const struct kidl_node *node)
{
    put(p, CLASS "Funcdef\",\"annotations\":{\"unknown_annotations\":{}},\"async\":\"0\"");
    put_member(p, "authentication", node->authentication);
    put_member(p, "comment", node->comment);
    put_member(p, "name", node->name);
    put_parameters(p, "parameters", node->members, node->member_count);
    put_parameters(p, "return_type", node->results, node->result_count);
    put(p, "}");
}

static void put_node(struct printer *p, const struct kidl_node *node)
{
    static void (*const by_kind[])(struct printer * p, const struct kidl_node *node) = {
        [NODE_SCALAR] = put_scalar,   [NODE_UNSPECIFIED] = put_unspecified,
        [NODE_LIST] = put_list,       [NODE_MAPPING] = put_mapping,
        [NODE_TUPLE] = put_tuple,     [NODE_STRUCTURE] = put_structure,
        [NODE_TYPEDEF] = put_typedef, [NODE_FUNCTION] = put_function,
    };

    if (p->measuring && node->kind == NODE_TYPEDEF) {
        p->more = size_bounded(p->more + node->measures.tree_bytes);
        return;
    }
    if (!p->out->failed)
        by_kind[node->kind](p, node);
}

void tree_put(const struct kidl_node *node, struct sbuf *out)
{
    struct printer p = { .out = out };

    put_node(&p, node);
}

void node_measure(struct kidl_node *node)
{
    AUTO_SBUF(own, SBUF_NO_LIMIT);
    struct printer p = { .out = &own, .measuring = true };

    if (node->kind == NODE_TYPEDEF) {
        schema_measure(node, &node->measures);
        put_typedef(&p, node);
    } else {
        put_function(&p, node);
    }
    node->measures.tree_bytes = size_bounded(own.len + p.more);
}

/* Modules. */

static void put_component(struct printer *p, const struct component *component)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (component->node) {
        if (p->measuring)
            p->more = size_bounded(p->more + component->node->measures.tree_bytes);
        else
            put_node(p, component->node);
        return;
    }
    sbuf_adds(&text, "auth_default");
    sbuf_add_slice(&text, component->authentication);
    json_put_string_raw(p->out, sbuf_slice(&text));
}

/* All type names, the built-in ones too, in natural order. */
static void put_types(struct printer *p, const struct module *module)
{
    AUTO_ARENA(arena);
    struct names types = { 0 };

    for (int i = 0; i < SCALAR_KINDS; i++)
        names_put(&types, &arena, slice_str(scalar_word((enum scalar_kind)i)),
                  (void *)(uintptr_t)node_scalar((enum scalar_kind)i, false));
    names_put(&types, &arena, SLICE("UnspecifiedObject"), (void *)(uintptr_t)node_unspecified(false));
    for (size_t i = 0; i < module->types.count; i++)
        names_put(&types, &arena, module->types.entries[i].name, module->types.entries[i].value);
    names_sort(&types, &arena);
    for (size_t i = 0; i < types.count; i++) {
        put(p, i ? "," : "");
        json_put_string_raw(p->out, types.entries[i].name);
        put(p, ":");
        put_node(p, types.entries[i].value);
    }
}

static void put_module(struct printer *p, const struct module *module)
{
    put(p, "[" CLASS "DefineModule\",\"annotations\":{\"unknown_annotations\":{}}");
    put_member(p, "comment", module->comment);
    put(p, ",\"module_components\":[");
    for (size_t i = 0; i < module->component_count; i++) {
        put(p, i ? "," : "");
        put_component(p, &module->components[i]);
    }
    put(p, "]");
    put_member(p, "module_name", module->name);
    put(p, ",\"options\":[]");
    put_member(p, "service_name", module->service);
    put(p, "},[],{");
    put_types(p, module);
    put(p, "}]");
}

void tree_put_module(const struct module *module, struct sbuf *out)
{
    struct printer p = { .out = out };

    put_module(&p, module);
}

uint64_t tree_module_size(const struct module *module)
{
    AUTO_SBUF(own, SBUF_NO_LIMIT);
    struct printer p = { .out = &own, .measuring = true };

    put_module(&p, module);
    return size_bounded(own.len + p.more);
}
