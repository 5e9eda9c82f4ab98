#include "tws/store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fault.h"

enum {
    APPLICATION_ID = 0x77735444, /* "wsTD" */
    SCHEMA_VERSION = 1,
    READERS = 4,
    BUSY_TIMEOUT_MS = 10000, /* for foreign tools that look at the file */
};

static const char schema[] =
#include "generated/sqlite.sql.h"
    ;

#define SAME_EDGE \
    " WHERE dep_module = ? AND dep_name = ? AND dep_version = ? AND dep_module_version = ?" \
    " AND ref_module = ? AND ref_name = ? AND ref_version = ?"

/* The statements that every connection has, then those of the writer. */
/* clang-format off */
#define STATEMENTS(X) \
    X(READ_SPEC, "SELECT document FROM module_spec_history WHERE module_name = ? AND version_time = ?") \
    X(READ_SCHEMA, \
      "SELECT document FROM module_type_schema WHERE module_name = ? AND type_name = ? AND version = ?") \
    X(READ_TYPE_PARSE, \
      "SELECT document FROM module_type_parse WHERE module_name = ? AND type_name = ? AND version = ?") \
    X(READ_FUNC_PARSE, \
      "SELECT document FROM module_func_parse WHERE module_name = ? AND func_name = ? AND version = ?") \
    X(BEGIN, "BEGIN IMMEDIATE") \
    X(COMMIT, "COMMIT") \
    X(ROLLBACK, "ROLLBACK") \
    X(LEASE_TOKEN, "SELECT token FROM lease") \
    X(LEASE_READ, "SELECT token, node, host, pid, renewed_ms, expires_ms FROM lease") \
    X(LEASE_TAKE, \
      "UPDATE lease SET token = ?, node = ?, host = ?, pid = ?, renewed_ms = ?, expires_ms = ?" \
      " WHERE token = ?") \
    X(LEASE_RENEW, "UPDATE lease SET renewed_ms = ?, expires_ms = ? WHERE token = ?") \
    X(LEASE_GIVE_UP, \
      "UPDATE lease SET token = token + 1, node = NULL, host = NULL, pid = NULL, expires_ms = 0" \
      " WHERE token = ?") \
    X(EXPECT, \
      "SELECT version_time, released_version_time, supported FROM module_version WHERE module_name = ?") \
    X(ADD_REQUEST, \
      "INSERT INTO module_request (module_name, owner_user_id, with_change_owners_privilege)" \
      " SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM module_request WHERE module_name = ?1)") \
    X(DROP_REQUESTS, \
      "DELETE FROM module_request WHERE module_name = ?1 AND owner_user_id = ifnull(?2, owner_user_id)") \
    X(PUT_OWNER, \
      "INSERT INTO module_owner (module_name, owner_user_id, with_change_owners_privilege) VALUES (?, ?, ?)" \
      " ON CONFLICT DO UPDATE SET with_change_owners_privilege = excluded.with_change_owners_privilege") \
    X(DROP_OWNER, "DELETE FROM module_owner WHERE module_name = ? AND owner_user_id = ?") \
    X(ADD_SCHEMA, \
      "INSERT INTO module_type_schema (module_name, type_name, version, module_version, document, md5hash)" \
      " VALUES (?, ?, ?, ?, ?, ?)") \
    X(ADD_TYPE_PARSE, \
      "INSERT INTO module_type_parse (module_name, type_name, version, module_version, document)" \
      " VALUES (?, ?, ?, ?, ?)") \
    X(ADD_FUNC_PARSE, \
      "INSERT INTO module_func_parse (module_name, func_name, version, module_version, document)" \
      " VALUES (?, ?, ?, ?, ?)") \
    X(ADD_TYPE_REF, "INSERT INTO type_refs VALUES (?, ?, ?, ?, ?, ?, ?)") \
    X(ADD_FUNC_REF, "INSERT INTO func_refs VALUES (?, ?, ?, ?, ?, ?, ?)") \
    X(ADD_SPEC, "INSERT INTO module_spec_history (module_name, version_time, document) VALUES (?, ?, ?)") \
    X(ADD_INFO, \
      "INSERT INTO module_info_history (module_name, version_time, released," \
      " included_module_name_to_version, types, funcs, description, md5hash, upload_user_id," \
      " upload_method, upload_comment)" \
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)") \
    X(SET_RELEASED, \
      "UPDATE module_info_history SET released = 1 WHERE module_name = ? AND version_time = ?") \
    X(ADD_MODULE, \
      "INSERT INTO module_version (module_name, version_time, released_version_time, supported)" \
      " VALUES (?, ?, ?, ?)") \
    X(MOVE_POINTERS, \
      "UPDATE module_version SET version_time = ?2, released_version_time = ?3, supported = ?4" \
      " WHERE module_name = ?1") \
    X(DROP_SCHEMA, "DELETE FROM module_type_schema WHERE module_name = ? AND type_name = ? AND version = ?") \
    X(DROP_TYPE_PARSE, "DELETE FROM module_type_parse WHERE module_name = ? AND type_name = ? AND version = ?") \
    X(DROP_FUNC_PARSE, "DELETE FROM module_func_parse WHERE module_name = ? AND func_name = ? AND version = ?") \
    X(DROP_TYPE_REF, "DELETE FROM type_refs WHERE rowid = (SELECT max(rowid) FROM type_refs" SAME_EDGE ")") \
    X(DROP_FUNC_REF, "DELETE FROM func_refs WHERE rowid = (SELECT max(rowid) FROM func_refs" SAME_EDGE ")") \
    X(DROP_SPEC, "DELETE FROM module_spec_history WHERE module_name = ? AND version_time = ?") \
    X(DROP_INFO, "DELETE FROM module_info_history WHERE module_name = ? AND version_time = ?") \
    X(LOAD_BEGIN, "BEGIN") \
    X(LOAD_POINTERS, \
      "SELECT module_name, version_time, released_version_time, supported FROM module_version") \
    X(LOAD_OWNERS, "SELECT module_name, owner_user_id, with_change_owners_privilege FROM module_owner") \
    X(LOAD_REQUESTS, \
      "SELECT module_name, owner_user_id, with_change_owners_privilege FROM module_request ORDER BY seq") \
    X(LOAD_INFOS, \
      "SELECT module_name, version_time, released, included_module_name_to_version, types, funcs," \
      " description, md5hash, upload_user_id, upload_method, upload_comment FROM module_info_history" \
      " ORDER BY module_name, version_time") \
    X(LOAD_SPECS, \
      "SELECT module_name, version_time FROM module_spec_history ORDER BY module_name, version_time") \
    X(LOAD_SCHEMAS, \
      "SELECT module_name, type_name, version, module_version, md5hash FROM module_type_schema") \
    X(LOAD_TYPE_PARSES, "SELECT module_name, type_name, version, module_version, '' FROM module_type_parse") \
    X(LOAD_FUNC_PARSES, "SELECT module_name, func_name, version, module_version, '' FROM module_func_parse") \
    X(LOAD_TYPE_REFS, "SELECT * FROM type_refs") \
    X(LOAD_FUNC_REFS, "SELECT * FROM func_refs")

