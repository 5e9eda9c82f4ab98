/*
 * method: what the dispatcher knows of a method, and finding one by its name.
 *
 * A mode makes its table from the lists in type_methods.h and its own functions, e.g.
 *
 *     #define ROW(n, auth, flags, sig, result, doc) \
 *         METHOD_ROW("Workspace", n, auth, flags, sig, result, run_##n, doc)
 *     static const struct method rows[] = { TYPE_METHODS(ROW) };
 *
 * Tables are constant; any thread.
 */
#ifndef SHARED_RPC_METHOD_H
#define SHARED_RPC_METHOD_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"
#include "shared/rpc/envelope.h"
#include "shared/rpc/params.h"

struct call;

/* Whether a token is looked at: never (any is ignored), if there is one, must be there. */
enum auth_need { AUTH_NONE, AUTH_OPTIONAL, AUTH_REQUIRED };

enum method_flags {
    METHOD_WRITE = 1 << 0,      /* changes something: always runs on a worker */
    METHOD_LOCAL = 1 << 1,      /* a DWS answers it itself */
    METHOD_NO_TOKEN = 1 << 2,   /* a DWS never forwards the token */
    METHOD_NEEDS_ROLE = 1 << 3, /* the caller's admin role is looked up before run() */
    METHOD_ANY_USER = 1 << 4,   /* the user's name is not looked at, so an illegal one is no error */
};

struct method {
    const char *name; /* in full: `Workspace.get_type_info` */
    enum auth_need auth;
    unsigned flags;
    const struct param_spec *params;
    size_t param_count;
    enum result_kind result;
    /*
     * Appends the JSON of the value to *ret_result (nothing: `[null]`, or null for RESULT_VOID).  Returns 0;
     * -ERR_x; -ERR_AGAIN, only when call->may_block is false: it would have to block, the dispatcher runs it
     * again on a worker; or CALL_LATER: it will call call_finish() exactly once, and *ret_result is not
     * looked at.
     */
    int (*run)(struct call *call, struct sbuf *ret_result, struct err *err);
    const char *doc;
};

#define METHOD_ROW(space, n, need, f, sig, kind, fn, text) \
    { .name = space "." #n, \
      .auth = (need), \
      .flags = (f), \
      .params = param_spec_##sig, \
      .param_count = PARAM_COUNT_##sig, \
      .result = (kind), \
      .run = (fn), \
      .doc = (text) },

/* rows: in ascending order of their names. */
struct method_table {
    const struct method *rows;
    size_t count;
};

/* NULL if there is none of that name. */
const struct method *method_find(const struct method_table *table, struct slice full_name);
/* `Can not find method [<name>] in server class us.kbase.workspace.WorkspaceServer`; returns -ERR_METHOD. */
int method_set_unknown(struct err *err, struct slice full_name);
/* True if the rows are in order, complete and of different names; for a check at start. */
bool method_table_valid(const struct method_table *table);

#endif
