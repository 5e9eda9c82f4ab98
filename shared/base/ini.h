/*
 * ini: reads INI text by the rules of the Java library ini4j, which upstream reads deploy.cfg with.
 *
 * `key = value` or `key : value`, the first separator counts; a line whose first character is # or ; is a
 * comment, there are no others; keys and values are trimmed; backslash escapes (\t \n \f \b \r \\ \xHH \oOOO
 * \uHHHH, any other character stands for itself) and a backslash at the end of a line, which joins the next
 * one; quotes mean nothing; sections of one name are one; a UTF-8 byte order mark is skipped.  Pure
 * functions; what is returned lives in the arena.
 */
#ifndef SHARED_BASE_INI_H
#define SHARED_BASE_INI_H

#include "shared/base/arena.h"
#include "shared/base/err.h"

enum { INI_MAX_PAIRS = 10000 };

struct ini_pair {
    struct slice key, value; /* NUL behind each; may contain NUL */
    size_t line;             /* from 1 */
};

struct ini_section {
    bool found;
    size_t count;
    struct ini_pair *pairs; /* in the order of the file, repeated keys and all */
};

/*
 * The pairs of one section.  -ERR_CONFIG `parse error (at line: N): <why>` for anything wrong anywhere in the
 * text, as a line without separator, an empty key, text before the first section, an unterminated section
 * header.
 */
int ini_read(struct slice text, const char *section, struct arena *arena, struct ini_section *ret_section,
             struct err *err) MUST_USE;

#endif
