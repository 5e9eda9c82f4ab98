#include "tws/fsck.h"

#include <stdarg.h>
#include <stdio.h>

#include "shared/base/utf.h"
#include "tws/fsck_inner.h"

/* Each look but the last mends something; what needs more has a fault of its own. */
enum { MAX_LOOKS = 8 };

/* ---- helpers ---- */

void *fsck_grow(struct arena *arena, void **items, size_t *count, size_t *cap, size_t size)
{
    if (*count == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        void *bigger = arena_alloc(arena, more * size);
        if (*count)
            memcpy(bigger, *items, *count * size);
        *items = bigger;
        *cap = more;
    }
    void *item = (char *)*items + (*count)++ * size;
    memset(item, 0, size);
    return item;
}

struct fsck_module *fsck_find(const struct fsck *fsck, struct slice name)
{
    struct fsck_module *m;

    HASH_FIND(hh, fsck->modules, name.p, name.n, m);
    return m;
}

static struct fsck_module *need(struct fsck *fsck, struct slice name)
{
    struct fsck_module *m = fsck_find(fsck, name);

    if (!m) {
        m = arena_zalloc(&fsck->look, sizeof(*m));
        m->name = arena_slice(&fsck->look, name);
        HASH_ADD_KEYPTR(hh, fsck->modules, m->name.p, m->name.n, m);
    }
    return m;
}

static struct slice keep(struct fsck *fsck, struct slice text)
{
    return arena_slice(&fsck->look, text);
}

struct fsck_finding *fsck_report(struct fsck *fsck, const struct fsck_module *m, const char *kind,
                                 const char *advice, const char *fmt, ...)
{
    struct fsck_finding *f = arena_zalloc(&fsck->arena, sizeof(*f));
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    f->kind = kind;
    f->module = m ? arena_slice(&fsck->arena, m->name) : SLICE("");
    f->what = arena_strdup(&fsck->arena, text);
    f->advice = advice;
    free(text);
    *fsck->found_end = f;
    fsck->found_end = &f->next;
    return f;
}

struct change_set *fsck_mend(struct fsck *fsck, const struct fsck_module *m, struct fsck_finding *finding)
{
    if (m->unreadable)
        return NULL;
    struct change_set *set = arena_alloc(&fsck->look, sizeof(*set));
    change_set_init(set, &fsck->look);
    const struct rec_pointers none = { .module = m->name };
    change_set_expect(set, m->has_pointers, m->has_pointers ? &m->pointers : &none);
    finding->mendable = true;
    finding->repair = set;
    return set;
}

/* ---- loading ---- */

static int load_pointers(void *ctx, const struct rec_pointers *rec, struct err *err UNUSED)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = need(fsck, rec->module);

    m->has_pointers = true;
    m->pointers = *rec;
    m->pointers.module = m->name;
    return 0;
}

static int load_owner(void *ctx, const struct rec_owner *rec, struct err *err UNUSED)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = need(fsck, rec->module);
    struct rec_owner *owner = FSCK_ADD(fsck, m->owners);

    *owner = (struct rec_owner){ m->name, keep(fsck, rec->user), rec->can_grant };
    if (!rec->user.p)
        owner->user = slice_of(NULL, 0);
    return 0;
}

static int load_request(void *ctx, const struct rec_owner *rec, struct err *err UNUSED)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = need(fsck, rec->module);

    *FSCK_ADD(fsck, m->requests) = (struct rec_owner){ m->name, keep(fsck, rec->user), rec->can_grant };
    return 0;
}

static const struct rec_entry *keep_entries(struct fsck *fsck, const struct rec_entry *entries, size_t count)
{
    struct rec_entry *copy = arena_alloc(&fsck->look, (count + 1) * sizeof(*copy));

    for (size_t i = 0; i < count; i++) {
        copy[i] = entries[i];
        copy[i].name = keep(fsck, entries[i].name);
    }
    return copy;
}

