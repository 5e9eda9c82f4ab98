#include "shared/base/double_print.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

__extension__ typedef unsigned __int128 uint128;

_Static_assert(LDBL_MANT_DIG >= 64, "halves and quarters of a double's last bit must fit a long double");

enum {
    BIAS = 1075,
    LAST_IN_LONG = 25, /* power of ten */
};

const struct double_power double_powers[] = {
#define DOUBLE_POWER(high, low) { high, low },
#include "shared/base/double_table_list.h"
#undef DOUBLE_POWER
};

/* Most doubles: the shortest decimal. */

/* Upper bits of the product, the last one set if anything was lost. */
static uint64_t multiply_to_odd(const struct double_power *g, uint64_t x)
{
    uint128 low = (uint128)g->low * x, high = (uint128)g->high * x;
    uint64_t middle = (uint64_t)high + (uint64_t)(low >> 64);
    uint64_t top = (uint64_t)(high >> 64) + (middle < (uint64_t)high);

    return top | (middle > 1);
}

/*
 * The shortest decimal that reads back to the double, the nearest of those (the method called Schubfach). The
 * double next below a power of two is nearer than the one above; upstream reckons with the smaller distance
 * on both sides.
 */
static void shortest(uint64_t bits, uint64_t *ret_digits, int *ret_exponent)
{
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    uint64_t c = fraction | (uint64_t)1 << 52, half = fraction ? 2 : 1;
    int q = (int)(bits >> 52 & 0x7ff) - BIAS;
    unsigned open = c & 1;

    if (q <= 0 && q > -53 && (c & (((uint64_t)1 << -q) - 1)) == 0) {
        *ret_digits = c >> -q;
        *ret_exponent = 0;
        return;
    }
    int k = ((fraction ? q : q - 1) * 1262611) >> 22;
    int h = q + ((-k * 1741647) >> 19) + 1;
    const struct double_power *g = double_power(-k);
    uint64_t lower = multiply_to_odd(g, (4 * c - half) << h) + open;
    uint64_t exact = multiply_to_odd(g, (4 * c) << h);
    uint64_t upper = multiply_to_odd(g, (4 * c + half) << h) - open;
    uint64_t s = exact / 4;
    *ret_exponent = k;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up) {
            *ret_digits = tens + up;
            *ret_exponent = k + 1;
            return;
        }
    }
    bool down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    if (down != up) {
        *ret_digits = s + up;
        return;
    }
    uint64_t middle = 4 * s + 2;
    *ret_digits = s + (exact > middle || (exact == middle && (s & 1)));
}

bool double_shortest(double value, uint64_t *ret_digits, int *ret_exponent)
{
    uint64_t bits;

    if (!(value >= 1e-60 && value < 1e16))
        return false;
    memcpy(&bits, &value, sizeof(bits));
    shortest(bits, ret_digits, ret_exponent);
    *ret_exponent += double_drop_zeros(ret_digits);
    return true;
}

/* The others, as upstream's old algorithm has them. */

/*
 * The first digits of a number that is not negative.  There are twice as many as decide anything: that a
 * number made of 55 bits is so near to a decimal of 17 digits, but not equal, does not occur.
 */
enum { DIGITS = 45, FIRST_SIZE = DIGITS + 10 };

struct decimal {
    char text[FIRST_SIZE]; /* d.dddde-dd */
    int power;             /* of the first one */
};

static void print_decimal(long double value, struct decimal *out)
{
    snprintf(out->text, sizeof(out->text), "%.*Le", DIGITS - 1, value);
    out->text[1] = out->text[0]; /* in the place of the point */
    out->power = (int)strtol(out->text + DIGITS + 2, NULL, 10);
}

static unsigned digit_at(const struct decimal *d, int power)
{
    int i = d->power - power;

    return i >= 0 && i < DIGITS ? (unsigned)(d->text[1 + i] - '0') : 0;
}

static bool is_zero_below(const struct decimal *d, int power)
{
    int i = power > d->power ? 0 : d->power - power + 1;

    return strspn(d->text + 1 + i, "0") == (size_t)(DIGITS - i);
}

/* What stands below a power: more, as much or less than half of it. */
static int compare_half(const struct decimal *d, int power)
{
    unsigned digit = digit_at(d, power - 1);

    return digit != 5 ? (digit > 5) - (digit < 5) : !is_zero_below(d, power - 1);
}

/* The power of the first digit or the one above that: what upstream takes it for before it looks. */
static int guess_power(double v)
{
    int binary;
    double mantissa = 2 * frexp(v, &binary);

    return (int)floor((mantissa - 1.5) * 0.289529654 + 0.176091259 + (binary - 1) * 0.301029995663981);
}

