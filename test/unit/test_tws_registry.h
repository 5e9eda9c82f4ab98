/*
 * test_tws_registry: what the tests of the registry share: a registry on a store in memory, catalogues as
 * text, and scenarios as tables of steps.  After every step the catalogue is compared to what a restart would
 * load.
 */
#ifndef TEST_UNIT_TEST_TWS_REGISTRY_H
#define TEST_UNIT_TEST_TWS_REGISTRY_H

#include "test/unit/t.h"

#include <inttypes.h>
#include <stdio.h>

#include "tws/registry/builder.h"
#include "tws/registry/registry.h"
#include "tws/store/store.h"

/* a step names only the fields that it has */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum { SAVED = 10, QUEUE_US = 5000000 };

struct fixture {
    struct store *store;
    struct registry *reg;
    int64_t fence;
    int64_t saved[SAVED];
};

static inline void fixture_open_registry(struct fixture *f)
{
    const struct registry_options options = { .kidl = KIDL_LIMITS_DEFAULT, .queue_us = QUEUE_US };
    AUTO_ERR(err);

    assert_int_equal(registry_open(f->store, f->fence, &options, &f->reg, &err), 0);
}

static inline void fixture_open(struct fixture *f)
{
    struct lease_holder me = { .node = "0123456789abcdef0123456789abcdef", .host = "here", .pid = 1 }, other;
    AUTO_ERR(err);

    memset(f, 0, sizeof(*f));
    assert_int_equal(store_sqlite_open(NULL, &f->store, &err), 0);
    assert_int_equal(store_lease_take(f->store, &me, 60000, &f->fence, &other, &err), 0);
    fixture_open_registry(f);
}

static inline void fixture_close(struct fixture *f)
{
    registry_close(f->reg);
    store_close(f->store);
}

/* ---- a catalogue as text ---- */

static inline void put_slice(struct sbuf *sb, struct slice s)
{
    sbuf_add_slice(sb, s);
}

static inline void put_entries(struct sbuf *sb, const char *what, const struct rec_entry *e, size_t n)
{
    sbuf_addf(sb, " %s[", what);
    for (size_t i = 0; i < n; i++)
        sbuf_addf(sb, "%s%.*s-%d.%d%s", i ? " " : "", (int)e[i].name.n, e[i].name.p, e[i].version.major,
                  e[i].version.minor, e[i].supported ? "" : "!");
    sbuf_adds(sb, "]");
}

static inline void put_edges(struct sbuf *sb, const char *what, const struct cat_edge *e, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sbuf_addf(sb, "  %s %s%.*s-%d.%d %.*s.%.*s-%d.%d\n", what, e[i].dep_is_func ? "f:" : "",
                  (int)e[i].name.n, e[i].name.p, e[i].version.major, e[i].version.minor,
                  (int)e[i].other_module.n, e[i].other_module.p, (int)e[i].other_name.n, e[i].other_name.p,
                  e[i].other_version.major, e[i].other_version.minor);
}

static inline void put_names(struct sbuf *sb, const char *what, const struct cat_name *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sbuf_addf(sb, "  %s %.*s:", what, (int)names[i].name.n, names[i].name.p);
        for (size_t j = 0; j < names[i].row_count; j++) {
            const struct cat_row *r = &names[i].rows[j];
            sbuf_addf(sb, " %d.%d@%" PRId64 "%s%s%s", r->version.major, r->version.minor, r->module_version,
                      r->has_schema ? "s" : "", r->has_parse ? "p" : "", r->md5);
        }
        sbuf_adds(sb, "\n");
    }
}

static inline void put_version(struct sbuf *sb, const struct cat_version *v)
{
    sbuf_addf(sb, "  v %" PRId64 "%s%s%s", v->version, v->first ? " first" : "",
              v->released ? " released" : "", v->has_spec ? " spec" : "");
    for (size_t i = 0; i < v->include_count; i++) {
        sbuf_addf(sb, " <");
        put_slice(sb, v->includes[i].module);
        sbuf_addf(sb, " %" PRId64 ">", v->includes[i].version);
    }
    put_entries(sb, "types", v->types, v->type_count);
    put_entries(sb, "funcs", v->funcs, v->func_count);
    sbuf_adds(sb, " ");
    put_slice(sb, v->description);
    sbuf_adds(sb, " ");
    put_slice(sb, v->md5);
    sbuf_adds(sb, " ");
    put_slice(sb, v->user);
    sbuf_adds(sb, " ");
    put_slice(sb, v->method);
    sbuf_adds(sb, "\n");
}

