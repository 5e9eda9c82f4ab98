#include "tws/kidl/parse.h"

#include "tws/kidl/annot.h"
#include "tws/kidl/comment.h"
#include "tws/kidl/diag.h"
#include "tws/kidl/print.h"

#define BIT(id) ((uint64_t)1 << TOKEN_##id)

/* What a syntax error lists, by the place where it happens. */
#define TYPE_START \
    (BIT(STRING) | BIT(INT) | BIT(FLOAT) | BIT(UNSPECIFIED) | BIT(LIST) | BIT(MAPPING) | BIT(STRUCTURE) | \
     BIT(TUPLE) | BIT(IDENTIFIER))
#define DOCUMENT_START (BIT(EOF) | BIT(MODULE) | BIT(INCLUDE_LITERAL))
#define COMPONENT_START (BIT(AUTHENTICATION) | BIT(TYPEDEF) | BIT(FUNCDEF) | BIT(CLOSE_BRACE))
#define MODE (BIT(REQUIRED) | BIT(OPTIONAL) | BIT(NONE))

static int parse_type(struct document *d, const struct kidl_node **ret_node);

/* Tokens. */

static int peek(struct document *d, enum token_kind *ret_kind)
{
    if (!d->has_ahead) {
        int rc = lexer_next(&d->lexer, &d->ahead, d->compiler->err);
        if (rc < 0) {
            d->compiler->is_lexical = true;
            return rc;
        }
        d->has_ahead = true;
    }
    *ret_kind = d->ahead.kind;
    return 0;
}

static void accept(struct document *d)
{
    d->last = d->ahead;
    d->has_ahead = false;
}

static int fail(struct document *d, uint64_t expected)
{
    return diag_unexpected(d->compiler->err, &d->ahead, expected, false);
}

/* Accepts one of the kinds; an error lists what is in `expected`. */
static int expect_any(struct document *d, uint64_t kinds, uint64_t expected)
{
    enum token_kind kind;
    int rc = peek(d, &kind);

    if (rc < 0)
        return rc;
    if (!(kinds >> kind & 1))
        return fail(d, expected);
    accept(d);
    return 0;
}

static int expect(struct document *d, uint64_t kinds)
{
    return expect_any(d, kinds, kinds);
}

/* The next token must be one of the kinds, but is not accepted. */
static int look(struct document *d, uint64_t kinds, enum token_kind *ret_kind)
{
    int rc = peek(d, ret_kind);

    if (rc < 0)
        return rc;
    return kinds >> *ret_kind & 1 ? 0 : fail(d, kinds);
}

static int expect_name(struct document *d, struct slice *ret_name)
{
    int rc = expect(d, BIT(IDENTIFIER));

    if (rc == 0)
        *ret_name = d->last.text;
    return rc;
}

static int fail_check(struct document *d, int rc)
{
    return diag_place(d->compiler->err, d->last.place, rc);
}

/* The comment that the definition takes whose keyword was just accepted. */
static struct slice take_comment(struct document *d)
{
    struct slice raw = d->lexer.comment;

    d->lexer.comment = (struct slice){ 0 };
    return comment_normalise(raw, d->compiler->arena);
}

/* Types. */

static struct kidl_node *new_node(struct document *d, enum node_kind kind)
{
    struct kidl_node *node = arena_zalloc(d->compiler->arena, sizeof(*node));

    node->kind = kind;
    return node;
}

static size_t max_depth(const struct document *d)
{
    size_t limit = d->compiler->limits->max_depth;

    return limit < DEPTH_HARD_LIMIT ? limit : DEPTH_HARD_LIMIT;
}

static int fail_depth(struct document *d)
{
    return fail_check(d, diag_limit(d->compiler->err, "Types are nested deeper", max_depth(d), "max_depth"));
}

static int finish_node(struct document *d, struct kidl_node *node, const struct kidl_node **ret_node)
{
    node_finish(node);
    if (node->depth > max_depth(d))
        return fail_depth(d);
    *ret_node = node;
    return 0;
}

/* An optional identifier; without one name.p is NULL. `others`: what else may follow. */
static int parse_optional_name(struct document *d, uint64_t others, struct slice *ret_name)
{
    enum token_kind kind;
    int rc = look(d, others | BIT(IDENTIFIER), &kind);

    *ret_name = (struct slice){ 0 };
    return rc < 0 || kind != TOKEN_IDENTIFIER ? rc : expect_name(d, ret_name);
}