/* The last digits of what was written, the value, and half a gap below and above it. */
struct written {
    uint64_t value, below, above;
    int power;    /* of the last digit */
    bool in_long; /* upstream reckons in 64 bits, where it takes what is exactly half a gap off as too far */
    bool low;     /* what was written is as good as the value */
    bool high;    /* so is what was written with the last digit one up */
};

static void write_digit(struct written *w, const struct decimal *value, const struct decimal *below,
                        const struct decimal *above)
{
    w->power--;
    w->value = 10 * w->value + digit_at(value, w->power);
    w->below = 10 * w->below + digit_at(below, w->power);
    w->above = 10 * w->above + digit_at(above, w->power);
    w->low = w->value > w->below;
    w->high = w->above > w->value + (w->in_long && is_zero_below(above, w->power));
}

/* From 2^84 to 2^85 what is left and half a gap may take more than 63 bits, which upstream does not notice.
 */
static bool is_overflow(const struct written *w, const struct decimal *value, int binary)
{
    enum { LEAST = 947366451, POWER = 9 };
    uint32_t left = 0;

    for (int power = POWER; power--;)
        left = 10 * left + digit_at(value, power);
    return binary == 85 && w->power == POWER && left >= LEAST;
}

/*
 * Digit after digit, until what is left is less than half the gap between doubles: below a power of two that
 * is a quarter of the gap above it.  There are two digits at least, of which the first may be a zero if the
 * power was guessed too high.
 */
static void write_digits(double v, uint64_t *ret_digits, int *ret_exponent)
{
    struct decimal value, below, above;
    int binary, guess = guess_power(v);
    bool power_of_two = frexp(v, &binary) == 0.5;
    int gap = binary - DBL_MANT_DIG > -1074 ? binary - DBL_MANT_DIG : -1074;
    long double half = ldexpl(1, gap - 1 - power_of_two);
    struct written w = { .power = guess + 2, .in_long = guess >= 0 && guess <= LAST_IN_LONG };

    print_decimal(v, &value);
    print_decimal(v - half, &below);
    print_decimal(v + half, &above);
    for (int i = 0; i < 3; i++) /* the first is surely a zero, but for `above` */
        write_digit(&w, &value, &below, &above);
    while (!w.low && !w.high)
        write_digit(&w, &value, &below, &above);
    if (is_overflow(&w, &value, binary))
        w.high = false;
    int half_way = compare_half(&value, w.power);
    if (w.high && (!w.low || half_way > 0 || (half_way == 0 && (w.value & 1))))
        w.value++;
    *ret_digits = w.value;
    *ret_exponent = w.power;
}

/* From 2^54 to 2^63: the exact integer, rounded at one of its last digits. */
static void round_integer(double v, uint64_t *ret_digits, int *ret_exponent)
{
    int dropped = v < 0x1p58 ? 0 : v < 0x1p61 ? 1 : 2;
    uint64_t unit = dropped == 2 ? 100 : dropped == 1 ? 10 : 1;

    *ret_digits = ((uint64_t)v + unit / 2) / unit;
    *ret_exponent = dropped;
}

/* Digits without zeros at the end, and the power of the first one. */
static int put_digits(double v, char digits[24], int *ret_power)
{
    uint64_t whole;
    int exponent;

    if (!double_shortest(v, &whole, &exponent)) {
        if (v >= 0x1p54 && v < 0x1p63)
            round_integer(v, &whole, &exponent);
        else
            write_digits(v, &whole, &exponent);
        exponent += double_drop_zeros(&whole);
    }
    int n = snprintf(digits, 24, "%llu", (unsigned long long)whole);
    *ret_power = exponent + n - 1;
    return n;
}

void java_double_text(double d, struct sbuf *out)
{
    char digits[24];
    int exponent;

    if (isnan(d)) {
        sbuf_adds(out, "NaN");
        return;
    }
    if (signbit(d))
        sbuf_addc(out, '-');
    d = fabs(d);
    if (isinf(d) || d == 0) {
        sbuf_adds(out, d == 0 ? "0.0" : "Infinity");
        return;
    }
    int n = put_digits(d, digits, &exponent);
    if (d < 1e-3 || d >= 1e7) {
        sbuf_addf(out, "%c.%sE%d", digits[0], n > 1 ? digits + 1 : "0", exponent);
    } else if (exponent < 0) {
        sbuf_addf(out, "0.%.*s%s", -exponent - 1, "00", digits);
    } else {
        int whole = exponent + 1;
        if (n > whole)
            sbuf_addf(out, "%.*s.%s", whole, digits, digits + whole);
        else
            sbuf_addf(out, "%s%.*s.0", digits, whole - n, "000000");
    }
}
