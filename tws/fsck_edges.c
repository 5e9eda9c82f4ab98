#include <inttypes.h>

#include "shared/base/utf.h"
#include "tws/fsck_inner.h"
#include "tws/kidl/kidl.h"

/*
 * Checks of references: those that are there against those that must be.  The latter are made again, version
 * by version in the order in which they were made: those of a registration from the parse records that it
 * wrote, those of a release from those of the 0.x versions that became 1.0.
 */

#define REPAIR "wstyped fsck --repair mends it"

struct expected {
    struct fsck *fsck;
    struct fsck_module *m;
    const struct rec_info *info; /* the version that is worked on */
    FSCK_LIST(struct fsck_edge) edges;
    struct fsck_edge dep; /* of the type or function that is walked: its dependent side */
};

/* ---- order ---- */

static int compare_ends(const struct rec_edge *x, const struct rec_edge *y)
{
    int order = utf_compare(x->dep_name, y->dep_name);

    if (!order)
        order = semver_compare(x->dep_version, y->dep_version);
    if (!order)
        order = utf_compare(x->ref_module, y->ref_module);
    if (!order)
        order = utf_compare(x->ref_name, y->ref_name);
    return order ? order : semver_compare(x->ref_version, y->ref_version);
}

static int compare_same(const void *a, const void *b)
{
    const struct fsck_edge *x = a, *y = b;
    int order = (x->is_func > y->is_func) - (x->is_func < y->is_func);

    return order ? order : compare_ends(&x->rec, &y->rec);
}

int fsck_compare_edges(const void *a, const void *b)
{
    const struct fsck_edge *x = a, *y = b;
    int64_t v = x->rec.dep_module_version, w = y->rec.dep_module_version;
    int order = compare_same(a, b);

    return order ? order : (v > w) - (v < w);
}

bool fsck_same_edge(const struct fsck_edge *a, const struct fsck_edge *b)
{
    return compare_same(a, b) == 0;
}

/* ---- edges that must be ---- */

static void expect(struct expected *x, const struct fsck_edge *edge)
{
    *FSCK_ADD(x->fsck, x->edges) = *edge;
}

static const struct rec_entry *find_entry(const struct rec_entry *entries, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(entries[i].name, name))
            return &entries[i];
    return NULL;
}

static const struct rec_entry *find_type(const struct rec_info *info, struct slice name)
{
    return find_entry(info->types, info->type_count, name);
}

static void expect_reference(struct expected *x, struct slice module, const struct rec_entry *type)
{
    struct fsck_edge edge = x->dep;

    edge.rec.ref_module = module;
    edge.rec.ref_name = type->name;
    edge.rec.ref_version = type->version;
    expect(x, &edge);
}

static const struct rec_entry *find_foreign(const struct expected *x, struct slice module, struct slice name,
                                            struct slice *ret_module)
{
    for (size_t i = 0; i < x->info->include_count; i++) {
        const struct rec_include *in = &x->info->includes[i];
        const struct fsck_module *other = slice_eq(in->module, module) ? fsck_find(x->fsck, module) : NULL;
        const struct fsck_info *info = other ? fsck_find_info(other, in->version) : NULL;
        if (info) {
            *ret_module = other->name;
            return find_type(&info->rec, name);
        }
    }
    return NULL;
}

/* A spec that defines a type twice writes two rows for it; which one others of that spec use is not known any
 * more. */
static bool is_ambiguous(const struct expected *x, struct slice name)
{
    size_t n = 0;

    for (size_t i = 0; i < x->m->rows.count; i++) {
        const struct fsck_row *row = &x->m->rows.items[i];
        n += row->table == TABLE_SCHEMA && row->module_version == x->info->version &&
             slice_eq(row->name, name);
    }
    return n > 1;
}

/* As a registration does it: ends at types of other modules and at registered ones of our own. */
static bool visit(void *ctx, struct slice module, struct slice name, struct err *err UNUSED)
{
    struct expected *x = ctx;
    bool own = slice_eq(module, x->m->name);
    struct slice home = x->m->name;
    const struct rec_entry *type = own ? find_type(x->info, name) : find_foreign(x, module, name, &home);

    if (own && (!type || !type->supported))
        return false;
    if (type && !(own && is_ambiguous(x, name)))
        expect_reference(x, home, type);
    return true;
}