static int load_info(void *ctx, const struct rec_info *rec, struct err *err UNUSED)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = need(fsck, rec->module);
    struct rec_include *includes = arena_alloc(&fsck->look, (rec->include_count + 1) * sizeof(*includes));

    for (size_t i = 0; i < rec->include_count; i++)
        includes[i] = (struct rec_include){ keep(fsck, rec->includes[i].module), rec->includes[i].version };
    struct rec_info *info = &FSCK_ADD(fsck, m->infos)->rec;
    *info = *rec;
    info->module = m->name;
    info->method = keep(fsck, rec->method);
    info->description = info->md5 = info->user = info->comment = SLICE("");
    info->includes = includes;
    info->types = keep_entries(fsck, rec->types, rec->type_count);
    info->funcs = keep_entries(fsck, rec->funcs, rec->func_count);
    return 0;
}

static int load_spec(void *ctx, const struct rec_spec *rec, struct err *err UNUSED)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = need(fsck, rec->module);

    *FSCK_ADD(fsck, m->specs) = rec->version;
    return 0;
}

static int load_row(struct fsck *fsck, const struct rec_row *rec, enum fsck_table table)
{
    struct fsck_module *m = need(fsck, rec->module);

    *FSCK_ADD(fsck, m->rows) =
        (struct fsck_row){ table, keep(fsck, rec->name), rec->version, rec->module_version };
    return 0;
}

static int load_schema(void *ctx, const struct rec_row *rec, struct err *err UNUSED)
{
    return load_row(ctx, rec, TABLE_SCHEMA);
}

static int load_type_parse(void *ctx, const struct rec_row *rec, struct err *err UNUSED)
{
    return load_row(ctx, rec, TABLE_TYPE_PARSE);
}

static int load_func_parse(void *ctx, const struct rec_row *rec, struct err *err UNUSED)
{
    return load_row(ctx, rec, TABLE_FUNC_PARSE);
}

static int load_edge(struct fsck *fsck, const struct rec_edge *rec, bool is_func)
{
    struct fsck_module *m = need(fsck, rec->dep_module);
    struct fsck_edge *edge = FSCK_ADD(fsck, m->edges);

    edge->is_func = is_func;
    edge->rec = *rec;
    edge->rec.dep_module = m->name;
    edge->rec.dep_name = keep(fsck, rec->dep_name);
    edge->rec.ref_module = keep(fsck, rec->ref_module);
    edge->rec.ref_name = keep(fsck, rec->ref_name);
    return 0;
}

static int load_type_ref(void *ctx, const struct rec_edge *rec, struct err *err UNUSED)
{
    return load_edge(ctx, rec, false);
}

static int load_func_ref(void *ctx, const struct rec_edge *rec, struct err *err UNUSED)
{
    return load_edge(ctx, rec, true);
}

static int note_damage(void *ctx, struct slice module, const char *what)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = module.n ? need(fsck, module) : NULL;

    if (m)
        m->unreadable = true;
    fsck_report(fsck, m, "unreadable_record", "put the record right by hand, or bring it back from a backup",
                "a record in %s cannot be read", what);
    return 0;
}

static int load(struct fsck *fsck, struct err *err)
{
    const struct store_sink sink = {
        .ctx = fsck,
        .pointers = load_pointers,
        .owner = load_owner,
        .request = load_request,
        .info = load_info,
        .spec = load_spec,
        .schema = load_schema,
        .type_parse = load_type_parse,
        .func_parse = load_func_parse,
        .type_ref = load_type_ref,
        .func_ref = load_func_ref,
        .damage = note_damage,
    };

    return store_load(fsck->store, &sink, err);
}

/* ---- one look ---- */

static int compare_modules(const struct fsck_module *a, const struct fsck_module *b)
{
    return utf_compare(a->name, b->name);
}

static void forget_look(struct fsck *fsck)
{
    HASH_CLEAR(hh, fsck->modules);
    arena_release(&fsck->look);
    fsck->look = (struct arena)ARENA_INIT;
    fsck->found = NULL;
    fsck->found_end = &fsck->found;
}