enum stmt_id {
#define STATEMENT_ENUM(name, sql) STMT_##name,
    STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
    STMT_COUNT,
    READER_STMT_COUNT = STMT_BEGIN,
};
/* clang-format on */

static const char *const stmt_sql[] = {
#define STATEMENT_SQL(name, sql) sql,
    STATEMENTS(STATEMENT_SQL)
#undef STATEMENT_SQL
};

struct conn {
    sqlite3 *db;
    sqlite3_stmt *stmts[STMT_COUNT];
    struct conn *next_free;
};

struct store_sqlite {
    struct store base;
    char *path; /* resolved; NULL: in memory */
    int lock_fd;
    bool ready;
    bool immutable; /* opened without its log, which neither is there nor could be made */
    bool
        exclusive; /* nobody else can have the database open for writing, so whoever held the lease is gone */
    char cluster_id[RANDOM_ID_HEX + 1];
    pthread_mutex_t write_lock; /* the writer, and in memory everything */
    struct conn writer;
    pthread_mutex_t pool_lock; /* never taken together with write_lock */
    pthread_cond_t pool_changed;
    struct conn *free_readers;
    struct conn readers[READERS];
};

static struct store_sqlite *of(struct store *store)
{
    return (struct store_sqlite *)store;
}

static const char *name_of(const struct store_sqlite *s)
{
    return s->path ? s->path : ":memory:";
}

/* ---- one statement ---- */

/* A run of a prepared statement; parameters are bound in order, the first failure stays. */
struct run {
    struct conn *conn;
    sqlite3_stmt *stmt;
    int next;
    int rc;
};

static struct run run_of(struct conn *conn, enum stmt_id id)
{
    return (struct run){ conn, conn->stmts[id], 1, SQLITE_OK };
}

static void bind_done(struct run *run, int rc)
{
    run->next++;
    if (run->rc == SQLITE_OK)
        run->rc = rc;
}

static void bind_null(struct run *run)
{
    bind_done(run, sqlite3_bind_null(run->stmt, run->next));
}

static void bind_int(struct run *run, int64_t value)
{
    bind_done(run, sqlite3_bind_int64(run->stmt, run->next, value));
}

/* The text has to last until run_end(). */
static void bind_text(struct run *run, struct slice text)
{
    bind_done(run, sqlite3_bind_text64(run->stmt, run->next, text.n ? text.p : "", text.n, SQLITE_STATIC,
                                       SQLITE_UTF8));
}

static void bind_version(struct run *run, struct semver version)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%d.%d", version.major, version.minor);

    bind_done(run, sqlite3_bind_text(run->stmt, run->next, text, n, SQLITE_TRANSIENT));
}

/* SQLITE_ROW, SQLITE_DONE or what went wrong. */
static int run_step(struct run *run)
{
    return run->rc == SQLITE_OK ? sqlite3_step(run->stmt) : run->rc;
}

static void run_end(struct run *run)
{
    sqlite3_reset(run->stmt);
    sqlite3_clear_bindings(run->stmt);
}

static struct slice column_text(const struct run *run, int column)
{
    const char *p = (const char *)sqlite3_column_text(run->stmt, column);

    return slice_of(p ? p : "", p ? (size_t)sqlite3_column_bytes(run->stmt, column) : 0);
}

static int64_t column_int(const struct run *run, int column)
{
    return sqlite3_column_int64(run->stmt, column);
}

/*
 * SQLite's own text if the connection failed just now with this very code.  Later than at start the text may
 * go to a client, who need not know the path.
 */
static int sqlite_failed(const struct store_sqlite *s, sqlite3 *db, int rc, const char *doing,
                         struct err *err)
{
    bool known = db && sqlite3_extended_errcode(db) == rc;
    const char *text = known ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

    if (s->ready)
        return err_set(err, ERR_STORE, "type database: %s: %s", doing, text);
    return err_set(err, ERR_STORE, "type database '%s': %s: %s", name_of(s), doing, text);
}

/* A statement that gives no rows. The point is hit before it. */
static int run_plain(struct store_sqlite *s, enum stmt_id id, const char *point, struct err *err)
{
    struct run run = run_of(&s->writer, id);
    int rc = FAULT_POINT(point) ? SQLITE_IOERR : run_step(&run);

    run_end(&run);
    return rc == SQLITE_DONE ? 0 : sqlite_failed(s, s->writer.db, rc, stmt_sql[id], err);
}

/* ---- transactions of the writer; its lock is held ---- */

static void roll_back(struct store_sqlite *s)
{
    /* SQLite has rolled back by itself after some errors */
    if (!sqlite3_get_autocommit(s->writer.db)) {
        struct run run = run_of(&s->writer, STMT_ROLLBACK);
        run_step(&run);
        run_end(&run);
    }
}

static int begin(struct store_sqlite *s, const char *point, struct err *err)
{
    roll_back(s); /* what an earlier rollback could not */
    return run_plain(s, STMT_BEGIN, point, err);
}

/* Commits if code is 0, else rolls back; returns the outcome. */
static int finish(struct store_sqlite *s, int code, const char *before, const char *after, struct err *err)
{
    if (!code)
        code = run_plain(s, STMT_COMMIT, before, err);
    if (code)
        roll_back(s);
    else
        (void)FAULT_POINT(after);
    return code;
}

/* ---- changes ---- */

static void bind_owner(struct run *run, const struct change *c)
{
    bind_text(run, c->owner.module);
    bind_text(run, c->owner.user);
    bind_int(run, c->owner.can_grant);
}

static void bind_owner_key(struct run *run, const struct change *c)
{
    bind_text(run, c->owner.module);
    if (c->owner.user.p || c->kind != CHANGE_DROP_REQUESTS)
        bind_text(run, c->owner.user);
    else
        bind_null(run);
}

static void bind_row_key(struct run *run, const struct change *c)
{
    bind_text(run, c->row.module);
    bind_text(run, c->row.name);
    bind_version(run, c->row.version);
}

static void bind_row(struct run *run, const struct change *c)
{
    bind_row_key(run, c);
    bind_int(run, c->row.module_version);
    bind_text(run, c->row.text);
    if (c->kind == CHANGE_ADD_SCHEMA)
        bind_text(run, c->row.md5);
}

static void bind_edge(struct run *run, const struct change *c)
{
    bind_text(run, c->edge.dep_module);
    bind_text(run, c->edge.dep_name);
    bind_version(run, c->edge.dep_version);
    bind_int(run, c->edge.dep_module_version);
    bind_text(run, c->edge.ref_module);
    bind_text(run, c->edge.ref_name);
    bind_version(run, c->edge.ref_version);
}

static void bind_spec_key(struct run *run, const struct change *c)
{
    bind_text(run, c->spec.module);
    bind_int(run, c->spec.version);
}

static void bind_info_version(struct run *run, const struct change *c)
{
    bind_text(run, c->info.module);
    bind_int(run, c->info.version);
}

static void bind_spec(struct run *run, const struct change *c)
{
    bind_spec_key(run, c);
    bind_text(run, c->spec.text);
}

