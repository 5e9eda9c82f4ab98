/*
 * store: the type database behind a vtable.  Backends know nothing of KIDL or of rules; they keep records and
 * commit change sets atomically.
 *
 * Threads: all but store_close() from any thread; a backend puts commits and lease calls one after the other
 * itself, so the lease thread may renew at any time.  store_read_text() does not wait for a commit (but in
 * memory it does).  store_load() is for the start; its callbacks must not call the store.  All may block.
 *
 * Writer lease: one process may write.  store_lease_take() gives a fencing token that grows with every change
 * of hands; every commit names it and fails with -ERR_FENCED, without any effect, if the database knows
 * another one.  A lease that is past its time is still the holder's until somebody takes it; giving it up
 * makes its token invalid at once.
 *
 * A store that cannot be written to (opened so, or the account or file does not allow it) answers lease_take
 * and commit with -ERR_READ_ONLY and the reason.
 */
#ifndef TWS_STORE_STORE_H
#define TWS_STORE_STORE_H

#include <stdatomic.h>

#include "shared/base/config.h"
#include "shared/base/digest.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"
#include "tws/store/records.h"

struct store;

/*
 * What store_load() hands out, in this order of kinds; a callback that fails ends the load.  Within a kind,
 * infos and specs come by module and version; requests as stated; the others in any order.  Slices last until
 * the callback returns.
 */
struct store_sink {
    void *ctx;
    int (*pointers)(void *ctx, const struct rec_pointers *rec, struct err *err);
    int (*owner)(void *ctx, const struct rec_owner *rec, struct err *err);
    int (*request)(void *ctx, const struct rec_owner *rec, struct err *err); /* in order of insertion */
    int (*info)(void *ctx, const struct rec_info *rec, struct err *err);
    int (*spec)(void *ctx, const struct rec_spec *rec, struct err *err);  /* without text */
    int (*schema)(void *ctx, const struct rec_row *rec, struct err *err); /* rows without text */
    int (*type_parse)(void *ctx, const struct rec_row *rec, struct err *err);
    int (*func_parse)(void *ctx, const struct rec_row *rec, struct err *err);
    int (*type_ref)(void *ctx, const struct rec_edge *rec, struct err *err);
    int (*func_ref)(void *ctx, const struct rec_edge *rec, struct err *err);
    /*
     * A record that cannot be read; it is left out.  what: the collection.  NULL: such records are left out
     * silently (and counted in the status); a backend that cannot go on without the record fails instead.
     */
    int (*damage)(void *ctx, struct slice module, const char *what);
};

enum text_kind { TEXT_SPEC, TEXT_SCHEMA, TEXT_TYPE_PARSE, TEXT_FUNC_PARSE };

/* SPEC: module and module_version; others: module, name, version. */
struct text_key {
    enum text_kind kind;
    struct slice module, name;
    struct semver version;
    int64_t module_version;
};

struct lease_holder {
    char node[RANDOM_ID_HEX + 1];
    char host[256];
    int64_t pid;
    int64_t age_ms; /* since the last renewal, as the database sees it */
};

/* A look for damage that only the backend can see: indexes, kinds of numbers, leftovers of its own. */
struct store_check {
    void *ctx;
    int64_t fence; /* 0: only look; else mend under this token what can be mended */
    /* module "": of none; kind: a word like missing_index; mendable, or mended already */
    void (*found)(void *ctx, const char *kind, struct slice module, const char *what, bool mendable,
                  bool mended);
};

