#include "shared/base/utf.h"
#include "tws/kidl/annot.h"
#include "tws/kidl/diag.h"

#define INVALID "metadata annotation is invalid, "
#define LENGTH_OF "length("

/* A path of field names, as Java's split("\\.") cuts it. */
struct path {
    struct slice text;
    bool is_length; /* stood inside of length( ) */
    struct slice *pieces;
    size_t count;
};

static void split_path(struct path *path, struct arena *arena)
{
    struct slice rest = path->text;

    if (rest.n == 0)
        ARRAY_PUSH(arena, path->pieces, path->count, rest);
    while (rest.n && rest.p[rest.n - 1] == '.')
        rest.n--;
    while (rest.n) {
        const char *dot = memchr(rest.p, '.', rest.n);
        size_t n = dot ? (size_t)(dot - rest.p) : rest.n;
        ARRAY_PUSH(arena, path->pieces, path->count, slice_of(rest.p, n));
        n += dot != NULL;
        rest = slice_of(rest.p + n, rest.n - n);
    }
}

/* Upstream's own text for this cannot be built there; what comes out is Java's. */
static int fail_index(struct annot_reader *r, size_t index)
{
    r->is_java_exception = true;
    return err_set(r->err, ERR_SPEC, "Index %zu out of bounds for length %zu", index, index);
}

static int fail_descend(struct annot_reader *r, const struct path *path, size_t at, const char *what,
                        const char *more)
{
    return DIAG(r->err, SLICE(INVALID "you are attempting to descend into a field named '"),
                path->pieces[at + 1], SLICE("' in the expression '"), path->text, SLICE("', but '"),
                path->pieces[at], SLICE("' is a "), slice_str(what), slice_str(more));
}

static int check_scalar(struct annot_reader *r, const struct path *path, size_t at,
                        const struct kidl_node *type)
{
    if (at + 1 < path->count)
        return fail_descend(r, path, at, "string/int/float", "");
    if (type->scalar != SCALAR_STRING && path->is_length)
        return DIAG(
            r->err,
            SLICE(INVALID "if you are selecting an int or float for metadata, you cannot use: " LENGTH_OF),
            path->text, SLICE(")"));
    return 0;
}

static int check_container(struct annot_reader *r, const struct path *path, size_t at,
                           const struct kidl_node *type)
{
    static const struct {
        const char *word;
        const char *more;
    } kinds[] = {
        [NODE_LIST] = { "list", " and you cannot extract metadata from within a list." },
        [NODE_MAPPING] = { "mapping", " and you cannot extract metadata from within a mapping." },
        [NODE_TUPLE] = { "tuple", " and you cannot extract metadata from within a tuple." },
    };

    if (at + 1 < path->count)
        return fail_descend(r, path, at, kinds[type->kind].word, kinds[type->kind].more);
    if (path->is_length)
        return 0;
    return DIAG(r->err, SLICE(INVALID "if you are selecting a "), slice_str(kinds[type->kind].word),
                SLICE(" for metadata, you must use: " LENGTH_OF), path->text, SLICE(")"));
}

static int check_path(struct annot_reader *r, const struct path *path, const struct kidl_node *structure)
{
    for (size_t at = 0; at < path->count; at++) {
        const struct member *field = node_field(structure, path->pieces[at]);
        if (!field)
            return DIAG(r->err, SLICE(INVALID "could not identify field named:'"), path->pieces[at],
                        SLICE("' in '"), path->text, SLICE("'"));
        const struct kidl_node *type = node_resolve(field->type);
        if (type->kind == NODE_SCALAR)
            return check_scalar(r, path, at, type);
        if (type->kind == NODE_UNSPECIFIED)
            return DIAG(
                r->err,
                SLICE(INVALID "you can only select fields that are scalars, lists, tuples, or mappings; '"),
                path->text, SLICE("' is not one of these."));
        if (type->kind != NODE_STRUCTURE)
            return check_container(r, path, at, type);
        structure = type;
    }
    return fail_index(r, path->count);
}

static int check_expression(struct annot_reader *r, struct slice expression,
                            const struct kidl_node *structure)
{
    struct path path = { .text = utf_trim(expression) };
    size_t lead = sizeof(LENGTH_OF) - 1;

    if (path.text.n >= lead && memcmp(path.text.p, LENGTH_OF, lead) == 0) {
        if (path.text.p[path.text.n - 1] != ')')
            return DIAG(
                r->err,
                SLICE(INVALID "expression starts with length(, but does not have closing parenthesis"));
        path.is_length = true;
        path.text = slice_of(path.text.p + lead, path.text.n - lead - 1);
    }
    split_path(&path, r->arena);
    return check_path(r, &path, structure);
}

static bool is_as(struct slice word)
{
    return word.n == 2 && (word.p[0] | 0x20) == 'a' && (word.p[1] | 0x20) == 's';
}

/* The words behind `ws`: the expression without blanks, then, behind `as`, the name with single blanks. */
static void split_definition(struct words words, struct sbuf *expression, struct sbuf *name)
{
    bool in_name = false;

    for (size_t i = 1; i < words.count; i++) {
        if (i > 1 && is_as(words.items[i])) {
            in_name = true;
        } else if (in_name) {
            sbuf_add_slice(name, words.items[i]);
            sbuf_addc(name, ' ');
        } else {
            sbuf_add_slice(expression, words.items[i]);
        }
    }
    if (!in_name)
        sbuf_add_slice(name, sbuf_slice(expression));
}

static int add_definition(struct annot_reader *r, struct words words, const struct kidl_node *structure)
{
    AUTO_SBUF(expression, SBUF_NO_LIMIT);
    AUTO_SBUF(name_text, SBUF_NO_LIMIT);

    split_definition(words, &expression, &name_text);
    int rc = check_expression(r, sbuf_slice(&expression), structure);
    if (rc < 0)
        return rc;
    struct slice name = utf_trim(sbuf_slice(&name_text));
    if (!r->out->metadata)
        r->out->metadata = arena_zalloc(r->arena, sizeof(*r->out->metadata));
    if (names_get(r->out->metadata, name))
        return DIAG(r->err, SLICE(INVALID "you cannot redefine a metadata name; attempted to redefine '"),
                    name, SLICE("'"));
    struct slice *kept = arena_alloc(r->arena, sizeof(*kept));
    *kept = arena_slice(r->arena, sbuf_slice(&expression));
    names_put(r->out->metadata, r->arena, arena_slice(r->arena, name), kept);
    return 0;
}

int annot_metadata(struct annot_reader *r, struct words words)
{
    const struct kidl_node *structure = node_resolve(r->body);

    if (structure->kind != NODE_STRUCTURE)
        return DIAG(r->err, SLICE("Searchable annotation should be used only for structures"));
    if (words.count == 0)
        return DIAG(
            r->err,
            SLICE(INVALID "must define at least the context for specifying the metadata (e.g. 'ws')"));
    if (!slice_is(words.items[0], "ws"))
        return DIAG(r->err, SLICE(INVALID "unsupported meta data type; only valid type is 'ws', you gave: "),
                    words.items[0]);
    if (words.count == 1)
        return DIAG(r->err, SLICE(INVALID "must define at least 2 tokens: @metadata ws [expression]"));
    return add_definition(r, words, structure);
}