static void bind_pointers(struct run *run, const struct change *c)
{
    bind_text(run, c->pointers.module);
    bind_int(run, c->pointers.last);
    bind_int(run, c->pointers.released);
    bind_int(run, c->pointers.supported);
}

static void bind_info_key(struct run *run, const struct change *c)
{
    bind_text(run, c->pointers.module);
    bind_int(run, c->pointers.last);
}

/* Takes the document. */
static void bind_json(struct run *run, json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);

    bind_done(run, text ? sqlite3_bind_text(run->stmt, run->next, text, -1, free) : SQLITE_MISMATCH);
    json_decref(doc);
}

static json_t *includes_doc(const struct rec_info *info)
{
    json_t *doc = json_object();

    for (size_t i = 0; i < info->include_count; i++) {
        const struct rec_include *in = &info->includes[i];
        json_object_setn_new_nocheck(doc, in->module.p, in->module.n, json_integer(in->version));
    }
    return doc;
}

static json_t *entries_doc(const struct rec_entry *entries, size_t count, const char *name_key,
                           const char *version_key)
{
    json_t *doc = json_object();

    for (size_t i = 0; i < count; i++) {
        const struct rec_entry *e = &entries[i];
        json_t *entry = json_object();
        json_object_set_new(entry, name_key, json_stringn_nocheck(e->name.p, e->name.n));
        json_object_set_new(entry, version_key, json_sprintf("%d.%d", e->version.major, e->version.minor));
        json_object_set_new(entry, "supported", json_boolean(e->supported));
        json_object_setn_new_nocheck(doc, e->name.p, e->name.n, entry);
    }
    return doc;
}

static void bind_info(struct run *run, const struct change *c)
{
    const struct rec_info *info = &c->info;
    const struct slice texts[] = { info->description, info->md5, info->user, info->method, info->comment };

    bind_text(run, info->module);
    bind_int(run, info->version);
    bind_int(run, info->released);
    bind_json(run, includes_doc(info));
    bind_json(run, entries_doc(info->types, info->type_count, "typeName", "typeVersion"));
    bind_json(run, entries_doc(info->funcs, info->func_count, "funcName", "funcVersion"));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (info->first)
            bind_null(run);
        else
            bind_text(run, texts[i]);
    }
}

#define GONE "has no such record any more"

static const struct change_rule {
    enum stmt_id stmt;
    void (*bind)(struct run *run, const struct change *change);
    bool must_hit; /* it is a conflict if no row changes */
    const char *point;
    const char *conflict;
} change_rules[] = {
    [CHANGE_ADD_REQUEST] = { STMT_ADD_REQUEST, bind_owner, true, "sqlite.commit.add_request",
                             "is requested already" },
    [CHANGE_DROP_REQUESTS] = { STMT_DROP_REQUESTS, bind_owner_key, false, "sqlite.commit.drop_requests", "" },
    [CHANGE_PUT_OWNER] = { STMT_PUT_OWNER, bind_owner, true, "sqlite.commit.put_owner", "" },
    [CHANGE_DROP_OWNER] = { STMT_DROP_OWNER, bind_owner_key, false, "sqlite.commit.drop_owner", "" },
    [CHANGE_ADD_SCHEMA] = { STMT_ADD_SCHEMA, bind_row, true, "sqlite.commit.add_schema",
                            "has that schema already" },
    [CHANGE_ADD_TYPE_PARSE] = { STMT_ADD_TYPE_PARSE, bind_row, true, "sqlite.commit.add_type_parse",
                                "has that type parse record already" },
    [CHANGE_ADD_FUNC_PARSE] = { STMT_ADD_FUNC_PARSE, bind_row, true, "sqlite.commit.add_func_parse",
                                "has that function parse record already" },
    [CHANGE_ADD_TYPE_REF] = { STMT_ADD_TYPE_REF, bind_edge, true, "sqlite.commit.add_type_ref", "" },
    [CHANGE_ADD_FUNC_REF] = { STMT_ADD_FUNC_REF, bind_edge, true, "sqlite.commit.add_func_ref", "" },
    [CHANGE_ADD_SPEC] = { STMT_ADD_SPEC, bind_spec, true, "sqlite.commit.add_spec", "has that spec already" },
    [CHANGE_ADD_INFO] = { STMT_ADD_INFO, bind_info, true, "sqlite.commit.add_info",
                          "has that version already" },
    [CHANGE_SET_RELEASED] = { STMT_SET_RELEASED, bind_info_key, true, "sqlite.commit.set_released",
                              "lacks the version to be released" },
    [CHANGE_ADD_MODULE] = { STMT_ADD_MODULE, bind_pointers, true, "sqlite.commit.add_module",
                            "exists already" },
    [CHANGE_MOVE_POINTERS] = { STMT_MOVE_POINTERS, bind_pointers, true, "sqlite.commit.move_pointers",
                               "does not exist" },
    [CHANGE_DROP_SCHEMA] = { STMT_DROP_SCHEMA, bind_row_key, true, "sqlite.commit.drop_schema", GONE },
    [CHANGE_DROP_TYPE_PARSE] = { STMT_DROP_TYPE_PARSE, bind_row_key, true, "sqlite.commit.drop_type_parse",
                                 GONE },
    [CHANGE_DROP_FUNC_PARSE] = { STMT_DROP_FUNC_PARSE, bind_row_key, true, "sqlite.commit.drop_func_parse",
                                 GONE },
    [CHANGE_DROP_TYPE_REF] = { STMT_DROP_TYPE_REF, bind_edge, true, "sqlite.commit.drop_type_ref", GONE },
    [CHANGE_DROP_FUNC_REF] = { STMT_DROP_FUNC_REF, bind_edge, true, "sqlite.commit.drop_func_ref", GONE },
    [CHANGE_DROP_SPEC] = { STMT_DROP_SPEC, bind_spec_key, true, "sqlite.commit.drop_spec", GONE },
    [CHANGE_DROP_INFO] = { STMT_DROP_INFO, bind_info_version, true, "sqlite.commit.drop_info", GONE },
};

/* Every kind of change begins with the module's name. */
static struct slice change_module(const struct change *c)
{
    switch (c->kind) {
    case CHANGE_ADD_SCHEMA:
    case CHANGE_ADD_TYPE_PARSE:
    case CHANGE_ADD_FUNC_PARSE:
    case CHANGE_DROP_SCHEMA:
    case CHANGE_DROP_TYPE_PARSE:
    case CHANGE_DROP_FUNC_PARSE:
        return c->row.module;
    case CHANGE_ADD_TYPE_REF:
    case CHANGE_ADD_FUNC_REF:
    case CHANGE_DROP_TYPE_REF:
    case CHANGE_DROP_FUNC_REF:
        return c->edge.dep_module;
    case CHANGE_ADD_SPEC:
    case CHANGE_DROP_SPEC:
        return c->spec.module;
    case CHANGE_ADD_INFO:
    case CHANGE_DROP_INFO:
        return c->info.module;
    case CHANGE_SET_RELEASED:
    case CHANGE_ADD_MODULE:
    case CHANGE_MOVE_POINTERS:
        return c->pointers.module;
    default:
        return c->owner.module;
    }
}

