#include "tws/kidl/diag.h"

int diag_join(struct err *err, const struct slice *pieces, size_t count)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < count; i++)
        sbuf_add_slice(&text, pieces[i]);
    return err_set_text(err, ERR_SPEC, sbuf_slice(&text));
}

int diag_place(struct err *err, struct place place, int rc)
{
    err_prefix(err, "Error at line %zu, column %zu: ", place.line, place.column);
    return rc;
}

int diag_unexpected(struct err *err, const struct token *token, uint64_t expected, bool twice)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);
    bool several = twice || (expected & (expected - 1));

    sbuf_adds(&out, "Encountered \"");
    if (token->kind == TOKEN_EOF) {
        sbuf_adds(&out, token_name(TOKEN_EOF));
    } else {
        sbuf_addf(&out, " %s \"", token_name(token->kind));
        lexer_put_escaped(&out, token->text);
        sbuf_adds(&out, " \"");
    }
    sbuf_addf(&out, "\" at line %zu, column %zu.\nWas expecting%s:\n    ", token->place.line,
              token->place.column, several ? " one of" : "");
    for (int kind = 0; kind < TOKEN_KINDS; kind++)
        for (int times = expected >> kind & 1 ? 1 + twice : 0; times > 0; times--)
            sbuf_addf(&out, "%s %s\n    ", token_name((enum token_kind)kind), kind == TOKEN_EOF ? "" : "...");
    return err_set_text(err, ERR_SPEC, sbuf_slice(&out));
}

int diag_limit(struct err *err, const char *what, size_t value, const char *limit)
{
    return err_set(err, ERR_LIMIT, "%s than %zu (limit %s)", what, value, limit);
}
