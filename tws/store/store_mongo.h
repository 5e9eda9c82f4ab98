/*
 * store_mongo: what the parts of the MongoDB backend share.  Private: nobody but store_mongo*.c includes
 * this.
 *
 * Parts: store_mongo.c (opening, vtable), _call.c (one call to the server), _docs.c (records and documents,
 * loading, texts), _plan.c (a change set as steps), _commit.c (transactions), _log.c (redo log), _lease.c
 * (the lease), _check.c (looking for damage).
 *
 * The ten collections of upstream's hold upstream's documents and nothing else.  Own data is in three more:
 *
 *   wstyped_meta     {_id: "database", cluster_id, schema_version}
 *   wstyped_lease    {_id: "writer", token, node, host, pid, renewed, expires, session, seq, attempt,
 * inherited, pending} wstyped_intents  redo logs: {_id: {attempt, n}, kind, collection, puts | docs}
 *
 * The lease document is the one thing that decides.  `token` grows with every change of hands, all times in
 * it are the server's, and every commit changes it on condition that the token is ours: `seq` counts commits,
 * `attempt` is the id of the last commit of this holder and `inherited` that of the holder before, so that a
 * commit whose answer was lost can be looked up afterwards.
 *
 * Replica set or mongos: a commit is one transaction over all of it.  A take-over writes the lease document
 * and so conflicts with any transaction in flight; the taker ends the session of the former holder first,
 * since the transaction of a stopped process would keep the document locked until the server gives it up.
 *
 * Stand-alone server: no transactions, so a commit is
 *
 *   1. the redo log of everything to be written, into wstyped_intents; nobody looks at it yet;
 *   2. the commit point: one atomic update of the lease document, {token: ours, seq: as known, pending: null}
 * -> {seq + 1, attempt, pending: {attempt, parts}};
 *   3. the writes themselves, rows and edges first, pointers late: documents go from the log into their
 * collection inside the server (aggregate with $merge on _id), updates are conditional on the state before or
 * after, deletions name the _id of what was there;
 *   4. pending: null, then the log is deleted.
 *
 * Recovery runs in lease_take under the new token: what `pending` names is done again (3, 4), all other logs
 * are deleted.
 *
 * What a holder can still do that was stopped anywhere in this and wakes up after a take-over: its commit
 * point fails by the token.  If it had passed the commit point, the new holder has done the rest and deleted
 * the log before it serves: the late $merge finds no documents, the late update finds neither the state
 * before nor the one after unless nothing has changed since, the late deletion finds nothing of that _id.
 * What is left: a $merge that the server itself has begun, read the log for, and then delays until the new
 * holder has recovered, served, and replaced one of the very documents (only owners and the released flag are
 * ever replaced).  That takes a pause inside one operation of the server while it goes on serving others;
 * nothing in the protocol excludes it, a replica set does.
 *
 * Loading sees one state of the database where the server can hold one (MongoDB 5.0 and newer, not
 * stand-alone).  On a stand-alone server a process that only looks while another one writes may see a commit
 * half written out: rows without the version that they belong to, never a version without its rows.
 *
 * Threads: calls that write are made with write_lock held, over `writer`; readers pop their own client.
 */
#ifndef TWS_STORE_STORE_MONGO_H
#define TWS_STORE_STORE_MONGO_H

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tws/store/store.h"

#define MONGO_META "wstyped_meta"
#define MONGO_LEASE "wstyped_lease"
#define MONGO_INTENTS "wstyped_intents"

enum {
    MONGO_SCHEMA_VERSION = 1,
    MONGO_MAX_DOC = 16 * 1024 * 1024 - 16 * 1024, /* leaves room for the envelope in a log */
    MONGO_BATCH_BYTES = 8 * 1024 * 1024,
    MONGO_BATCH_DOCS = 1000,
    MONGO_WRITE_TIMEOUT_MS = 5000, /* for the majority to have it */
    MONGO_COMMIT_LIMIT_MS = 10000, /* for trying again */
};

enum { /* codes of the server that decide something */
       SERVER_UNAUTHORIZED = 13,
       SERVER_NAMESPACE_EXISTS = 48,
       SERVER_INDEX_OPTIONS_CONFLICT = 85,
       SERVER_INDEX_KEY_SPECS_CONFLICT = 86,
       SERVER_DUPLICATE_KEY = 11000,
       SERVER_INTERRUPTED = 11601, /* by the end of its session */
};

struct store_mongo;