static int apply_change(struct store_sqlite *s, const struct change *c, struct err *err)
{
    const struct change_rule *rule = &change_rules[c->kind];
    struct run run = run_of(&s->writer, rule->stmt);
    struct slice module = change_module(c);
    int code = 0;

    rule->bind(&run, c);
    int rc = FAULT_POINT(rule->point) ? SQLITE_IOERR : run_step(&run);
    bool conflict = rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
                    (rc == SQLITE_DONE && rule->must_hit && sqlite3_changes(s->writer.db) != 1);
    if (conflict)
        code = err_set(err, ERR_CONFLICT, "type database: module %.*s %s", (int)module.n, module.p,
                       rule->conflict);
    else if (rc != SQLITE_DONE)
        code = sqlite_failed(s, s->writer.db, rc, "writing", err);
    run_end(&run);
    return code;
}

static int check_expectation(struct store_sqlite *s, const struct expectation *expect, struct err *err)
{
    const struct rec_pointers *want = &expect->pointers;
    struct run run = run_of(&s->writer, STMT_EXPECT);

    bind_text(&run, want->module);
    int rc = FAULT_POINT("sqlite.commit.expect") ? SQLITE_IOERR : run_step(&run);
    bool exists = rc == SQLITE_ROW;
    bool same = exists == expect->exists &&
                (!exists || (column_int(&run, 0) == want->last && column_int(&run, 1) == want->released &&
                             (column_int(&run, 2) != 0) == want->supported));
    int code = 0;
    if (!exists && rc != SQLITE_DONE)
        code = sqlite_failed(s, s->writer.db, rc, "reading a module", err);
    else if (!same)
        code = err_set(err, ERR_CONFLICT, "type database: module %.*s has been changed meanwhile",
                       (int)want->module.n, want->module.p);
    run_end(&run);
    return code;
}

static int check_fence(struct store_sqlite *s, int64_t fence, struct err *err)
{
    struct run run = run_of(&s->writer, STMT_LEASE_TOKEN);
    int code = 0;

    int rc = FAULT_POINT("sqlite.commit.fence") ? SQLITE_IOERR : run_step(&run);
    if (rc != SQLITE_ROW)
        code =
            sqlite_failed(s, s->writer.db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading the lease", err);
    else if (column_int(&run, 0) != fence)
        code = err_set(err, ERR_FENCED,
                       "this process does not hold the writer lease of the type database any more");
    run_end(&run);
    return code;
}

static int commit_locked(struct store_sqlite *s, const struct change_set *set, int64_t fence, struct err *err)
{
    int code = begin(s, "sqlite.commit.begin", err);

    if (!code)
        code = check_fence(s, fence, err);
    for (const struct expectation *e = set->expects; e && !code; e = e->next)
        code = check_expectation(s, e, err);
    for (const struct change *c = set->changes; c && !code; c = c->next)
        code = apply_change(s, c, err);
    return finish(s, code, "sqlite.commit.commit", "sqlite.commit.committed", err);
}

static int need_writable(const struct store_sqlite *s, struct err *err)
{
    return s->base.read_only_reason ? err_set(err, ERR_READ_ONLY, "%s", s->base.read_only_reason) : 0;
}

static int sqlite_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err)
{
    struct store_sqlite *s = of(store);
    int code = need_writable(s, err);

    if (code)
        return code;
    pthread_mutex_lock(&s->write_lock);
    code = commit_locked(s, set, fence, err);
    pthread_mutex_unlock(&s->write_lock);
    return code;
}

/* ---- the lease ---- */

static void copy_text(char *to, size_t size, struct slice text)
{
    size_t n = text.n < size ? text.n : size - 1;

    memcpy(to, text.p, n);
    to[n] = '\0';
}

struct lease_row {
    int64_t token;
    bool held;
    struct lease_holder holder;
};

static void lease_columns(const struct run *run, int64_t now, struct lease_row *row)
{
    row->token = column_int(run, 0);
    copy_text(row->holder.node, sizeof(row->holder.node), column_text(run, 1));
    copy_text(row->holder.host, sizeof(row->holder.host), column_text(run, 2));
    row->holder.pid = column_int(run, 3);
    row->holder.age_ms = now > column_int(run, 4) ? now - column_int(run, 4) : 0;
}

static int held_by(const struct store_sqlite *s, const struct lease_holder *holder, struct err *err)
{
    return err_set(err, ERR_BUSY,
                   "the type database '%s' is held by node %s, process %lld on %s, last seen %lld ms ago",
                   name_of(s), holder->node, (long long)holder->pid, holder->host, (long long)holder->age_ms);
}

static int read_lease(struct store_sqlite *s, int64_t now, struct lease_row *ret_row, struct err *err)
{
    struct run run = run_of(&s->writer, STMT_LEASE_READ);

    int rc = FAULT_POINT("sqlite.lease_take.read") ? SQLITE_IOERR : run_step(&run);
    if (rc == SQLITE_ROW) {
        lease_columns(&run, now, ret_row);
        ret_row->held = ret_row->holder.node[0] && now < column_int(&run, 5) && !s->exclusive;
    }
    run_end(&run);
    return rc == SQLITE_ROW ? 0 : sqlite_failed(s, s->writer.db, rc, "reading the lease", err);
}

/* Runs a bound update of the lease row, which changes nothing if the token is another one. */
static int update_lease(struct store_sqlite *s, struct run *run, const char *point, struct err *err)
{
    int rc = FAULT_POINT(point) ? SQLITE_IOERR : run_step(run);
    int code = 0;

    if (rc != SQLITE_DONE)
        code = sqlite_failed(s, s->writer.db, rc, "writing the lease", err);
    else if (sqlite3_changes(s->writer.db) != 1)
        code = err_set(err, ERR_FENCED, "another process has taken the writer lease of the type database");
    run_end(run);
    return code;
}

static int take_free_lease(struct store_sqlite *s, const struct lease_holder *me, int64_t ttl_ms, int64_t now,
                           const struct lease_row *row, struct err *err)
{
    struct run run = run_of(&s->writer, STMT_LEASE_TAKE);

    bind_int(&run, row->token + 1);
    bind_text(&run, slice_str(me->node));
    bind_text(&run, slice_str(me->host));
    bind_int(&run, me->pid);
    bind_int(&run, now);
    bind_int(&run, now + ttl_ms);
    bind_int(&run, row->token);
    return update_lease(s, &run, "sqlite.lease_take.update", err);
}

static int sqlite_lease_take(struct store *store, const struct lease_holder *me, int64_t ttl_ms,
                             int64_t *ret_fence, struct lease_holder *ret_holder, struct err *err)
{
    struct store_sqlite *s = of(store);
    struct lease_row row = { 0 };
    int code = need_writable(s, err);

    if (code)
        return code;
    pthread_mutex_lock(&s->write_lock);
    int64_t now = clock_wall_ms();
    code = begin(s, "sqlite.lease_take.begin", err);
    if (!code)
        code = read_lease(s, now, &row, err);
    if (!code && row.held)
        code = held_by(s, &row.holder, err);
    if (!code)
        code = take_free_lease(s, me, ttl_ms, now, &row, err);
    code = finish(s, code, "sqlite.lease_take.commit", "sqlite.lease_take.committed", err);
    pthread_mutex_unlock(&s->write_lock);
    if (!code)
        *ret_fence = row.token + 1;
    else if (row.held)
        *ret_holder = row.holder;
    return code;
}

