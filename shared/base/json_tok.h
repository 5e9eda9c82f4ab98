/*
 * json_tok: a push tokenizer for JSON of any size, with upstream's (Jackson's) strictness and error texts.
 *
 * The caller feeds bytes as they come, in pieces of any size, and takes tokens until JSON_TOKEN_MORE.  No
 * tree, no recursion; memory is the depth plus one key, number or word that was cut by the end of a piece.
 * Long string values come in pieces, so that they need no memory at all.  The answers do not depend on where
 * the input was cut.
 *
 * Malformed UTF-8, encoded surrogates included, counts as U+FFFD; surrogates come only out of \u escapes, a
 * pair as one code point, a lone one in its three-byte form (utf.h).  Reading stops behind the first value:
 * JSON_TOKEN_END, and json_tok_offset() tells where that is.
 *
 * Texts are borrowed: they point into what was fed or into the tokenizer, and are good until the next call.
 * One tokenizer belongs to one thread at a time.
 */
#ifndef SHARED_BASE_JSON_TOK_H
#define SHARED_BASE_JSON_TOK_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"

enum json_token {
    JSON_TOKEN_MORE,  /* all that was fed is used up */
    JSON_TOKEN_ERROR, /* err says why; stays */
    JSON_TOKEN_END,   /* the value is complete; stays */
    JSON_TOKEN_NULL,
    JSON_TOKEN_FALSE,
    JSON_TOKEN_TRUE,
    JSON_TOKEN_INT,    /* a number without `.`, `e` and `E`; text: as it is spelled */
    JSON_TOKEN_FLOAT,  /* any other number */
    JSON_TOKEN_STRING, /* text: the whole value, or what follows the pieces that came before */
    JSON_TOKEN_PIECE,  /* text: a part of a string value; more PIECEs or the STRING follow */
    JSON_TOKEN_KEY,    /* text: always the whole key */
    JSON_TOKEN_OBJECT,
    JSON_TOKEN_OBJECT_END,
    JSON_TOKEN_ARRAY,
    JSON_TOKEN_ARRAY_END,
};

/* Passing one is a JSON_TOKEN_ERROR with -ERR_PARSE. */
struct json_tok_limits {
    size_t max_depth; /* containers inside each other */
    size_t max_text;  /* bytes of a key or a number */
};

/* Where something stands: both from 1, columns in UTF-16 units; \n, \r or both end a line. */
struct json_tok_position {
    uint64_t line, column;
};

struct json_tok_level;

struct json_tok {
    /* for the caller, about the token that json_tok_next() gave */
    struct slice text;
    bool plain;   /* of KEY, STRING, PIECE: the text stands between quotes in the canonical form as it is */
    bool escaped; /* of STRING, PIECE: the text still has its escapes; json_put_unescaped() gives the value */

    /* the tokenizer's own */
    const char *p, *end; /* what is left of the fed bytes */
    const char *fed;
    uint64_t fed_offset;      /* of `fed` in the input */
    uint64_t line, line_base; /* column = offset - line_base + 1 */
    uint64_t after_cr;        /* offset behind the last \r */
    unsigned state, number, escape, tail_count;
    uint32_t unit, high; /* \u escape being read; first half of a pair that waits for the second */
    char tail[4];        /* start of a character that was cut */
    bool final, in_key;
    const char *odd_before, *odd_after; /* the text around an unexpected character */
    size_t odd_back;                    /* bytes between that and the place of the error */
    struct sbuf part;                   /* text of a token that was cut or has escapes */
    struct json_tok_level *levels;
    size_t depth, cap;
    struct json_tok_limits limits;
};

void json_tok_init(struct json_tok *t, const struct json_tok_limits *limits);
void json_tok_release(struct json_tok *t);
/* What stands in front of the input (in a request around it), for positions in error texts. */
void json_tok_set_position(struct json_tok *t, struct json_tok_position position);
struct json_tok_position json_tok_position(const struct json_tok *t);
/* Gives the next bytes, borrowed until JSON_TOKEN_MORE; only after JSON_TOKEN_MORE, or at the start. */
void json_tok_feed(struct json_tok *t, struct slice bytes);
/* There is nothing more: what is incomplete is an error from now on. */
void json_tok_end(struct json_tok *t);
enum json_token json_tok_next(struct json_tok *t, struct err *err);
/* Bytes of the input behind which the tokenizer stands. */
uint64_t json_tok_offset(const struct json_tok *t);
/* How many of the bytes that were fed last it has taken. */
static inline size_t json_tok_used(const struct json_tok *t)
{
    return (size_t)(t->p - t->fed);
}

/* Containers that are open. */
static inline size_t json_tok_depth(const struct json_tok *t)
{
    return t->depth;
}

#endif