/* One client of the pool in use by one thread, and how its last call ended. */
struct mongo_conn {
    struct store_mongo *store;
    mongoc_client_t *client;
    mongoc_client_session_t *session; /* NULL: none */
    bool in_transaction;
    bool snapshot;  /* the session reads one state of the database */
    uint32_t code;  /* the server's, 0: it did not answer, or with success */
    bool transient; /* the whole transaction may be tried again */
    bool unknown;   /* whether it was done is not known */
};

/* A commit without a known outcome, or one that is decided and not written out yet. */
struct mongo_open_end {
    bool unresolved, unapplied;
    int64_t fence, seq;
    bson_oid_t attempt;
    int32_t parts;
};

struct store_mongo {
    struct store base;
    char *database, *hosts, *password;
    mongoc_client_pool_t *pool;
    bool ready; /* texts of errors may go to clients from now on */
    bool transactions;
    bool snapshots; /* several reads can see one state: MongoDB 5.0 and newer, not stand-alone */
    const char *deployment;
    char version[32], cluster_id[RANDOM_ID_HEX + 1];
    char *index_problem; /* an index that could not be made; NULL: none */
    atomic_int damaged;  /* documents left out by the last load */
    pthread_mutex_t write_lock;
    struct mongo_conn writer;
    int64_t ttl_ms, token, seq; /* of the lease, as last taken or renewed; token 0: none */
    uint64_t lease_end_us;
    struct mongo_open_end open_end;
};

/* ---- calls ---- */

struct mongo_call {
    const char *point, *doing;
    bool journaled; /* only asked of a stand-alone server; a majority has it in its journals anyway */
};

void mongo_conn_open(struct store_mongo *m, struct mongo_conn *ret_conn);
void mongo_conn_close(struct mongo_conn *conn);

static inline void mongo_conn_close_auto(struct mongo_conn *conn)
{
    mongo_conn_close(conn);
}
/* A write command, with majority; ret_reply (may be NULL) is made on success, bson_destroy() it. */
int mongo_write(struct mongo_conn *conn, const struct mongo_call *call, const bson_t *command,
                bson_t **ret_reply, struct err *err) MUST_USE;
/* Same on the admin database, errors are not looked at. */
void mongo_admin(struct mongo_conn *conn, const bson_t *command);

typedef int mongo_each_fn(void *ctx, const bson_t *doc, struct err *err);
/* All documents that match; opts (may be NULL) as of mongoc_collection_find_with_opts(). */
int mongo_find(struct mongo_conn *conn, const struct mongo_call *call, const char *collection,
               const bson_t *filter, const bson_t *opts, mongo_each_fn *each, void *ctx, struct err *err)
    MUST_USE;
/* The first one, or *ret_doc = NULL. */
int mongo_find_one(struct mongo_conn *conn, const struct mongo_call *call, const char *collection,
                   const bson_t *filter, const bson_t *opts, bson_t **ret_doc, struct err *err) MUST_USE;
/* From a bson_error_t, without secrets. */
int mongo_failed(struct store_mongo *m, const char *doing, const bson_error_t *error, struct err *err);
/* Lets a test stand in for the server: returns the error if the point is armed. */
int mongo_point(struct mongo_conn *conn, const struct mongo_call *call, struct err *err) MUST_USE;

static inline void bson_destroy_auto(bson_t **p)
{
    bson_destroy(*p);
}
#define AUTO_BSON AUTO(bson_destroy_auto) bson_t *

/* A member of a reply as a number of any kind, or 0. */
int64_t mongo_int(const bson_t *doc, const char *path);

/* ---- documents ---- */

/* In the order in which they are written where there are no transactions. */
enum mongo_collection_id {
    MONGO_SCHEMAS,
    MONGO_TYPE_PARSES,
    MONGO_FUNC_PARSES,
    MONGO_TYPE_REFS,
    MONGO_FUNC_REFS,
    MONGO_SPECS,
    MONGO_INFOS,
    MONGO_OWNERS,
    MONGO_MODULES,
    MONGO_REQUESTS,
    MONGO_COLLECTION_COUNT,
};

struct mongo_collection {
    const char *name;
    const char *keys[4]; /* unique together; none: NULL */
    const char *conflict;
};
extern const struct mongo_collection mongo_collections[MONGO_COLLECTION_COUNT];

void mongo_append_text(bson_t *doc, const char *key, struct slice text);
/* New documents with an _id of their own. */
bson_t *mongo_owner_doc(const struct rec_owner *rec);
bson_t *mongo_row_doc(enum mongo_collection_id collection, const struct rec_row *rec);
bson_t *mongo_edge_doc(const struct rec_edge *rec);
bson_t *mongo_spec_doc(const struct rec_spec *rec);
bson_t *mongo_info_doc(const struct rec_info *rec, bool released);
bson_t *mongo_pointers_doc(const struct rec_pointers *rec);

