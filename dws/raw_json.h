/*
 * raw_json: walks over JSON text that was checked before (json_read_outline()) without making anything of it:
 * where do the members of an object or the elements of a list stand.
 *
 * On text that is not JSON it stops early or gives nonsense, but never reads outside.  Pure functions, any
 * thread.
 */
#ifndef DWS_RAW_JSON_H
#define DWS_RAW_JSON_H

#include "shared/base/arena.h"
#include "shared/base/json.h"

/* What a text is, by its first byte. */
enum json_kind raw_kind(struct slice value);

struct raw_walk {
    struct slice text;
    size_t at;
    bool in_object;
};

/* container: the text of an object or a list. */
void raw_begin(struct raw_walk *walk, struct slice container);
/* The next child, without the white space around it. *ret_key (objects only): with its quotes. False at the
 * end. */
bool raw_next(struct raw_walk *walk, struct slice *ret_key, struct slice *ret_value);

/* The text of a string value or key; points into it if it has no escapes and nothing malformed. */
struct slice raw_string(struct slice quoted, struct arena *arena);
/* A tree of a value, which may have so many nodes at most. NULL if it has more. */
const struct json_val *raw_tree(struct slice value, size_t max_depth, size_t max_nodes, struct arena *arena);

#endif
