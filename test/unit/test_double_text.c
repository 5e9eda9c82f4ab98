#include "test/unit/t.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/double_print.h"
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

static void assert_equals_the_slow_way(const char *number)
{
    AUTO_SBUF(want, SBUF_NO_LIMIT);
    char got[DOUBLE_TEXT_SIZE + 1];

    got[double_text(slice_str(number), got)] = '\0';
    java_double_text(strtod(number, NULL), &want);
    if (strcmp(got, want.p) != 0)
        fail_msg("%s: %s, not %s", number, got, want.p);
}

static void test_equals_the_slow_way(void **unused)
{
    char number[128], got[DOUBLE_TEXT_SIZE + 1];

    (void)unused;
    for (unsigned i = 0; i < 50000; i++) {
        make_number(i, number, sizeof(number));
        assert_equals_the_slow_way(number);
        got[double_text(slice_str(number), got)] = '\0';
        if (is_simple(strtod(number, NULL)))
            assert_shortest(got, strtod(number, NULL));
    }
}

/* A page between two that cannot be read: whoever reads beyond a number that lies at its ends crashes. */
static char *page, *page_end;

static int make_page(void **unused)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);

    (void)unused;
    char *pages = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return -1;
    page = pages + size;
    page_end = page + size;
    return mprotect(page, size, PROT_READ | PROT_WRITE);
}

static int drop_page(void **unused)
{
    (void)unused;
    return munmap(page - (page_end - page), 3 * (size_t)(page_end - page));
}

static void assert_tells_same(const char *number)
{
    char text[DOUBLE_TEXT_SIZE], *last = page_end - strlen(number);
    size_t n = strlen(number);

    memcpy(page, number, n);
    memcpy(last, number, n);
    bool want = slice_eq(slice_of(text, double_text(slice_of(last, n), text)), slice_of(number, n));
    if (double_text_is_same(slice_of(page, n)) != want || double_text_is_same(slice_of(last, n)) != want)
        fail_msg("%s: %s, not %.*s", number, want ? "is not the same" : "is the same",
                 (int)double_text(slice_of(page, n), text), text);
}

static double make_value(unsigned kind)
{
    uint64_t bits = next_number();
    double d, whole = (double)(bits >> 11), part = whole * 0x1p-53;
    float single;

    switch (kind % 10) {
    case 0:
        memcpy(&d, &bits, sizeof(d));
        return isfinite(d) ? d : 0.5;
    case 1:
        return exp(log(1e-3) + part * log(1e10));
    case 2:
        return exp(log(1e-9) + part * log(1e27));
    case 3:
        return part * 100;
    case 4: /* many of these lie in the middle between two decimals */
        single = (float)(part * 1000);
        return (double)single;
    case 5:
        return ldexp(1 + ((double)(bits % 9) - 4) * 0x1p-52, (int)(bits >> 20 & 127) - 100);
    case 6:
        return (bits & 16 ? 1e-3 : 1e7) * (1 + ((double)(bits % 9) - 4) * 0x1p-52);
    case 7:
        return floor(part * 1e6) / pow(10, (double)(bits % 9));
    case 8:
        return 0x1p53 + ldexp(floor(ldexp(part, 20)), (int)(bits % 32)) - 0x1p48;
    default:
        return whole;
    }
}

/* The text, and what it is without its last digit, with another one and with one more. */
static void assert_tells_same_around(const char *text)
{
    size_t n = strcspn(text, "eE");
    char other[512], digit = (char)('0' + next_number() % 10);
    const char *rest = text + n;

    assert_equals_the_slow_way(text);
    assert_tells_same(text);
    if (!memchr(text, '.', n))
        return;
    snprintf(other, sizeof(other), "%.*s%c%s", (int)n, text, digit, rest);
    assert_tells_same(other);
    snprintf(other, sizeof(other), "%.*s%c%s", (int)n - 1, text, digit, rest);
    assert_tells_same(other);
    other[text[0] == '-'] = (char)('1' + next_number() % 9);
    assert_tells_same(other);
    if (text[n - 2] != '.') {
        snprintf(other, sizeof(other), "%.*s%s", (int)n - 1, text, rest);
        assert_tells_same(other);
    }
}

static void test_tells_same(void **unused)
{
    char text[512], printed[DOUBLE_TEXT_SIZE + 1];

    (void)unused;
    for (unsigned i = 0; i < 60000; i++) {
        double value = make_value(i);
        snprintf(text, sizeof(text), "%s%.*g", i % 4 ? "" : "-", 15 + (int)(next_number() % 3), fabs(value));
        if (!strpbrk(text, ".e"))
            snprintf(text + strlen(text), 3, ".0");
        assert_tells_same_around(text);
        printed[double_text(slice_str(text), printed)] = '\0';
        if (!strchr(printed, 'y'))
            assert_tells_same_around(printed);
        make_number(i, text, sizeof(text));
        assert_tells_same_around(text);
        snprintf(text, sizeof(text), "%.*f", 1 + (int)(next_number() % 24), fmod(value, 1e8));
        assert_tells_same_around(text);
    }
}

/* There the distances to the next doubles differ. */
static void test_powers_of_two(void **unused)
{
    char number[64];

    (void)unused;
    for (int power = -1074; power < 1024; power++) {
        for (int precision = 12; precision < 18; precision++) {
            snprintf(number, sizeof(number), "%.*e", precision, ldexp(1.0, power));
            assert_equals_the_slow_way(number);
        }
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
        { "2.2250738585072012e-308", "4.9E-324" }, /* one spelling of one number */
        { "2.2250738585072012E-308", "2.2250738585072014E-308" },
        { "-2.2250738585072012e-308", "-2.2250738585072014E-308" },
        { "4.9e-324", "4.9E-324" },
        { "5.960464477539063e-8", "5.9604644775390625E-8" },  /* a power of two */
        { "4.81482486096809e-35", "4.8148248609680896E-35" }, /* another, read from fewer digits */
        { "3.9827297778311307e-59", "3.9827297778311307E-59" },
        { "1.7976931348623157e308", "1.7976931348623157E308" },
        { "9007199254740993.0", "9.007199254740992E15" },
        { "0.00000000000000000000000000000000000000000000000001", "1.0E-50" },
        { "100000000000000000000000000000000000000000000000000.0", "1.0E50" },
        { "9999999.9999999999", "1.0E7" },
        { "9999999.999999998", "9999999.999999998" },
        { "0.00099999999999999999", "0.001" },
        { "0.0010000000000000002", "0.0010000000000000002" },
        { "1.0000076293945312", "1.0000076293945312" }, /* in the middle between two decimals */
        { "1.0000076293945313", "1.0000076293945312" },
        { "4503599627370497.5", "4.503599627370498E15" },
        { "9007199254740991.0", "9.007199254740991E15" },
        { "1.5e-00000000000001", "0.15" },
        { "1E00000000000000005", "100000.0" },
    };
    char got[DOUBLE_TEXT_SIZE + 1];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        got[double_text(slice_str(rows[i].number), got)] = '\0';
        assert_string_equal(got, rows[i].text);
        assert_int_equal(double_text_is_same(slice_str(rows[i].number)),
                         strcmp(rows[i].number, rows[i].text) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_slow_way),
        cmocka_unit_test(test_powers_of_two),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test_setup_teardown(test_tells_same, make_page, drop_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
