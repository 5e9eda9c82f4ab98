/*
 * hops: the delegation mark, which says through which nodes a forwarded call has come.
 *
 * It travels twice: in the HTTP header `X-Wstyped-Delegation: <cluster>;<node>,<node>` and in the JSON-RPC
 * body as
 * `"context":{"wstyped":{"cluster":"<id>","nodes":["<id>","<id>"]}}`.  Ids are 32 lower-case hex digits.
 * Reading is strict: a mark that is not exactly of that form is an error, because a mark that is taken for
 * none could let a loop run. Plain values, no ownership, any thread.
 */
#ifndef SHARED_NET_HOPS_H
#define SHARED_NET_HOPS_H

#include "shared/base/err.h"
#include "shared/base/json.h"
#include "shared/base/sbuf.h"

#define HOPS_HEADER "X-Wstyped-Delegation"

enum { HOPS_ID_LEN = 32, HOPS_MAX = 64 };

struct hops {
    char cluster[HOPS_ID_LEN + 1];         /* "" while count is 0 */
    size_t count;                          /* 0: not marked */
    char nodes[HOPS_MAX][HOPS_ID_LEN + 1]; /* in the order of passing */
};

#define HOPS_INIT \
    { \
        .count = 0 \
    }

/* True for 32 digits of 0-9a-f. */
bool hops_id_valid(struct slice id);

/* -ERR_PARSE with a text that names the header. Blanks around the ids are not accepted. */
int hops_parse_header(struct slice value, struct hops *ret_hops, struct err *err) MUST_USE;
/* The header's value. Nothing for an unmarked one. */
void hops_put_header(struct sbuf *out, const struct hops *hops);

/* The value of `wstyped` in the context. -ERR_PARSE with a text that names the mark. */
int hops_parse_json(const struct json_val *val, struct hops *ret_hops, struct err *err) MUST_USE;
/* `{"cluster":"...","nodes":[...]}` */
void hops_put_json(struct sbuf *out, const struct hops *hops);

bool hops_contains(const struct hops *hops, const char *node);
/* Appends a node; an unmarked one gets the cluster, too. -ERR_LOOP if it is full. */
int hops_add(struct hops *hops, const char *cluster, const char *node, struct err *err) MUST_USE;
/*
 * Takes over the nodes of `from` that `hops` lacks: header and body of one call should say the same, but a
 * proxy may have dropped or kept either. -ERR_LOOP if that makes too many.
 */
int hops_merge(struct hops *hops, const struct hops *from, struct err *err) MUST_USE;

#endif