static int sqlite_lease_renew(struct store *store, int64_t fence, int64_t ttl_ms, struct err *err)
{
    struct store_sqlite *s = of(store);

    pthread_mutex_lock(&s->write_lock);
    int64_t now = clock_wall_ms();
    struct run run = run_of(&s->writer, STMT_LEASE_RENEW);
    roll_back(s);
    bind_int(&run, now);
    bind_int(&run, now + ttl_ms);
    bind_int(&run, fence);
    int code = update_lease(s, &run, "sqlite.lease_renew.update", err);
    pthread_mutex_unlock(&s->write_lock);
    return code;
}

static int sqlite_lease_give_up(struct store *store, int64_t fence, struct err *err)
{
    struct store_sqlite *s = of(store);

    pthread_mutex_lock(&s->write_lock);
    struct run run = run_of(&s->writer, STMT_LEASE_GIVE_UP);
    roll_back(s);
    bind_int(&run, fence);
    int code = update_lease(s, &run, "sqlite.lease_give_up.update", err);
    pthread_mutex_unlock(&s->write_lock);
    return code;
}

/* ---- loading ---- */

struct loading {
    const struct store_sqlite *store;
    const struct store_sink *sink;
    const struct run *run;
};

static int damaged(const struct loading *l, struct slice module, const char *what, struct err *err)
{
    if (l->sink->damage)
        return l->sink->damage(l->sink->ctx, module, what);
    return err_set(err, ERR_STORE, "type database '%s': damaged record of module %.*s: %s", name_of(l->store),
                   (int)module.n, module.p, what);
}

static int load_pointers(const struct loading *l, struct err *err)
{
    struct rec_pointers rec = {
        .module = column_text(l->run, 0),
        .last = column_int(l->run, 1),
        .released = column_int(l->run, 2),
        .supported = column_int(l->run, 3) != 0,
    };

    return l->sink->pointers(l->sink->ctx, &rec, err);
}

static struct rec_owner owner_row(const struct run *run)
{
    return (struct rec_owner){ column_text(run, 0), column_text(run, 1), column_int(run, 2) != 0 };
}

static int load_owner(const struct loading *l, struct err *err)
{
    struct rec_owner rec = owner_row(l->run);

    return l->sink->owner(l->sink->ctx, &rec, err);
}

static int load_request(const struct loading *l, struct err *err)
{
    struct rec_owner rec = owner_row(l->run);

    return l->sink->request(l->sink->ctx, &rec, err);
}

static json_t *column_object(const struct run *run, int column)
{
    struct slice text = column_text(run, column);
    json_t *doc = json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL);

    if (json_is_object(doc))
        return doc;
    json_decref(doc);
    return NULL;
}

static const struct rec_include *parse_includes(json_t *doc, struct arena *arena)
{
    struct rec_include *includes = arena_zalloc(arena, json_object_size(doc) * sizeof(*includes));
    struct rec_include *to = includes;
    const char *key;
    size_t n;
    json_t *value;

    json_object_keylen_foreach(doc, key, n, value)
    {
        if (!json_is_integer(value))
            return NULL;
        *to++ = (struct rec_include){ slice_of(key, n), json_integer_value(value) };
    }
    return includes;
}

static const struct rec_entry *parse_entries(json_t *doc, const char *version_key, struct arena *arena)
{
    struct rec_entry *entries = arena_zalloc(arena, json_object_size(doc) * sizeof(*entries));
    struct rec_entry *to = entries;
    const char *key;
    size_t n;
    json_t *value;

    json_object_keylen_foreach(doc, key, n, value)
    {
        json_t *version = json_object_get(value, version_key);
        json_t *supported = json_object_get(value, "supported");
        struct slice text = slice_of(json_string_value(version), json_string_length(version));
        if (!text.p || !semver_parse(text, &to->version))
            return NULL;
        to->name = slice_of(key, n);
        to->supported = !supported || json_is_true(supported); /* absent: true */
        to++;
    }
    return entries;
}

static void decref_all(json_t **docs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_decref(docs[i]);
}

static int load_info(const struct loading *l, struct err *err)
{
    const struct run *run = l->run;
    struct arena arena = ARENA_INIT;
    json_t *docs[] = { column_object(run, 3), column_object(run, 4), column_object(run, 5) };
    struct rec_info rec = {
        .module = column_text(run, 0),
        .version = column_int(run, 1),
        .first = sqlite3_column_type(run->stmt, 7) == SQLITE_NULL,
        .released = column_int(run, 2) != 0,
        .description = column_text(run, 6),
        .md5 = column_text(run, 7),
        .user = column_text(run, 8),
        .method = column_text(run, 9),
        .comment = column_text(run, 10),
        .include_count = json_object_size(docs[0]),
        .type_count = json_object_size(docs[1]),
        .func_count = json_object_size(docs[2]),
    };
    int code;

    if (docs[0])
        rec.includes = parse_includes(docs[0], &arena);
    if (docs[1])
        rec.types = parse_entries(docs[1], "typeVersion", &arena);
    if (docs[2])
        rec.funcs = parse_entries(docs[2], "funcVersion", &arena);
    if (rec.includes && rec.types && rec.funcs)
        code = l->sink->info(l->sink->ctx, &rec, err);
    else
        code = damaged(l, rec.module, "module_info_history", err);
    decref_all(docs, ARRAY_LEN(docs));
    arena_release(&arena);
    return code;
}

static int load_spec(const struct loading *l, struct err *err)
{
    struct rec_spec rec = { .module = column_text(l->run, 0), .version = column_int(l->run, 1) };

    return l->sink->spec(l->sink->ctx, &rec, err);
}

typedef int row_callback(void *ctx, const struct rec_row *rec, struct err *err);

static int load_row(const struct loading *l, row_callback *callback, const char *table, struct err *err)
{
    struct rec_row rec = {
        .module = column_text(l->run, 0),
        .name = column_text(l->run, 1),
        .module_version = column_int(l->run, 3),
        .md5 = column_text(l->run, 4),
    };

    if (!semver_parse(column_text(l->run, 2), &rec.version))
        return damaged(l, rec.module, table, err);
    return callback(l->sink->ctx, &rec, err);
}

static int load_schema(const struct loading *l, struct err *err)
{
    return load_row(l, l->sink->schema, "module_type_schema", err);
}

static int load_type_parse(const struct loading *l, struct err *err)
{
    return load_row(l, l->sink->type_parse, "module_type_parse", err);
}

static int load_func_parse(const struct loading *l, struct err *err)
{
    return load_row(l, l->sink->func_parse, "module_func_parse", err);
}

typedef int edge_callback(void *ctx, const struct rec_edge *rec, struct err *err);

