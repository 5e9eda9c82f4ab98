/*
 * convert: one JSON value to one declared kind of value, the way Jackson's databind does it, with its error
 * texts.
 *
 * Below params, envelope and admin_command, which say what comes before the text.  A struct convert lives on
 * the stack of the one conversion; results are as in params.h.  Pure functions, any thread.
 */
#ifndef SHARED_RPC_CONVERT_H
#define SHARED_RPC_CONVERT_H

#include "shared/rpc/params.h"

enum { CONVERT_MAX_REFS = 4 };

/* Where in its structures a value stands: `class["key"]` or `class[index]`. */
struct convert_ref {
    const char *java_class;
    bool is_index;
    struct slice key;
    size_t index;
};

struct convert {
    struct slice body;  /* what the values were read from */
    const char *source; /* what error texts call it; NULL: a tree in memory, which has no positions */
    enum err_code code; /* of the errors */
    struct arena *arena;
    struct err *err;
    size_t ref_count;
    struct convert_ref refs[CONVERT_MAX_REFS];
};

#define CONVERT_BODY "(InputStreamReader)"

/* While a value inside of another one is converted; there is room for CONVERT_MAX_REFS. */
void convert_enter_key(struct convert *c, const char *java_class, struct slice key);
void convert_enter_index(struct convert *c, const char *java_class, size_t index);
void convert_leave(struct convert *c);

int convert_string(struct convert *c, const struct json_val *val, struct param_text *ret_text) MUST_USE;
int convert_int(struct convert *c, const struct json_val *val, struct param_int *ret_int) MUST_USE;
int convert_texts(struct convert *c, const struct json_val *val, struct param_texts *ret_texts) MUST_USE;
int convert_int_map(struct convert *c, const struct json_val *val, struct param_int_map *ret_map) MUST_USE;
/* The first member of the structure is a struct param_head. */
int convert_struct(struct convert *c, const struct json_val *val, const struct param_struct *type,
                   const void **ret_object) MUST_USE;

/* 0 if the value is an array or null. */
int convert_check_list(struct convert *c, const struct json_val *val) MUST_USE;
/* 0 if the value is an object or null, else the text for a class that is made from objects. */
int convert_check_object(struct convert *c, const struct json_val *val, const char *java_class) MUST_USE;
/* The text for an element that is not in the array. */
int convert_fail_missing(struct convert *c, const struct json_val *array) MUST_USE;
/* `Unrecognized field "<key>" ...`; known: the quoted names, with `, ` between them. */
int convert_fail_unknown(struct convert *c, const struct json_val *member, const char *java_class,
                         const char *known, size_t known_count);

#endif