static int parse_reference(struct document *d, const struct kidl_node **ret_node)
{
    struct slice module = { 0 }, name;
    enum token_kind kind;
    int rc = expect_name(d, &name);

    if (rc == 0)
        rc = peek(d, &kind);
    if (rc == 0 && kind == TOKEN_DOT) {
        accept(d);
        module = name;
        rc = expect_name(d, &name);
    }
    return rc < 0 ? rc : document_resolve(d, module, name, ret_node);
}

static int parse_list(struct document *d, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(d, NODE_LIST);
    int rc = expect(d, BIT(LESS));

    if (rc == 0)
        rc = parse_type(d, &node->inner);
    if (rc == 0)
        rc = expect(d, BIT(GREATER));
    return rc < 0 ? rc : finish_node(d, node, ret_node);
}

/* A type, an optional name that is dropped, and the token `end`. */
static int parse_mapping_part(struct document *d, uint64_t end, const struct kidl_node **ret_node)
{
    struct slice name;
    int rc = parse_type(d, ret_node);

    if (rc == 0)
        rc = parse_optional_name(d, end, &name);
    return rc < 0 ? rc : expect(d, end);
}

static int parse_mapping(struct document *d, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(d, NODE_MAPPING);
    int rc = expect(d, BIT(LESS));

    if (rc == 0)
        rc = parse_mapping_part(d, BIT(COMMA), &node->key);
    if (rc == 0)
        rc = parse_mapping_part(d, BIT(GREATER), &node->inner);
    return rc < 0 ? rc : finish_node(d, node, ret_node);
}

/* Members with optional names between commas, up to and with the token `end`. */
static int parse_members(struct document *d, uint64_t end, struct member **ret_members, size_t *ret_count)
{
    struct member *members = NULL, member = { 0 };
    size_t count = 0;
    int rc;

    do {
        rc = parse_type(d, &member.type);
        if (rc == 0)
            rc = parse_optional_name(d, end | BIT(COMMA), &member.name);
        if (rc == 0)
            rc = expect(d, end | BIT(COMMA));
        if (rc < 0)
            return rc;
        ARRAY_PUSH(d->compiler->arena, members, count, member);
    } while (d->last.kind == TOKEN_COMMA);
    *ret_members = members;
    *ret_count = count;
    return 0;
}

/* Nameless elements are e_1, e_2 ...; then equal names get _1, _2 ... behind them. */
static void name_elements(struct document *d, struct member *elements, size_t count)
{
    struct arena *arena = d->compiler->arena;
    struct names seen = { 0 };

    for (size_t i = 0; i < count; i++) {
        if (!elements[i].name.p)
            elements[i].name = slice_str(arena_printf(arena, "e_%zu", i + 1));
        size_t *times = names_get(&seen, elements[i].name);
        if (!times) {
            times = arena_zalloc(arena, 2 * sizeof(*times));
            names_put(&seen, arena, elements[i].name, times);
        }
        times[0]++;
    }
    for (size_t i = 0; i < count; i++) {
        size_t *times = names_get(&seen, elements[i].name);
        if (times[0] > 1)
            elements[i].name = slice_str(
                arena_printf(arena, "%.*s_%zu", (int)elements[i].name.n, elements[i].name.p, ++times[1]));
    }
}

static int parse_tuple(struct document *d, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(d, NODE_TUPLE);
    int rc = expect(d, BIT(LESS));

    if (rc == 0)
        rc = parse_members(d, BIT(GREATER), &node->members, &node->member_count);
    if (rc < 0)
        return rc;
    name_elements(d, node->members, node->member_count);
    return finish_node(d, node, ret_node);
}

static int parse_field(struct document *d, struct names *seen, struct member *ret_field)
{
    int rc = parse_type(d, &ret_field->type);

    if (rc == 0)
        rc = expect_name(d, &ret_field->name);
    if (rc == 0)
        rc = expect(d, BIT(SEMICOLON));
    if (rc < 0)
        return rc;
    if (names_get(seen, ret_field->name))
        return fail_check(
            d, DIAG(d->compiler->err, SLICE("Name duplication for field ["), ret_field->name, SLICE("]")));
    names_put(seen, d->compiler->arena, ret_field->name, d);
    return 0;
}

static int parse_structure(struct document *d, const struct kidl_node **ret_node)
{
    struct kidl_node *node = new_node(d, NODE_STRUCTURE);
    struct names seen = { 0 };
    struct member field = { 0 };
    enum token_kind kind;
    int rc = expect(d, BIT(OPEN_BRACE));

    while (rc == 0) {
        rc = look(d, TYPE_START | BIT(CLOSE_BRACE), &kind);
        if (rc == 0 && kind == TOKEN_CLOSE_BRACE)
            break;
        if (rc == 0)
            rc = parse_field(d, &seen, &field);
        if (rc == 0)
            ARRAY_PUSH(d->compiler->arena, node->members, node->member_count, field);
    }
    if (rc < 0)
        return rc;
    accept(d);
    node_index_fields(node, d->compiler->arena);
    return finish_node(d, node, ret_node);
}

