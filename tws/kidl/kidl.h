/*
 * kidl: the KIDL compiler.  Spec text in; JSON schemas, parse trees, MD5s and change classes out, byte for
 * byte those of upstream's parser 0.1.0.  This is the folder's only public header.
 *
 * Everything that a compilation makes lives in the caller's arena.  A finished unit, module or node is
 * read-only and may be shared between threads.  Texts are as in shared/base/utf.h.
 */
#ifndef TWS_KIDL_KIDL_H
#define TWS_KIDL_KIDL_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"

/* What a hostile spec may use up. Passing one is -ERR_LIMIT with a text that names the limit. */
struct kidl_limits {
    size_t max_spec_bytes; /* of one document */
    size_t max_depth;      /* nested type expressions, after expansion of typedefs too */
    size_t max_include_depth;
    size_t max_includes;     /* documents parsed in one compilation (one included twice is parsed once) */
    size_t max_total_bytes;  /* of all documents of one compilation */
    size_t max_output_bytes; /* of all schemas, and of one module's parse tree */
};

#define KIDL_LIMITS_DEFAULT \
    { \
        .max_spec_bytes = 1 << 20, .max_depth = 200, .max_include_depth = 40, .max_includes = 2000, \
        .max_total_bytes = 16 << 20, .max_output_bytes = 32 << 20 \
    }

/*
 * Finds the document for `#include <x/name.ext>`.  Returns 0 with *ret_text borrowed until the compilation
 * ends, or -ERR_NO_MODULE (without setting err) if there is none.  Other errors end the compilation.
 */
typedef int kidl_include_fn(void *ctx, struct slice name, struct slice *ret_text, struct err *err);

struct kidl_node; /* a type expression, typedef or function of the parse graph */

struct kidl_type { /* a typedef, in file order; duplicates stay */
    struct slice name;
    struct slice comment;
    const struct kidl_node *node;
};

struct kidl_func {
    struct slice name;
    struct slice comment;
    struct slice authentication; /* none, optional, required */
    const struct kidl_node *node;
};

/* Typedefs and functions in one list, because rows are written in spec order. */
struct kidl_component {
    bool is_func;
    union {
        struct kidl_type type;
        struct kidl_func func;
    };
};

struct kidl_module {
    struct slice name;
    struct slice service;
    struct slice comment;
    size_t component_count;
    const struct kidl_component *components; /* authentication components left out */
    const void *priv;                        /* the compiler's own */
};

struct kidl_unit {
    size_t module_count;
    const struct kidl_module *modules; /* those of the document itself, in file order */
};

/*
 * Compiles one document.  Errors have upstream's bare text (-ERR_SPEC; the "Unexpected error during spec-file
 * parsing: " prefix is the caller's).  A lexical error sets *ret_lexical (may be NULL), because upstream
 * leaves that prefix off there.  -ERR_LIMIT has our own text; the sizes of all outputs are checked here
 * already, so that what is made of the unit afterwards is bounded by max_output_bytes in all.
 */
int kidl_compile(struct slice text, kidl_include_fn *include, void *ctx, const struct kidl_limits *limits,
                 struct arena *arena, struct kidl_unit *ret_unit, bool *ret_lexical, struct err *err)
    MUST_USE;

/*
 * What the Workspace does to an uploaded spec first: normalises the include header and line ends.  *ret_text
 * and the names (in order, duplicates kept) are in the arena.  Error text without prefix; for a text without
 * a body line it is "null", as upstream's is.
 */
int kidl_correct_includes(struct slice spec, struct arena *arena, struct slice *ret_text,
                          struct slice **ret_names, size_t *ret_count, struct err *err) MUST_USE;

/* The module's typedef of that name (the last one), or NULL. */
const struct kidl_node *kidl_find_type(const struct kidl_module *module, struct slice name);

/* Pretty-printed JSON Schema of a typedef of the module. -ERR_LIMIT when the output is too large. */
int kidl_schema(const struct kidl_node *typedef_node, const struct kidl_limits *limits, struct sbuf *ret_text,
                struct err *err) MUST_USE;

/*
 * The S-form: the compact JSON that is stored (typedef, function) or hashed (whole module).
 * kidl_check_reload() is the failure that upstream has when it loads that text again: an anonymous structure
 * anywhere gives "No property in the map: name", a bound of an @range that it prints with an exponent it
 * cannot read gives "Exponent overflow.".
 */
int kidl_tree_text(const struct kidl_node *node, const struct kidl_limits *limits, struct sbuf *ret_text,
                   struct err *err) MUST_USE;
int kidl_module_md5(const struct kidl_module *module, const struct kidl_limits *limits, char ret_hex[33],
                    struct err *err) MUST_USE;
int kidl_check_reload(const struct kidl_module *module, struct err *err) MUST_USE;

/*
 * A stored S-form text (ours or upstream's) loaded back: the R graph, which is what comparisons,
 * parsing_structure and spec_def are made of.  kidl_reload() gives the same graph straight from a fresh node.
 */
int kidl_load(struct slice stored, struct arena *arena, const struct kidl_node **ret_node, struct err *err)
    MUST_USE;
const struct kidl_node *kidl_reload(const struct kidl_node *fresh, struct arena *arena);

/* Of a loaded typedef or function: its comment (`description`), and the R-form text (`parsing_structure`). */
struct slice kidl_node_comment(const struct kidl_node *loaded);
void kidl_parsing_structure(const struct kidl_node *loaded, struct sbuf *out);

/* Change classes, in rising order. Both sides are loaded (R) nodes. */
enum kidl_change { KIDL_NO_CHANGE, KIDL_COMPATIBLE, KIDL_INCOMPATIBLE };

/* Typedefs: searchable paths and structure; the schema text is the caller's second look. */
enum kidl_change kidl_type_change(const struct kidl_node *old_type, const struct kidl_node *new_type);
enum kidl_change kidl_func_change(const struct kidl_node *old_func, const struct kidl_node *new_func);

/*
 * References: calls visit(ctx, module, name) for each typedef that the walk of a typedef's body, or of a
 * function's parameters and results, meets.  visit returns true to stop there (an edge), false to walk
 * through its body. Mapping keys are not walked.  Ends early with the first error that visit puts into err.
 */
typedef bool kidl_ref_fn(void *ctx, struct slice module, struct slice name, struct err *err);
int kidl_references(const struct kidl_node *node, kidl_ref_fn *visit, void *ctx, struct err *err) MUST_USE;

/*
 * spec_def.  version() tells the version to print for a reference (major, minor) and returns false if it has
 * none; module is the module of the type or function asked for.
 */
typedef bool kidl_version_fn(void *ctx, struct slice module, struct slice name, int *ret_major,
                             int *ret_minor);
void kidl_spec_def(const struct kidl_node *loaded, struct slice module, kidl_version_fn *version, void *ctx,
                   struct sbuf *out);

#endif
