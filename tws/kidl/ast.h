/*
 * ast: the graph that the KIDL compiler makes and prints; private to tws/kidl.
 *
 * There are two kinds of graphs.  A fresh one (S) comes from spec text; typedef nodes are shared between the
 * places that refer to them.  A loaded one (R) comes from a stored parse tree, or from a fresh graph by
 * kidl_reload(), and has lost what upstream loses on that way.  Nodes are read-only once made, and live in
 * the arena of their compilation.
 *
 * Every node knows the depth of its expansion, which is bounded, so walks over expanded graphs may recurse.
 * What such a walk can meet in all is bounded by the size of the printed tree, which kidl_compile() checks
 * against its limit.
 */
#ifndef TWS_KIDL_AST_H
#define TWS_KIDL_AST_H

#include "tws/kidl/bigdecimal.h"
#include "tws/kidl/kidl.h"
#include "tws/kidl/names.h"

enum node_kind {
    NODE_SCALAR,
    NODE_UNSPECIFIED,
    NODE_LIST,
    NODE_MAPPING,
    NODE_TUPLE,
    NODE_STRUCTURE,
    NODE_TYPEDEF,
    NODE_FUNCTION,
};

enum scalar_kind { SCALAR_STRING, SCALAR_INT, SCALAR_FLOAT, SCALAR_KINDS };

/* What limits allow at most, whatever they say: the stack is finite. */
enum { DEPTH_HARD_LIMIT = 1000 };

struct words {
    const struct slice *items;
    size_t count;
};

struct id_annotation {
    struct slice type;
    struct words attributes;
};

struct range_annotation {
    bool has_minimum, has_maximum;
    bool exclusive_minimum, exclusive_maximum;
    struct bigdecimal minimum, maximum;
};

/* Steps of paths: name -> struct path_tree. Sorted. */
struct path_tree {
    struct names steps;
};

struct search_annotation {
    struct path_tree fields;
    struct path_tree keys;
};

struct unknown_annotation {
    struct slice type;
    struct words words;
};

struct annotations {
    bool has_optional;
    struct words optional;          /* duplicates kept */
    const struct id_annotation *id; /* or NULL, as the next three */
    const struct range_annotation *range;
    struct search_annotation *search;
    struct names *metadata;                   /* name -> struct slice *expression; sorted */
    const struct unknown_annotation *unknown; /* in the order of printing */
    size_t unknown_count;
};

/* Element of a tuple, field of a structure, parameter or result of a function. */
struct member {
    struct slice name; /* p is NULL for a nameless parameter */
    const struct kidl_node *type;
    bool optional;
};

/* Sizes of the expanded texts of a typedef, so that the check of limits need not print them. */
struct measures {
    uint64_t schema_bytes; /* of the body's schema at the outermost level */
    uint64_t schema_lines; /* its line ends: each further level of nesting adds two blanks to every line */
    uint64_t own_schema_bytes; /* of the typedef's own schema */
    uint64_t tree_bytes;       /* of the S-form */
};

struct kidl_node {
    enum node_kind kind;
    bool loaded;
    unsigned depth;           /* levels, 1 for a scalar; typedefs count */
    const char *reload_error; /* what upstream says when it loads the S-form again, or NULL */
    enum scalar_kind scalar;
    const struct kidl_node *inner; /* list: elements, mapping: values, typedef: body */
    const struct kidl_node *key;   /* mapping */
    struct member *members;        /* tuple, structure, function (parameters) */
    size_t member_count;
    const struct names *index;     /* structure: name -> struct member * */
    const struct kidl_node *owner; /* fresh structure, tuple: the typedef whose body it is, or NULL */
    struct slice name;             /* typedef, function, loaded structure */
    struct slice module;           /* typedef */
    struct slice comment;          /* typedef, function */
    struct slice authentication;   /* function */
    struct member *results;        /* function */
    size_t result_count;
    const struct annotations *annotations; /* typedef */
    struct measures measures;              /* typedef, function; only fresh ones */
};

/* One component of a module in file order: a typedef, a function, or an authentication mode (node is NULL).
 */
struct component {
    const struct kidl_node *node;
    struct slice authentication;
};

/* What kidl_module.priv points to. */
struct module {
    struct slice name;
    struct slice service;
    struct slice comment;
    struct names types; /* name -> struct kidl_node * (typedef); the last of each name */
    const struct component *components;
    size_t component_count;
};

/* The words that name a scalar in specs, and in schemas. */
const char *scalar_word(enum scalar_kind kind);
const char *scalar_schema_word(enum scalar_kind kind);

/* The shared nodes of the built-in types. */
const struct kidl_node *node_scalar(enum scalar_kind kind, bool loaded);
const struct kidl_node *node_unspecified(bool loaded);
/* Sets depth and reload_error from the parts, and from the annotations of a typedef. */
void node_finish(struct kidl_node *node);
/* The type behind aliases. */
const struct kidl_node *node_resolve(const struct kidl_node *node);
/* The member of a structure, or NULL. */
const struct member *node_field(const struct kidl_node *structure, struct slice name);
void node_index_fields(struct kidl_node *structure, struct arena *arena);

/* Appends to an array in the arena; *items holds room for a power of two of elements. Returns where the new
 * one goes. */
void *array_grow(struct arena *arena, void *items, size_t count, size_t size);
#define ARRAY_PUSH(arena, items, count, value) \
    do { \
        (items) = array_grow((arena), (items), (count), sizeof(*(items))); \
        (items)[(count)++] = (value); \
    } while (0)

#endif
