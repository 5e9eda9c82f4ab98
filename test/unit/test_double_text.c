#include "test/unit/t.h"

#include <math.h>

#include "shared/base/double_text.h"
#include "shared/base/json.h"

static uint64_t state = 88172645463325252u;

static uint64_t next_number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* A JSON number of some kind, with a fraction or an exponent. */
static void make_number(unsigned kind, char *text, size_t size)
{
    uint64_t bits = next_number();
    double d;

    switch (kind % 5) {
    case 0:
        memcpy(&d, &bits, sizeof(d));
        snprintf(text, size, "%.17e", isfinite(d) ? d : 0.5);
        break;
    case 1:
        snprintf(text, size, "%.*e", (int)(next_number() % 19), (double)(bits >> 11) * 0x1p-53);
        break;
    case 2:
        snprintf(text, size, "%.*e", (int)(next_number() % 19),
                 ldexp((double)(bits >> (next_number() % 60)), -(int)(next_number() % 100)));
        break;
    case 3:
        snprintf(text, size, "%.17e", ldexp(1.0, (int)(next_number() % 300) - 200));
        break;
    default:
        snprintf(text, size, "%llu.%0*llue%d", (unsigned long long)(bits >> (next_number() % 64)),
                 (int)(next_number() % 10 + 1), (unsigned long long)(next_number() >> (next_number() % 64)),
                 (int)(next_number() % 80) - 60);
    }
}

/* Upstream's rule is not the simple one for powers of two and from 2^54 on. */
static bool is_simple(double d)
{
    int exponent;

    return fabs(d) >= 1e-300 && fabs(d) < 0x1p54 && fabs(frexp(d, &exponent)) != 0.5;
}

/* Digits and exponents: the least number of digits that reads back. */
static void assert_shortest(const char *text, double d)
{
    char want[40];

    for (int precision = 0; precision < 17; precision++) {
        snprintf(want, sizeof(want), "%.*e", precision, d);
        if (strtod(want, NULL) == d)
            break;
    }
    double back = strtod(text, NULL);
    assert_true(back == d);
    size_t digits = 0, wanted = 0;
    for (const char *c = text; *c && *c != 'E'; c++)
        digits += *c >= '0' && *c <= '9';
    for (const char *c = want; *c && *c != 'e'; c++)
        wanted += *c >= '0' && *c <= '9';
    if (strchr(text, 'E') && digits > wanted && !(wanted == 1 && digits == 2))
        fail_msg("%s: longer than %s", text, want);
}

static void test_equals_the_slow_way(void **unused)
{
    char number[128], got[DOUBLE_TEXT_SIZE + 1];

    (void)unused;
    for (unsigned i = 0; i < 50000; i++) {
        AUTO_SBUF(want, SBUF_NO_LIMIT);
        make_number(i, number, sizeof(number));
        got[double_text(slice_str(number), got)] = '\0';
        java_double_text(strtod(number, NULL), &want);
        if (strcmp(got, want.p) != 0)
            fail_msg("%s: %s, not %s", number, got, want.p);
        if (is_simple(strtod(number, NULL)))
            assert_shortest(got, strtod(number, NULL));
    }
}

static void test_spellings(void **unused)
{
    static const struct {
        const char *number, *text;
    } rows[] = {
        { "1.0", "1.0" },
        { "1.50", "1.5" },
        { "100.00", "100.0" },
        { "1e3", "1000.0" },
        { "1E7", "1.0E7" },
        { "9999999.0", "9999999.0" },
        { "0.001", "0.001" },
        { "0.0001", "1.0E-4" },
        { "12345678.9", "1.23456789E7" },
        { "0.0", "0.0" },
        { "-0.0", "-0.0" },
        { "0e99999999999", "0.0" },
        { "-0.000e5", "-0.0" },
        { "1e-400", "0.0" },
        { "-1e-400", "-0.0" },
        { "1e400", "Infinity" },
        { "-1e400", "-Infinity" },
        { "1e99999999999999999999", "Infinity" },
        { "1e-99999999999999999999", "0.0" },
        { "0.1234567890123456789", "0.12345678901234568" },
        { "577014396719900032.0", "5.7701439671990003E17" },
        { "4.9e-324", "4.9E-324" },
        { "5.960464477539063e-8", "5.9604644775390625E-8" }, /* a power of two */
        { "3.9827297778311307e-59", "3.9827297778311307E-59" },
        { "1.7976931348623157e308", "1.7976931348623157E308" },
        { "9007199254740993.0", "9.007199254740992E15" },
        { "0.00000000000000000000000000000000000000000000000001", "1.0E-50" },
        { "100000000000000000000000000000000000000000000000000.0", "1.0E50" },
    };
    char got[DOUBLE_TEXT_SIZE + 1];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        got[double_text(slice_str(rows[i].number), got)] = '\0';
        assert_string_equal(got, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_slow_way),
        cmocka_unit_test(test_spellings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
