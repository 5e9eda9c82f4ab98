#include "shared/base/utf.h"
#include "tws/kidl/annot.h"
#include "tws/kidl/diag.h"

#define RANGE_ERROR "Error in specifying the valid range of a number, "

static struct slice join(struct words words, struct arena *arena)
{
    AUTO_SBUF(all, SBUF_NO_LIMIT);

    for (size_t i = 0; i < words.count; i++)
        sbuf_add_slice(&all, words.items[i]);
    return utf_trim(arena_slice(arena, sbuf_slice(&all)));
}

/* Takes the brackets off and notes what they mean. Brackets that open outwards exclude. */
static struct slice strip_brackets(struct slice s, struct range_annotation *range)
{
    if (s.n && (s.p[0] == '[' || s.p[0] == '(' || s.p[0] == ']')) {
        range->exclusive_minimum = s.p[0] != '[';
        s = slice_of(s.p + 1, s.n - 1);
    }
    if (s.n && (s.p[s.n - 1] == ']' || s.p[s.n - 1] == ')' || s.p[s.n - 1] == '[')) {
        range->exclusive_maximum = s.p[s.n - 1] != ']';
        s.n--;
    }
    return s;
}

/* A blank piece is no bound. */
static int read_bound(struct annot_reader *r, struct slice piece, struct bigdecimal *ret_bound, bool *ret_has)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    piece = utf_trim(piece);
    if (piece.n == 0)
        return 0;
    if (!bigdecimal_parse(piece, r->arena, ret_bound, &message))
        return DIAG(r->err, SLICE(RANGE_ERROR "invalid minimum value: "), sbuf_slice(&message));
    *ret_has = true;
    return 0;
}

/* Bounds of an int are written out in full, so their length is bounded. */
static int check_length(struct annot_reader *r, const struct bigdecimal *bound, bool has)
{
    AUTO_ARENA(scratch);
    struct bigdecimal rounded;

    if (!has || bigdecimal_round(bound, true, &scratch, &rounded))
        return 0;
    return err_set(r->err, ERR_LIMIT, RANGE_ERROR "a bound of an int has more digits than %d",
                   BIGDECIMAL_MAX_DIGITS);
}

static int read_pieces(struct annot_reader *r, struct slice text, struct range_annotation *range)
{
    /* as Java's split(","): no empty pieces at the end */
    while (text.n && text.p[text.n - 1] == ',')
        text.n--;
    const char *comma = text.n ? memchr(text.p, ',', text.n) : NULL;
    size_t first = comma ? (size_t)(comma - text.p) : text.n;
    int rc = read_bound(r, slice_of(text.p, first), &range->minimum, &range->has_minimum);
    if (rc < 0 || !comma)
        return rc;
    struct slice second = slice_of(comma + 1, text.n - first - 1);
    if (memchr(second.p, ',', second.n))
        return DIAG(r->err, SLICE(RANGE_ERROR "too many commas given"));
    return read_bound(r, second, &range->maximum, &range->has_maximum);
}

int annot_range(struct annot_reader *r, struct words words)
{
    if (words.count == 0)
        return DIAG(r->err, SLICE("range annotation without specifying a range is invalid"));
    struct range_annotation *range = arena_zalloc(r->arena, sizeof(*range));
    int rc = read_pieces(r, strip_brackets(join(words, r->arena), range), range);
    if (rc < 0)
        return rc;
    if (range->has_minimum && range->has_maximum && bigdecimal_compare(&range->minimum, &range->maximum) > 0)
        return DIAG(r->err,
                    SLICE("Error in specifying a valid range, min value was greater than max value."));
    if (r->body->kind == NODE_SCALAR && r->body->scalar == SCALAR_INT) {
        rc = check_length(r, &range->minimum, range->has_minimum);
        if (rc == 0)
            rc = check_length(r, &range->maximum, range->has_maximum);
    }
    r->out->range = range;
    return rc;
}