static int read_tree(const struct expected *x, const struct fsck_row *row, struct arena *arena,
                     const struct kidl_node **ret_node, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_ERR(why);
    const struct text_key key = {
        .kind = row->table == TABLE_FUNC_PARSE ? TEXT_FUNC_PARSE : TEXT_TYPE_PARSE,
        .module = x->m->name,
        .name = row->name,
        .version = row->version,
    };
    int found = store_read_text(x->fsck->store, &key, &text, err);

    if (found <= 0)
        return found;
    if (kidl_load(sbuf_slice(&text), arena, ret_node, &why) == 0)
        return 1;
    fsck_report(x->fsck, x->m, "unreadable_parse_record", "bring the record back from a backup",
                "the parse record of %.*s-%d.%d cannot be read: %s", (int)row->name.n, row->name.p,
                row->version.major, row->version.minor, err_text(&why));
    return 0;
}

static int expect_row(struct expected *x, const struct fsck_row *row, struct err *err)
{
    struct arena arena = ARENA_INIT;
    const struct kidl_node *node;
    int rc = read_tree(x, row, &arena, &node, err);

    x->dep = (struct fsck_edge){ .is_func = row->table == TABLE_FUNC_PARSE,
                                 .rec = { .dep_module = x->m->name,
                                          .dep_name = row->name,
                                          .dep_version = row->version,
                                          .dep_module_version = row->module_version } };
    if (rc > 0)
        rc = kidl_references(node, visit, x, err);
    arena_release(&arena);
    return rc < 0 ? rc : 0;
}

static int expect_registered(struct expected *x, struct err *err)
{
    const struct fsck_module *m = x->m;
    int rc = 0;

    for (size_t i = 0; i < m->rows.count && rc == 0; i++) {
        const struct fsck_row *row = &m->rows.items[i];
        bool is_func = row->table == TABLE_FUNC_PARSE;
        if (row->table == TABLE_SCHEMA || row->module_version != x->info->version)
            continue;
        const struct rec_entry *e = is_func ? find_entry(x->info->funcs, x->info->func_count, row->name)
                                            : find_type(x->info, row->name);
        if (e && semver_compare(e->version, row->version) == 0)
            rc = expect_row(x, row, err);
    }
    return rc;
}

static void copy_out(struct expected *x, const struct rec_entry *old, bool is_func, size_t before)
{
    for (size_t i = 0; i < before; i++) {
        struct fsck_edge edge = x->edges.items[i];
        if (edge.is_func != is_func || !slice_eq(edge.rec.dep_name, old->name) ||
            semver_compare(edge.rec.dep_version, old->version) != 0)
            continue;
        edge.rec.dep_version = (struct semver){ 1, 0 };
        edge.rec.dep_module_version = x->info->version;
        const struct rec_entry *target =
            slice_eq(edge.rec.ref_module, x->m->name) ? find_type(x->info, edge.rec.ref_name) : NULL;
        if (target)
            edge.rec.ref_version = target->version;
        expect(x, &edge);
    }
}

static void copy_in(struct expected *x, const struct rec_entry *old, size_t before)
{
    for (size_t i = 0; i < before; i++) {
        struct fsck_edge edge = x->edges.items[i];
        if (!slice_eq(edge.rec.ref_module, x->m->name) || !slice_eq(edge.rec.ref_name, old->name) ||
            semver_compare(edge.rec.ref_version, old->version) != 0)
            continue;
        edge.rec.ref_version = (struct semver){ 1, 0 };
        edge.rec.dep_module_version = x->info->version;
        expect(x, &edge);
    }
}

static bool became_1_0(const struct rec_entry *old, const struct rec_entry *now)
{
    return old->version.major == 0 && now && now->version.major == 1 && now->version.minor == 0;
}

static void expect_released(struct expected *x, const struct rec_info *before)
{
    size_t edges = x->edges.count;

    for (size_t i = 0; i < before->type_count; i++) {
        if (became_1_0(&before->types[i], find_type(x->info, before->types[i].name))) {
            copy_out(x, &before->types[i], false, edges);
            copy_in(x, &before->types[i], edges);
        }
    }
    for (size_t i = 0; i < before->func_count; i++) {
        const struct rec_entry *old = &before->funcs[i];
        if (became_1_0(old, find_entry(x->info->funcs, x->info->func_count, old->name)))
            copy_out(x, old, true, edges);
    }
}