static int parse_scalar(struct document *d, const struct kidl_node **ret_node)
{
    enum scalar_kind kind = d->last.kind == TOKEN_STRING ? SCALAR_STRING
                            : d->last.kind == TOKEN_INT  ? SCALAR_INT
                                                         : SCALAR_FLOAT;

    *ret_node = node_scalar(kind, false);
    return 0;
}

static int parse_unspecified(struct document *d UNUSED, const struct kidl_node **ret_node)
{
    *ret_node = node_unspecified(false);
    return 0;
}

static int (*const type_parsers[TOKEN_KINDS])(struct document *d, const struct kidl_node **ret_node) = {
    [TOKEN_STRING] = parse_scalar,           [TOKEN_INT] = parse_scalar,  [TOKEN_FLOAT] = parse_scalar,
    [TOKEN_UNSPECIFIED] = parse_unspecified, [TOKEN_LIST] = parse_list,   [TOKEN_MAPPING] = parse_mapping,
    [TOKEN_STRUCTURE] = parse_structure,     [TOKEN_TUPLE] = parse_tuple,
};

static int parse_type(struct document *d, const struct kidl_node **ret_node)
{
    enum token_kind kind;
    int rc = look(d, TYPE_START, &kind);

    if (rc < 0)
        return rc;
    if (kind == TOKEN_IDENTIFIER)
        return parse_reference(d, ret_node);
    accept(d);
    if (d->depth >= max_depth(d))
        return fail_depth(d);
    d->depth++;
    rc = type_parsers[kind](d, ret_node);
    d->depth--;
    return rc;
}

/* Definitions. */

static void add_component(struct document *d, const struct kidl_node *node, struct slice authentication)
{
    struct component component = { node, authentication };

    ARRAY_PUSH(d->compiler->arena, d->components, d->component_count, component);
}

static int read_annotations(struct document *d, struct kidl_node *node, const struct kidl_node *body)
{
    struct compiler *c = d->compiler;
    bool is_typedef = body->kind == NODE_TYPEDEF;
    /* a structure that is no alias was made just now, for this typedef; it may still be marked */
    struct kidl_node *own_body = (struct kidl_node *)(uintptr_t)body;
    int rc = annotations_read(node->comment, own_body, c->arena, &node->annotations, &c->is_java_exception,
                              c->err);

    if (rc < 0)
        return c->is_java_exception ? rc : fail_check(d, rc);
    if (!is_typedef && (body->kind == NODE_STRUCTURE || body->kind == NODE_TUPLE))
        own_body->owner = node;
    return 0;
}

static int parse_typedef(struct document *d)
{
    struct kidl_node *node = new_node(d, NODE_TYPEDEF);
    const struct kidl_node *finished;
    struct slice comment = take_comment(d);
    int rc = parse_type(d, &node->inner);

    if (rc == 0)
        rc = expect_name(d, &node->name);
    if (rc < 0)
        return rc;
    node->comment = comment;
    node->module = d->module->name;
    rc = read_annotations(d, node, node->inner);
    if (rc == 0)
        rc = finish_node(d, node, &finished);
    if (rc < 0)
        return rc;
    node_measure(node);
    names_put(&d->module->types, d->compiler->arena, node->name, node);
    add_component(d, node, (struct slice){ 0 });
    return 0;
}

/* `( ... )` with what is inside. */
static int parse_parameters(struct document *d, struct member **ret_members, size_t *ret_count)
{
    enum token_kind kind;
    int rc = expect(d, BIT(OPEN_PAREN));

    if (rc == 0)
        rc = look(d, TYPE_START | BIT(CLOSE_PAREN), &kind);
    if (rc < 0)
        return rc;
    if (kind != TOKEN_CLOSE_PAREN)
        return parse_members(d, BIT(CLOSE_PAREN), ret_members, ret_count);
    accept(d);
    return 0;
}

/* Behind the keyword `authentication`. */
static int parse_mode(struct document *d, struct slice *ret_mode)
{
    int rc = expect(d, MODE);

    if (rc == 0)
        *ret_mode = d->last.text;
    return rc;
}

