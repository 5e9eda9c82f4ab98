/*
 * test_tws_store: the contract of struct store_ops, as cases that run over every backend given to
 * run_contracts(), and what tests of one backend share: the content of a database as text, change sets as
 * tables.
 */
#ifndef TEST_UNIT_TEST_TWS_STORE_H
#define TEST_UNIT_TEST_TWS_STORE_H

#include "test/unit/t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "tws/store/lease.h"
#include "tws/store/store.h"

/* ---- backends ---- */

struct backend {
    const char *name;
    bool many; /* several handles, as of several processes, can be open on one database */
    void *(*create)(void);
    struct store *(*open)(void *db);
    void (*destroy)(void *db);
    void (*clear)(void *db); /* leaves it empty but open; NULL: a new one costs nothing */
};

struct fixture {
    const struct backend *backend;
    void *db;
    struct store *store;
    int64_t fence;
};

static int64_t take_lease(struct store *store, const char *node, int64_t ttl_ms)
{
    struct lease_holder me = { .host = "here", .pid = 4711 }, holder;
    int64_t fence = 0;
    AUTO_ERR(err);

    memcpy(me.node, node, strlen(node) + 1);
    if (store_lease_take(store, &me, ttl_ms, &fence, &holder, &err))
        fail_msg("%s", err_text(&err));
    return fence;
}

static void fixture_open(struct fixture *f, const struct backend *backend)
{
    f->backend = backend;
    f->db = backend->create();
    f->store = backend->open(f->db);
    f->fence = take_lease(f->store, "first", 60000);
}

static void fixture_close(struct fixture *f)
{
    store_close(f->store);
    f->backend->destroy(f->db);
}

/* ---- what is in a database, as text ---- */

struct line {
    int kind;
    char *text;
    bool has_text;
    struct text_key key;
};

struct dump {
    struct arena arena;
    struct line lines[600];
    size_t count;
};

static void put_bytes(struct sbuf *sb, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= ' ' && c < 0x7f)
            sbuf_addc(sb, (char)c);
        else
            sbuf_addf(sb, "\\x%02x", c);
    }
}

static void put_version(struct sbuf *sb, struct semver v)
{
    sbuf_addf(sb, "-%d.%d", v.major, v.minor);
}

static void put_name(struct sbuf *sb, struct slice module, struct slice name, struct semver v)
{
    put_bytes(sb, module);
    sbuf_addc(sb, '.');
    put_bytes(sb, name);
    put_version(sb, v);
}

static struct line *add_line(struct dump *dump, int kind, struct sbuf *text)
{
    assert_true(dump->count < ARRAY_LEN(dump->lines));
    struct line *line = &dump->lines[dump->count++];
    *line = (struct line){ .kind = kind, .text = arena_memdup(&dump->arena, text->p, text->len) };
    sbuf_release(text);
    return line;
}

static int dump_pointers(void *ctx, const struct rec_pointers *rec, struct err *err)
{
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);

    (void)err;
    sbuf_adds(&sb, "module ");
    put_bytes(&sb, rec->module);
    sbuf_addf(&sb, " %lld %lld%s", (long long)rec->last, (long long)rec->released,
              rec->supported ? "" : " unsupported");
    add_line(ctx, 0, &sb);
    return 0;
}

static void dump_owner_row(void *ctx, int kind, const char *what, const struct rec_owner *rec)
{
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);

    sbuf_addf(&sb, "%s ", what);
    put_bytes(&sb, rec->module);
    sbuf_addc(&sb, ' ');
    put_bytes(&sb, rec->user);
    sbuf_adds(&sb, rec->can_grant ? " grant" : "");
    add_line(ctx, kind, &sb);
}

static int dump_owner(void *ctx, const struct rec_owner *rec, struct err *err)
{
    (void)err;
    dump_owner_row(ctx, 1, "owner", rec);
    return 0;
}

static int dump_request(void *ctx, const struct rec_owner *rec, struct err *err)
{
    (void)err;
    dump_owner_row(ctx, 2, "request", rec);
    return 0;
}

static void put_entries(struct sbuf *sb, const struct rec_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sbuf_addc(sb, ' ');
        put_bytes(sb, entries[i].name);
        put_version(sb, entries[i].version);
        sbuf_adds(sb, entries[i].supported ? "" : "!");
    }
}

static int dump_info(void *ctx, const struct rec_info *rec, struct err *err)
{
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);
    const struct slice texts[] = { rec->description, rec->md5, rec->user, rec->method, rec->comment };

    (void)err;
    sbuf_adds(&sb, "info ");
    put_bytes(&sb, rec->module);
    sbuf_addf(&sb, " %lld%s%s", (long long)rec->version, rec->released ? " released" : "",
              rec->first ? " first" : "");
    for (size_t i = 0; i < ARRAY_LEN(texts) && !rec->first; i++) {
        sbuf_addc(&sb, '|');
        put_bytes(&sb, texts[i]);
    }
    sbuf_adds(&sb, " includes");
    for (size_t i = 0; i < rec->include_count; i++) {
        sbuf_addc(&sb, ' ');
        put_bytes(&sb, rec->includes[i].module);
        sbuf_addf(&sb, "=%lld", (long long)rec->includes[i].version);
    }
    sbuf_adds(&sb, " types");
    put_entries(&sb, rec->types, rec->type_count);
    sbuf_adds(&sb, " funcs");
    put_entries(&sb, rec->funcs, rec->func_count);
    add_line(ctx, 3, &sb);
    return 0;
}

