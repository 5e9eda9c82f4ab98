/*
 * double_print: doubles as upstream prints them: Double.toString of Java up to 18, which mostly gives the
 * shortest decimal that reads back to the same double, but not always.  Pure functions, any thread.
 */
#ifndef SHARED_BASE_DOUBLE_PRINT_H
#define SHARED_BASE_DOUBLE_PRINT_H

#include "shared/base/sbuf.h"

/* 1000.0, 1.0E7, Infinity, NaN */
void java_double_text(double d, struct sbuf *out);
/*
 * digits * 10^exponent as Java prints the value, without zeros at the end; false for those for which this is
 * not known quickly, which are below 1e-60, from 1e16 on, or negative.
 */
bool double_shortest(double value, uint64_t *ret_digits, int *ret_exponent);

/* ---- For double_text.c, too ---- */

/* The upper 128 bits of a power of ten, rounded up; the first one is set. */
struct double_power {
    uint64_t high, low;
};

enum { DOUBLE_LEAST_POWER = -80 };

extern const struct double_power double_powers[];

static inline const struct double_power *double_power(int64_t exponent)
{
    return &double_powers[exponent - DOUBLE_LEAST_POWER];
}

/* How many there were; not for 0. */
static inline int double_drop_zeros(uint64_t *digits)
{
    int dropped = 0;

    while (*digits % 10 == 0) {
        *digits /= 10;
        dropped++;
    }
    return dropped;
}

#endif
