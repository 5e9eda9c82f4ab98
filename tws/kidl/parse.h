/*
 * parse: the grammar of one document, and one compilation (a document and what it includes).
 */
#ifndef TWS_KIDL_PARSE_H
#define TWS_KIDL_PARSE_H

#include "tws/kidl/ast.h"
#include "tws/kidl/lex.h"

/* One compilation. */
struct compiler {
    struct arena *arena;
    const struct kidl_limits *limits;
    kidl_include_fn *include;
    void *include_ctx;
    struct err *err;
    struct names included; /* name -> struct included * */
    size_t document_count; /* parsed by includes */
    size_t include_depth;
    size_t total_bytes;
    bool is_lexical;        /* the error is a lexical one */
    bool is_java_exception; /* the error has the text of a Java exception */
    bool is_limit_placed;   /* the error names the module in which a limit was passed */
};

/* One document while it is parsed. */
struct document {
    struct compiler *compiler;
    struct lexer lexer;
    struct token ahead;
    bool has_ahead;
    struct token last;     /* accepted */
    struct names modules;  /* visible: name -> struct module *; of this document (also the earlier ones) */
    struct names own;      /* defined here */
    struct module *module; /* the current one */
    size_t component_count;
    struct component *components;
    struct slice authentication; /* default of the current module */
    unsigned depth;              /* of nested type expressions */
};

/* Parses a document; *ret_modules: name -> struct module *, those that it defines. *ret_comment: pending at
 * the end. */
int document_parse(struct compiler *compiler, struct slice text, struct names *ret_modules,
                   struct slice *ret_comment) MUST_USE;

/* include.c: makes the modules of the document that an include literal names visible. */
int document_include(struct document *document, struct slice literal) MUST_USE;

/* resolve.c: the typedef that a reference means. module.p is NULL for a bare name. */
int document_resolve(struct document *document, struct slice module, struct slice name,
                     const struct kidl_node **ret_node) MUST_USE;

#endif
