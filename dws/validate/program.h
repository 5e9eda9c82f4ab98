/*
 * program: a JSON Schema as the type compiler writes them, compiled for the checker.  Read-only once made,
 * shared between threads by a reference count.  Only the keys that upstream reads are read.  Numbers of
 * nodes, id references and metadata nodes are indexes plus one; 0 is none.
 */
#ifndef DWS_VALIDATE_PROGRAM_H
#define DWS_VALIDATE_PROGRAM_H

#include "dws/validate/wstyped_check.h"
#include "shared/base/arena.h"

enum node_kind { NODE_OBJECT, NODE_ARRAY, NODE_STRING, NODE_INTEGER, NODE_NUMBER };

/* A key that the schema knows. */
struct property {
    struct slice key;
    uint32_t node;
    uint32_t required; /* place among the required ones, plus one */
};

/* A bound of a number. */
struct bound {
    bool set, exclusive;
    bool fits; /* INTEGER: into 64 bits */
    double value;
    struct slice text; /* INTEGER: as it is printed */
};

struct node {
    enum node_kind kind;
    uint32_t id_ref;
    /* OBJECT */
    bool closed;    /* other keys are not allowed */
    uint32_t other; /* node of the values of keys that are not known */
    uint32_t property_count;
    uint32_t named_count;              /* of them under "properties" */
    const struct property *properties; /* in the order of keys */
    uint32_t mask;                     /* of table; 0: no table */
    const uint32_t *table;             /* hash to property, plus one */
    uint32_t required_count;
    const struct slice *required; /* in the order of the schema */
    const struct slice *names;    /* named_count keys in the order of the schema */
    /* ARRAY */
    uint32_t items;      /* of every element, or the first of item_count consecutive ones */
    uint32_t item_count; /* of a tuple; 0 for a list */
    bool has_min, has_max;
    uint64_t min_items, max_items;
    /* INTEGER, NUMBER */
    const struct bound *bounds; /* minimum, maximum; NULL: none */
};

struct id_ref {
    uint32_t type; /* index into id_types */
    size_t attribute_count;
    const struct check_text *attributes;
};

/* A name under which a value goes into the metadata. */
struct selection {
    struct slice name;
    bool length;
    uint32_t index; /* in the order of the schema */
    const struct selection *next;
};

/* A key on the way to selected values. */
struct meta_node {
    struct slice key;
    const struct selection *selections;
    struct meta_node *child, *next;
};

struct check_program {
    struct arena arena;
    size_t refs;
    bool is_structure; /* the outermost type */
    size_t node_count;
    const struct node *nodes;
    size_t id_ref_count;
    const struct id_ref *id_refs; /* different ones */
    size_t id_type_count;
    const struct check_text *id_types;
    struct meta_node meta; /* the root */
    size_t selection_count;
};

static inline const struct node *program_node(const struct check_program *program, uint32_t node)
{
    return &program->nodes[node - 1];
}

/* NULL if there is no such key. *guess is where it may be, and is moved to where the next one may be. */
const struct property *program_property(const struct node *node, struct slice key, uint32_t *guess);

#endif
