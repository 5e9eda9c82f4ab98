/*
 * lex: spec text to tokens, as upstream's generated scanner does it.
 *
 * The scanner is lazy: it reads a token only when asked, because comments that it skips on the way become the
 * description of the definition that follows (the pending comment).  Lines and columns count from 1, in
 * UTF-16 units; tabs go to the next multiple of 8.  One scanner belongs to one thread; tokens borrow the
 * text.
 */
#ifndef TWS_KIDL_LEX_H
#define TWS_KIDL_LEX_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"
#include "tws/kidl/token_list.h"

enum token_kind {
#define TOKEN_ENUM(id, number, name) TOKEN_##id = (number),
    WORD_LIST(TOKEN_ENUM) MARK_LIST(TOKEN_ENUM) OTHER_TOKEN_LIST(TOKEN_ENUM)
#undef TOKEN_ENUM
        TOKEN_KINDS = 40,
};

/* The position of a unit. */
struct place {
    size_t line;
    size_t column;
};

struct token {
    enum token_kind kind;
    struct slice text;
    struct place place;
};

struct lexer {
    struct slice text;
    size_t at;
    struct place last; /* of the unit before `at` */
    bool after_lf;
    bool after_cr;
    struct slice comment; /* pending: with its delimiters; p is NULL if there is none */
};

void lexer_init(struct lexer *lexer, struct slice text);
/* The next token; at the end TOKEN_EOF, which has the position of the last unit. -ERR_SPEC: a lexical error.
 */
int lexer_next(struct lexer *lexer, struct token *ret_token, struct err *err) MUST_USE;
/* As it stands in syntax errors: quoted spelling or <NAME>. */
const char *token_name(enum token_kind kind);
/* Units as the generated parser shows them: \n, \", \u00e9; U+0000 is left out. */
void lexer_put_escaped(struct sbuf *out, struct slice text);

#endif
