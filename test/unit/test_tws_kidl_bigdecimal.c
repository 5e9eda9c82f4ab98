/* Numbers of @range: texts, messages, order and rounding, as java.math.BigDecimal has them. */
#include "t.h"

#include "tws/kidl/bigdecimal.h"

static const struct {
    const char *in;
    const char *text;
    const char *up; /* rounded to an integer, NULL: too long */
    const char *down;
} numbers[] = {
    { "0", "0", "0", "0" },
    { "-0", "0", "0", "0" },
    { "+5", "5", "5", "5" },
    { "00012", "12", "12", "12" },
    { "1.", "1", "1", "1" },
    { ".5", "0.5", "1", "0" },
    { "-.5", "-0.5", "0", "-1" },
    { "1.50", "1.50", "2", "1" },
    { "-1.50", "-1.50", "-1", "-2" },
    { "1.00", "1.00", "1", "1" },
    { "99.5", "99.5", "100", "99" },
    { "-99.5", "-99.5", "-99", "-100" },
    { "0.000001", "0.000001", "1", "0" },
    { "0.0000001", "1E-7", "1", "0" },
    { "0.00000012", "1.2E-7", "1", "0" },
    { "123E5", "1.23E+7", "12300000", "12300000" },
    { "123E-5", "0.00123", "1", "0" },
    { "1234e-2", "12.34", "13", "12" },
    { "1200e-2", "12.00", "12", "12" },
    { "0e5", "0E+5", "0", "0" },
    { "0e-5", "0.00000", "0", "0" },
    { "0e-6", "0.000000", "0", "0" },
    { "0e-7", "0E-7", "0", "0" },
    { "0e2000000000", "0E+2000000000", "0", "0" },
    { "1e2147483647", "1E+2147483647", NULL, NULL },
    { "-7e-2147483647", "-7E-2147483647", "0", "-1" },
    { "1e+0000000000000000000002", "1E+2", "100", "100" },
    { "123456789012345678901234567890", "123456789012345678901234567890", "123456789012345678901234567890",
      "123456789012345678901234567890" },
    { "\xd9\xa1\xd9\xa2.\xd9\xa3", "12.3", "13", "12" }, /* Arabic digits */
    { "1e\xd9\xa1", "1E+1", "10", "10" },
};

#define BAD_UNIT " is neither a decimal digit number, decimal point, nor \"e\" notation exponential mark."
#define NO_MARK "Character array is missing \"e\" notation exponential mark."

static const struct {
    const char *in;
    const char *message;
} errors[] = {
    { "", "null" },
    { "x", "Character x" BAD_UNIT },
    { "--1", "Character -" BAD_UNIT },
    { "1 2", "Character  " BAD_UNIT },
    { "12345678901234567x", "Character x" BAD_UNIT },
    { "+12345678901234567x", "Character x" BAD_UNIT },
    { "123456789012345678x", NO_MARK },
    { "\xf0\x9f\x90\x88", "Character \xed\xa0\xbd" BAD_UNIT },
    { "1..2", "Character array contains more than one decimal point." },
    { ".", "No digits found." },
    { "+", "No digits found." },
    { "e5", "No digits found." },
    { ".e5", "No digits found." },
    { "ex", "Not a digit." },
    { "1e", "null" },
    { "1e-", "null" },
    { "1ex", "Not a digit." },
    { "1e+-5", "Not a digit." },
    { "1e5.", "Not a digit." },
    { "1ex2345678901", "Too many nonzero exponent digits." },
    { "1e12345678901", "Too many nonzero exponent digits." },
    { "1e00000000000012345678901", "Too many nonzero exponent digits." },
    { "1e2147483648", "Exponent overflow." },
    { "1e-2147483649", "Exponent overflow." },
    { "1e-2147483648", "Scale out of range." },
    { "1.1e-2147483647", "Scale out of range." },
};