static int expect_all(struct expected *x, struct err *err)
{
    const struct rec_info *before = NULL;
    int rc = 0;

    for (size_t i = 0; i < x->m->infos.count && rc == 0; i++) {
        const struct rec_info *info = &x->m->infos.items[i].rec;
        if (!fsck_version_counts(x->m, info->version))
            continue;
        x->info = info;
        if (before && slice_is(info->method, "releaseModule"))
            expect_released(x, before);
        else
            rc = expect_registered(x, err);
        before = info;
    }
    return rc;
}

/* ---- comparing ---- */

static void put_edge(struct sbuf *out, const struct fsck_edge *e)
{
    const struct rec_edge *r = &e->rec;

    sbuf_addf(out, "%s %.*s-%d.%d -> %.*s.%.*s-%d.%d", e->is_func ? "function" : "type", (int)r->dep_name.n,
              r->dep_name.p, r->dep_version.major, r->dep_version.minor, (int)r->ref_module.n,
              r->ref_module.p, (int)r->ref_name.n, r->ref_name.p, r->ref_version.major, r->ref_version.minor);
}

struct edge_finding {
    const char *kind, *advice, *text;
    bool adds, mends;
};

static void report_edge(struct fsck *fsck, const struct fsck_module *m, const struct fsck_edge *e,
                        const struct edge_finding *about)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    put_edge(&text, e);
    struct fsck_finding *f =
        fsck_report(fsck, m, about->kind, about->advice, "%s%.*s", about->text, (int)text.len, text.p);
    struct change_set *set = about->mends ? fsck_mend(fsck, m, f) : NULL;
    if (set)
        change_set_add(set, about->adds ? (e->is_func ? CHANGE_ADD_FUNC_REF : CHANGE_ADD_TYPE_REF)
                                        : (e->is_func ? CHANGE_DROP_FUNC_REF : CHANGE_DROP_TYPE_REF))
            ->edge = e->rec;
}

static bool is_known(const struct fsck *fsck, const struct rec_edge *e)
{
    const struct fsck_module *target = fsck_find(fsck, e->ref_module);

    return target && (target->unreadable || fsck_is_committed(target, false, e->ref_name, e->ref_version));
}

static void check_edge(struct fsck *fsck, const struct fsck_module *m, const struct fsck_edge *e,
                       const struct fsck_edge *before)
{
    static const struct edge_finding orphan = { "orphan_edge", REPAIR, "reference of no version: ", false,
                                                true };
    static const struct edge_finding leak = { "orphan_edge", REPAIR, "reference to no version: ", false,
                                              true };
    static const struct edge_finding twice = { "duplicate_edge", REPAIR, "written twice: ", false, true };
    static const struct edge_finding unknown = { "unknown_edge",
                                                 "bring the module that is used back from a backup",
                                                 "reference to what is not there: ", false, false };

    if (fsck_is_stray(m, e->rec.dep_module_version))
        return;
    if (!fsck_is_committed(m, e->is_func, e->rec.dep_name, e->rec.dep_version))
        report_edge(fsck, m, e, &orphan);
    else if (!is_known(fsck, &e->rec))
        report_edge(fsck, m, e, slice_eq(e->rec.ref_module, m->name) ? &leak : &unknown);
    else if (before && fsck_same_edge(before, e))
        report_edge(fsck, m, e, &twice);
}

static void compare(struct expected *x)
{
    static const struct edge_finding missing = { "missing_edge", REPAIR, "reference is missing: ", true,
                                                 true };
    const struct fsck_module *m = x->m;

    if (x->edges.count)
        qsort(x->edges.items, x->edges.count, sizeof(*x->edges.items), fsck_compare_edges);
    for (size_t i = 0; i < x->edges.count; i++) {
        const struct fsck_edge *e = &x->edges.items[i];
        if (i && fsck_same_edge(&x->edges.items[i - 1], e))
            continue;
        if (m->edges.count && bsearch(e, m->edges.items, m->edges.count, sizeof(*e), compare_same))
            continue;
        if (is_known(x->fsck, &e->rec))
            report_edge(x->fsck, m, e, &missing);
    }
}

int fsck_check_references(struct fsck *fsck, struct fsck_module *m, struct err *err)
{
    struct expected x = { .fsck = fsck, .m = m };

    if (m->kept)
        return 0;
    for (size_t i = 0; i < m->edges.count; i++)
        check_edge(fsck, m, &m->edges.items[i], i ? &m->edges.items[i - 1] : NULL);
    if (!m->has_pointers)
        return 0;
    int rc = expect_all(&x, err);
    if (rc == 0)
        compare(&x);
    return rc;
}