struct store_ops {
    const char *name;    /* "sqlite", "mongodb" */
    const char *version; /* of the database, for people; NULL: not known */
    void (*close)(struct store *store);
    int (*cluster_id)(struct store *store, char ret_id[RANDOM_ID_HEX + 1], struct err *err);
    int (*load)(struct store *store, const struct store_sink *sink, struct err *err);
    /* 1: found, appended to ret_text; 0: no such record; -ERR_STORE */
    int (*read_text)(struct store *store, const struct text_key *key, struct sbuf *ret_text, struct err *err);
    /*
     * All or nothing: 0; -ERR_CONFLICT (an expectation failed, or a key is there already); -ERR_FENCED;
     * -ERR_STORE.  After -ERR_STORE from the very end of a commit a restart may find it done.
     */
    int (*commit)(struct store *store, const struct change_set *set, int64_t fence, struct err *err);
    /* -ERR_BUSY with the holder (text too) when somebody else has it; me->node names the taker */
    int (*lease_take)(struct store *store, const struct lease_holder *me, int64_t ttl_ms, int64_t *ret_fence,
                      struct lease_holder *ret_holder, struct err *err);
    /* -ERR_FENCED when somebody else has it by now */
    int (*lease_renew)(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err);
    int (*lease_give_up)(struct store *store, int64_t fence, struct err *err);
    /* NULL: nothing to look for; -ERR_STORE, -ERR_FENCED */
    int (*check)(struct store *store, const struct store_check *check, struct err *err);
    /* appends `,"key":value` members for /status */
    void (*status)(struct store *store, struct sbuf *json);
};

struct store { /* first member of every backend's struct */
    const struct store_ops *ops;
    /* Set by opening and constant from then on: the account may not write, or it was asked for.  Commits and
     * the lease fail with -ERR_READ_ONLY. */
    bool read_only;
    char *read_only_reason;
    /* A commit that failed with -ERR_STORE has been done after all, so what was loaded is out of date;
     * commits fail with -ERR_STORE until store_load() has read it again. */
    atomic_bool outdated;
};

enum store_access {
    STORE_WRITE, /* made if it is missing; turns into STORE_READ where writing is not allowed */
    STORE_READ,  /* nothing is written, and nobody else may write meanwhile */
    STORE_LOOK,  /* nothing is written, others may write: each load is one consistent state */
};

/* Opens what the config names, for reading if it says read-only. -ERR_BUSY: somebody else has it, who is in
 * the text. */
int store_open(const struct config *config, struct store **ret_store, struct err *err) MUST_USE;
int store_open_as(const struct config *config, enum store_access access, struct store **ret_store,
                  struct err *err) MUST_USE;
/* path NULL: in memory, for tests. A second process gets -ERR_BUSY naming the file and the holder's pid. */
int store_sqlite_open(const char *path, struct store **ret_store, struct err *err) MUST_USE;
int store_sqlite_open_as(const char *path, enum store_access access, struct store **ret_store,
                         struct err *err) MUST_USE;

/*
 * For tests of two processes: a handle without the lock on the file, which makes it wait for another holder's
 * lease to run out, as it would with a server in between.
 */
int store_sqlite_open_unlocked(const char *path, struct store **ret_store, struct err *err) MUST_USE;

struct store_mongo_options {
    const char *host;            /* host[:port], a comma list of them, or a mongodb:// URI */
    const char *database;        /* the type database */
    const char *user, *password; /* NULL: none */
    bool retry_writes;
    enum store_access access;
    int64_t server_selection_us, connect_us, socket_us;
    int64_t start_us; /* how long to try while the server is away */
};

int store_mongo_open(const struct store_mongo_options *options, struct store **ret_store, struct err *err)
    MUST_USE;

/* Thin wrappers that check arguments. */
void store_close(struct store *store);
int store_cluster_id(struct store *store, char ret_id[RANDOM_ID_HEX + 1], struct err *err) MUST_USE;
int store_load(struct store *store, const struct store_sink *sink, struct err *err) MUST_USE;
int store_read_text(struct store *store, const struct text_key *key, struct sbuf *ret_text, struct err *err)
    MUST_USE;
int store_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err) MUST_USE;
int store_lease_take(struct store *store, const struct lease_holder *me, int64_t ttl_ms, int64_t *ret_fence,
                     struct lease_holder *ret_holder, struct err *err) MUST_USE;
int store_lease_renew(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err) MUST_USE;
int store_lease_give_up(struct store *store, int64_t fence, struct err *err);
int store_check(struct store *store, const struct store_check *check, struct err *err) MUST_USE;
void store_status(struct store *store, struct sbuf *json);

DEFINE_AUTO(struct store, store_close);

#endif
