#include "tws/kidl/annot.h"
#include "tws/kidl/diag.h"

#define KEYS_OF "keys_of"

/* The steps on the way to where we are, for error texts; the innermost first. */
struct trail {
    const struct trail *up;
    struct slice step;
};

struct walk {
    struct annot_reader *reader;
    bool keys;
};

static const char *const kind_words[] = {
    [NODE_SCALAR] = "scalar", [NODE_UNSPECIFIED] = "UnspecifiedObject",
    [NODE_LIST] = "list",     [NODE_MAPPING] = "mapping",
    [NODE_TUPLE] = "tuple",   [NODE_STRUCTURE] = "structure",
};

static void put_trail(const struct trail *trail, struct sbuf *out)
{
    if (!trail)
        return;
    put_trail(trail->up, out);
    sbuf_add_slice(out, trail->step);
    sbuf_addc(out, '.');
}

static int check_kind(struct walk *w, const struct trail *trail, struct slice step, enum node_kind wanted,
                      const struct kidl_node *type)
{
    AUTO_SBUF(path, SBUF_NO_LIMIT);

    if (type->kind == wanted)
        return 0;
    put_trail(trail, &path);
    sbuf_add_slice(&path, step);
    return DIAG(w->reader->err, SLICE("Can not match path "), sbuf_slice(&path),
                SLICE(" in searchable annotation to a "), slice_str(kind_words[wanted]),
                SLICE(", actual type is "), slice_str(kind_words[type->kind]));
}

static int fail_field(struct walk *w, const struct trail *trail, struct slice step)
{
    AUTO_SBUF(path, SBUF_NO_LIMIT);

    put_trail(trail, &path);
    sbuf_add_slice(&path, step);
    return DIAG(w->reader->err, SLICE("Can not match path "), sbuf_slice(&path),
                SLICE(" in searchable annotation to any field in actual structure"));
}

/* The type that a step leads to. */
static int take_step(struct walk *w, const struct trail *trail, struct slice step,
                     const struct kidl_node *type, const struct kidl_node **ret_type)
{
    enum node_kind wanted = slice_is(step, "*")     ? NODE_MAPPING
                            : slice_is(step, "[*]") ? NODE_LIST
                                                    : NODE_STRUCTURE;
    int rc = check_kind(w, trail, step, wanted, type);

    if (rc < 0)
        return rc;
    if (wanted != NODE_STRUCTURE) {
        *ret_type = node_resolve(type->inner);
        return 0;
    }
    const struct member *field = node_field(type, step);
    if (!field)
        return fail_field(w, trail, step);
    *ret_type = node_resolve(field->type);
    return 0;
}

/* The first separator outside of parentheses; only if it is not the first unit. 0 if there is none. */
static size_t find_separator(struct slice text, char separator)
{
    long level = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '(')
            level++;
        else if (text.p[i] == ')')
            level--;
        else if (level == 0 && text.p[i] == separator)
            return i;
    }
    return 0;
}

static struct path_tree *subtree(struct walk *w, struct path_tree *tree, struct slice step)
{
    struct path_tree *below = names_get(&tree->steps, step);

    if (!below) {
        below = arena_zalloc(w->reader->arena, sizeof(*below));
        names_put(&tree->steps, w->reader->arena, step, below);
    }
    return below;
}

static struct slice strip_parentheses(struct slice s)
{
    return s.n >= 2 && s.p[0] == '(' && s.p[s.n - 1] == ')' ? slice_of(s.p + 1, s.n - 2) : s;
}

/* Each level of recursion goes down one level of the type, whose depth is bounded. */
static int add_paths(struct walk *w, const struct trail *trail, struct slice text,
                     const struct kidl_node *type, struct path_tree *tree)
{
    for (;;) {
        size_t comma = find_separator(text, ',');
        struct slice path = comma ? slice_of(text.p, comma) : text;
        size_t dot = find_separator(path, '.');
        struct trail here = { trail, dot ? slice_of(path.p, dot) : path };
        const struct kidl_node *reached = NULL;
        int rc = take_step(w, trail, here.step, type, &reached);
        if (rc < 0)
            return rc;
        struct path_tree *below = subtree(w, tree, here.step);
        if (dot)
            rc = add_paths(w, &here, strip_parentheses(slice_of(path.p + dot + 1, path.n - dot - 1)), reached,
                           below);
        else if (w->keys)
            rc = check_kind(w, trail, here.step, NODE_MAPPING, reached);
        if (rc < 0 || !comma)
            return rc;
        text = slice_of(text.p + comma + 1, text.n - comma - 1);
    }
}

static bool starts_with(struct slice s, const char *prefix)
{
    return s.n >= strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

static bool ends_with_any(struct slice s, const char *units)
{
    return s.n && s.p[s.n - 1] && strchr(units, s.p[s.n - 1]);
}

static bool is_glued(struct slice left, struct slice right)
{
    return (slice_is(left, KEYS_OF) && starts_with(right, "(")) || ends_with_any(left, "(.,") ||
           slice_is(right, ")") || starts_with(right, ".") || starts_with(right, ",");
}

static int add_word(struct annot_reader *r, struct slice word, const struct kidl_node *structure)
{
    size_t lead = sizeof(KEYS_OF "(") - 1;
    struct walk w = { r, starts_with(word, KEYS_OF "(") && word.p[word.n - 1] == ')' };

    if (w.keys)
        return add_paths(&w, NULL, slice_of(word.p + lead, word.n - lead - 1), structure,
                         &r->out->search->keys);
    return add_paths(&w, NULL, word, structure, &r->out->search->fields);
}

/* Words that belong together become one. */
static struct words glue(struct words words, struct arena *arena)
{
    AUTO_SBUF(word, SBUF_NO_LIMIT);
    struct slice *items = NULL;
    size_t count = 0;

    for (size_t i = 0; i < words.count; i++) {
        if (i == 0 || !is_glued(sbuf_slice(&word), words.items[i])) {
            if (i > 0)
                ARRAY_PUSH(arena, items, count, arena_slice(arena, sbuf_slice(&word)));
            sbuf_reset(&word);
        }
        sbuf_add_slice(&word, words.items[i]);
    }
    if (words.count)
        ARRAY_PUSH(arena, items, count, arena_slice(arena, sbuf_slice(&word)));
    return (struct words){ items, count };
}

int annot_searchable(struct annot_reader *r, struct words words)
{
    const struct kidl_node *structure = node_resolve(r->body);
    int rc = 0;

    if (words.count == 0)
        return DIAG(r->err, SLICE("Searchable annotations without type are not supported"));
    if (!slice_is(words.items[0], "ws_subset"))
        return DIAG(r->err, SLICE("Searchable annotations of type "), words.items[0],
                    SLICE(" are not supported"));
    if (structure->kind != NODE_STRUCTURE)
        return DIAG(r->err, SLICE("Searchable annotation should be used only for structures"));
    if (!r->out->search)
        r->out->search = arena_zalloc(r->arena, sizeof(*r->out->search));
    struct words glued = glue((struct words){ words.items + 1, words.count - 1 }, r->arena);
    for (size_t i = 0; i < glued.count && rc == 0; i++)
        rc = add_word(r, glued.items[i], structure);
    return rc;
}
