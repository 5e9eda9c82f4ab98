#include "dws/validate/job.h"
#include "shared/base/double_print.h"
#include "shared/base/double_text.h"

/* An integer's sign and digits. */
struct integer {
    bool negative;
    struct slice digits;
};

static struct integer integer_of(struct slice text)
{
    bool minus = text.p[0] == '-';
    struct slice digits = slice_of(text.p + minus, text.n - minus);

    return (struct integer){ minus && !slice_is(digits, "0"), digits };
}

/* Exact; JSON integers have no leading zeros. */
static int compare_integers(struct slice a, struct slice b)
{
    struct integer x = integer_of(a), y = integer_of(b);
    int c;

    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    if (x.digits.n != y.digits.n)
        c = x.digits.n < y.digits.n ? -1 : 1;
    else
        c = memcmp(x.digits.p, y.digits.p, x.digits.n);
    return x.negative ? -c : c;
}

static bool fits_64_bits(struct slice number)
{
    enum { SURE = 18 };

    return number.n <= SURE || (compare_integers(number, SLICE("9223372036854775807")) <= 0 &&
                                compare_integers(number, SLICE("-9223372036854775808")) >= 0);
}

static void bound_error(struct check_job *job, bool is_max, const struct bound *bound,
                        const struct sbuf *value, bool integer)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    sbuf_adds(&message, "Number value given (");
    sbuf_add_slice(&message, sbuf_slice(value));
    sbuf_addf(&message, ") was %s than %s value accepted (", is_max ? "more" : "less",
              is_max ? "maximum" : "minimum");
    if (integer)
        sbuf_add_slice(&message, bound->text);
    else
        java_double_text(bound->value, &message);
    sbuf_adds(&message, bound->exclusive ? ", exclusive)" : ", inclusive)");
    job_error(job, is_max ? "V7" : "V6", false, job->depth, &message, " at ");
}

/* Where a value stands in relation to a bound: <0, 0, >0. */
static int compare_bound(const struct bound *bound, bool integer, bool fits, double value,
                         struct slice number)
{
    if (integer && !(fits && bound->fits))
        return compare_integers(number, bound->text);
    return (value > bound->value) - (value < bound->value);
}

void job_check_bounds(struct check_job *job, const struct node *node, bool integer, struct slice number)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    bool fits = integer && fits_64_bits(number);
    double value = 0;

    if (fits)
        value = (double)strtoll(number.p, NULL, 10); /* upstream rounds here */
    else if (!integer)
        value = double_value(number);
    for (int i = 0; i < 2; i++) {
        const struct bound *bound = &node->bounds[i];
        if (!bound->set)
            continue;
        int c = compare_bound(bound, integer, fits, value, number);
        c = i ? -c : c;
        if (c > 0 || (c == 0 && !bound->exclusive))
            continue;
        sbuf_reset(&text);
        if (integer && !fits)
            sbuf_add_slice(&text, number);
        else
            java_double_text(value, &text);
        bound_error(job, i, bound, &text, integer);
    }
}
