#include "shared/base/double_text.h"

#include "shared/base/json.h"

__extension__ typedef unsigned __int128 uint128;

enum {
    MAX_DIGITS = 19,   /* that fit 64 bits */
    SURE_DIGITS = 15,  /* so many always come back from a double as they went in */
    LEAST_POWER = -80, /* of the table */
    MOST_POWER = 80,
    BIAS = 1075,
};

struct power {
    uint64_t high, low;
};

static const struct power powers[] = {
#define DOUBLE_POWER(high, low) { high, low },
#include "shared/base/double_table_list.h"
#undef DOUBLE_POWER
};

/* A decimal: digits * 10^exponent. */
struct decimal {
    bool negative;
    bool cut;   /* has more digits than fit */
    bool plain; /* has no exponent, and no zero too many in front or at the end */
    uint64_t digits;
    int count; /* of digits, without leading zeros */
    int64_t exponent;
};

/* Eight digits at once; false if there are not so many. */
static inline bool read_eight(const char *p, const char *end, uint64_t *ret_value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t w;

    if (end - p < 8)
        return false;
    memcpy(&w, p, sizeof(w));
    w ^= 0x3030303030303030u;
    if (((w + 0x7676767676767676u) | w) & 0x8080808080808080u)
        return false;
    w = w * 10 + (w >> 8);
    *ret_value = (((w & 0x000000ff000000ffu) * 0x000f424000000064u) +
                  ((w >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u)) >>
                 32;
    return true;
#else
    (void)p;
    (void)end;
    (void)ret_value;
    return false;
#endif
}

static void read_digits(struct decimal *d, const char **p, const char *end, bool fraction)
{
    uint64_t eight;

    while (d->digits && d->count <= MAX_DIGITS - 8 && read_eight(*p, end, &eight)) {
        d->digits = d->digits * 100000000 + eight;
        d->count += 8;
        d->exponent -= fraction ? 8 : 0;
        *p += 8;
    }
    for (; *p < end && (unsigned char)(**p - '0') < 10; (*p)++) {
        if (d->count == MAX_DIGITS) {
            d->cut = d->cut || **p != '0';
            d->exponent += !fraction;
            continue;
        }
        d->digits = d->digits * 10 + (uint64_t)(**p - '0');
        d->count += d->digits != 0;
        d->exponent -= fraction;
    }
}

static int64_t read_exponent(const char *p, const char *end)
{
    enum { ENOUGH = 1000000000 };
    bool negative = *p == '-';
    int64_t value = 0;

    for (p += *p == '-' || *p == '+'; p < end; p++)
        if (value < ENOUGH)
            value = value * 10 + (*p - '0');
    return negative ? -value : value;
}

static struct decimal read_decimal(struct slice number)
{
    const char *p = number.p, *end = p + number.n;
    struct decimal d = { .negative = *p == '-' };

    p += d.negative;
    read_digits(&d, &p, end, false);
    if (p < end && *p == '.') {
        p++;
        read_digits(&d, &p, end, true);
    }
    if (p < end)
        d.exponent += read_exponent(p + 1, end);
    else
        d.plain = end[-1] != '0' || end[-2] == '.';
    return d;
}

static int drop_zeros(uint64_t *digits)
{
    int dropped = 0;

    while (*digits % 10 == 0) {
        *digits /= 10;
        dropped++;
    }
    return dropped;
}

static size_t put_digits(char *out, uint64_t digits)
{
    char text[24];
    size_t at = sizeof(text);

    for (; digits >= 100; digits /= 100) {
        unsigned two = (unsigned)(digits % 100);
        text[--at] = (char)('0' + two % 10);
        text[--at] = (char)('0' + two / 10);
    }
    if (digits >= 10)
        text[--at] = (char)('0' + digits % 10);
    text[--at] = (char)('0' + (digits >= 10 ? digits / 10 : digits));
    memcpy(out, text + at, sizeof(text) - at);
    return sizeof(text) - at;
}

/* Java's layout of digits * 10^exponent; the digits have no zeros at the end and are not 0. */
static size_t put_layout(char *out, bool negative, uint64_t digits, int exponent)
{
    char text[24];
    size_t n = put_digits(text, digits);
    int first = exponent + (int)n - 1; /* power of the first digit */
    char *o = out;

    if (negative)
        *o++ = '-';
    if (first < -3 || first >= 7) {
        *o++ = text[0];
        *o++ = '.';
        memcpy(o, text + 1, n - 1);
        o += n - 1;
        if (n == 1)
            *o++ = '0';
        *o++ = 'E';
        if (first < 0)
            *o++ = '-';
        o += put_digits(o, (uint64_t)(first < 0 ? -first : first));
    } else if (first < 0) {
        memcpy(o, "0.00", 4);
        o += 1 - first;
        memcpy(o, text, n);
        o += n;
    } else {
        size_t whole = (size_t)first + 1, i = 0;
        for (; i < whole; i++)
            *o++ = i < n ? text[i] : '0';
        *o++ = '.';
        if (i >= n)
            *o++ = '0';
        for (; i < n; i++)
            *o++ = text[i];
    }
    return (size_t)(o - out);
}

static struct power power_of(int64_t k)
{
    return powers[k - LEAST_POWER];
}

/*
 * The double nearest to digits * 10^exponent, for not more than 19 digits and a power in the table (the
 * method of Eisel and Lemire).  False where it cannot tell; never so for normal doubles in practice.
 */
static bool nearest(uint64_t digits, int64_t exponent, uint64_t *ret_bits)
{
    struct power power = power_of(exponent);
    int shift = __builtin_clzll(digits);

    if (exponent < -27 || exponent > 55) { /* that method wants the inexact ones rounded down */
        power.high -= power.low == 0;
        power.low--;
    }
    digits <<= shift;
    uint128 first = (uint128)digits * power.high;
    uint64_t high = (uint64_t)(first >> 64), low = (uint64_t)first;
    if ((high & 0x1ff) == 0x1ff) {
        uint64_t more = (uint64_t)((uint128)digits * power.low >> 64);
        low += more;
        high += low < more;
    }
    if (low == UINT64_MAX && (exponent < -27 || exponent > 55))
        return false;
    int upper = (int)(high >> 63);
    uint64_t mantissa = high >> (upper + 9);
    int64_t binary = ((217706 * exponent) >> 16) + 63 + upper - shift + 1023;
    if (binary <= 0)
        return false;
    if (low <= 1 && exponent >= -4 && exponent <= 23 && (mantissa & 3) == 1 &&
        mantissa << (upper + 9) == high)
        mantissa &= ~(uint64_t)1;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >= (uint64_t)2 << 52) {
        mantissa = (uint64_t)1 << 52;
        binary++;
    }
    if (binary >= 0x7ff)
        return false;
    *ret_bits = (mantissa & ~((uint64_t)1 << 52)) | (uint64_t)binary << 52;
    return true;
}