static inline void put_catalogue(struct sbuf *sb, const struct catalogue *cat)
{
    for (size_t i = 0; i < cat->module_count; i++) {
        const struct cat_module *m = cat->modules[i];
        put_slice(sb, m->name);
        sbuf_addf(sb, " %" PRId64 " %" PRId64 "%s%s\n", m->last, m->released,
                  m->supported ? "" : " unsupported", m->damaged ? " damaged" : "");
        for (size_t j = 0; j < m->owner_count; j++) {
            sbuf_adds(sb, "  owner ");
            put_slice(sb, m->owners[j].user);
            sbuf_adds(sb, m->owners[j].can_grant ? " grants\n" : "\n");
        }
        for (size_t j = 0; j < m->version_count; j++)
            put_version(sb, m->versions[j]);
        put_names(sb, "type", m->types, m->type_count);
        put_names(sb, "func", m->funcs, m->func_count);
        put_edges(sb, "out", m->out, m->out_count);
        put_edges(sb, "in", m->in, m->in_count);
    }
    for (size_t i = 0; i < cat->request_count; i++) {
        sbuf_adds(sb, "request ");
        put_slice(sb, cat->requests[i].module);
        sbuf_adds(sb, " ");
        put_slice(sb, cat->requests[i].user);
        sbuf_adds(sb, "\n");
    }
}

static inline void assert_texts(struct slice have, struct slice want)
{
    if (!slice_eq(have, want))
        fail_msg("have:\n%.*s\nwant:\n%.*s", (int)have.n, have.p, (int)want.n, want.p);
}

/* What is kept by applying changes is what a restart would load. */
static inline void assert_reload_same(struct fixture *f)
{
    AUTO_SBUF(kept, SBUF_NO_LIMIT);
    AUTO_SBUF(loaded, SBUF_NO_LIMIT);
    AUTO_ERR(err);
    struct builder *builder = builder_new(NULL, NULL, NULL);
    const struct catalogue *cat = registry_snapshot(f->reg);
    struct store_sink sink;

    builder_sink(builder, &sink);
    assert_int_equal(store_load(f->store, &sink, &err), 0);
    struct snapshot *snap = builder_finish(builder, 1);
    put_catalogue(&kept, cat);
    put_catalogue(&loaded, &snap->pub);
    assert_texts(sbuf_slice(&kept), sbuf_slice(&loaded));
    snapshot_free(snap);
    builder_free(builder);
    catalogue_unref(cat);
}

/* ---- scenarios ---- */

enum op {
    REQUEST,     /* user, module */
    APPROVE,     /* module */
    DENY,        /* module */
    MAKE,        /* user, module: request and approve */
    REGISTER,    /* user, spec, add, remove, dependencies; want: new and changed types */
    DRY_RUN,     /* the same */
    REFRESH,     /* user, module, the same */
    AFTER,       /* user, spec, add; dependencies "=n": prev_ver */
    RELEASE,     /* user, module; want: all types */
    GRANT,       /* user (NULL: admin), module, spec: new owner, add: "grant" */
    REMOVE,      /* user (NULL: admin), module, spec: old owner */
    SAVE,        /* module, add: digit; keeps the module's newest version number for $digit */
    TYPE,        /* user, module: type id; want: what it resolves to */
    TYPE_MD5,    /* the same with the texts of translate_to_MD5_types */
    FUNC,        /* user, module: function id */
    MODULE,      /* user, module, add: "" or "$digit"; want: version number */
    ENTRIES,     /* module; want: newest version's types and functions */
    EDGES,       /* module; want: its out-edges, `;` between them */
    INCLUDES,    /* module; want: those of the newest version */
    REQUESTS,    /* want: all of them */
    SUPPORT_OFF, /* module; not a change that the registry offers, so it goes to the store, and the registry
                    is opened again */
};

/* want: the result; `!...` the error's text; NULL: success.  `$digit` stands for a saved version number. */
struct step {
    enum op op;
    const char *user, *module, *spec, *add, *remove, *dependencies, *want;
};

static inline void expand(const struct fixture *f, const char *text, struct sbuf *out)
{
    for (; *text; text++) {
        if (*text == '$' && text[1] >= '0' && text[1] <= '9') {
            sbuf_addf(out, "%" PRId64, f->saved[*++text - '0']);
        } else {
            sbuf_addc(out, *text);
        }
    }
}

static inline int64_t number_of(const struct fixture *f, const char *text)
{
    AUTO_SBUF(sb, SBUF_NO_LIMIT);

    expand(f, text, &sb);
    return strtoll(sbuf_slice(&sb).p, NULL, 10);
}