static int load_edge(const struct loading *l, edge_callback *callback, const char *table, struct err *err)
{
    struct rec_edge rec = {
        .dep_module = column_text(l->run, 0),
        .dep_name = column_text(l->run, 1),
        .dep_module_version = column_int(l->run, 3),
        .ref_module = column_text(l->run, 4),
        .ref_name = column_text(l->run, 5),
    };

    if (!semver_parse(column_text(l->run, 2), &rec.dep_version) ||
        !semver_parse(column_text(l->run, 6), &rec.ref_version))
        return damaged(l, rec.dep_module, table, err);
    return callback(l->sink->ctx, &rec, err);
}

static int load_type_ref(const struct loading *l, struct err *err)
{
    return load_edge(l, l->sink->type_ref, "type_refs", err);
}

static int load_func_ref(const struct loading *l, struct err *err)
{
    return load_edge(l, l->sink->func_ref, "func_refs", err);
}

static const struct load_step {
    enum stmt_id stmt;
    int (*hand_out)(const struct loading *l, struct err *err);
} load_steps[] = {
    { STMT_LOAD_POINTERS, load_pointers },
    { STMT_LOAD_OWNERS, load_owner },
    { STMT_LOAD_REQUESTS, load_request },
    { STMT_LOAD_INFOS, load_info },
    { STMT_LOAD_SPECS, load_spec },
    { STMT_LOAD_SCHEMAS, load_schema },
    { STMT_LOAD_TYPE_PARSES, load_type_parse },
    { STMT_LOAD_FUNC_PARSES, load_func_parse },
    { STMT_LOAD_TYPE_REFS, load_type_ref },
    { STMT_LOAD_FUNC_REFS, load_func_ref },
};

static int load_table(struct store_sqlite *s, const struct load_step *step, const struct store_sink *sink,
                      struct err *err)
{
    struct run run = run_of(&s->writer, step->stmt);
    struct loading l = { s, sink, &run };
    int code = 0, rc;

    do {
        rc = run_step(&run);
        if (rc == SQLITE_ROW)
            code = step->hand_out(&l, err);
    } while (rc == SQLITE_ROW && !code);
    if (!code && rc != SQLITE_DONE)
        code = sqlite_failed(s, s->writer.db, rc, "loading", err);
    run_end(&run);
    return code;
}

static int sqlite_load(struct store *store, const struct store_sink *sink, struct err *err)
{
    struct store_sqlite *s = of(store);

    pthread_mutex_lock(&s->write_lock);
    roll_back(s);
    int code = run_plain(s, STMT_LOAD_BEGIN, "sqlite.load.begin", err);
    for (size_t i = 0; i < ARRAY_LEN(load_steps) && !code; i++)
        code = load_table(s, &load_steps[i], sink, err);
    roll_back(s);
    pthread_mutex_unlock(&s->write_lock);
    return code;
}

/* ---- texts ---- */

static struct conn *get_reader(struct store_sqlite *s)
{
    if (!s->path) {
        pthread_mutex_lock(&s->write_lock);
        return &s->writer;
    }
    pthread_mutex_lock(&s->pool_lock);
    while (!s->free_readers)
        pthread_cond_wait(&s->pool_changed, &s->pool_lock);
    struct conn *conn = s->free_readers;
    s->free_readers = conn->next_free;
    pthread_mutex_unlock(&s->pool_lock);
    return conn;
}

static void give_back_reader(struct store_sqlite *s, struct conn *conn)
{
    if (!s->path) {
        pthread_mutex_unlock(&s->write_lock);
        return;
    }
    pthread_mutex_lock(&s->pool_lock);
    conn->next_free = s->free_readers;
    s->free_readers = conn;
    pthread_cond_signal(&s->pool_changed);
    pthread_mutex_unlock(&s->pool_lock);
}

static const enum stmt_id text_stmts[] = {
    [TEXT_SPEC] = STMT_READ_SPEC,
    [TEXT_SCHEMA] = STMT_READ_SCHEMA,
    [TEXT_TYPE_PARSE] = STMT_READ_TYPE_PARSE,
    [TEXT_FUNC_PARSE] = STMT_READ_FUNC_PARSE,
};

static int sqlite_read_text(struct store *store, const struct text_key *key, struct sbuf *ret_text,
                            struct err *err)
{
    struct store_sqlite *s = of(store);
    struct conn *conn = get_reader(s);
    struct run run = run_of(conn, text_stmts[key->kind]);
    int code = 0;

    bind_text(&run, key->module);
    if (key->kind == TEXT_SPEC) {
        bind_int(&run, key->module_version);
    } else {
        bind_text(&run, key->name);
        bind_version(&run, key->version);
    }
    int rc = run_step(&run);
    if (rc == SQLITE_ROW) {
        sbuf_add_slice(ret_text, column_text(&run, 0));
        code = ret_text->failed ? err_set(err, ERR_STORE, "a text of the type database is too large") : 1;
    } else if (rc != SQLITE_DONE) {
        code = sqlite_failed(s, conn->db, rc, "reading a text", err);
    }
    run_end(&run);
    give_back_reader(s, conn);
    return code;
}

/* ---- the rest of the vtable ---- */

static int sqlite_cluster_id(struct store *store, char ret_id[RANDOM_ID_HEX + 1], struct err *err)
{
    (void)err;
    memcpy(ret_id, of(store)->cluster_id, RANDOM_ID_HEX + 1);
    return 0;
}

static void sqlite_status(struct store *store, struct sbuf *json)
{
    struct store_sqlite *s = of(store);
    struct stat st = { 0 };
    json_t *path = s->path ? json_string(s->path) : NULL;
    char *text = json_dumps(path, JSON_ENCODE_ANY);

    if (s->path && stat(s->path, &st) != 0)
        st.st_size = 0;
    sbuf_addf(json, ",\"file\":%s,\"file_bytes\":%lld,\"schema_version\":%d", text ? text : "null",
              (long long)st.st_size, SCHEMA_VERSION);
    free(text);
    json_decref(path);
}

