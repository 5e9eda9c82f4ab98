/*
 * comment: the text that a definition takes from a raw comment.  Pure; the text is in the arena.
 */
#ifndef TWS_KIDL_COMMENT_H
#define TWS_KIDL_COMMENT_H

#include "shared/base/arena.h"

/*
 * Drops the delimiters, turns each tab into eight blanks, takes the indentation of the second line off all
 * lines that have it, and trims the whole.  Leading stars stay.
 */
struct slice comment_normalise(struct slice raw, struct arena *arena);

/* The next line of *rest (LF, CR LF or CR end it); returns false at the end. A final line end adds no empty
 * line. */
bool line_next(struct slice *rest, struct slice *ret_line);

#endif
