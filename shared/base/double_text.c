#include "shared/base/double_text.h"

#include <endian.h>
#include <math.h>

#include "shared/base/double_print.h"

__extension__ typedef unsigned __int128 uint128;

enum {
    MAX_DIGITS = 19,              /* that fit 64 bits */
    SURE_DIGITS = 15,             /* so many come back from a double as they went in, but for is_odd() */
    TEXT_DIGITS = 17,             /* more are never printed */
    MOST_SHORT = SURE_DIGITS + 1, /* bytes of a number that has a point */
    MOST_LONG = 24,               /* bytes of what is ever printed, without a sign */
};

enum answer { NO, YES, UNKNOWN };

/* Fractions have 26 bits; what is reckoned with them is off by a few of the last ones. */
#define ONE ((int64_t)1 << 26)
#define NEAR ((int64_t)16)

#define ALL_BYTES(byte) (0x0101010101010101u * (byte))

static const uint64_t ten_to[] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u,
};

/* A decimal: digits * 10^exponent. */
struct decimal {
    bool negative;
    bool cut; /* has more digits than fit */
    uint64_t digits;
    int64_t exponent;
};

/* The first byte is the lowest. */
static inline uint64_t load_eight(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return le64toh(w);
}

static inline uint32_t load_four(const char *p)
{
    uint32_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

static inline uint64_t eight_digits(uint64_t w)
{
    w &= ALL_BYTES(0x0f);
    w = w * 10 + (w >> 8);
    return (((w & 0x000000ff000000ffu) * 0x000f424000000064u) +
            ((w >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u)) >>
           32;
}

static int count_digits(uint64_t value)
{
    int least = (64 - __builtin_clzll(value)) * 1233 >> 12;

    return least + (value >= ten_to[least]);
}

static void read_digits(struct decimal *d, struct slice number, const char **p, bool fraction)
{
    const char *end = number.p + number.n;

    while (number.n >= 8 && *p < end && d->digits < ten_to[MAX_DIGITS - 8]) {
        /* eight bytes from there on, NULs behind the end */
        const char *from = *p < end - 8 ? *p : end - 8;
        uint64_t w = (load_eight(from) >> (8 * (*p - from))) ^ ALL_BYTES('0');
        uint64_t other = ((w + ALL_BYTES(0x76)) | w) & ALL_BYTES(0x80);
        int count = other ? __builtin_ctzll(other) / 8 : 8;
        d->digits = d->digits * ten_to[count] + (count ? eight_digits(w << (64 - 8 * count)) : 0);
        d->exponent -= fraction ? count : 0;
        *p += count;
        if (count < 8)
            return;
    }
    for (; *p < end && (unsigned char)(**p - '0') < 10; (*p)++) {
        if (d->digits >= ten_to[MAX_DIGITS - 1]) {
            d->cut = d->cut || **p != '0';
            d->exponent += !fraction;
            continue;
        }
        d->digits = d->digits * 10 + (uint64_t)(**p - '0');
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

/*
 * Reads 17 to 24 bytes without a sign.  UNKNOWN if there is an exponent; NO if there is none, but such a text
 * is never printed: there may be 17 digits, zeros in front of those, and no zeros at the end.
 */
__attribute__((always_inline)) static inline enum answer read_long(const char *p, size_t n,
                                                                   uint64_t *ret_digits,
                                                                   int64_t *ret_exponent)
{
    /* by the number of bytes: what must be as in `0.00`, and where the digit before the last 16 stands */
    static const struct {
        uint32_t fixed, at;
        uint64_t unit;
    } forms[] = {
        { 0, 0, 0 },
        { 0, 0, 10000000000000000 },
        { 0xffff, 2, 10000000000000000 },
        { 0xffffff, 3, 10000000000000000 },
        { 0xffffffff, 4, 10000000000000000 },
    };
    const char *end = p + n;
    size_t extra = n - 17;
    uint64_t head = load_eight(p), middle = load_eight(end - 16), tail = load_eight(end - 8);
    uint64_t point = ~head & ALL_BYTES(0x10); /* one bit of it, if there is no exponent */

    if (((head | middle | tail) >> 2) & ALL_BYTES(0x10))
        return UNKNOWN;
    if (!point || extra >= ARRAY_LEN(forms) || end[-1] == '0')
        return NO;
    if (((uint32_t)head ^ 0x30302e30) & forms[extra].fixed || (memcmp(p, "0.00", 4) == 0 && p[4] == '0'))
        return NO;
    /* the last 16 digits, the point among them taken out */
    uint64_t before = load_eight(end - 17), inner = ~before & ALL_BYTES(0x10);
    middle ^= (middle ^ before) & ((inner >> 4) - (inner != 0));
    *ret_digits = (p[forms[extra].at] & 0x0f) * forms[extra].unit + eight_digits(middle) * ten_to[8] +
                  eight_digits(tail);
    *ret_exponent = (int64_t)((size_t)__builtin_ctzll(point) / 8 + 1 - n);
    return YES;
}

static struct decimal read_decimal(struct slice number)
{
    const char *p = number.p, *end = p + number.n;
    struct decimal d = { .negative = *p == '-' };

    p += d.negative;
    if (end - p > MOST_SHORT && end - p <= MOST_LONG &&
        read_long(p, (size_t)(end - p), &d.digits, &d.exponent) == YES)
        return d;
    read_digits(&d, number, &p, false);
    if (p < end && *p == '.') {
        p++;
        read_digits(&d, number, &p, true);
    }
    if (p < end)
        d.exponent += read_exponent(p + 1, end);
    return d;
}

/* Eight digits, the first one in the lowest byte, without their '0'. */
static uint64_t split_eight(uint32_t value)
{
    uint64_t w = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t upper = (w * 10486 >> 20) & 0x0000007f0000007f;

    w = upper | (w - upper * 100) << 16;
    upper = (w * 103 >> 10) & 0x000f000f000f000f;
    return upper | (w - upper * 10) << 8;
}

/* TEXT_DIGITS digits and as many zeros behind them; returns how many there are without zeros at the end. */
static int put_digits(char text[2 * TEXT_DIGITS], uint64_t digits)
{
    uint32_t upper = (uint32_t)(digits / ten_to[8]), lower = (uint32_t)(digits % ten_to[8]);
    uint64_t words[] = { split_eight(upper % 100000000), split_eight(lower) };

    text[0] = (char)('0' + upper / 100000000);
    for (int i = 0; i < 2; i++) {
        uint64_t w = htole64(words[i] | ALL_BYTES(0x30));
        memcpy(text + 1 + 8 * i, &w, sizeof(w));
    }
    memset(text + TEXT_DIGITS, '0', TEXT_DIGITS);
    if (words[1])
        return 17 - __builtin_clzll(words[1]) / 8;
    return words[0] ? 9 - __builtin_clzll(words[0]) / 8 : 1;
}

/* Java's layout of digits * 10^exponent; the digits are not 0. */
static size_t put_layout(char out[DOUBLE_TEXT_SIZE], bool negative, uint64_t digits, int64_t exponent)
{
    char text[2 * TEXT_DIGITS];
    int count = count_digits(digits), first = (int)exponent + count - 1; /* power of the first digit */
    int n = put_digits(text, digits * ten_to[TEXT_DIGITS - count]);
    char *o = out;

    *o = '-';
    o += negative;
    if (first < -3 || first >= 7) {
        unsigned power = (unsigned)(first < 0 ? -first : first);
        *o = text[0];
        memcpy(o + 2, text + 1, 16);
        o[1] = '.';
        o += n > 1 ? n + 1 : 3;
        *o++ = 'E';
        *o = '-';
        o += first < 0;
        if (power >= 100)
            *o++ = (char)('0' + power / 100);
        if (power >= 10)
            *o++ = (char)('0' + power / 10 % 10);
        *o++ = (char)('0' + power % 10);
    } else if (first < 0) {
        memcpy(o, "0.00", 4);
        memcpy(o + 1 - first, text, TEXT_DIGITS);
        o += 1 - first + n;
    } else {
        int whole = first + 1;
        memcpy(o, text, 8);
        o[whole] = '.';
        memcpy(o + whole + 1, text + whole, 16);
        o += whole + 1 + (n > whole ? n - whole : 1);
    }
    return (size_t)(o - out);
}

/* Where a decimal lies among the doubles, in units of its last digit, with a fraction of 26 bits. */
struct place {
    uint64_t mantissa; /* of the double that is not above it */
    int64_t off;       /* the decimal is so much above the nearest double */
    int64_t gap;       /* from one double to the next */
};

/*
 * For not more than 19 digits, shifted to the left by any amount, and a power in the table.  The product is
 * that of Eisel and Lemire: its upper bits are the double's, the others say how far the decimal is from it.
 * If the gap is below 1/64, `off` is within half of it and else not known.
 */
static inline struct place locate(uint64_t digits, int shift, int64_t exponent)
{
    const struct double_power *power = double_power(exponent);
    uint128 product = (uint128)digits * power->high;

    product += (uint64_t)((uint128)digits * power->low >> 64);
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    int zeros = __builtin_clzll(high);
    uint64_t part = high << ((53 + zeros) & 63) | low >> ((11 - zeros) & 63);
    /* the gap is 2^q * 10^-exponent; as many bits as the product takes from one of both the other has got */
    uint64_t gap = double_power(-exponent)->high >> (26 + shift + zeros - (exponent == 0));
    /* counted from the middle between two doubles, so that it is not negative */
    uint64_t into = (uint64_t)((uint128)(part ^ (uint64_t)1 << 63) * gap >> 64);
    return (struct place){ high << zeros >> 11, (int64_t)into - (int64_t)(gap >> 1), (int64_t)gap };
}

/*
 * Makes the decimal, which has no zeros at the end, the shortest one that reads back to the same double, the
 * nearest of those: as `shortest`, but it starts from the decimal and has only to look around.  False where
 * it cannot tell.
 */
static bool shorten(struct decimal *d)
{
    int shift = __builtin_clzll(d->digits);
    struct place place = locate(d->digits << shift, shift, d->exponent);
    int64_t unit = 1, half = place.gap / 2;
    int zeros = 0; /* of the unit */

    if (((place.mantissa + 1) & (((uint64_t)1 << 52) - 1)) <= 1)
        return false; /* the double may be a power of two, where the gaps change */
    if (place.gap < ONE)
        return true;
    for (; place.gap >= 10 * unit * ONE; zeros++)
        unit *= 10;
    /* the double and what is read as it, seen from the next lower multiple of ten units */
    int64_t rest = (int64_t)(d->digits % (10 * (uint64_t)unit)), ten = 10 * unit * ONE;
    int64_t exact = rest * ONE - place.off, lower = exact - half, upper = exact + half;
    int64_t over = (exact + unit * ONE / 2) % (unit * ONE);
    if (llabs(lower) < NEAR || llabs(upper - ten) < NEAR || llabs(place.off) > half - NEAR)
        return false;
    if (lower > 0 && upper < ten && (over < NEAR || over > unit * ONE - NEAR))
        return false;
    d->digits -= (uint64_t)rest;
    if (upper > ten)
        d->digits += 10 * (uint64_t)unit;
    else if (lower > 0)
        d->digits += (uint64_t)((exact + unit * ONE / 2 - over) / ONE);
    d->digits /= ten_to[zeros];
    d->exponent += zeros;
    return true;
}

/* For those that nobody else can tell. */
static size_t slow_text(struct slice number, char ret_text[DOUBLE_TEXT_SIZE])
{
    AUTO_SBUF(out, DOUBLE_TEXT_SIZE);
    double value = double_value(number);
    uint64_t digits;
    int exponent;

    if (double_shortest(fabs(value), &digits, &exponent))
        return put_layout(ret_text, value < 0, digits, exponent);
    java_double_text(value, &out);
    memcpy(ret_text, out.p, out.len);
    return out.len;
}

/*
 * The digits, as 15, of all powers of two from 1e-290 on that a decimal of 15 digits or less is read as, but
 * is not as near to as upstream wants it: it then prints more.
 */
static bool is_odd(const struct decimal *d)
{
    enum { MOST_TOP = -34 };
    static const uint64_t digits[] = {
        475272891573790, 950545783147580, 103954097656449, 190109156629516, 207908195312898, 237636445786895,
        261012178719941, 342470210782563, 380218313259032, 415816390625796, 481482486096809, 517526350329881,
        519770488282245, 522024357439882, 610987272699921, 684940421565126, 760436626518064, 771174356832923,
        831632781251592, 832498966371959, 847915172380477, 896831017167883, 962964972193618,
    };
    int count = count_digits(d->digits);

    if (d->exponent + count > MOST_TOP || count > SURE_DIGITS)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(digits); i++)
        if (d->digits * ten_to[SURE_DIGITS - count] == digits[i])
            return true;
    return false;
}

size_t double_text(struct slice number, char ret_text[DOUBLE_TEXT_SIZE])
{
    enum { LEAST_SURE = -290, LEAST_FAST = -60, MOST_FAST = 16 };
    struct decimal d = read_decimal(number);

    if (!d.digits) {
        memcpy(ret_text, "-0.0", 4);
        if (!d.negative)
            memmove(ret_text, ret_text + 1, 3);
        return d.negative ? 4 : 3;
    }
    int count = count_digits(d.digits);
    int64_t top = d.exponent + count; /* the value is below 10^top */
    if (d.cut || top > MOST_FAST || top <= LEAST_SURE)
        return slow_text(number, ret_text);
    if (count > SURE_DIGITS) {
        int dropped = double_drop_zeros(&d.digits);
        d.exponent += dropped;
        if (count - dropped > SURE_DIGITS && (top < LEAST_FAST || !shorten(&d)))
            return slow_text(number, ret_text);
    }
    if (is_odd(&d))
        return slow_text(number, ret_text);
    return put_layout(ret_text, d.negative, d.digits, d.exponent);
}

/* Not more than 16 bytes: all digits come back, so only the layout counts. */
static inline enum answer is_short_same(const char *p, size_t n)
{
    if (n < 4)
        return p[1] == '.' ? YES : UNKNOWN;
    /* all bytes, some of them twice; the first two have the first eight */
    size_t over = n - 4, step = over < 4 ? over : 4;
    uint32_t first = load_four(p), second = load_four(p + step);
    uint32_t third = load_four(p + over - step), last = load_four(p + over);
    if ((first | second | third | last) & 0x40404040)
        return UNKNOWN; /* an exponent */
    if (!((~first | ~second) & 0x10101010))
        return NO; /* no point among eight */
    if (memcmp(p, "0.00", 4) == 0 && p[n > 4 ? 4 : 3] == '0')
        return NO;
    bool fits = (p[n - 1] != '0') | (p[n - 2] == '.');
    return fits ? YES : NO;
}

/* 17 to 24 bytes. */
static inline enum answer is_long_same(const char *p, size_t n)
{
    uint64_t digits;
    int64_t exponent;
    enum answer read = read_long(p, n, &digits, &exponent);

    if (read != YES)
        return read;
    struct place place = locate(digits << 7, 7, exponent);
    /* no other decimal may be nearer to the double, and no multiple of ten be read as the same one */
    int64_t nearer = ONE / 2 - llabs(place.off);
    int64_t alone = 5 * ONE - (place.gap >> 1) - llabs((p[n - 1] - '5') * ONE - place.off);
    int64_t room = nearer < alone ? nearer : alone;
    if (llabs(room) <= NEAR)
        return UNKNOWN;
    return room > 0 ? YES : NO;
}

/* Apart from its caller, which is fast because it has nothing on the stack. */
__attribute__((noinline)) static bool is_written_same(struct slice number)
{
    char text[DOUBLE_TEXT_SIZE];

    if (memchr(number.p, 'e', number.n))
        return false; /* it is printed large */
    return double_text(number, text) == number.n && memcmp(text, number.p, number.n) == 0;
}

bool double_text_is_same(struct slice number)
{
    size_t sign = *number.p == '-';

    number.p += sign;
    number.n -= sign;
    if (number.n > MOST_LONG)
        return false;
    enum answer answer =
        number.n <= MOST_SHORT ? is_short_same(number.p, number.n) : is_long_same(number.p, number.n);
    return answer == UNKNOWN ? is_written_same(number) : answer == YES;
}

double double_value(struct slice number)
{
    char shorter[64];

    if (slice_is(number, "-0"))
        return 0; /* an integer, which has no sign then */
    if (slice_is(number, "2.2250738585072012e-308"))
        return 0x1p-1074; /* upstream's reader has this for all that is spelled so, since an old bug of Java
                           */
    if (number.n < sizeof(shorter)) {
        memcpy(shorter, number.p, number.n);
        shorter[number.n] = '\0';
        return strtod(shorter, NULL);
    }
    AUTO_SBUF(copy, SBUF_NO_LIMIT);
    sbuf_add(&copy, number.p, number.n);
    return strtod(copy.p, NULL);
}