static void backend_found(void *ctx, const char *kind, struct slice module, const char *what, bool mendable,
                          bool mended)
{
    struct fsck *fsck = ctx;
    struct fsck_module *m = module.n ? need(fsck, module) : NULL;
    struct fsck_finding *f = fsck_report(fsck, m, arena_strdup(&fsck->arena, kind),
                                         mendable ? "" : "bring the database back from a backup", "%s", what);

    f->mendable = mendable;
    f->mended = mended;
}

static int look(struct fsck *fsck, int64_t fence, struct err *err)
{
    const struct store_check check = { .ctx = fsck, .fence = fence, .found = backend_found };

    forget_look(fsck);
    int rc = store_check(fsck->store, &check, err);
    if (rc == 0)
        rc = load(fsck, err);
    if (rc < 0)
        return rc;
    HASH_SORT(fsck->modules, compare_modules);
    fsck->module_count = 0;
    for (struct fsck_module *m = fsck->modules; m; m = m->hh.next) {
        fsck_check_module(fsck, m);
        fsck->module_count += m->has_pointers;
    }
    for (struct fsck_module *m = fsck->modules; m && rc == 0; m = m->hh.next)
        rc = fsck_check_references(fsck, m, err);
    return rc;
}

/* ---- mending ---- */

/* 1: mended; 0: not now, because something else has changed the module, or not by this backend. */
static int mend(struct fsck *fsck, const struct fsck_finding *finding, int64_t fence, struct err *err)
{
    AUTO_ERR(why);

    if (finding->mended)
        return 1;
    if (!finding->repair)
        return 0;
    int rc = store_commit(fsck->store, finding->repair, fence, &why);
    if (rc == 0)
        return 1;
    return rc == -ERR_CONFLICT || rc == -ERR_UNEXPECTED ? 0 : err_move(err, &why);
}

/* Moves what was mended to the other list; the number of those, or -ERR_x. */
static int mend_all(struct fsck *fsck, int64_t fence, struct err *err)
{
    struct fsck_finding **at = &fsck->found;
    int count = 0;

    while (*at) {
        struct fsck_finding *f = *at;
        int rc = mend(fsck, f, fence, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        f->next = NULL;
        f->mended = true;
        f->repair = NULL;
        *fsck->mended_end = f;
        fsck->mended_end = &f->next;
        count++;
    }
    fsck->found_end = at;
    return count;
}

int fsck_run(struct fsck *fsck, int64_t fence, struct err *err)
{
    int mended = 0;

    for (int i = 0; i < MAX_LOOKS; i++) {
        int rc = look(fsck, fence, err);
        if (rc < 0 || !fence)
            return rc;
        mended = mend_all(fsck, fence, err);
        if (mended <= 0)
            return mended;
    }
    return 0;
}

/* ---- life and answers ---- */

struct fsck *fsck_new(struct store *store)
{
    struct fsck *fsck = xcalloc(1, sizeof(*fsck));

    fsck->store = store;
    fsck->found_end = &fsck->found;
    fsck->mended_end = &fsck->mended;
    return fsck;
}

void fsck_free(struct fsck *fsck)
{
    if (!fsck)
        return;
    forget_look(fsck);
    arena_release(&fsck->arena);
    free(fsck);
}

/* The mended ones first: they are the story of how it came to what is left. */
const struct fsck_finding *fsck_findings(const struct fsck *fsck)
{
    *fsck->mended_end = fsck->found;
    return fsck->mended;
}

size_t fsck_left(const struct fsck *fsck)
{
    size_t n = 0;

    for (const struct fsck_finding *f = fsck->found; f; f = f->next)
        n++;
    return n;
}

size_t fsck_mended(const struct fsck *fsck)
{
    size_t n = 0;

    for (const struct fsck_finding *f = fsck->mended; f && f != fsck->found; f = f->next)
        n++;
    return n;
}

size_t fsck_modules(const struct fsck *fsck)
{
    return fsck->module_count;
}