/* Words of a text; "null" is a JSON null. */
static inline size_t split_words(const char *text, struct slice *words)
{
    size_t n = 0;

    while (text && *text) {
        size_t len = strcspn(text, " ");
        words[n] = slice_of(text, len);
        if (slice_is(words[n], "null"))
            words[n] = slice_of(NULL, 0);
        n++;
        text += len + (text[len] == ' ');
    }
    return n;
}

static inline struct slice or_nothing(const char *text)
{
    return text ? slice_str(text) : slice_of(NULL, 0);
}

static inline int do_register(struct fixture *f, const struct step *s, struct sbuf *out, struct err *err)
{
    AUTO_ARENA(arena);
    struct slice add[16], removed[16], words[16];
    struct rec_include deps[16];
    struct registry_registered done;
    struct registry_change change = { .user = s->user, .add = add, .remove = removed, .dependencies = deps };

    change.dry_run = s->op == DRY_RUN;
    change.refresh = s->op == REFRESH;
    change.module = or_nothing(s->module);
    change.spec = or_nothing(s->spec);
    change.add_count = split_words(s->add, add);
    change.remove_count = split_words(s->remove, removed);
    if (s->op == AFTER) {
        change.has_prev = true;
        change.prev = number_of(f, s->dependencies + 1);
    } else {
        change.dependency_count = split_words(s->dependencies, words);
        for (size_t i = 0; i < change.dependency_count; i++) {
            size_t name = strcspn(words[i].p, "=");
            deps[i] = (struct rec_include){ slice_of(words[i].p, name), number_of(f, words[i].p + name + 1) };
        }
    }
    int rc = registry_register(f->reg, &change, &arena, &done, err);
    for (size_t i = 0; rc == 0 && i < done.count; i++)
        sbuf_addf(out, "%s%.*s.%.*s-%d.%d", i ? " " : "", (int)done.schemas[i].module.n,
                  done.schemas[i].module.p, (int)done.schemas[i].name.n, done.schemas[i].name.p,
                  done.schemas[i].version.major, done.schemas[i].version.minor);
    return rc;
}

static inline int do_release(struct fixture *f, const struct step *s, struct sbuf *out, struct err *err)
{
    AUTO_ARENA(arena);
    const struct rec_entry *types;
    size_t count;
    int rc = registry_release(f->reg, s->user, or_nothing(s->module), &arena, &types, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++)
        sbuf_addf(out, "%s%.*s-%d.%d", i ? " " : "", (int)types[i].name.n, types[i].name.p,
                  types[i].version.major, types[i].version.minor);
    return rc;
}

static inline int do_resolve(const struct catalogue *cat, const struct step *s, struct sbuf *out,
                             struct err *err)
{
    struct resolved_type found;
    struct type_id id;
    int rc = type_id_parse(slice_str(s->module), false, &id, err);

    if (rc == 0)
        rc = s->op == FUNC ? registry_resolve_func(cat, s->user, &id, &found, err)
                           : registry_resolve_type(cat, s->user, &id, s->op == TYPE_MD5, &found, err);
    if (rc == 0)
        sbuf_addf(out, "%.*s-%d.%d", (int)found.name->name.n, found.name->name.p, found.row->version.major,
                  found.row->version.minor);
    return rc;
}

static inline int do_module(struct fixture *f, const struct catalogue *cat, const struct step *s,
                            struct sbuf *out, struct err *err)
{
    const struct cat_module *module;
    const struct cat_version *version;
    int rc = registry_resolve_module(cat, s->user, slice_str(s->module), s->add != NULL,
                                     s->add ? number_of(f, s->add) : 0, &module, &version, err);

    if (rc == 0)
        sbuf_addf(out, "%" PRId64, version->version);
    return rc;
}

static inline void do_look(const struct catalogue *cat, const struct step *s, struct sbuf *out)
{
    const struct cat_module *m = s->module ? cat_find_module(cat, slice_str(s->module)) : NULL;
    const struct cat_version *v = m ? cat_last(m) : NULL;

    if (s->op == REQUESTS) {
        for (size_t i = 0; i < cat->request_count; i++)
            sbuf_addf(out, "%s%.*s:%.*s", i ? " " : "", (int)cat->requests[i].module.n,
                      cat->requests[i].module.p, (int)cat->requests[i].user.n, cat->requests[i].user.p);
        return;
    }
    assert_non_null(v);
    if (s->op == ENTRIES) {
        put_entries(out, "types", v->types, v->type_count);
        put_entries(out, "funcs", v->funcs, v->func_count);
    } else if (s->op == INCLUDES) {
        for (size_t i = 0; i < v->include_count; i++)
            sbuf_addf(out, "%s%.*s=%" PRId64, i ? " " : "", (int)v->includes[i].module.n,
                      v->includes[i].module.p, v->includes[i].version);
    } else {
        for (size_t i = 0; i < m->out_count; i++)
            sbuf_addf(out, "%s%s%.*s-%d.%d>%.*s.%.*s-%d.%d", i ? ";" : "", m->out[i].dep_is_func ? "f:" : "",
                      (int)m->out[i].name.n, m->out[i].name.p, m->out[i].version.major,
                      m->out[i].version.minor, (int)m->out[i].other_module.n, m->out[i].other_module.p,
                      (int)m->out[i].other_name.n, m->out[i].other_name.p, m->out[i].other_version.major,
                      m->out[i].other_version.minor);
    }
}

