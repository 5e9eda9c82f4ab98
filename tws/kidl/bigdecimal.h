/*
 * bigdecimal: what java.math.BigDecimal does with the bounds of an @range: reading, comparing, rounding,
 * printing, and the texts of its exceptions (JDK 17).  The work never depends on the size of an exponent,
 * except in rounding, which refuses results that are too long.  Pure functions; digits live in the arena or
 * in the text that was read.
 */
#ifndef TWS_KIDL_BIGDECIMAL_H
#define TWS_KIDL_BIGDECIMAL_H

#include "shared/base/arena.h"
#include "shared/base/sbuf.h"

/* The value is digits * 10^-scale. */
struct bigdecimal {
    bool negative;       /* never with zero */
    struct slice digits; /* ASCII, no zeros in front; zero is "0" */
    int32_t scale;
};

/* Digits that a rounded bound may have. */
enum { BIGDECIMAL_MAX_DIGITS = 10000 };

/* Returns false with Java's message appended to `message` ("null" if it has none). */
bool bigdecimal_parse(struct slice text, struct arena *arena, struct bigdecimal *ret_value,
                      struct sbuf *message);
int bigdecimal_compare(const struct bigdecimal *a, const struct bigdecimal *b);
/* BigDecimal.toString() */
void bigdecimal_put(const struct bigdecimal *value, struct sbuf *out);
/* False if toString() writes an exponent that does not fit an int, which new BigDecimal() refuses. */
bool bigdecimal_is_readable(const struct bigdecimal *value);
/*
 * setScale(0, CEILING) or setScale(0, FLOOR).  Returns false if the result would have more than
 * BIGDECIMAL_MAX_DIGITS digits.
 */
bool bigdecimal_round(const struct bigdecimal *value, bool up, struct arena *arena,
                      struct bigdecimal *ret_rounded);

#endif
