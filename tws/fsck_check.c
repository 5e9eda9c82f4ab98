#include <inttypes.h>
#include <stdio.h>

#include "shared/base/utf.h"
#include "tws/fsck_inner.h"

/* Checks of one module by itself: pointers, versions, rows, owners, requests. */

#define REPAIR "wstyped fsck --repair mends it"
#define BY_HAND "bring the records back from a backup, or put them right by hand"

/* ---- looking things up ---- */

const struct fsck_info *fsck_find_info(const struct fsck_module *m, int64_t version)
{
    size_t low = 0, high = m->infos.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int64_t v = m->infos.items[mid].rec.version;
        if (v == version)
            return &m->infos.items[mid];
        if (v < version)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

bool fsck_version_counts(const struct fsck_module *m, int64_t version)
{
    return m->has_pointers && version <= m->last && fsck_find_info(m, version);
}

static bool has_spec(const struct fsck_module *m, int64_t version)
{
    for (size_t i = 0; i < m->specs.count; i++)
        if (m->specs.items[i] == version)
            return true;
    return false;
}

static int compare_names(struct slice a, struct slice b)
{
    return utf_compare(a, b);
}

static int compare_named(const void *a, const void *b)
{
    const struct fsck_named *x = a, *y = b;
    int order = (x->is_func > y->is_func) - (x->is_func < y->is_func);

    if (!order)
        order = compare_names(x->name, y->name);
    return order ? order : semver_compare(x->version, y->version);
}

static struct fsck_named named_of(const struct fsck_row *row)
{
    return (struct fsck_named){ row->table == TABLE_FUNC_PARSE, row->name, row->version };
}

static int compare_rows(const void *a, const void *b)
{
    const struct fsck_row *x = a, *y = b;
    struct fsck_named n = named_of(x), o = named_of(y);
    int order = compare_named(&n, &o);

    return order ? order : (x->table > y->table) - (x->table < y->table);
}

/* The rows of a type or function version: how many, and the first. */
static size_t rows_of(const struct fsck_module *m, const struct fsck_named *key,
                      const struct fsck_row **ret_first)
{
    size_t low = 0, high = m->rows.count, end;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct fsck_named n = named_of(&m->rows.items[mid]);
        if (compare_named(&n, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (end = low; end < m->rows.count; end++) {
        struct fsck_named n = named_of(&m->rows.items[end]);
        if (compare_named(&n, key) != 0)
            break;
    }
    *ret_first = m->rows.items + low;
    return end - low;
}

static bool is_named(const struct fsck_module *m, const struct fsck_named *key)
{
    return m->named.count && bsearch(key, m->named.items, m->named.count, sizeof(*key), compare_named);
}

bool fsck_is_committed(const struct fsck_module *m, bool is_func, struct slice name, struct semver version)
{
    const struct fsck_named key = { is_func, name, version };
    const struct fsck_row *rows;

    if (is_named(m, &key))
        return true;
    size_t n = rows_of(m, &key, &rows);
    for (size_t i = 0; i < n; i++)
        if (fsck_version_counts(m, rows[i].module_version))
            return true;
    return false;
}

/* ---- what the pointers should be ---- */

static bool is_complete(const struct fsck_info *info)
{
    return info->rec.first || info->has_spec;
}

static const struct fsck_info *newest(const struct fsck_module *m, int64_t limit, bool only_released)
{
    for (size_t i = m->infos.count; i-- > 0;) {
        const struct fsck_info *info = &m->infos.items[i];
        if (info->rec.version <= limit && is_complete(info) && (info->rec.released || !only_released))
            return info;
    }
    return NULL;
}

/* Nothing but the pointers was written, and they are what an approval writes. */
static bool is_bare_approval(const struct fsck_module *m)
{
    return m->has_pointers && m->pointers.last == m->pointers.released && !m->infos.count &&
           !m->specs.count && !m->rows.count && !m->edges.count;
}

static void finish_approval(struct fsck *fsck, const struct fsck_module *m)
{
    struct fsck_finding *f =
        fsck_report(fsck, m, "unfinished_approval", REPAIR,
                    "the first version %" PRId64 " has no info record", m->pointers.last);
    struct change_set *set = fsck_mend(fsck, m, f);

    if (set)
        change_set_add(set, CHANGE_ADD_INFO)->info = (struct rec_info){
            .module = m->name, .version = m->pointers.last, .first = true, .released = true
        };
}

static const char *wrong_with(const struct fsck_info *info)
{
    return !info ? "has no info record" : is_complete(info) ? NULL : "has no spec";
}

static void report_dangling(struct fsck *fsck, const struct fsck_module *m, bool mendable)
{
    const struct rec_pointers *p = &m->pointers;
    const char *last = wrong_with(fsck_find_info(m, p->last));
    const char *released = fsck_find_info(m, p->released) ? NULL : "has no info record";

    if (p->released > p->last)
        released = "is newer than the newest one";
    struct fsck_finding *f = fsck_report(fsck, m, "dangling_pointer", mendable ? REPAIR : BY_HAND,
                                         "%s version %" PRId64 " %s; the newest complete one is %" PRId64,
                                         last ? "the newest" : "the released", last ? p->last : p->released,
                                         last ? last : released, mendable ? m->last : (int64_t)0);
    struct change_set *set = mendable ? fsck_mend(fsck, m, f) : NULL;
    if (set)
        change_set_add(set, CHANGE_MOVE_POINTERS)->pointers =
            (struct rec_pointers){ m->name, m->last, m->released, p->supported };
}

static void check_pointers(struct fsck *fsck, struct fsck_module *m)
{
    const struct fsck_info *last = fsck_find_info(m, m->pointers.last);
    const struct fsck_info *released = fsck_find_info(m, m->pointers.released);

    m->last = m->pointers.last;
    m->released = m->pointers.released;
    if (is_bare_approval(m)) {
        finish_approval(fsck, m);
        return;
    }
    if (!last || !is_complete(last))
        last = newest(m, m->pointers.last, false);
    if (last && (!released || m->pointers.released > last->rec.version))
        released = newest(
            m, m->pointers.released < last->rec.version ? m->pointers.released : last->rec.version, true);
    bool mendable = last && released;
    if (mendable) {
        m->last = last->rec.version;
        m->released = released->rec.version;
    }
    if (!mendable || m->last != m->pointers.last || m->released != m->pointers.released) {
        m->kept = !mendable;
        report_dangling(fsck, m, mendable);
    }
}

/* Without pointers there is no module, unless they are what got lost. */
static void check_missing_pointers(struct fsck *fsck, struct fsck_module *m)
{
    m->kept = m->unreadable;
    if (m->kept)
        return;
    for (size_t i = 0; i < m->infos.count; i++)
        m->kept = m->kept || m->infos.items[i].has_spec;
    if (m->kept)
        fsck_report(fsck, m, "missing_pointers", BY_HAND,
                    "there are %zu versions, but no record that the module exists", m->infos.count);
}

static void collect_named(struct fsck *fsck, struct fsck_module *m)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->infos.count; i++) {
        const struct rec_info *info = &m->infos.items[i].rec;
        if (!fsck_version_counts(m, info->version))
            continue;
        for (size_t k = 0; k < info->type_count; k++)
            *FSCK_ADD(fsck, m->named) =
                (struct fsck_named){ false, info->types[k].name, info->types[k].version };
        for (size_t k = 0; k < info->func_count; k++)
            *FSCK_ADD(fsck, m->named) =
                (struct fsck_named){ true, info->funcs[k].name, info->funcs[k].version };
    }
    if (m->named.count)
        qsort(m->named.items, m->named.count, sizeof(*m->named.items), compare_named);
    for (size_t i = 0; i < m->named.count; i++)
        if (!kept || compare_named(&m->named.items[kept - 1], &m->named.items[i]) != 0)
            m->named.items[kept++] = m->named.items[i];
    m->named.count = kept;
}

/* ---- versions ---- */

static void check_flags(struct fsck *fsck, const struct fsck_module *m, const struct rec_info *info)
{
    if (info->version == m->released && !info->released) {
        struct fsck_finding *f =
            fsck_report(fsck, m, "released_unflagged", REPAIR,
                        "the released version %" PRId64 " is not flagged as released", info->version);
        struct change_set *set = fsck_mend(fsck, m, f);
        if (set)
            change_set_add(set, CHANGE_SET_RELEASED)->pointers =
                (struct rec_pointers){ .module = m->name, .last = info->version };
    }
    if (info->version > m->released && info->released)
        fsck_report(fsck, m, "half_released", "an owner of the module can release it again",
                    "version %" PRId64
                    " is flagged as released, but the module's released version is %" PRId64,
                    info->version, m->released);
}

static void check_includes(struct fsck *fsck, const struct fsck_module *m, const struct rec_info *info)
{
    for (size_t i = 0; i < info->include_count; i++) {
        const struct rec_include *in = &info->includes[i];
        const struct fsck_module *other = fsck_find(fsck, in->module);
        if (!other || (!fsck_find_info(other, in->version) && !other->unreadable))
            fsck_report(fsck, m, "missing_include", BY_HAND,
                        "version %" PRId64 " was compiled with version %" PRId64
                        " of %.*s, which is not there",
                        info->version, in->version, (int)in->module.n, in->module.p);
    }
}

static void check_info_above(struct fsck *fsck, const struct fsck_module *m, const struct fsck_info *info)
{
    if (info->has_spec) {
        fsck_report(
            fsck, m, "stray_version",
            "two servers may have written at once; look at it before removing it or moving the pointer",
            "version %" PRId64 " is complete, but above the module's newest version %" PRId64,
            info->rec.version, m->last);
        return;
    }
    struct fsck_finding *f =
        fsck_report(fsck, m, "orphan_info", REPAIR,
                    "info record of version %" PRId64 ", which was never completed", info->rec.version);
    struct change_set *set = fsck_mend(fsck, m, f);
    if (set)
        change_set_add(set, CHANGE_DROP_INFO)->info =
            (struct rec_info){ .module = m->name, .version = info->rec.version };
}

static void check_info(struct fsck *fsck, const struct fsck_module *m, const struct fsck_info *info)
{
    if (!fsck_version_counts(m, info->rec.version)) {
        check_info_above(fsck, m, info);
        return;
    }
    if (!is_complete(info))
        fsck_report(fsck, m, "missing_spec", BY_HAND, "version %" PRId64 " has no spec", info->rec.version);
    check_flags(fsck, m, &info->rec);
    check_includes(fsck, m, &info->rec);
}

static void check_spec(struct fsck *fsck, const struct fsck_module *m, int64_t version)
{
    if (fsck_find_info(m, version))
        return;
    if (m->has_pointers && version <= m->last) {
        fsck_report(fsck, m, "missing_info", BY_HAND, "version %" PRId64 " has a spec, but no info record",
                    version);
        return;
    }
    struct fsck_finding *f = fsck_report(fsck, m, "orphan_spec", REPAIR,
                                         "spec of version %" PRId64 ", which was never completed", version);
    struct change_set *set = fsck_mend(fsck, m, f);
    if (set)
        change_set_add(set, CHANGE_DROP_SPEC)->spec =
            (struct rec_spec){ .module = m->name, .version = version };
}

/* ---- rows ---- */

/*
 * A version that has a spec was written to its end.  If it does not count, it is above the newest one or has
 * lost its info record, and whoever sorts that out needs the rest of it.
 */
bool fsck_is_stray(const struct fsck_module *m, int64_t version)
{
    return has_spec(m, version) && !fsck_version_counts(m, version) &&
           (fsck_find_info(m, version) || version <= m->last);
}

static void report_orphans(struct fsck *fsck, const struct fsck_module *m, const struct fsck_row *rows,
                           size_t n)
{
    static const enum change_kind drops[] = {
        [TABLE_SCHEMA] = CHANGE_DROP_SCHEMA,
        [TABLE_TYPE_PARSE] = CHANGE_DROP_TYPE_PARSE,
        [TABLE_FUNC_PARSE] = CHANGE_DROP_FUNC_PARSE,
    };
    struct fsck_finding *f =
        fsck_report(fsck, m, "orphan_row", REPAIR,
                    "%s %.*s-%d.%d, written for version %" PRId64 ", is in no version of the module",
                    rows->table == TABLE_FUNC_PARSE ? "function" : "type", (int)rows->name.n, rows->name.p,
                    rows->version.major, rows->version.minor, rows->module_version);
    struct change_set *set = fsck_mend(fsck, m, f);

    for (size_t i = 0; set && i < n; i++)
        change_set_add(set, drops[rows[i].table])->row =
            (struct rec_row){ .module = m->name, .name = rows[i].name, .version = rows[i].version };
}

static void check_rows(struct fsck *fsck, const struct fsck_module *m)
{
    const struct fsck_row *first;

    for (size_t i = 0, n; i < m->rows.count; i += n) {
        struct fsck_named key = named_of(&m->rows.items[i]);
        n = rows_of(m, &key, &first);
        if (!fsck_is_committed(m, key.is_func, key.name, key.version) &&
            !fsck_is_stray(m, first->module_version))
            report_orphans(fsck, m, first, n);
    }
    for (size_t i = 0; i < m->named.count; i++) {
        const struct fsck_named *key = &m->named.items[i];
        bool have[3] = { key->is_func, key->is_func, !key->is_func };
        size_t n = rows_of(m, key, &first);
        for (size_t k = 0; k < n; k++)
            have[first[k].table] = true;
        if (have[0] && have[1] && have[2])
            continue;
        fsck_report(fsck, m, "missing_row", BY_HAND, "%s %.*s-%d.%d has no %s",
                    key->is_func ? "function" : "type", (int)key->name.n, key->name.p, key->version.major,
                    key->version.minor, have[0] ? "parse record" : "schema");
    }
}

/* ---- owners and requests ---- */

static void drop_owner(struct fsck *fsck, const struct fsck_module *m, const struct rec_owner *owner,
                       struct fsck_finding *f)
{
    struct change_set *set = fsck_mend(fsck, m, f);

    if (set)
        change_set_add(set, CHANGE_DROP_OWNER)->owner = *owner;
}

static void no_owner(struct fsck *fsck, const struct fsck_module *m)
{
    struct fsck_finding *f;

    if (m->requests.count != 1 || m->specs.count) {
        fsck_report(fsck, m, "no_owner", "an administrator can add one with grantModuleOwnership",
                    "the module has no owner");
        return;
    }
    const struct rec_owner *request = m->requests.items;
    f = fsck_report(fsck, m, "unfinished_approval", REPAIR,
                    "the module is approved, but %.*s, who asked for it, is not its owner",
                    (int)request->user.n, request->user.p);
    struct change_set *set = fsck_mend(fsck, m, f);
    if (set) {
        change_set_add(set, CHANGE_PUT_OWNER)->owner = (struct rec_owner){ m->name, request->user, true };
        change_set_add(set, CHANGE_DROP_REQUESTS)->owner = *request;
    }
}

static size_t check_owners(struct fsck *fsck, const struct fsck_module *m)
{
    size_t real = 0;

    for (size_t i = 0; i < m->owners.count; i++) {
        const struct rec_owner *owner = &m->owners.items[i];
        if (owner->user.n == 0)
            drop_owner(fsck, m, owner,
                       fsck_report(fsck, m, "empty_owner", REPAIR, "an owner without a name"));
        else if (!m->has_pointers)
            drop_owner(fsck, m, owner,
                       fsck_report(fsck, m, "owner_without_module", REPAIR,
                                   "%.*s owns this module, which does not exist", (int)owner->user.n,
                                   owner->user.p));
        else
            real++;
    }
    return real;
}

static void check_requests(struct fsck *fsck, const struct fsck_module *m)
{
    for (size_t i = 0; i < m->requests.count; i++) {
        const struct rec_owner *r = &m->requests.items[i];
        if (!m->has_pointers && i == 0)
            continue;
        if (!m->has_pointers) {
            fsck_report(fsck, m, "duplicate_request",
                        "an administrator can deny one of them: denyModRequest takes the older one",
                        "%.*s asks for the module, too", (int)r->user.n, r->user.p);
            continue;
        }
        struct fsck_finding *f =
            fsck_report(fsck, m, "stale_request", REPAIR, "%.*s asks for the module, which exists already",
                        (int)r->user.n, r->user.p);
        struct change_set *set = fsck_mend(fsck, m, f);
        if (set)
            change_set_add(set, CHANGE_DROP_REQUESTS)->owner = *r;
    }
}

static void check_people(struct fsck *fsck, const struct fsck_module *m)
{
    size_t owners = check_owners(fsck, m);

    if (m->has_pointers && owners == 0) {
        no_owner(fsck, m);
        if (m->requests.count == 1 && !m->specs.count)
            return; /* that request is not stale but unfinished */
    }
    check_requests(fsck, m);
}

/* ---- all ---- */

void fsck_check_module(struct fsck *fsck, struct fsck_module *m)
{
    for (size_t i = 0; i < m->infos.count; i++)
        m->infos.items[i].has_spec = has_spec(m, m->infos.items[i].rec.version);
    if (m->rows.count)
        qsort(m->rows.items, m->rows.count, sizeof(*m->rows.items), compare_rows);
    if (m->edges.count)
        qsort(m->edges.items, m->edges.count, sizeof(*m->edges.items), fsck_compare_edges);
    if (m->has_pointers)
        check_pointers(fsck, m);
    else
        check_missing_pointers(fsck, m);
    collect_named(fsck, m);
    if (m->kept)
        return;
    for (size_t i = 0; i < m->infos.count; i++)
        check_info(fsck, m, &m->infos.items[i]);
    for (size_t i = 0; i < m->specs.count; i++)
        check_spec(fsck, m, m->specs.items[i]);
    check_rows(fsck, m);
    check_people(fsck, m);
}
