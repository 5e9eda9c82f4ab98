#include "tws/kidl/annot.h"

#include "shared/base/javahash.h"
#include "tws/kidl/diag.h"

static const struct handler {
    const char *name;
    int (*read)(struct annot_reader *r, struct words words);
} handlers[] = {
#define HANDLER_ROW(name, reader) { name, reader },
    ANNOTATION_LIST(HANDLER_ROW)
#undef HANDLER_ROW
};

/* The next piece between separators (two characters); empty ones are passed over. */
static bool next_piece(struct slice *rest, const char separators[2], struct slice *ret_piece)
{
    size_t start = 0;

    while (start < rest->n && (rest->p[start] == separators[0] || rest->p[start] == separators[1]))
        start++;
    if (start == rest->n)
        return false;
    size_t end = start;
    while (end < rest->n && rest->p[end] != separators[0] && rest->p[end] != separators[1])
        end++;
    *ret_piece = slice_of(rest->p + start, end - start);
    *rest = slice_of(rest->p + end, rest->n - end);
    return true;
}

static struct words split_words(struct slice line, struct arena *arena)
{
    struct slice *items = NULL, word;
    size_t count = 0;

    while (next_piece(&line, " \t", &word))
        ARRAY_PUSH(arena, items, count, word);
    return (struct words){ items, count };
}

static int read_unknown(struct annot_reader *r, struct slice type, struct words words)
{
    struct words *kept = arena_alloc(r->arena, sizeof(*kept));

    *kept = words;
    names_put(&r->unknown, r->arena, type, kept);
    return 0;
}

static int read_line(struct annot_reader *r, struct slice line)
{
    struct slice rest = line, type;

    if (!next_piece(&rest, " \t", &type) || type.p[0] != '@')
        return 0;
    type = slice_of(type.p + 1, type.n - 1);
    struct words words = split_words(rest, r->arena);
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
        if (slice_is(type, handlers[i].name))
            return handlers[i].read(r, words);
    return read_unknown(r, type, words);
}

int annot_optional(struct annot_reader *r, struct words words)
{
    for (size_t i = 0; i < words.count; i++)
        ARRAY_PUSH(r->arena, r->optional, r->optional_count, words.items[i]);
    r->out->has_optional = true;
    r->out->optional = (struct words){ r->optional, r->optional_count };
    return 0;
}

int annot_id(struct annot_reader *r, struct words words)
{
    if (words.count == 0)
        return DIAG(r->err, SLICE("Id annotations without type are not supported"));
    struct id_annotation *id = arena_alloc(r->arena, sizeof(*id));
    *id = (struct id_annotation){ words.items[0], { words.items + 1, words.count - 1 } };
    r->out->id = id;
    return 0;
}

/* Marks optional fields; names that are no fields are an error. */
static int apply_optional(struct annot_reader *r, struct kidl_node *body)
{
    AUTO_SBUF(missing, SBUF_NO_LIMIT);
    struct names seen = { 0 };

    for (size_t i = 0; i < r->out->optional.count; i++) {
        struct slice name = r->out->optional.items[i];
        struct member *field = names_get(body->index, name);
        if (field)
            field->optional = true;
        else if (!names_get(&seen, name)) {
            names_put(&seen, r->arena, name, body);
            sbuf_adds(&missing, seen.count > 1 ? ", " : "");
            sbuf_add_slice(&missing, name);
        }
    }
    if (seen.count == 0)
        return 0;
    return DIAG(r->err, SLICE("Can not find field(s) from optional annotation in structure: ["),
                sbuf_slice(&missing), SLICE("]"));
}

void annotations_order_unknown(struct annotations *annotations, const struct names *unknown,
                               uint32_t capacity, struct arena *arena)
{
    size_t n = unknown->count;

    if (n == 0)
        return;
    struct slice *keys = arena_alloc(arena, n * sizeof(*keys));
    size_t *order = arena_alloc(arena, n * sizeof(*order));
    struct unknown_annotation *items = arena_alloc(arena, n * sizeof(*items));
    for (size_t i = 0; i < n; i++)
        keys[i] = unknown->entries[i].name;
    java_hash_order(keys, n, capacity, order);
    for (size_t i = 0; i < n; i++) {
        const struct name_entry *entry = &unknown->entries[order[i]];
        items[i] = (struct unknown_annotation){ entry->name, *(const struct words *)entry->value };
    }
    annotations->unknown = items;
    annotations->unknown_count = n;
}

void path_tree_sort(struct path_tree *tree, struct arena *arena)
{
    names_sort(&tree->steps, arena);
    for (size_t i = 0; i < tree->steps.count; i++)
        path_tree_sort(tree->steps.entries[i].value, arena);
}

static void finish(struct annot_reader *r)
{
    annotations_order_unknown(r->out, &r->unknown, JAVA_MAP_CAPACITY, r->arena);
    if (r->out->search) {
        path_tree_sort(&r->out->search->fields, r->arena);
        path_tree_sort(&r->out->search->keys, r->arena);
    }
    if (r->out->metadata)
        names_sort(r->out->metadata, r->arena);
}

int annotations_read(struct slice comment, struct kidl_node *body, struct arena *arena,
                     const struct annotations **ret_annotations, bool *ret_is_java_exception, struct err *err)
{
    struct annotations *out = arena_zalloc(arena, sizeof(*out));
    struct annot_reader r = { .arena = arena, .err = err, .body = body, .out = out };
    struct slice line;
    int rc = 0;

    while (rc == 0 && next_piece(&comment, "\r\n", &line))
        rc = read_line(&r, line);
    if (rc == 0 && body->kind == NODE_STRUCTURE)
        rc = apply_optional(&r, body);
    *ret_is_java_exception = r.is_java_exception;
    if (rc < 0)
        return rc;
    finish(&r);
    *ret_annotations = out;
    return 0;
}