static int dump_spec(void *ctx, const struct rec_spec *rec, struct err *err)
{
    struct dump *dump = ctx;
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);

    (void)err;
    assert_int_equal(rec->text.n, 0);
    sbuf_adds(&sb, "spec ");
    put_bytes(&sb, rec->module);
    sbuf_addf(&sb, " %lld", (long long)rec->version);
    struct line *line = add_line(dump, 4, &sb);
    line->has_text = true;
    line->key = (struct text_key){ .kind = TEXT_SPEC,
                                   .module = arena_slice(&dump->arena, rec->module),
                                   .module_version = rec->version };
    return 0;
}

static int dump_row(struct dump *dump, int kind, const char *what, enum text_kind text,
                    const struct rec_row *rec)
{
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);

    assert_int_equal(rec->text.n, 0);
    sbuf_addf(&sb, "%s ", what);
    put_name(&sb, rec->module, rec->name, rec->version);
    sbuf_addf(&sb, " by %lld%s", (long long)rec->module_version, rec->md5.n ? " " : "");
    put_bytes(&sb, rec->md5);
    struct line *line = add_line(dump, kind, &sb);
    line->has_text = true;
    line->key = (struct text_key){ .kind = text,
                                   .module = arena_slice(&dump->arena, rec->module),
                                   .name = arena_slice(&dump->arena, rec->name),
                                   .version = rec->version };
    return 0;
}

static int dump_schema(void *ctx, const struct rec_row *rec, struct err *err)
{
    (void)err;
    return dump_row(ctx, 5, "schema", TEXT_SCHEMA, rec);
}

static int dump_type_parse(void *ctx, const struct rec_row *rec, struct err *err)
{
    (void)err;
    return dump_row(ctx, 6, "type parse", TEXT_TYPE_PARSE, rec);
}

static int dump_func_parse(void *ctx, const struct rec_row *rec, struct err *err)
{
    (void)err;
    return dump_row(ctx, 7, "func parse", TEXT_FUNC_PARSE, rec);
}

static int dump_edge(void *ctx, int kind, const char *what, const struct rec_edge *rec)
{
    struct sbuf sb = SBUF_INIT(SBUF_NO_LIMIT);

    sbuf_addf(&sb, "%s ", what);
    put_name(&sb, rec->dep_module, rec->dep_name, rec->dep_version);
    sbuf_addf(&sb, " by %lld -> ", (long long)rec->dep_module_version);
    put_name(&sb, rec->ref_module, rec->ref_name, rec->ref_version);
    add_line(ctx, kind, &sb);
    return 0;
}

static int dump_type_ref(void *ctx, const struct rec_edge *rec, struct err *err)
{
    (void)err;
    return dump_edge(ctx, 8, "type ref", rec);
}

static int dump_func_ref(void *ctx, const struct rec_edge *rec, struct err *err)
{
    (void)err;
    return dump_edge(ctx, 9, "func ref", rec);
}

/* Kinds in the stated order; lines sorted only in kinds that come in any order. */
static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    bool ordered = x->kind >= 2 && x->kind <= 4;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (ordered)
        return x < y ? -1 : 1; /* they are in order already, which insertion sort below keeps */
    return strcmp(x->text, y->text);
}

static void sort_lines(struct dump *dump)
{
    for (size_t i = 1; i < dump->count; i++) {
        assert_true(dump->lines[i].kind >= dump->lines[i - 1].kind);
        for (size_t k = i; k && compare_lines(&dump->lines[k - 1], &dump->lines[k]) > 0; k--) {
            struct line tmp = dump->lines[k];
            dump->lines[k] = dump->lines[k - 1];
            dump->lines[k - 1] = tmp;
        }
    }
}

static void put_line(struct store *store, const struct line *line, struct sbuf *sb)
{
    sbuf_adds(sb, line->text);
    if (line->has_text) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        AUTO_ERR(err);
        int found = store_read_text(store, &line->key, &text, &err);
        sbuf_adds(sb, found == 1 ? ": " : " MISSING");
        put_bytes(sb, sbuf_slice(&text));
    }
    sbuf_addc(sb, '\n');
}

static const struct store_sink dump_sink = {
    .pointers = dump_pointers,
    .owner = dump_owner,
    .request = dump_request,
    .info = dump_info,
    .spec = dump_spec,
    .schema = dump_schema,
    .type_parse = dump_type_parse,
    .func_parse = dump_func_parse,
    .type_ref = dump_type_ref,
    .func_ref = dump_func_ref,
};

static char *dump(struct store *store)
{
    struct dump *d = xcalloc(1, sizeof(*d));
    struct store_sink sink = dump_sink;
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_ERR(err);

    sink.ctx = d;
    if (store_load(store, &sink, &err))
        fail_msg("%s", err_text(&err));
    sort_lines(d);
    for (size_t i = 0; i < d->count; i++)
        put_line(store, &d->lines[i], &text);
    arena_release(&d->arena);
    free(d);
    return sbuf_take(&text, NULL);
}

static void assert_dump(struct store *store, const char *expected)
{
    AUTO(free_str_auto) char *text = dump(store);

    assert_string_equal(text, expected);
}

/* ---- change sets as tables ---- */

enum { EXPECT_THERE = 100, EXPECT_NONE };

struct op {
    int kind; /* enum change_kind or one of the above; END_OPS ends */
    const char *module, *name;
    struct semver version;
    int64_t last, released;
    const char *text;
    const char *other_module, *other_name;
    struct semver other_version;
    bool flag;
};

#define END_OPS \
    { \
        .kind = -1 \
    }
#define REQUEST(m, u) \
    { \
        .kind = CHANGE_ADD_REQUEST, .module = m, .name = u, .flag = true \
    }
#define DROP_REQUESTS(m, u) \
    { \
        .kind = CHANGE_DROP_REQUESTS, .module = m, .name = u \
    }