/* What SQLite itself finds wrong with the file. */
static int sqlite_check(struct store *store, const struct store_check *check, struct err *err)
{
    struct store_sqlite *s = of(store);
    sqlite3_stmt *stmt = NULL;
    int code = 0;

    pthread_mutex_lock(&s->write_lock);
    roll_back(s);
    int rc = sqlite3_prepare_v2(s->writer.db, "PRAGMA integrity_check(20)", -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (text && strcmp(text, "ok") != 0)
            check->found(check->ctx, "broken_file", SLICE(""), text, false, false);
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        code = sqlite_failed(s, s->writer.db, rc, "checking the file", err);
    sqlite3_finalize(stmt);
    pthread_mutex_unlock(&s->write_lock);
    return code;
}

static void close_conn(struct conn *conn)
{
    for (size_t i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(conn->stmts[i]);
    sqlite3_close(conn->db);
    *conn = (struct conn){ 0 };
}

static void sqlite_close(struct store *store)
{
    struct store_sqlite *s = of(store);

    for (size_t i = 0; i < READERS; i++)
        close_conn(&s->readers[i]);
    close_conn(&s->writer);
    /* only now: the next one may open the file when this lock is gone */
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_cond_destroy(&s->pool_changed);
    pthread_mutex_destroy(&s->pool_lock);
    pthread_mutex_destroy(&s->write_lock);
    free(s->base.read_only_reason);
    free(s->path);
    free(s);
}

static const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .version = SQLITE_VERSION,
    .close = sqlite_close,
    .cluster_id = sqlite_cluster_id,
    .load = sqlite_load,
    .read_text = sqlite_read_text,
    .commit = sqlite_commit,
    .lease_take = sqlite_lease_take,
    .lease_renew = sqlite_lease_renew,
    .lease_give_up = sqlite_lease_give_up,
    .check = sqlite_check,
    .status = sqlite_status,
};

/* ---- opening ---- */

static int exec(struct store_sqlite *s, sqlite3 *db, const char *sql, const char *doing, struct err *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : sqlite_failed(s, db, rc, doing, err);
}

/* The first column of the first row. */
static int query_int(struct store_sqlite *s, const char *sql, int64_t *ret_value, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = 0;

    int rc = sqlite3_prepare_v2(s->writer.db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(stmt, 0);
    else
        code = sqlite_failed(s, s->writer.db, rc, "opening", err);
    sqlite3_finalize(stmt);
    return code;
}

/* The path as a URI with a parameter that keeps SQLite from looking for a log. */
static char *immutable_uri(const struct store_sqlite *s)
{
    AUTO_SBUF(uri, SBUF_NO_LIMIT);

    sbuf_adds(&uri, "file:");
    for (const char *p = s->path; *p; p++) {
        if (strchr("?#%", *p))
            sbuf_addf(&uri, "%%%02X", (unsigned)(unsigned char)*p);
        else
            sbuf_addc(&uri, *p);
    }
    sbuf_adds(&uri, "?immutable=1");
    return xmemdup(uri.p, uri.len);
}

static int connect_db(struct store_sqlite *s, struct conn *conn, int flags, struct err *err)
{
    AUTO(free_str_auto) char *uri = s->immutable ? immutable_uri(s) : NULL;
    int rc = sqlite3_open_v2(uri ? uri : name_of(s), &conn->db,
                             flags | SQLITE_OPEN_NOMUTEX | (uri ? SQLITE_OPEN_URI : 0), NULL);

    if (!conn->db)
        return err_set(err, ERR_STORE, "type database '%s': out of memory", name_of(s));
    sqlite3_extended_result_codes(conn->db, 1);
    if (rc != SQLITE_OK)
        return err_set(err, ERR_STORE, "type database '%s': opening: %s", name_of(s),
                       sqlite3_errmsg(conn->db));
    sqlite3_busy_timeout(conn->db, BUSY_TIMEOUT_MS);
    return exec(s, conn->db, "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY", "opening", err);
}

static int prepare_all(struct store_sqlite *s, struct conn *conn, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc =
            sqlite3_prepare_v3(conn->db, stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &conn->stmts[i], NULL);
        if (rc != SQLITE_OK)
            return sqlite_failed(s, conn->db, rc, "opening", err);
    }
    return 0;
}

static int refuse_file(struct store_sqlite *s, struct err *err)
{
    return err_set(err, ERR_STORE, "the file '%s' is not a wstyped type database", name_of(s));
}

/* Nothing is written to a file before this has said that it is ours or empty. */
static int check_file(struct store_sqlite *s, bool *ret_empty, struct err *err)
{
    AUTO_ERR(why);
    int64_t app, version, tables;

    if (query_int(s, "PRAGMA application_id", &app, &why) ||
        query_int(s, "PRAGMA user_version", &version, &why) ||
        query_int(s, "SELECT count(*) FROM sqlite_master", &tables, &why))
        return sqlite3_errcode(s->writer.db) == SQLITE_NOTADB ? refuse_file(s, err) : err_move(err, &why);
    *ret_empty = app == 0 && version == 0 && tables == 0;
    if (*ret_empty)
        return 0;
    if (app != APPLICATION_ID || version < 1)
        return refuse_file(s, err);
    if (version > SCHEMA_VERSION)
        return err_set(err, ERR_STORE,
                       "the type database file '%s' has schema version %lld; this version of wstyped knows "
                       "those up to %d",
                       name_of(s), (long long)version, SCHEMA_VERSION);
    return 0;
}

static int create_tables(struct store_sqlite *s, struct err *err)
{
    char id[RANDOM_ID_HEX + 1];

    random_id(id);
    AUTO(free_str_auto)
    char *sql = xasprintf("BEGIN IMMEDIATE; %s INSERT INTO meta VALUES ('cluster_id', '%s');"
                          "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                          schema, id, APPLICATION_ID, SCHEMA_VERSION);
    return exec(s, s->writer.db, sql, "making the tables", err);
}

static int use_wal(struct store_sqlite *s, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->writer.db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
    int code = 0;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        code = sqlite_failed(s, s->writer.db, rc, "opening", err);
    else if (strcmp((const char *)sqlite3_column_text(stmt, 0), s->path ? "wal" : "memory") != 0)
        code =
            err_set(err, ERR_STORE, "type database '%s': a write-ahead log does not work there", name_of(s));
    sqlite3_finalize(stmt);
    return code;
}

static int read_cluster_id(struct store_sqlite *s, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = 0;

    int rc =
        sqlite3_prepare_v2(s->writer.db, "SELECT value FROM meta WHERE key = 'cluster_id'", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == RANDOM_ID_HEX)
        memcpy(s->cluster_id, sqlite3_column_text(stmt, 0), RANDOM_ID_HEX);
    else
        code = sqlite_failed(s, s->writer.db, rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_CORRUPT : rc,
                             "reading the cluster id", err);
    sqlite3_finalize(stmt);
    return code;
}

static int open_writer(struct store_sqlite *s, struct err *err)
{
    bool empty = false;
    int code = connect_db(s, &s->writer, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);

    if (!code)
        code = check_file(s, &empty, err);
    if (!code)
        code = use_wal(s, err);
    if (!code)
        code = exec(s, s->writer.db, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864",
                    "opening", err);
    if (!code && empty)
        code = create_tables(s, err);
    if (!code)
        code = read_cluster_id(s, err);
    return code ? code : prepare_all(s, &s->writer, STMT_COUNT, err);
}

/*
 * Reading a file with a write-ahead log needs that log, or room to make it.  If there is neither, the file is
 * complete by itself.
 */
static bool lacks_log(const struct store_sqlite *s)
{
    AUTO(free_str_auto) char *log = xasprintf("%s-wal", s->path);
    struct stat st;

    return stat(log, &st) != 0 && errno == ENOENT;
}

static int try_read_only(struct store_sqlite *s, struct err *err)
{
    bool empty = false;
    int code = connect_db(s, &s->writer, SQLITE_OPEN_READONLY, err);

    if (!code)
        code = check_file(s, &empty, err);
    if (!code && empty)
        code = refuse_file(s, err);
    if (!code)
        code = read_cluster_id(s, err);
    return code ? code : prepare_all(s, &s->writer, STMT_COUNT, err);
}

static int open_read_only(struct store_sqlite *s, struct err *err)
{
    AUTO_ERR(why);
    int code = try_read_only(s, &why);

    if (code && access(s->path, R_OK) == 0 && lacks_log(s)) {
        err_clear(&why);
        close_conn(&s->writer);
        s->immutable = true;
        code = try_read_only(s, &why);
    }
    return code ? err_move(err, &why) : 0;
}

static int open_readers(struct store_sqlite *s, struct err *err)
{
    int code = 0;

    for (size_t i = 0; i < READERS && s->path && !code; i++) {
        struct conn *conn = &s->readers[i];
        code = connect_db(s, conn, SQLITE_OPEN_READONLY, err);
        if (!code)
            code = prepare_all(s, conn, READER_STMT_COUNT, err);
        conn->next_free = s->free_readers;
        s->free_readers = conn;
    }
    return code;
}

/* Who wrote itself down in the database, if it is that process; the lock file alone knows no more than a pid.
 */
static bool find_holder(struct store_sqlite *s, long pid, struct lease_holder *ret_holder)
{
    AUTO_ERR(ignored);
    struct conn conn = { .db = NULL };
    struct lease_row row = { 0 };
    bool found = false;

    if (connect_db(s, &conn, SQLITE_OPEN_READONLY, &ignored) == 0 &&
        sqlite3_prepare_v2(conn.db, stmt_sql[STMT_LEASE_READ], -1, &conn.stmts[STMT_LEASE_READ], NULL) ==
            SQLITE_OK) {
        struct run run = run_of(&conn, STMT_LEASE_READ);
        if (run_step(&run) == SQLITE_ROW) {
            lease_columns(&run, clock_wall_ms(), &row);
            found = row.holder.node[0] && row.holder.pid == pid;
        }
        run_end(&run);
    }
    close_conn(&conn);
    *ret_holder = row.holder;
    return found;
}

static int lock_refused(struct store_sqlite *s, struct err *err)
{
    char text[32];
    struct lease_holder holder;

    if (flock(s->lock_fd, LOCK_SH | LOCK_NB) == 0)
        return err_set(err, ERR_BUSY,
                       "the type database file '%s' is open for reading in another process, so it must not "
                       "be written",
                       name_of(s));
    ssize_t n = pread(s->lock_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    long pid = strtol(text, NULL, 10);
    if (pid > 0 && find_holder(s, pid, &holder))
        return held_by(s, &holder, err);
    if (pid > 0)
        return err_set(err, ERR_BUSY, "the type database file '%s' is in use by process %ld", name_of(s),
                       pid);
    return err_set(err, ERR_BUSY, "the type database file '%s' is in use by another process", name_of(s));
}

/* The kernel drops the lock with the process, however that ends; the file stays and means nothing by itself.
 */
static int take_lock(struct store_sqlite *s, const char *path, int how, struct err *err)
{
    if (flock(s->lock_fd, how | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return lock_refused(s, err);
    return err_set(err, ERR_STORE, "the file '%s' cannot be locked: %s", path, strerror(errno));
}

static int lock_to_write(struct store_sqlite *s, struct err *err)
{
    AUTO(free_str_auto) char *path = xasprintf("%s.lock", s->path);
    AUTO(free_str_auto) char *pid = xasprintf("%ld\n", (long)getpid());

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (s->lock_fd < 0)
        return err_set(err, ERR_STORE, "the file '%s' cannot be opened: %s", path, strerror(errno));
    int code = take_lock(s, path, LOCK_EX, err);
    if (!code && (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, strlen(pid), 0) < 0))
        code = err_set(err, ERR_STORE, "the file '%s' cannot be written: %s", path, strerror(errno));
    return code;
}

/* Keeps writers away as long as we read, if there is a lock file or room for one. */
static int lock_to_read(struct store_sqlite *s, struct err *err)
{
    AUTO(free_str_auto) char *path = xasprintf("%s.lock", s->path);

    s->lock_fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (s->lock_fd < 0)
        s->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->lock_fd >= 0)
        return take_lock(s, path, LOCK_SH, err);
    if (errno == ENOENT)
        return 0;
    return err_set(err, ERR_STORE, "the file '%s' cannot be opened: %s", path, strerror(errno));
}

/* Why a file that is there cannot be written by us, or NULL. */
static char *why_read_only(const struct store_sqlite *s)
{
    const char *slash = strrchr(s->path, '/');
    AUTO(free_str_auto) char *dir = slash ? xmemdup(s->path, (size_t)(slash - s->path) + 1) : xasprintf(".");

    if (access(s->path, F_OK) != 0)
        return NULL;
    if (eaccess(s->path, W_OK) != 0)
        return xasprintf("the type database file may not be written: %s", strerror(errno));
    if (eaccess(dir, W_OK) != 0)
        return xasprintf("the directory of the type database file may not be written: %s", strerror(errno));
    return NULL;
}

/* Two names of one file have to lead to one lock. */
static char *resolve(const char *path)
{
    char *full = realpath(path, NULL);

    return full ? full : xstrdup(path);
}

/* What it takes to write comes first; whoever may not write, reads. */
static int open_main(struct store_sqlite *s, enum store_access access, struct err *err)
{
    int code = 0;

    if (access == STORE_WRITE && s->path)
        s->base.read_only_reason = why_read_only(s);
    else if (access != STORE_WRITE)
        s->base.read_only_reason = xasprintf("the type database is opened for reading only");
    s->base.read_only = s->base.read_only_reason != NULL;
    if (s->path && s->exclusive && access != STORE_LOOK)
        code = s->base.read_only_reason ? lock_to_read(s, err) : lock_to_write(s, err);
    if (!code)
        code = s->base.read_only_reason ? open_read_only(s, err) : open_writer(s, err);
    return code ? code : open_readers(s, err);
}

static int open_store(const char *path, enum store_access access, bool exclusive, struct store **ret_store,
                      struct err *err)
{
    struct store_sqlite *s = xcalloc(1, sizeof(*s));

    s->base.ops = &sqlite_ops;
    s->path = path ? resolve(path) : NULL;
    s->lock_fd = -1;
    s->exclusive = exclusive;
    pthread_mutex_init(&s->write_lock, NULL);
    pthread_mutex_init(&s->pool_lock, NULL);
    pthread_cond_init(&s->pool_changed, NULL);
    int code = open_main(s, access, err);
    if (code) {
        sqlite_close(&s->base);
        return code;
    }
    s->ready = true;
    *ret_store = &s->base;
    return 0;
}

int store_sqlite_open(const char *path, struct store **ret_store, struct err *err)
{
    return open_store(path, STORE_WRITE, true, ret_store, err);
}

int store_sqlite_open_as(const char *path, enum store_access access, struct store **ret_store,
                         struct err *err)
{
    return open_store(path, access, true, ret_store, err);
}

int store_sqlite_open_unlocked(const char *path, struct store **ret_store, struct err *err)
{
    assert(path);
    return open_store(path, STORE_WRITE, false, ret_store, err);
}
