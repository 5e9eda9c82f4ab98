/*
 * identity: what a delegation target says about itself (TypeService.describe), and whether a DWS may delegate
 * to it.
 *
 * Plain values and pure functions, any thread.
 */
#ifndef DWS_IDENTITY_H
#define DWS_IDENTITY_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"
#include "shared/net/hops.h"

enum identity_kind {
    IDENTITY_UNKNOWN,
    IDENTITY_TWS,
    IDENTITY_DWS,
    IDENTITY_OTHER, /* does not know TypeService.describe: upstream's service, perhaps */
};

struct identity {
    enum identity_kind kind;
    char node[HOPS_ID_LEN + 1];    /* "" for OTHER */
    char cluster[HOPS_ID_LEN + 1]; /* "" while it is not known */
    char version[32];
    int protocol;
    bool read_only;
    int hops;          /* DWS that a call passes from there on, it included: 0 for a TWS */
    bool complete;     /* the chain ends at a TWS */
    struct hops chain; /* nodes behind it; only count and nodes are used */
};

enum identity_verdict {
    VERDICT_OK,
    VERDICT_WAIT,    /* it may become right: nothing answers yet, or it has not found its own target */
    VERDICT_REFUSED, /* wrong whatever is waited for */
};

/* What an answer to TypeService.describe or to a probe is. */
enum identity_answer {
    ANSWER_FINE,
    ANSWER_NOT_KNOWN, /* JSON-RPC, but not what was asked for */
    ANSWER_NOT_UP,    /* the service says that it cannot answer (yet), or something in between does */
    ANSWER_LOOP,      /* refused by a DWS because the question was delegated before */
};

/* Reads an answer to TypeService.describe; ret_problem gets a text for all but ANSWER_FINE. */
enum identity_answer identity_read(int status, struct slice body, struct identity *ret_identity,
                                   struct sbuf *ret_problem);
/* Looks at an answer to a probe: ANSWER_FINE means just that JSON-RPC is spoken there. */
enum identity_answer identity_read_probe(int status, struct slice body, struct sbuf *ret_problem);

/* Whether `node` may delegate to it; reason gets a text for all but VERDICT_OK. */
enum identity_verdict identity_judge(const struct identity *identity, const char *node, int max_hops,
                                     struct sbuf *reason);

const char *identity_kind_name(enum identity_kind kind);

#endif