static void expect_rounded(const struct bigdecimal *v, bool up, const char *want, const char *in)
{
    AUTO_ARENA(arena);
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    struct bigdecimal rounded;

    if (!bigdecimal_round(v, up, &arena, &rounded)) {
        if (want)
            fail_msg("%s cannot be rounded", in);
        return;
    }
    bigdecimal_put(&rounded, &text);
    if (!want || strcmp(text.p, want) != 0)
        fail_msg("%s rounded %s: %s", in, up ? "up" : "down", text.p);
}

static void test_texts(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        AUTO_ARENA(arena);
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        AUTO_SBUF(message, SBUF_NO_LIMIT);
        struct bigdecimal v;
        if (!bigdecimal_parse(slice_str(numbers[i].in), &arena, &v, &message))
            fail_msg("%s: %s", numbers[i].in, message.p);
        bigdecimal_put(&v, &text);
        assert_string_equal(text.p, numbers[i].text);
        expect_rounded(&v, true, numbers[i].up, numbers[i].in);
        expect_rounded(&v, false, numbers[i].down, numbers[i].in);
    }
}

static void test_errors(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        AUTO_ARENA(arena);
        AUTO_SBUF(message, SBUF_NO_LIMIT);
        struct bigdecimal v;
        if (bigdecimal_parse(slice_str(errors[i].in), &arena, &v, &message))
            fail_msg("%s was read", errors[i].in);
        assert_string_equal(message.p, errors[i].message);
    }
}

/* In rising order; equal ones between bars. */
static void test_order(void **state UNUSED)
{
    static const char *const rows[][3] = {
        { "-1e2000000000", "-10e1999999999", NULL },
        { "-100.5", NULL, NULL },
        { "-100", "-1e2", NULL },
        { "-1e-2000000000", NULL, NULL },
        { "0", "-0.000", "0e77" },
        { "1e-2000000000", NULL, NULL },
        { "1.1", "1.100", "11e-1" },
        { "1.2", NULL, NULL },
        { "99", "9.9e1", NULL },
        { "100", "1E2", "100.00" },
        { "100.5", NULL, NULL },
        { "1e2000000000", NULL, NULL },
    };
    AUTO_ARENA(arena);
    AUTO_SBUF(message, SBUF_NO_LIMIT);
    struct bigdecimal values[3 * ARRAY_LEN(rows)];
    size_t row_of[3 * ARRAY_LEN(rows)], count = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < 3 && rows[i][k]; k++) {
            assert_true(bigdecimal_parse(slice_str(rows[i][k]), &arena, &values[count], &message));
            row_of[count++] = i;
        }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            int want = row_of[i] < row_of[k] ? -1 : row_of[i] > row_of[k];
            assert_int_equal(bigdecimal_compare(&values[i], &values[k]), want);
        }
}

/* Java can print what it cannot read. */
static void test_readable(void **state UNUSED)
{
    static const struct {
        const char *in;
        bool readable;
    } rows[] = {
        { "9e2147483647", true },    { "12e2147483647", false },  { "-12e2147483647", false },
        { "0e2147483647", true },    { "12e2147483646", true },   { "1.2e2147483647", true },
        { "9e-2147483647", true },   { "12e-2147483647", true },  { "0.1e-2147483646", true },
        { "123e2147483646", false }, { "0012e2147483646", true }, { "1", true },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA(arena);
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        AUTO_SBUF(message, SBUF_NO_LIMIT);
        struct bigdecimal v, again;
        assert_true(bigdecimal_parse(slice_str(rows[i].in), &arena, &v, &message));
        if (bigdecimal_is_readable(&v) != rows[i].readable)
            fail_msg("%s", rows[i].in);
        bigdecimal_put(&v, &text);
        assert_int_equal(bigdecimal_parse(sbuf_slice(&text), &arena, &again, &message), rows[i].readable);
        if (!rows[i].readable)
            assert_slice(sbuf_slice(&message), "Exponent overflow.");
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_readable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
