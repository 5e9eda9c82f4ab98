/*
 * diag: error texts of the compiler, put together from pieces that may hold any bytes.
 */
#ifndef TWS_KIDL_DIAG_H
#define TWS_KIDL_DIAG_H

#include "shared/base/err.h"
#include "tws/kidl/lex.h"

/* Sets -ERR_SPEC with the pieces joined, and returns it. */
int diag_join(struct err *err, const struct slice *pieces, size_t count);
#define DIAG(err, ...) \
    diag_join((err), (const struct slice[]){ __VA_ARGS__ }, \
              ARRAY_LEN(((const struct slice[]){ __VA_ARGS__ })))

/* "Error at line L, column C: " in front. Returns rc. */
int diag_place(struct err *err, struct place place, int rc);

/* A syntax error. expected: bit k stands for token kind k; twice: the only alternative is listed twice. */
int diag_unexpected(struct err *err, const struct token *token, uint64_t expected, bool twice);

/* -ERR_LIMIT: what is too much, the limit's value and name. */
int diag_limit(struct err *err, const char *what, size_t value, const char *limit);

#endif
