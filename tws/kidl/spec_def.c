#include "shared/base/utf.h"
#include "tws/kidl/ast.h"

struct spec {
    struct slice module;
    kidl_version_fn *version;
    void *ctx;
    struct arena arena;
    struct names parts; /* unregistered local types: name -> struct slice *, in order of completion */
};

static void put_type(struct spec *s, const struct kidl_node *type, struct sbuf *out);

static void put_definition(struct spec *s, const struct kidl_node *node, struct sbuf *out)
{
    sbuf_adds(out, "typedef ");
    put_type(s, node->inner, out);
    sbuf_addc(out, ' ');
    sbuf_add_slice(out, node->name);
    sbuf_addc(out, ';');
}

static void put_comment(struct slice comment, struct sbuf *out)
{
    if (utf_trim(comment).n == 0)
        return;
    sbuf_adds(out, "/*\n");
    sbuf_add_slice(out, comment);
    sbuf_adds(out, "\n*/\n");
}

/* A type met again keeps its place. */
static void add_part(struct spec *s, const struct kidl_node *node)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    struct slice *kept = arena_alloc(&s->arena, sizeof(*kept));

    put_comment(node->comment, &text);
    put_definition(s, node, &text);
    *kept = arena_slice(&s->arena, sbuf_slice(&text));
    names_put(&s->parts, &s->arena, node->name, kept);
}

static void put_reference(struct spec *s, const struct kidl_node *node, struct sbuf *out)
{
    int major, minor;

    if (s->version && s->version(s->ctx, node->module, node->name, &major, &minor)) {
        sbuf_addc(out, '#');
        sbuf_add_slice(out, node->module);
        sbuf_addc(out, '.');
        sbuf_add_slice(out, node->name);
        sbuf_addf(out, "-%d.%d#", major, minor);
        return;
    }
    if (slice_eq(node->module, s->module)) {
        add_part(s, node);
    } else {
        sbuf_add_slice(out, node->module);
        sbuf_addc(out, '.');
    }
    sbuf_add_slice(out, node->name);
}

static void put_elements(struct spec *s, const struct member *members, size_t count, struct sbuf *out)
{
    for (size_t i = 0; i < count; i++) {
        sbuf_adds(out, i ? ", " : "");
        put_type(s, members[i].type, out);
    }
}

static void put_fields(struct spec *s, const struct kidl_node *structure, struct sbuf *out)
{
    sbuf_adds(out, "structure {\n");
    for (size_t i = 0; i < structure->member_count; i++) {
        sbuf_adds(out, "  ");
        put_type(s, structure->members[i].type, out);
        sbuf_addc(out, ' ');
        sbuf_add_slice(out, structure->members[i].name);
        sbuf_adds(out, ";\n");
    }
    sbuf_addc(out, '}');
}

static void put_type(struct spec *s, const struct kidl_node *type, struct sbuf *out)
{
    switch (type->kind) {
    case NODE_SCALAR:
        sbuf_adds(out, scalar_word(type->scalar));
        break;
    case NODE_UNSPECIFIED:
        sbuf_adds(out, "UnspecifiedObject");
        break;
    case NODE_LIST:
        sbuf_adds(out, "list<");
        put_type(s, type->inner, out);
        sbuf_addc(out, '>');
        break;
    case NODE_MAPPING:
        sbuf_adds(out, "mapping<");
        put_type(s, type->key, out);
        sbuf_adds(out, ", ");
        put_type(s, type->inner, out);
        sbuf_addc(out, '>');
        break;
    case NODE_TUPLE:
        sbuf_adds(out, "tuple<");
        put_elements(s, type->members, type->member_count, out);
        sbuf_addc(out, '>');
        break;
    case NODE_STRUCTURE:
        put_fields(s, type, out);
        break;
    case NODE_TYPEDEF:
        put_reference(s, type, out);
        break;
    case NODE_FUNCTION:
        break;
    }
}

static void put_parameters(struct spec *s, const struct member *members, size_t count, struct sbuf *out)
{
    for (size_t i = 0; i < count; i++) {
        sbuf_adds(out, i ? ", " : "");
        put_type(s, members[i].type, out);
        if (members[i].name.p)
            sbuf_addc(out, ' ');
        sbuf_add_slice(out, members[i].name);
    }
}

static void put_function(struct spec *s, const struct kidl_node *node, struct sbuf *out)
{
    sbuf_adds(out, "funcdef ");
    sbuf_add_slice(out, node->name);
    sbuf_addc(out, '(');
    put_parameters(s, node->members, node->member_count, out);
    sbuf_adds(out, ") returns (");
    put_parameters(s, node->results, node->result_count, out);
    sbuf_adds(out, ") authentication ");
    sbuf_add_slice(out, node->authentication);
    sbuf_addc(out, ';');
}

void kidl_spec_def(const struct kidl_node *loaded, struct slice module, kidl_version_fn *version, void *ctx,
                   struct sbuf *out)
{
    AUTO_SBUF(definition, SBUF_NO_LIMIT);
    struct spec s = { .module = module, .version = version, .ctx = ctx, .arena = ARENA_INIT };

    if (loaded->kind == NODE_FUNCTION)
        put_function(&s, loaded, &definition);
    else
        put_definition(&s, loaded, &definition);
    for (size_t i = 0; i < s.parts.count; i++) {
        sbuf_add_slice(out, *(const struct slice *)s.parts.entries[i].value);
        sbuf_adds(out, "\n\n");
    }
    put_comment(loaded->comment, out);
    sbuf_add_slice(out, sbuf_slice(&definition));
    arena_release(&s.arena);
}
