#include "shared/base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int rpc;
    const char *name;
} codes[] = { [ERR_NONE] = { 0, "ok" },
#define ERR_ROW(code, rpc, name, doc) [code] = { rpc, name },
              ERR_LIST(ERR_ROW)
#undef ERR_ROW
};

static char *PRINTF(2, 0) format(size_t *ret_len, const char *fmt, va_list args)
{
    char *text = NULL;
    int n = vasprintf(&text, fmt, args);

    if (n < 0)
        abort();
    *ret_len = (size_t)n;
    return text;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list args;

    if (err && !err->text) {
        va_start(args, fmt);
        err->text = format(&err->len, fmt, args);
        va_end(args);
        err->code = code;
    }
    return -(int)code;
}

int err_set_text(struct err *err, enum err_code code, struct slice text)
{
    if (err && !err->text) {
        err->code = code;
        err->text = xmemdup(text.p, text.n);
        err->len = text.n;
    }
    return -(int)code;
}

void err_prefix(struct err *err, const char *fmt, ...)
{
    va_list args;
    size_t n;

    if (!err || !err->text)
        return;
    va_start(args, fmt);
    char *joined = format(&n, fmt, args);
    va_end(args);
    joined = xrealloc(joined, n + err->len + 1);
    memcpy(joined + n, err->text, err->len + 1);
    free(err->text);
    err->text = joined;
    err->len += n;
}

int err_move(struct err *err, struct err *from)
{
    int code = (int)from->code;

    if (err && !err->text) {
        *err = *from;
        *from = (struct err)ERR_INIT;
    } else {
        err_clear(from);
    }
    return -code;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    free(err->text);
    *err = (struct err)ERR_INIT;
}

const char *err_text(const struct err *err)
{
    return err && err->text ? err->text : "";
}

int err_rpc_code(enum err_code code)
{
    return codes[code].rpc;
}

const char *err_name(enum err_code code)
{
    return codes[code].name;
}
