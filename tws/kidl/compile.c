#include "shared/base/digest.h"
#include "tws/kidl/diag.h"
#include "tws/kidl/parse.h"
#include "tws/kidl/print.h"

/* The modules as the outside sees them. */

static struct kidl_component public_component(const struct kidl_node *node)
{
    if (node->kind == NODE_FUNCTION)
        return (struct kidl_component){ .is_func = true,
                                        .func = { node->name, node->comment, node->authentication, node } };
    return (struct kidl_component){ .is_func = false, .type = { node->name, node->comment, node } };
}

static struct kidl_module public_module(const struct module *module, struct arena *arena)
{
    struct kidl_component *components = NULL;
    size_t count = 0;

    for (size_t i = 0; i < module->component_count; i++)
        if (module->components[i].node)
            ARRAY_PUSH(arena, components, count, public_component(module->components[i].node));
    return (struct kidl_module){ module->name, module->service, module->comment, count, components, module };
}

static struct kidl_unit public_unit(const struct names *modules, struct arena *arena)
{
    struct kidl_module *items = NULL;
    size_t count = 0;

    for (size_t i = 0; i < modules->count; i++)
        ARRAY_PUSH(arena, items, count, public_module(modules->entries[i].value, arena));
    return (struct kidl_unit){ count, items };
}

/* Types expand in place: what is printed can be exponentially longer than the spec. */
static int check_output(const struct compiler *c, const struct names *modules)
{
    size_t limit = c->limits->max_output_bytes;
    uint64_t schemas = 0;

    for (size_t i = 0; i < modules->count; i++) {
        const struct module *module = modules->entries[i].value;
        for (size_t k = 0; k < module->component_count; k++)
            if (module->components[k].node)
                schemas = size_bounded(schemas + module->components[k].node->measures.own_schema_bytes);
        if (tree_module_size(module) > limit)
            return diag_limit(c->err, "With all types expanded the module's parse tree is longer", limit,
                              "max_output_bytes");
        if (schemas > limit)
            return diag_limit(c->err, "With all types expanded the schemas are longer", limit,
                              "max_output_bytes");
    }
    return 0;
}

int kidl_compile(struct slice text, kidl_include_fn *include, void *ctx, const struct kidl_limits *limits,
                 struct arena *arena, struct kidl_unit *ret_unit, bool *ret_lexical, struct err *err)
{
    AUTO_ERR(own);
    struct compiler c = {
        .arena = arena, .limits = limits, .include = include, .include_ctx = ctx, .err = &own
    };
    struct names modules = { 0 };
    struct slice comment;
    int rc = document_parse(&c, text, &modules, &comment);

    if (ret_lexical)
        *ret_lexical = c.is_lexical;
    if (rc == 0)
        rc = check_output(&c, &modules);
    if (rc < 0)
        return own.text ? err_move(err, &own) : rc;
    *ret_unit = public_unit(&modules, arena);
    return 0;
}

const struct kidl_node *kidl_find_type(const struct kidl_module *module, struct slice name)
{
    const struct module *m = module->priv;

    return names_get(&m->types, name);
}

int kidl_tree_text(const struct kidl_node *node, const struct kidl_limits *limits, struct sbuf *ret_text,
                   struct err *err)
{
    bool too_long = node->measures.tree_bytes > limits->max_output_bytes;

    if (!too_long)
        tree_put(node, ret_text);
    if (too_long || ret_text->failed)
        return err_set(err, ERR_LIMIT,
                       "The parse tree of %.*s is longer than %zu bytes (limit max_output_bytes)",
                       (int)node->name.n, node->name.p, limits->max_output_bytes);
    return 0;
}

int kidl_module_md5(const struct kidl_module *module, const struct kidl_limits *limits, char ret_hex[33],
                    struct err *err)
{
    AUTO_SBUF(text, limits->max_output_bytes);

    tree_put_module(module->priv, &text);
    if (text.failed)
        return diag_limit(err, "The module's parse tree is longer", limits->max_output_bytes,
                          "max_output_bytes");
    md5_hex(sbuf_slice(&text), ret_hex);
    return 0;
}

int kidl_check_reload(const struct kidl_module *module, struct err *err)
{
    for (size_t i = 0; i < module->component_count; i++) {
        const struct kidl_component *c = &module->components[i];
        const char *wrong = (c->is_func ? c->func.node : c->type.node)->reload_error;
        if (wrong)
            return err_set(err, ERR_SPEC, "%s", wrong);
    }
    return 0;
}

struct slice kidl_node_comment(const struct kidl_node *loaded)
{
    return loaded->comment;
}

void kidl_parsing_structure(const struct kidl_node *loaded, struct sbuf *out)
{
    tree_put(loaded, out);
}