/* False: it cannot be read.  Slices point into the document. */
bool mongo_read_owner(const bson_t *doc, struct rec_owner *ret_rec);
bool mongo_read_pointers(const bson_t *doc, struct rec_pointers *ret_rec);
/* Finds a text member; absent or null: "" and true. */
bool mongo_get_text(const bson_t *doc, const char *key, struct slice *ret_text);

int mongo_load(struct store *store, const struct store_sink *sink, struct err *err);
int mongo_read_text(struct store *store, const struct text_key *key, struct sbuf *ret_text, struct err *err);

/* The collections and indexes that there shall be, one call per index with its default name. */
typedef int mongo_index_fn(void *ctx, const char *collection, const char *index, struct err *err);
int mongo_each_index(mongo_index_fn *each, void *ctx, struct err *err) MUST_USE;
int mongo_check(struct store *store, const struct store_check *check, struct err *err);

/* ---- a change set as steps ---- */

struct doc_list {
    bson_t **items;
    size_t count, cap;
};

/* Takes the document. */
void doc_list_add(struct doc_list *list, bson_t *doc);

enum step_kind {
    STEP_INSERT,  /* docs are new */
    STEP_REPLACE, /* docs take the place of those with the same _id */
    STEP_UPDATE,  /* docs: query, update; exactly one document matches */
    STEP_DELETE,  /* docs: {_id} each */
};

struct step {
    enum step_kind kind;
    enum mongo_collection_id collection;
    struct doc_list docs;
};

struct plan {
    struct step *steps;
    size_t count, cap;
};

/*
 * Checks the expectations and everything that can be a conflict by reading, and makes the steps in their
 * final order. check_keys: look for documents with the same keys too, where inserting them would be too late
 * to learn of that.
 */
int mongo_plan(struct mongo_conn *conn, const struct change_set *set, bool check_keys, struct plan *ret_plan,
               struct err *err) MUST_USE;
void mongo_plan_release(struct plan *plan);
static inline void mongo_plan_release_auto(struct plan *plan)
{
    mongo_plan_release(plan);
}
/* -ERR_CONFLICT with the text for a document that is there already. */
int mongo_key_conflict(enum mongo_collection_id collection, const bson_t *doc, struct err *err);

/* ---- committing; write_lock is held, but for mongo_commit() ---- */

bson_t *mongo_step_command(const struct step *step);
int mongo_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err);
int mongo_commit_by_log(struct store_mongo *m, const struct change_set *set, int64_t fence, struct err *err)
    MUST_USE;
/* Brings what an earlier commit left open to its end, in one try; 0 if nothing is open any more. */
int mongo_settle(struct store_mongo *m, struct err *err);
/* Asks the lease document about the commit in m->open_end. 0: done; -ERR_CONFLICT: not done and never will
 * be; -ERR_FENCED: the same, by a take-over; -ERR_STORE: not known. */
int mongo_look_up(struct store_mongo *m, const bson_t *lease, struct err *err) MUST_USE;
int mongo_resolve_log(struct store_mongo *m, struct err *err) MUST_USE;
/* Finishes what `pending` of the lease document names, which we hold by that token, and deletes all logs. */
int mongo_recover(struct store_mongo *m, const bson_t *lease, int64_t token, struct err *err) MUST_USE;
/* Does what the log says, again and again until the deadline (0: once).  -ERR_FENCED: whoever has the lease
 * does it. */
int mongo_apply(struct store_mongo *m, int64_t token, const bson_oid_t *attempt, int32_t parts,
                uint64_t deadline_us, struct err *err) MUST_USE;
int mongo_fenced(struct err *err);

/* ---- the lease ---- */

int mongo_lease_take(struct store *store, const struct lease_holder *me, int64_t ttl_ms, int64_t *ret_fence,
                     struct lease_holder *ret_holder, struct err *err);
int mongo_lease_renew(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err);
int mongo_lease_give_up(struct store *store, int64_t fence, struct err *err);
/* Makes the lease document if it is missing. */
int mongo_lease_init(struct mongo_conn *conn, struct err *err) MUST_USE;
/* Renews if less than a few seconds are left, for a commit in several writes. */
int mongo_lease_extend(struct store_mongo *m, int64_t fence, struct err *err) MUST_USE;
int mongo_lease_read(struct mongo_conn *conn, const char *point, bson_t **ret_doc, struct err *err) MUST_USE;

#endif