#define OWNER(m, u, grant) \
    { \
        .kind = CHANGE_PUT_OWNER, .module = m, .name = u, .flag = grant \
    }
#define DROP_OWNER(m, u) \
    { \
        .kind = CHANGE_DROP_OWNER, .module = m, .name = u \
    }
#define ROW(k, m, n, major, minor, v, t) \
    { \
        .kind = k, .module = m, .name = n, .version = { major, minor }, .last = v, .text = t \
    }
#define REF(k, m, n, major, minor, v, m2, n2, major2, minor2) \
    { \
        .kind = k, .module = m, .name = n, .version = { major, minor }, .last = v, .other_module = m2, \
        .other_name = n2, .other_version = { \
            major2, \
            minor2 \
        } \
    }
#define SPEC(m, v, t) \
    { \
        .kind = CHANGE_ADD_SPEC, .module = m, .last = v, .text = t \
    }
#define FIRST_INFO(m, v) \
    { \
        .kind = CHANGE_ADD_INFO, .module = m, .last = v, .flag = true \
    }
#define INFO(m, v, user) \
    { \
        .kind = CHANGE_ADD_INFO, .module = m, .last = v, .name = user \
    }
#define SET_RELEASED(m, v) \
    { \
        .kind = CHANGE_SET_RELEASED, .module = m, .last = v \
    }
#define MODULE(m, p, r) \
    { \
        .kind = CHANGE_ADD_MODULE, .module = m, .last = p, .released = r, .flag = true \
    }
#define MOVE(m, p, r, s) \
    { \
        .kind = CHANGE_MOVE_POINTERS, .module = m, .last = p, .released = r, .flag = s \
    }
#define THERE(m, p, r, s) \
    { \
        .kind = EXPECT_THERE, .module = m, .last = p, .released = r, .flag = s \
    }
#define NONE(m) \
    { \
        .kind = EXPECT_NONE, .module = m \
    }

static struct slice slice_of_text(const char *text)
{
    return text ? slice_str(text) : slice_of(NULL, 0);
}

static const struct rec_include some_includes[] = { { { "Zed", 3 }, 7 }, { { "Abc", 3 }, 1795159820000 } };
static const struct rec_entry some_types[] = { { { "T", 1 }, { 0, 1 }, true },
                                               { { "Gone", 4 }, { 10, 20 }, false } };
static const struct rec_entry some_funcs[] = { { { "fun", 3 }, { 1, 0 }, true } };

static void fill_info(const struct op *op, struct rec_info *info)
{
    *info = (struct rec_info){
        .module = slice_str(op->module), .version = op->last, .first = op->flag, .released = op->flag
    };
    if (info->first)
        return;
    info->description = SLICE("says \"what\"");
    info->md5 = SLICE("0123");
    info->user = slice_str(op->name);
    info->method = SLICE("registerModule");
    info->include_count = ARRAY_LEN(some_includes);
    info->includes = some_includes;
    info->type_count = ARRAY_LEN(some_types);
    info->types = some_types;
    info->func_count = ARRAY_LEN(some_funcs);
    info->funcs = some_funcs;
}

static void add_op(struct change_set *set, const struct op *op)
{
    struct rec_pointers pointers = { slice_str(op->module), op->last, op->released, op->flag };

    if (op->kind >= EXPECT_THERE) {
        change_set_expect(set, op->kind == EXPECT_THERE, &pointers);
        return;
    }
    struct change *c = change_set_add(set, (enum change_kind)op->kind);
    switch (c->kind) {
    case CHANGE_ADD_REQUEST:
    case CHANGE_DROP_REQUESTS:
    case CHANGE_PUT_OWNER:
    case CHANGE_DROP_OWNER:
        c->owner = (struct rec_owner){ slice_str(op->module), slice_of_text(op->name), op->flag };
        break;
    case CHANGE_ADD_SCHEMA:
    case CHANGE_ADD_TYPE_PARSE:
    case CHANGE_ADD_FUNC_PARSE:
        c->row = (struct rec_row){
            slice_str(op->module), slice_str(op->name),
            op->version,           op->last,
            slice_str(op->text),   slice_of_text(c->kind == CHANGE_ADD_SCHEMA ? "abcd" : NULL)
        };
        break;
    case CHANGE_ADD_TYPE_REF:
    case CHANGE_ADD_FUNC_REF:
        c->edge = (struct rec_edge){
            slice_str(op->module),       slice_str(op->name),       op->version,      op->last,
            slice_str(op->other_module), slice_str(op->other_name), op->other_version
        };
        break;
    case CHANGE_ADD_SPEC:
        c->spec = (struct rec_spec){ slice_str(op->module), op->last, slice_str(op->text) };
        break;
    case CHANGE_ADD_INFO:
        fill_info(op, &c->info);
        break;
    default:
        c->pointers = pointers;
    }
}

static int commit_ops(struct store *store, int64_t fence, const struct op *ops, struct err *err)
{
    AUTO_ARENA(arena);
    struct change_set set;

    change_set_init(&set, &arena);
    for (; ops->kind >= 0; ops++)
        add_op(&set, ops);
    return store_commit(store, &set, fence, err);
}

static void must_commit(struct store *store, int64_t fence, const struct op *ops)
{
    AUTO_ERR(err);

    if (commit_ops(store, fence, ops, &err))
        fail_msg("%s", err_text(&err));
}

#define COMMIT(store, fence, ...) must_commit(store, fence, (const struct op[]){ __VA_ARGS__, END_OPS })

/* ---- commits, over all backends ---- */

#define INFO_TEXT(user) \
    "|says \"what\"|0123|" user "|registerModule| includes Zed=7 Abc=1795159820000 types T-0.1 Gone-10.20!" \
    " funcs fun-1.0\n"