/* Upper bits of the product, the last one set if anything was lost. */
static uint64_t multiply_to_odd(struct power g, uint64_t x)
{
    uint128 low = (uint128)g.low * x, high = (uint128)g.high * x;
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
    struct power g = power_of(-k);
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
    *ret_exponent += drop_zeros(ret_digits);
    return true;
}

static size_t slow_text(struct slice number, char ret_text[DOUBLE_TEXT_SIZE])
{
    AUTO_SBUF(out, DOUBLE_TEXT_SIZE);

    java_double_text(double_value(number), &out);
    memcpy(ret_text, out.p, out.len);
    return out.len;
}

static size_t copy_text(struct slice number, char ret_text[DOUBLE_TEXT_SIZE])
{
    memcpy(ret_text, number.p, number.n);
    return number.n;
}

size_t double_text(struct slice number, char ret_text[DOUBLE_TEXT_SIZE])
{
    enum { LEAST_SURE = -290, LEAST_FAST = -60, MOST_FAST = 16 };
    struct decimal d = read_decimal(number);
    uint64_t bits, digits;
    int exponent;

    if (!d.digits) {
        memcpy(ret_text, "-0.0", 4);
        if (!d.negative)
            memmove(ret_text, ret_text + 1, 3);
        return d.negative ? 4 : 3;
    }
    int64_t top = d.exponent + d.count; /* the value is below 10^top */
    /* 10^-3 <= value < 10^7 is printed without an exponent, perhaps just as it stands there */
    bool plain = d.plain && top > -3 && top <= 7 && !d.cut;
    if (plain && d.count <= SURE_DIGITS)
        return copy_text(number, ret_text);
    if (!d.cut && top <= MOST_FAST && top > LEAST_SURE) {
        int64_t dropped = drop_zeros(&d.digits);
        if (d.count - dropped <= SURE_DIGITS)
            return put_layout(ret_text, d.negative, d.digits, (int)(d.exponent + dropped));
        d.exponent += dropped;
    }
    if (d.cut || top > MOST_FAST || top < LEAST_FAST || !nearest(d.digits, d.exponent, &bits))
        return slow_text(number, ret_text);
    shortest(bits, &digits, &exponent);
    exponent += drop_zeros(&digits);
    if (plain && digits == d.digits && exponent == d.exponent)
        return copy_text(number, ret_text);
    return put_layout(ret_text, d.negative, digits, exponent);
}

double double_value(struct slice number)
{
    AUTO_SBUF(copy, SBUF_NO_LIMIT);

    sbuf_add(&copy, number.p, number.n);
    return strtod(copy.p, NULL);
}