/* Straight to the store, past the rules. */
static inline void store_change(struct fixture *f, const struct change *changes, size_t count)
{
    AUTO_ARENA(arena);
    AUTO_ERR(err);
    struct change_set set;

    change_set_init(&set, &arena);
    for (size_t i = 0; i < count; i++) {
        struct change *c = change_set_add(&set, changes[i].kind);
        struct change *next = c->next;
        *c = changes[i];
        c->next = next;
    }
    if (store_commit(f->store, &set, f->fence, &err))
        fail_msg("%s", err_text(&err));
}

static inline void support_off(struct fixture *f, const char *module)
{
    const struct catalogue *cat = registry_snapshot(f->reg);
    const struct cat_module *m = cat_find_module(cat, slice_str(module));
    const struct change c = { .kind = CHANGE_MOVE_POINTERS,
                              .pointers = { m->name, m->last, m->released, false } };

    store_change(f, &c, 1);
    catalogue_unref(cat);
    registry_close(f->reg);
    fixture_open_registry(f);
}

static inline int do_step(struct fixture *f, const struct step *s, struct sbuf *out, struct err *err)
{
    struct slice module = or_nothing(s->module);
    const struct catalogue *cat = registry_snapshot(f->reg);
    int rc = 0;

    switch (s->op) {
    case REQUEST:
        rc = registry_request_module(f->reg, s->user, module, err);
        break;
    case APPROVE:
        rc = registry_approve(f->reg, module, err);
        break;
    case DENY:
        rc = registry_deny(f->reg, module, err);
        break;
    case MAKE:
        rc = registry_request_module(f->reg, s->user, module, err);
        if (rc == 0)
            rc = registry_approve(f->reg, module, err);
        break;
    case REGISTER:
    case DRY_RUN:
    case REFRESH:
    case AFTER:
        rc = do_register(f, s, out, err);
        break;
    case RELEASE:
        rc = do_release(f, s, out, err);
        break;
    case GRANT:
        rc = registry_grant(f->reg, s->user, module, or_nothing(s->spec), s->add != NULL, err);
        break;
    case REMOVE:
        rc = registry_remove_owner(f->reg, s->user, module, or_nothing(s->spec), err);
        break;
    case SAVE:
        f->saved[s->add[0] - '0'] = cat_find_module(cat, module)->last;
        break;
    case TYPE:
    case TYPE_MD5:
    case FUNC:
        rc = do_resolve(cat, s, out, err);
        break;
    case MODULE:
        rc = do_module(f, cat, s, out, err);
        break;
    case SUPPORT_OFF:
        catalogue_unref(cat);
        support_off(f, s->module);
        return 0;
    default:
        do_look(cat, s, out);
    }
    catalogue_unref(cat);
    return rc;
}

static inline void run_steps(struct fixture *f, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_SBUF(have, SBUF_NO_LIMIT);
        AUTO_SBUF(want, SBUF_NO_LIMIT);
        AUTO_ERR(err);
        int rc = do_step(f, &steps[i], &have, &err);

        if (rc) {
            sbuf_reset(&have);
            sbuf_addc(&have, '!');
            sbuf_add(&have, err.text, err.len);
            assert_int_equal(rc, -(int)err.code);
        }
        expand(f, steps[i].want ? steps[i].want : "", &want);
        if ((steps[i].want || rc) && !slice_eq(sbuf_slice(&have), sbuf_slice(&want)))
            fail_msg("step %zu (op %d)\nhave: %s\nwant: %s", i, steps[i].op, sbuf_slice(&have).p,
                     sbuf_slice(&want).p);
        assert_reload_same(f);
    }
}

#define RUN(steps) \
    do { \
        struct fixture run_fixture; \
        fixture_open(&run_fixture); \
        run_steps(&run_fixture, (steps), ARRAY_LEN(steps)); \
        fixture_close(&run_fixture); \
    } while (0)

#endif