#define EMPTY_INFO " includes types funcs\n"

static const struct commit_case {
    const char *name;
    struct op before[6], change[8];
    int code;
    const char *dump;
} commit_cases[] = {
    { "nothing", { END_OPS }, { END_OPS }, 0, "" },
    { "request",
      { END_OPS },
      { REQUEST("M", "ann"), REQUEST("L", "bob"), END_OPS },
      0,
      "request M ann grant\nrequest L bob grant\n" },
    { "requests keep the order of insertion",
      { REQUEST("C", "u"), REQUEST("A", "u"), REQUEST("B", "u"), DROP_REQUESTS("A", "u"), END_OPS },
      { REQUEST("A", "u"), END_OPS },
      0,
      "request C u grant\nrequest B u grant\nrequest A u grant\n" },
    { "one request for a module",
      { REQUEST("M", "ann"), END_OPS },
      { REQUEST("M", "bob"), END_OPS },
      -ERR_CONFLICT,
      "request M ann grant\n" },
    { "the same request again",
      { REQUEST("M", "ann"), END_OPS },
      { REQUEST("M", "ann"), END_OPS },
      -ERR_CONFLICT,
      "request M ann grant\n" },
    { "drop a user's request",
      { REQUEST("M", "ann"), REQUEST("N", "ann"), END_OPS },
      { DROP_REQUESTS("M", "ann"), DROP_REQUESTS("N", "bob"), END_OPS },
      0,
      "request N ann grant\n" },
    { "drop anybody's request",
      { REQUEST("M", "ann"), REQUEST("N", "ann"), END_OPS },
      { DROP_REQUESTS("M", NULL), END_OPS },
      0,
      "request N ann grant\n" },
    { "owners",
      { END_OPS },
      { OWNER("M", "ann", true), OWNER("M", "bob", false), OWNER("N", "ann", false), END_OPS },
      0,
      "owner M ann grant\nowner M bob\nowner N ann\n" },
    { "owner's grant option replaced",
      { OWNER("M", "ann", true), OWNER("M", "bob", false), END_OPS },
      { OWNER("M", "ann", false), OWNER("M", "bob", true), END_OPS },
      0,
      "owner M ann\nowner M bob grant\n" },
    { "drop an owner",
      { OWNER("M", "ann", true), OWNER("M", "bob", false), END_OPS },
      { DROP_OWNER("M", "ann"), DROP_OWNER("M", "zoe"), END_OPS },
      0,
      "owner M bob\n" },
    { "schema",
      { END_OPS },
      { ROW(CHANGE_ADD_SCHEMA, "M", "T", 0, 1, 5, "{ }"), END_OPS },
      0,
      "schema M.T-0.1 by 5 abcd: { }\n" },
    { "type parse",
      { END_OPS },
      { ROW(CHANGE_ADD_TYPE_PARSE, "M", "T", 12, 345, 5, "tree"), END_OPS },
      0,
      "type parse M.T-12.345 by 5: tree\n" },
    { "function parse",
      { END_OPS },
      { ROW(CHANGE_ADD_FUNC_PARSE, "M", "f", 1, 0, 1795159823545, "tree"), END_OPS },
      0,
      "func parse M.f-1.0 by 1795159823545: tree\n" },
    { "versions are not mixed up",
      { ROW(CHANGE_ADD_SCHEMA, "M", "T", 1, 11, 5, "a"), ROW(CHANGE_ADD_SCHEMA, "M", "T", 11, 1, 6, "b"),
        END_OPS },
      { ROW(CHANGE_ADD_SCHEMA, "M", "T", 1, 1, 7, "c"), END_OPS },
      0,
      "schema M.T-1.1 by 7 abcd: c\nschema M.T-1.11 by 5 abcd: a\nschema M.T-11.1 by 6 abcd: b\n" },
    { "schema there already",
      { ROW(CHANGE_ADD_SCHEMA, "M", "T", 0, 1, 5, "old"), END_OPS },
      { OWNER("M", "ann", true), ROW(CHANGE_ADD_SCHEMA, "M", "T", 0, 1, 6, "new"), OWNER("M", "bob", true),
        END_OPS },
      -ERR_CONFLICT,
      "schema M.T-0.1 by 5 abcd: old\n" },
    { "type parse there already",
      { ROW(CHANGE_ADD_TYPE_PARSE, "M", "T", 0, 1, 5, "old"), END_OPS },
      { ROW(CHANGE_ADD_TYPE_PARSE, "M", "T", 0, 1, 5, "old"), END_OPS },
      -ERR_CONFLICT,
      "type parse M.T-0.1 by 5: old\n" },
    { "function parse there already",
      { ROW(CHANGE_ADD_FUNC_PARSE, "M", "f", 0, 1, 5, "old"), END_OPS },
      { ROW(CHANGE_ADD_FUNC_PARSE, "M", "f", 0, 1, 6, "new"), END_OPS },
      -ERR_CONFLICT,
      "func parse M.f-0.1 by 5: old\n" },
    { "edges, doubled ones too",
      { REF(CHANGE_ADD_TYPE_REF, "M", "D", 0, 1, 5, "M", "T", 0, 2), END_OPS },
      { REF(CHANGE_ADD_TYPE_REF, "M", "D", 0, 1, 5, "M", "T", 0, 2),
        REF(CHANGE_ADD_FUNC_REF, "M", "f", 1, 0, 6, "N", "T", 2, 3), END_OPS },
      0,
      "type ref M.D-0.1 by 5 -> M.T-0.2\ntype ref M.D-0.1 by 5 -> M.T-0.2\nfunc ref M.f-1.0 by 6 -> "
      "N.T-2.3\n" },
    { "specs",
      { SPEC("M", 20, "two"), END_OPS },
      { SPEC("M", 10, "one"), SPEC("L", 30, ""), END_OPS },
      0,
      "spec L 30: \nspec M 10: one\nspec M 20: two\n" },
    { "spec there already",
      { SPEC("M", 20, "two"), END_OPS },
      { SPEC("M", 20, "two"), END_OPS },
      -ERR_CONFLICT,
      "spec M 20: two\n" },
    { "infos",
      { INFO("M", 20, "ann"), END_OPS },
      { FIRST_INFO("M", 10), INFO("L", 30, ""), END_OPS },
      0,
      "info L 30" INFO_TEXT("") "info M 10 released first" EMPTY_INFO "info M 20" INFO_TEXT("ann") },
    { "info there already",
      { FIRST_INFO("M", 10), END_OPS },
      { INFO("M", 10, "ann"), END_OPS },
      -ERR_CONFLICT,
      "info M 10 released first" EMPTY_INFO },
    { "released",
      { INFO("M", 20, "ann"), INFO("M", 30, "ann"), END_OPS },
      { SET_RELEASED("M", 20), END_OPS },
      0,
      "info M 20 released" INFO_TEXT("ann") "info M 30" INFO_TEXT("ann") },
    { "released, but not there",
      { INFO("M", 20, "ann"), END_OPS },
      { OWNER("M", "u", true), SET_RELEASED("M", 21), END_OPS },
      -ERR_CONFLICT,
      "info M 20" INFO_TEXT("ann") },
    { "module", { END_OPS }, { NONE("M"), MODULE("M", 10, 10), END_OPS }, 0, "module M 10 10\n" },
    { "module there already",
      { MODULE("M", 10, 10), END_OPS },
      { MODULE("M", 11, 11), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\n" },
    { "pointers moved",
      { MODULE("M", 10, 10), MODULE("L", 9, 9), END_OPS },
      { THERE("M", 10, 10, true), MOVE("M", 20, 15, false), END_OPS },
      0,
      "module L 9 9\nmodule M 20 15 unsupported\n" },
    { "pointers of no module", { END_OPS }, { MOVE("M", 20, 15, true), END_OPS }, -ERR_CONFLICT, "" },
    { "expected module is not there",
      { END_OPS },
      { THERE("M", 10, 10, true), OWNER("M", "u", true), END_OPS },
      -ERR_CONFLICT,
      "" },
    { "module is there unexpectedly",
      { MODULE("M", 10, 10), END_OPS },
      { NONE("M"), OWNER("M", "u", true), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\n" },
    { "last moved meanwhile",
      { MODULE("M", 10, 10), END_OPS },
      { THERE("M", 9, 10, true), OWNER("M", "u", true), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\n" },
    { "released moved meanwhile",
      { MODULE("M", 10, 10), END_OPS },
      { THERE("M", 10, 9, true), OWNER("M", "u", true), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\n" },
    { "support changed meanwhile",
      { MODULE("M", 10, 10), END_OPS },
      { THERE("M", 10, 10, false), OWNER("M", "u", true), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\n" },
    { "one of several expectations fails",
      { MODULE("M", 10, 10), END_OPS },
      { THERE("M", 10, 10, true), NONE("N"), THERE("O", 1, 1, true), OWNER("M", "u", true), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\n" },
    { "a late failure undoes all",
      { MODULE("M", 10, 10), REQUEST("M", "ann"), OWNER("M", "bob", false), END_OPS },
      { DROP_REQUESTS("M", "ann"), DROP_OWNER("M", "bob"), MOVE("M", 20, 10, true), INFO("M", 20, "ann"),
        SPEC("M", 20, "s"), INFO("M", 20, "ann"), END_OPS },
      -ERR_CONFLICT,
      "module M 10 10\nowner M bob\nrequest M ann grant\n" },
};

static void run_commit_case(struct fixture *f, const struct commit_case *c)
{
    AUTO_ERR(err);

    must_commit(f->store, f->fence, c->before);
    int code = commit_ops(f->store, f->fence, c->change, &err);
    AUTO(free_str_auto) char *text = dump(f->store);
    if (code != c->code || strcmp(text, c->dump) != 0)
        fail_msg("%s: %d %s\n%s", c->name, code, err_text(&err), text);
    assert_int_equal(err.code, -code);
}

static void commits(struct fixture *f)
{
    for (size_t i = 0; i < ARRAY_LEN(commit_cases); i++) {
        struct fixture own;
        if (f->backend->clear) {
            f->backend->clear(f->db);
            f->fence = take_lease(f->store, "first", 60000);
            run_commit_case(f, &commit_cases[i]);
            continue;
        }
        fixture_open(&own, f->backend);
        run_commit_case(&own, &commit_cases[i]);
        fixture_close(&own);
    }
}

static const struct op base_ops[] = {
    MODULE("M", 10, 10), FIRST_INFO("M", 10), OWNER("M", "ann", true),
    REQUEST("M", "bob"), MODULE("N", 10, 10), END_OPS,
};

/* One of each kind; what a registration with a release and an approval would be in one. */
static const struct op every_op[] = {
    THERE("M", 10, 10, true),
    NONE("X"),
    REQUEST("Y", "eve"),
    DROP_REQUESTS("M", "bob"),
    OWNER("M", "ann", false),
    OWNER("M", "bob", true),
    DROP_OWNER("M", "zoe"),
    ROW(CHANGE_ADD_SCHEMA, "M", "T", 0, 1, 20, "schema"),
    ROW(CHANGE_ADD_TYPE_PARSE, "M", "T", 0, 1, 20, "tree"),
    ROW(CHANGE_ADD_FUNC_PARSE, "M", "f", 0, 1, 20, "tree"),
    REF(CHANGE_ADD_TYPE_REF, "M", "T", 0, 1, 20, "N", "T", 1, 0),
    REF(CHANGE_ADD_FUNC_REF, "M", "f", 0, 1, 20, "M", "T", 0, 1),
    SPEC("M", 20, "spec"),
    INFO("M", 20, "ann"),
    SET_RELEASED("M", 20),
    MODULE("X", 5, 5),
    MOVE("M", 20, 20, true),
    END_OPS,
};

static void everything_at_once(struct fixture *f)
{
    AUTO_ERR(err);

    must_commit(f->store, f->fence, base_ops);
    must_commit(f->store, f->fence, every_op);
    assert_dump(
        f->store,
        "module M 20 20\nmodule N 10 10\nmodule X 5 5\nowner M ann\nowner M bob grant\nrequest Y eve grant\n"
        "info M 10 released first" EMPTY_INFO "info M 20 released" INFO_TEXT(
            "ann") "spec M 20: spec\n"
                   "schema M.T-0.1 by 20 abcd: schema\ntype parse M.T-0.1 by 20: tree\n"
                   "func parse M.f-0.1 by 20: tree\ntype ref M.T-0.1 by 20 -> N.T-1.0\n"
                   "func ref M.f-0.1 by 20 -> M.T-0.1\n");
    assert_int_equal(commit_ops(f->store, f->fence, every_op, &err), -ERR_CONFLICT);
    assert_string_equal(err_text(&err), "type database: module M has been changed meanwhile");
}

/* ---- texts, over all backends ---- */

static void any_bytes(struct fixture *f)
{
    static const char all[] = "a\0b\xff\xed\xa0\x80\n'\"\\\0";
    const struct slice bytes = SLICE(all), module = SLICE("M\0dule"), name = SLICE("T'\"\0");
    AUTO_ARENA(arena);
    struct change_set set;

    change_set_init(&set, &arena);
    change_set_add(&set, CHANGE_PUT_OWNER)->owner = (struct rec_owner){ module, bytes, true };
    change_set_add(&set, CHANGE_ADD_SCHEMA)->row =
        (struct rec_row){ module, name, { 0, 1 }, 5, bytes, bytes };
    change_set_add(&set, CHANGE_ADD_SPEC)->spec = (struct rec_spec){ module, 5, bytes };
    change_set_add(&set, CHANGE_ADD_INFO)->info = (struct rec_info){ .module = module,
                                                                     .version = 5,
                                                                     .description = bytes,
                                                                     .md5 = SLICE("x"),
                                                                     .user = bytes,
                                                                     .comment = SLICE("\0") };
    assert_int_equal(store_commit(f->store, &set, f->fence, NULL), 0);

#define ALL_TEXT "a\\x00b\\xff\\xed\\xa0\\x80\\x0a'\"\\\\x00"
    assert_dump(f->store, "owner M\\x00dule " ALL_TEXT " grant\n"
                          "info M\\x00dule 5|" ALL_TEXT "|x|" ALL_TEXT "||\\x00 includes types funcs\n"
                          "spec M\\x00dule 5: " ALL_TEXT "\n"
                          "schema M\\x00dule.T'\"\\x00-0.1 by 5 " ALL_TEXT ": " ALL_TEXT "\n");

    AUTO_SBUF(text, SBUF_NO_LIMIT);
    struct text_key key = { .kind = TEXT_SCHEMA, .module = SLICE("M"), .name = name, .version = { 0, 1 } };
    assert_int_equal(store_read_text(f->store, &key, &text, NULL), 0);
}

static void texts(struct fixture *f)
{
    COMMIT(f->store, f->fence, SPEC("M", 5, "spec"), ROW(CHANGE_ADD_SCHEMA, "M", "T", 1, 2, 5, "schema"),
           ROW(CHANGE_ADD_TYPE_PARSE, "M", "T", 1, 2, 5, "type"),
           ROW(CHANGE_ADD_FUNC_PARSE, "M", "T", 1, 2, 5, ""));
    const struct {
        struct text_key key;
        int found;
        const char *text;
    } cases[] = {
        { { TEXT_SPEC, SLICE("M"), { 0 }, { 0, 0 }, 5 }, 1, "spec" },
        { { TEXT_SPEC, SLICE("M"), { 0 }, { 0, 0 }, 6 }, 0, "" },
        { { TEXT_SPEC, SLICE("N"), { 0 }, { 0, 0 }, 5 }, 0, "" },
        { { TEXT_SCHEMA, SLICE("M"), SLICE("T"), { 1, 2 }, 0 }, 1, "schema" },
        { { TEXT_SCHEMA, SLICE("M"), SLICE("T"), { 2, 1 }, 0 }, 0, "" },
        { { TEXT_SCHEMA, SLICE("M"), SLICE("t"), { 1, 2 }, 0 }, 0, "" },
        { { TEXT_TYPE_PARSE, SLICE("M"), SLICE("T"), { 1, 2 }, 0 }, 1, "type" },
        { { TEXT_TYPE_PARSE, SLICE("M"), SLICE("T"), { 1, 3 }, 0 }, 0, "" },
        { { TEXT_FUNC_PARSE, SLICE("M"), SLICE("T"), { 1, 2 }, 0 }, 1, "" },
        { { TEXT_FUNC_PARSE, SLICE(""), SLICE(""), { 0, 0 }, 0 }, 0, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        sbuf_adds(&text, "+");
        assert_int_equal(store_read_text(f->store, &cases[i].key, &text, NULL), cases[i].found);
        assert_string_equal(text.p + 1, cases[i].text);
    }
    AUTO_SBUF(small, 3);
    AUTO_ERR(err);
    assert_int_equal(store_read_text(f->store, &cases[0].key, &small, &err), -ERR_STORE);
}

static void a_big_text(struct fixture *f)
{
    size_t n = 3000000;
    AUTO(free_str_auto) char *big = xmalloc(n + 1);
    struct text_key key = { .kind = TEXT_SPEC, .module = SLICE("M"), .module_version = 5 };
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < n; i++)
        big[i] = (char)('a' + i * 7 % 26);
    big[n] = '\0';
    COMMIT(f->store, f->fence, SPEC("M", 5, big));
    assert_int_equal(store_read_text(f->store, &key, &text, NULL), 1);
    assert_true(slice_eq(sbuf_slice(&text), slice_of(big, n)));
}

static int refuse_spec(void *ctx, const struct rec_spec *rec, struct err *err)
{
    ++*(int *)ctx;
    return err_set(err, ERR_LIMIT, "spec %lld", (long long)rec->version);
}

static int ignore_owner(void *ctx, const struct rec_owner *rec, struct err *err)
{
    (void)ctx, (void)rec, (void)err;
    return 0;
}

static void a_callback_ends_the_load(struct fixture *f)
{
    struct store_sink sink = dump_sink;
    int calls = 0;
    AUTO_ERR(err);

    COMMIT(f->store, f->fence, OWNER("M", "ann", true), SPEC("M", 5, "a"), SPEC("M", 6, "b"));
    sink.ctx = &calls;
    sink.owner = ignore_owner;
    sink.spec = refuse_spec;
    assert_int_equal(store_load(f->store, &sink, &err), -ERR_LIMIT);
    assert_string_equal(err_text(&err), "spec 5");
    assert_int_equal(calls, 1);
    COMMIT(f->store, f->fence, DROP_OWNER("M", "ann"));
    assert_dump(f->store, "spec M 5: a\nspec M 6: b\n");
}

static void cluster_id(struct fixture *f)
{
    char id[RANDOM_ID_HEX + 1], again[RANDOM_ID_HEX + 1];
    struct fixture other;

    assert_int_equal(store_cluster_id(f->store, id, NULL), 0);
    assert_int_equal(strlen(id), RANDOM_ID_HEX);
    assert_int_equal(strspn(id, "0123456789abcdef"), RANDOM_ID_HEX);
    fixture_open(&other, f->backend);
    assert_int_equal(store_cluster_id(other.store, again, NULL), 0);
    assert_string_not_equal(id, again);
    fixture_close(&other);
}

static void status(struct fixture *f)
{
    AUTO_SBUF(json, SBUF_NO_LIMIT);

    store_status(f->store, &json);
    assert_int_equal(json.p[0], ',');
    assert_non_null(strstr(json.p, "\"schema_version\":1"));
}

static void stays_in_the_database(struct fixture *f)
{
    char id[RANDOM_ID_HEX + 1], again[RANDOM_ID_HEX + 1];

    COMMIT(f->store, f->fence, MODULE("M", 10, 10), FIRST_INFO("M", 10), OWNER("M", "ann", true),
           REQUEST("N", "bob"));
    assert_int_equal(store_cluster_id(f->store, id, NULL), 0);
    assert_int_equal(store_lease_give_up(f->store, f->fence, NULL), 0);
    AUTO(free_str_auto) char *before = dump(f->store);
    store_close(f->store);
    f->store = f->backend->open(f->db);
    assert_dump(f->store, before);
    assert_int_equal(store_cluster_id(f->store, again, NULL), 0);
    assert_string_equal(id, again);
    assert_true(take_lease(f->store, "second", 1000) > f->fence);
}

/* ---- the lease, over all backends ---- */

static void fence_of_one(struct fixture *f)
{
    const struct op ops[] = { OWNER("M", "u", true), END_OPS };
    AUTO_ERR(err);

    assert_true(f->fence > 0);
    assert_int_equal(commit_ops(f->store, f->fence + 1, ops, NULL), -ERR_FENCED);
    assert_int_equal(commit_ops(f->store, f->fence - 1, ops, NULL), -ERR_FENCED);
    assert_int_equal(commit_ops(f->store, 0, ops, NULL), -ERR_FENCED);
    assert_int_equal(store_lease_renew(f->store, f->fence + 1, 1000, NULL), -ERR_FENCED);
    assert_dump(f->store, "");
    assert_int_equal(store_lease_renew(f->store, f->fence, 1000, &err), 0);
    must_commit(f->store, f->fence, ops);

    assert_int_equal(store_lease_give_up(f->store, f->fence, NULL), 0);
    assert_int_equal(commit_ops(f->store, f->fence, ops, &err), -ERR_FENCED);
    assert_int_equal(store_lease_renew(f->store, f->fence, 1000, NULL), -ERR_FENCED);
    assert_int_equal(store_lease_give_up(f->store, f->fence, NULL), -ERR_FENCED);
    int64_t fence = take_lease(f->store, "first", 1000);
    assert_true(fence > f->fence);
    must_commit(f->store, fence, ops);
}

static void fence_of_two(struct fixture *f)
{
    const struct op mine[] = { OWNER("M", "mine", true), END_OPS },
                    yours[] = { OWNER("M", "yours", true), END_OPS };
    AUTO(store_close_auto) struct store *second = f->backend->open(f->db);
    struct lease_holder me = { .node = "second", .host = "there", .pid = 12 }, holder = { .pid = 0 };
    int64_t fence = -5;
    AUTO_ERR(err);

    /* while it lasts */
    assert_int_equal(store_lease_take(second, &me, 1000, &fence, &holder, &err), -ERR_BUSY);
    assert_int_equal(fence, -5);
    assert_string_equal(holder.node, "first");
    assert_string_equal(holder.host, "here");
    assert_int_equal(holder.pid, 4711);
    assert_in_range(holder.age_ms, 0, 30000);
    assert_non_null(strstr(err_text(&err), "process 4711 on here"));
    assert_int_equal(commit_ops(second, f->fence + 1, yours, NULL), -ERR_FENCED);

    /* past its time, but not taken */
    assert_int_equal(store_lease_renew(f->store, f->fence, 1, NULL), 0);
    usleep(30000);
    must_commit(f->store, f->fence, mine);
    assert_int_equal(store_lease_renew(f->store, f->fence, 1, NULL), 0);
    usleep(30000);

    /* taken */
    fence = take_lease(second, "second", 60000);
    assert_true(fence > f->fence);
    assert_int_equal(commit_ops(f->store, f->fence, mine, NULL), -ERR_FENCED);
    assert_int_equal(store_lease_renew(f->store, f->fence, 1000, NULL), -ERR_FENCED);
    assert_int_equal(store_lease_give_up(f->store, f->fence, NULL), -ERR_FENCED);
    must_commit(second, fence, yours);
    assert_dump(f->store, "owner M mine grant\nowner M yours grant\n");

    /* given up */
    assert_int_equal(store_lease_give_up(second, fence, NULL), 0);
    int64_t again = take_lease(f->store, "first", 60000);
    assert_true(again > fence);
    assert_int_equal(commit_ops(second, fence, yours, NULL), -ERR_FENCED);
    must_commit(f->store, again, mine);
}

/* ---- threads, over all backends ---- */

enum { THREAD_COMMITS = 60 };

struct work {
    struct store *store;
    atomic_llong committed;
    atomic_bool done;
    atomic_int failures;
};

static void *read_specs(void *arg)
{
    struct work *w = arg;

    while (!atomic_load(&w->done)) {
        long long v = atomic_load(&w->committed);
        AUTO_SBUF(text, SBUF_NO_LIMIT);
        struct text_key key = { .kind = TEXT_SPEC, .module = SLICE("M"), .module_version = v };
        if (v &&
            (store_read_text(w->store, &key, &text, NULL) != 1 || strcmp(text.p, "text of the spec") != 0))
            atomic_fetch_add(&w->failures, 1);
    }
    return NULL;
}

static void note_lost(void *ctx, const struct err *why)
{
    (void)why;
    atomic_fetch_add(&((struct work *)ctx)->failures, 1);
}

static void threads(struct fixture *f)
{
    struct work w = { .store = f->store };
    struct lease_options options = { .ttl_ms = 600, .on_lost = note_lost, .ctx = &w };
    struct lease_holder holder;
    struct lease *lease = NULL;
    pthread_t readers[2];

    assert_int_equal(store_lease_give_up(f->store, f->fence, NULL), 0);
    assert_int_equal(lease_start(f->store, "node", &options, &lease, &holder, NULL), 0);
    COMMIT(f->store, lease_fence(lease), MODULE("M", 0, 0));
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_specs, &w), 0);
    for (int64_t v = 1; v <= THREAD_COMMITS; v++) {
        COMMIT(f->store, lease_fence(lease), THERE("M", v - 1, 0, true), SPEC("M", v, "text of the spec"),
               INFO("M", v, "u"), MOVE("M", v, 0, true));
        atomic_store(&w.committed, v);
        usleep(10000);
    }
    atomic_store(&w.done, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_true(lease_is_held(lease));
    lease_stop(lease);
    assert_int_equal(atomic_load(&w.failures), 0);
}

/* ---- running ---- */

static const struct contract_case {
    const char *name;
    void (*run)(struct fixture *f);
    bool many;
} contract_cases[] = {
    { "commits", commits, false },
    { "everything_at_once", everything_at_once, false },
    { "any_bytes", any_bytes, false },
    { "texts", texts, false },
    { "a_big_text", a_big_text, false },
    { "a_callback_ends_the_load", a_callback_ends_the_load, false },
    { "cluster_id", cluster_id, false },
    { "status", status, false },
    { "stays_in_the_database", stays_in_the_database, true },
    { "fence_of_one", fence_of_one, false },
    { "fence_of_two", fence_of_two, true },
    { "threads", threads, false },
};

struct contract_run {
    const struct contract_case *contract;
    const struct backend *backend;
};

static void run_contract(void **state)
{
    struct contract_run *run = *state;
    struct fixture f;

    fixture_open(&f, run->backend);
    run->contract->run(&f);
    fixture_close(&f);
}

/* Returns how many failed. */
static int run_contracts(const struct backend *backends, size_t count)
{
    struct contract_run *runs = xcalloc(ARRAY_LEN(contract_cases) * count, sizeof(*runs));
    struct CMUnitTest *tests = xcalloc(ARRAY_LEN(contract_cases) * count, sizeof(*tests));
    size_t n = 0;

    for (size_t b = 0; b < count; b++)
        for (size_t c = 0; c < ARRAY_LEN(contract_cases); c++) {
            if (contract_cases[c].many && !backends[b].many)
                continue;
            runs[n] = (struct contract_run){ &contract_cases[c], &backends[b] };
            tests[n] =
                (struct CMUnitTest){ .name = xasprintf("%s: %s", backends[b].name, contract_cases[c].name),
                                     .test_func = run_contract,
                                     .initial_state = &runs[n] };
            n++;
        }
    int failed = _cmocka_run_group_tests("contract", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        char *name = NULL;
        memcpy(&name, &tests[i].name, sizeof(name));
        free(name);
    }
    free(tests);
    free(runs);
    return failed;
}

#endif
