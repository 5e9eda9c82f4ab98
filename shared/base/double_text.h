/*
 * double_text: a JSON number with a fraction or an exponent as upstream prints it again (java_double_text()
 * of the nearest double), without the cost of reading and printing where the text itself tells: exact for all
 * inputs, slow only for very large, very small and very long ones.  Most numbers are spelled so already:
 * double_text_is_same() costs a small part of double_text(), so ask it first.  Pure functions, any thread.
 */
#ifndef SHARED_BASE_DOUBLE_TEXT_H
#define SHARED_BASE_DOUBLE_TEXT_H

#include "shared/base/base.h"

enum { DOUBLE_TEXT_SIZE = 32 }; /* room for any text that double_text() gives */

/*
 * number: a JSON number that has a point or an exponent.  Writes the text without a NUL and returns its
 * length. A number too large for a double gives `Infinity` or `-Infinity`.
 */
size_t double_text(struct slice number, char ret_text[DOUBLE_TEXT_SIZE]);
/* True if and only if double_text() would give just these bytes. */
bool double_text_is_same(struct slice number);
/* The nearest double, but for two spellings that upstream reads as other numbers. */
double double_value(struct slice number);

#endif
