/*
 * err: what went wrong, as a code from one list and a text for people.
 *
 * Functions that can fail return 0 or -ERR_x and take `struct err *err` last (NULL is accepted).  The
 * first error stays: later err_set() calls on the same struct change nothing.  Lower layers report, they
 * do not log.  A text may hold any bytes, also NUL (names come from clients), hence the length.
 * Not thread safe: one err belongs to one thread at a time.
 */
#ifndef SHARED_BASE_ERR_H
#define SHARED_BASE_ERR_H

#include "shared/base/base.h"

/*
 * Code, JSON-RPC code on the wire, name in logs and metrics, what it means.
 * Upstream answers HTTP 500 to every error, so there is no column for a status.
 */
#define ERR_LIST(X) \
    X(ERR_PARSE, -32700, "parse", "the request is not the JSON it should be") \
    X(ERR_TOO_BIG, -32700, "too_big", "the request is larger than allowed") \
    X(ERR_GET, -32300, "get", "GET is not allowed") \
    X(ERR_METHOD, -32601, "method", "no such method, or none named") \
    X(ERR_PARAMS, -32602, "params", "wrong number or type of parameters") \
    X(ERR_AUTH, -32400, "auth", "token missing or refused") \
    X(ERR_UNEXPECTED, -32400, "unexpected", "an error outside of the method") \
    X(ERR_NOT_STARTED, -32603, "not_started", "the service cannot answer yet, or any more") \
    X(ERR_ARGUMENT, -32500, "argument", "an argument's value is refused") \
    X(ERR_NO_MODULE, -32500, "no_module", "module missing, unsupported or without a spec") \
    X(ERR_NO_TYPE, -32500, "no_type", "type missing or not released") \
    X(ERR_NO_FUNC, -32500, "no_func", "function missing or not released") \
    X(ERR_PRIVILEGE, -32500, "privilege", "the user may not do this") \
    X(ERR_SPEC, -32500, "spec", "the spec does not compile or does not fit the module") \
    X(ERR_STORE, -32500, "store", "a record is missing or the type database failed") \
    X(ERR_BUSY, -32500, "busy", "waited too long for another change, or too much is waiting") \
    X(ERR_FENCED, -32500, "fenced", "this process may not write to the type database (any more)") \
    X(ERR_READ_ONLY, -32500, "read_only", "the type database is open for reading only") \
    X(ERR_LOOP, -32500, "delegation_loop", "delegation runs in a circle") \
    X(ERR_TARGET, -32500, "target", "the delegation target did not answer properly") \
    X(ERR_REMOTE, -32500, "remote", "another server did not answer properly") \
    X(ERR_TIMEOUT, -32500, "timeout", "a deadline passed") \
    X(ERR_LIMIT, -32500, "limit", "larger, deeper or more than allowed") \
    X(ERR_IO, -32500, "io", "a file or socket operation failed") \
    X(ERR_CONFIG, -32500, "config", "the configuration is wrong") \
    /* never leave the process: */ \
    X(ERR_CONFLICT, -32500, "conflict", "what planning read has changed; plan again") \
    X(ERR_AGAIN, -32500, "again", "would have to wait, and the caller may not")

enum err_code {
    ERR_NONE,
#define ERR_ENUM(code, rpc, name, doc) code,
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT,
};

struct err {
    enum err_code code;
    size_t len;
    char *text; /* NULL while there is no error; NUL behind it */
};

#define ERR_INIT \
    { \
        ERR_NONE, 0, NULL \
    }

/* All return -code, so that `return err_set(...)` works. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF(3, 4);
/* Borrows the text, which may contain NUL. */
int err_set_text(struct err *err, enum err_code code, struct slice text);
/* Puts text in front of the message that is there; nothing happens without an error. */
void err_prefix(struct err *err, const char *fmt, ...) PRINTF(2, 3);
/* Moves an error; *from is empty afterwards. Returns -code. */
int err_move(struct err *err, struct err *from);
/* Forgets the error, so that the struct can be used again. */
void err_clear(struct err *err);

static inline void err_clear_auto(struct err *err)
{
    err_clear(err);
}

#define AUTO_ERR(name) AUTO(err_clear_auto) struct err name = ERR_INIT

/* "" when there is none; cut at the first NUL, so for logs only. */
const char *err_text(const struct err *err);
int err_rpc_code(enum err_code code);
const char *err_name(enum err_code code);

#endif
