/*
 * copy: register_typespec_copy: reads a module from another workspace server and registers its spec here.
 *
 * Nothing waits while the other server is asked: each question goes through the HTTP client, and what comes
 * back is worked on by threads of their own, so that copies occupy neither event threads nor the service's
 * workers.
 *
 * What may be asked where: http and https only; https unless the host is in typespec-copy-hosts; addresses
 * that are not public only for those hosts; the caller's token goes to those hosts and to no other; redirects
 * are not followed; size and time of every answer and the number of answers are bounded.  Ownership of the
 * module here is checked before anything is sent.
 *
 * Threads: copy_run() on a worker; copies_drain() from any thread.
 */
#ifndef TWS_COPY_H
#define TWS_COPY_H

#include "shared/base/config.h"
#include "shared/rpc/call.h"

struct copies;

struct copies *copies_new(const struct config *config, struct err *err) MUST_USE;
/* Ends the calls that wait for another server with an error; later ones fail at once. */
void copies_drain(struct copies *copies);
/* No call may run and no answer come any more: after the service is gone. */
void copies_free(struct copies *copies);

/* The method. */
int copy_run(struct call *call, struct sbuf *ret_result, struct err *err) MUST_USE;

/* ---- for tests ---- */

/* Where a URL leads. */
struct copy_place {
    bool https;
    struct slice host; /* lower case, without brackets; in the arena */
    int port;
};

/*
 * -ERR_ARGUMENT: `no protocol: <url>`, `unknown protocol: <p>`, as java.net.URL has them, and texts for what
 * only http URLs of the plain form `http[s]://host[:port][/...]` pass: no user, no blanks, no characters that
 * servers read differently.
 */
int copy_place_read(struct slice url, struct arena *arena, struct copy_place *ret_place, struct err *err)
    MUST_USE;
/* True if the list has `host` or `host:port` of that place. */
bool copy_place_listed(const struct copy_place *place, const struct config_list *hosts);

/* What is read from an answer of get_module_info; all in the arena. */
struct copy_include {
    struct slice module;
    int64_t version;
};

struct copy_module {
    struct slice spec, md5;
    size_t type_count, include_count;
    struct slice *types; /* names */
    struct copy_include *includes;
};

/* An HTTP answer as a module, or -ERR_REMOTE with what the other server says, or what is wrong with its
 * answer. */
int copy_answer_read(int status, struct slice body, struct arena *arena, struct copy_module *ret_module,
                     struct err *err) MUST_USE;

DEFINE_AUTO(struct copies, copies_free);

#endif
