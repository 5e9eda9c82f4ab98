/*
 * annot: the annotations in the comment of a typedef.  Results are in the arena.
 */
#ifndef TWS_KIDL_ANNOT_H
#define TWS_KIDL_ANNOT_H

#include "tws/kidl/annot_list.h"
#include "tws/kidl/ast.h"

/* One reading of one comment; private to annot*.c. */
struct annot_reader {
    struct arena *arena;
    struct err *err;
    const struct kidl_node *body;
    struct annotations *out;
    struct names unknown; /* type -> struct words * */
    struct slice *optional;
    size_t optional_count;
    bool is_java_exception;
};

/*
 * Reads the annotations of `comment`, the (normalised) comment of a typedef with this body, and marks the
 * optional fields of the body.  Returns -ERR_SPEC with upstream's text.  *ret_is_java_exception then tells
 * whether upstream's text is that of a Java exception, which gets neither a position nor the wrapping of
 * includes.
 */
int annotations_read(struct slice comment, struct kidl_node *body, struct arena *arena,
                     const struct annotations **ret_annotations, bool *ret_is_java_exception, struct err *err)
    MUST_USE;

/* Puts unknown annotations (type -> struct words *) into the order of a Java map with that capacity. */
void annotations_order_unknown(struct annotations *annotations, const struct names *unknown,
                               uint32_t capacity, struct arena *arena);
/* Sorts a tree of searchable paths. */
void path_tree_sort(struct path_tree *tree, struct arena *arena);

enum { JAVA_MAP_CAPACITY = 16 };

#define ANNOTATION_READER(name, reader) int reader(struct annot_reader *r, struct words words);
ANNOTATION_LIST(ANNOTATION_READER)
#undef ANNOTATION_READER

#endif