static int parse_funcdef(struct document *d)
{
    struct kidl_node *node = new_node(d, NODE_FUNCTION);
    const struct kidl_node *finished;
    enum token_kind kind;
    int rc;

    node->comment = take_comment(d);
    node->authentication = d->authentication;
    rc = expect_name(d, &node->name);
    if (rc == 0)
        rc = parse_parameters(d, &node->members, &node->member_count);
    if (rc == 0)
        rc = expect(d, BIT(RETURNS));
    if (rc == 0)
        rc = parse_parameters(d, &node->results, &node->result_count);
    if (rc == 0)
        rc = look(d, BIT(AUTHENTICATION) | BIT(SEMICOLON), &kind);
    if (rc == 0 && kind == TOKEN_AUTHENTICATION) {
        accept(d);
        rc = parse_mode(d, &node->authentication);
    }
    if (rc == 0)
        rc = finish_node(d, node, &finished);
    if (rc < 0)
        return rc;
    node_measure(node);
    add_component(d, node, (struct slice){ 0 });
    return 0;
}

static int parse_authentication(struct document *d)
{
    int rc = parse_mode(d, &d->authentication);

    if (rc == 0)
        add_component(d, NULL, d->authentication);
    return rc;
}

static int parse_component(struct document *d)
{
    switch (d->last.kind) {
    case TOKEN_TYPEDEF:
        return parse_typedef(d);
    case TOKEN_FUNCDEF:
        return parse_funcdef(d);
    default:
        return parse_authentication(d);
    }
}

/* Components and their semicolons, up to and with the brace. */
static int parse_components(struct document *d)
{
    for (;;) {
        int rc = expect(d, COMPONENT_START);
        if (rc < 0 || d->last.kind == TOKEN_CLOSE_BRACE)
            return rc;
        rc = parse_component(d);
        if (rc == 0)
            rc = expect(d, BIT(SEMICOLON));
        if (rc < 0)
            return rc;
        d->lexer.comment = (struct slice){ 0 };
    }
}

static int parse_module_name(struct document *d)
{
    struct module *module = d->module;
    enum token_kind kind;
    int rc = peek(d, &kind);

    if (rc == 0 && kind != TOKEN_IDENTIFIER)
        return diag_unexpected(d->compiler->err, &d->ahead, BIT(IDENTIFIER), true);
    if (rc == 0)
        rc = expect_name(d, &module->name);
    if (rc == 0)
        rc = peek(d, &kind);
    module->service = module->name;
    if (rc == 0 && kind == TOKEN_COLON) {
        accept(d);
        rc = expect_name(d, &module->name);
    }
    return rc;
}

/* Behind the keyword `module`. */
static int parse_module(struct document *d)
{
    struct arena *arena = d->compiler->arena;
    struct module *module = arena_zalloc(arena, sizeof(*module));

    module->comment = take_comment(d);
    d->module = module;
    d->components = NULL;
    d->component_count = 0;
    d->authentication = SLICE("none");
    int rc = parse_module_name(d);
    if (rc == 0)
        rc = expect(d, BIT(OPEN_BRACE));
    if (rc == 0)
        rc = parse_components(d);
    if (rc == 0)
        rc = expect(d, BIT(SEMICOLON));
    if (rc < 0)
        return rc;
    module->components = d->components;
    module->component_count = d->component_count;
    names_put(&d->modules, arena, module->name, module);
    names_put(&d->own, arena, module->name, module);
    return 0;
}

static int parse_includes(struct document *d)
{
    int rc;

    do {
        rc = expect(d, DOCUMENT_START);
        if (rc == 0 && d->last.kind == TOKEN_INCLUDE_LITERAL)
            rc = document_include(d, d->last.text);
    } while (rc == 0 && d->last.kind == TOKEN_INCLUDE_LITERAL);
    return rc;
}

static int parse_document(struct document *d)
{
    int rc = parse_includes(d);

    while (rc == 0 && d->last.kind != TOKEN_EOF) {
        rc = parse_module(d);
        if (rc == 0)
            rc = expect(d, BIT(EOF) | BIT(MODULE));
    }
    return rc;
}

static int check_size(struct compiler *c, size_t n)
{
    if (n > c->limits->max_spec_bytes)
        return diag_limit(c->err, "The spec has more bytes", c->limits->max_spec_bytes, "max_spec_bytes");
    c->total_bytes += n;
    if (c->total_bytes > c->limits->max_total_bytes)
        return diag_limit(c->err, "The spec and what it includes have more bytes", c->limits->max_total_bytes,
                          "max_total_bytes");
    return 0;
}

int document_parse(struct compiler *compiler, struct slice text, struct names *ret_modules,
                   struct slice *ret_comment)
{
    struct document d = { .compiler = compiler };
    int rc = check_size(compiler, text.n);

    lexer_init(&d.lexer, text);
    if (rc == 0)
        rc = parse_document(&d);
    if (rc < 0)
        return rc;
    *ret_modules = d.own;
    *ret_comment = d.lexer.comment;
    return 0;
}
