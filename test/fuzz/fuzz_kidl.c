/*
 * The KIDL compiler with arbitrary specs.  The input is the spec; behind a 0x01 stands the document that
 * every include gets. All outputs are made, and loading the printed trees must give what the direct way
 * gives.
 */
#include <stdint.h>

#include "shared/base/utf.h"
#include "tws/kidl/kidl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct kidl_limits limits = { .max_spec_bytes = 1 << 16,
                                           .max_depth = 100,
                                           .max_include_depth = 5,
                                           .max_includes = 20,
                                           .max_total_bytes = 1 << 18,
                                           .max_output_bytes = 1 << 18 };

static int give_document(void *ctx, struct slice name UNUSED, struct slice *ret_text, struct err *err UNUSED)
{
    const struct slice *document = ctx;

    if (!document->p)
        return -ERR_NO_MODULE;
    *ret_text = *document;
    return 0;
}

static bool visit(void *ctx, struct slice module UNUSED, struct slice name, struct err *err UNUSED)
{
    size_t *count = ctx;

    ++*count;
    return name.n == 3;
}

static bool version(void *ctx UNUSED, struct slice module UNUSED, struct slice name, int *ret_major,
                    int *ret_minor)
{
    *ret_major = 1;
    *ret_minor = (int)name.n;
    return name.n % 2 == 0;
}

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void describe(const struct kidl_node *loaded, struct slice module, struct sbuf *out)
{
    size_t count = 0;

    kidl_parsing_structure(loaded, out);
    kidl_spec_def(loaded, module, version, NULL, out);
    require(kidl_references(loaded, visit, &count, NULL) == 0);
    sbuf_addf(out, "%zu", count);
    sbuf_add_slice(out, kidl_node_comment(loaded));
}

static void use_component(const struct kidl_module *module, const struct kidl_component *c,
                          struct arena *arena)
{
    AUTO_SBUF(schema, SBUF_NO_LIMIT);
    AUTO_SBUF(tree, SBUF_NO_LIMIT);
    AUTO_SBUF(direct_text, SBUF_NO_LIMIT);
    AUTO_SBUF(loaded_text, SBUF_NO_LIMIT);
    const struct kidl_node *node = c->is_func ? c->func.node : c->type.node, *loaded;

    require(c->is_func || kidl_schema(node, &limits, &schema, NULL) == 0);
    require(schema.len <= limits.max_output_bytes);
    require(kidl_tree_text(node, &limits, &tree, NULL) == 0);
    require(tree.len <= limits.max_output_bytes);
    require(kidl_load(sbuf_slice(&tree), arena, &loaded, NULL) == 0);
    const struct kidl_node *direct = kidl_reload(node, arena);
    describe(direct, module->name, &direct_text);
    describe(loaded, module->name, &loaded_text);
    require(slice_eq(sbuf_slice(&direct_text), sbuf_slice(&loaded_text)));
    require((c->is_func ? kidl_func_change : kidl_type_change)(direct, loaded) == KIDL_NO_CHANGE);
}

static void use_unit(const struct kidl_unit *unit, struct arena *arena)
{
    char md5[33];

    for (size_t i = 0; i < unit->module_count; i++) {
        const struct kidl_module *module = &unit->modules[i];
        require(kidl_module_md5(module, &limits, md5, NULL) == 0);
        if (kidl_check_reload(module, NULL) < 0)
            continue;
        for (size_t k = 0; k < module->component_count; k++)
            use_component(module, &module->components[k], arena);
    }
}

/* A text; surrogates that make a pair are no text. */
static struct slice as_text(struct slice bytes, struct sbuf *repaired)
{
    if (utf_valid(bytes) && !memchr(bytes.p, 0xed, bytes.n))
        return bytes;
    utf_repair(bytes, repaired);
    return sbuf_slice(repaired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    AUTO_ERR(header_err);
    AUTO_SBUF(repaired, SBUF_NO_LIMIT);
    struct slice text, document = { 0 }, header, *names;
    struct kidl_unit unit;
    size_t count;

    if (size == 0)
        return 0;
    text = as_text(slice_of((const char *)data, size), &repaired);
    const char *cut = memchr(text.p, 1, text.n);
    if (cut) {
        document = slice_of(cut + 1, text.n - (size_t)(cut + 1 - text.p));
        text.n = (size_t)(cut - text.p);
    }
    if (kidl_correct_includes(text, &arena, &header, &names, &count, &header_err) == 0)
        require(count <= text.n);
    if (kidl_compile(text, give_document, &document, &limits, &arena, &unit, NULL, &err) == 0)
        use_unit(&unit, &arena);
    else
        require(err.text != NULL);
    return 0;
}
