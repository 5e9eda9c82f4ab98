#include "test/unit/test_tws_registry.h"
#include "tws/fsck.h"

/*
 * A healthy database made by the registry is clean; each harm is found as what it is, mended if that needs no
 * guessing, and afterwards the registry loads what it had before.
 */

static const char base_1[] = "module Base { typedef structure { int a; } T; typedef structure { T t; } Plain;"
                             " typedef structure { Plain p; } U; funcdef f(T t) returns (list<U> u); };";
static const char base_2[] =
    "module Base { typedef structure { string a; } T; typedef structure { T t; } Plain;"
    " typedef structure { Plain p; } U; funcdef f(T t) returns (list<U> u); };";
static const char user[] = "#include <Base.types>\nmodule User { typedef mapping<string, Base.U> V; };";

static const struct step healthy[] = {
    { MAKE, "ann", "Base" },
    { REGISTER, "ann", .spec = base_1, .add = "T U" },
    { REGISTER, "ann", .spec = base_2, .add = "" },
    { RELEASE, "ann", "Base" },
    { MAKE, "ann", "User" },
    { REGISTER, "ann", .spec = user, .add = "V" },
    { RELEASE, "ann", "User" },
    { REGISTER, "ann", .spec = base_1, .add = "" },
    { MAKE, "ann", "Bare" },
    { REQUEST, "zoe", "Wish" },
    { SAVE, NULL, "Base", .add = "1" },
    { SAVE, NULL, "User", .add = "2" },
    { SAVE, NULL, "Bare", .add = "3" },
};

static void open_healthy(struct fixture *f)
{
    fixture_open(f);
    run_steps(f, healthy, ARRAY_LEN(healthy));
}

/* The kinds that a run finds, sorted as found, each once in a row: `+kind` mended, `-kind` left. */
static void look(struct fixture *f, int64_t fence, struct sbuf *ret_kinds)
{
    AUTO(fsck_free_auto) struct fsck *fsck = fsck_new(f->store);
    const char *last = "";
    bool last_mended = false;
    AUTO_ERR(err);

    if (fsck_run(fsck, fence, &err))
        fail_msg("%s", err_text(&err));
    size_t n = 0;
    for (const struct fsck_finding *x = fsck_findings(fsck); x; x = x->next, n++) {
        assert_true(x->what[0] != '\0');
        if (strcmp(last, x->kind) == 0 && last_mended == x->mended)
            continue;
        sbuf_addf(ret_kinds, "%s%c%s", ret_kinds->len ? " " : "", x->mended ? '+' : '-', x->kind);
        last = x->kind;
        last_mended = x->mended;
    }
    assert_int_equal(n, fsck_left(fsck) + fsck_mended(fsck));
    sbuf_addc(ret_kinds, '\0');
}

static void assert_look(struct fixture *f, int64_t fence, const char *want)
{
    AUTO_SBUF(kinds, SBUF_NO_LIMIT);

    look(f, fence, &kinds);
    assert_string_equal(kinds.p, want);
}

static void catalogue_text(struct fixture *f, struct sbuf *out)
{
    registry_close(f->reg);
    fixture_open_registry(f);
    const struct catalogue *cat = registry_snapshot(f->reg);
    put_catalogue(out, cat);
    catalogue_unref(cat);
}

enum { MAX_HARM = 4 };

struct harm {
    const char *found, *mended; /* by a look; by a repair */
    const char *still;          /* by the look after it */
    bool same;                  /* the catalogue is what it was before */
    size_t count;
    struct change changes[MAX_HARM];
};

#define POINTERS(m, p, r) \
    { \
        .kind = CHANGE_MOVE_POINTERS, .pointers = { SLICE(m), p, r, true } \
    }

static void run_harm(const struct harm *harm)
{
    AUTO_SBUF(before, SBUF_NO_LIMIT);
    AUTO_SBUF(after, SBUF_NO_LIMIT);
    struct fixture f;
    struct change changes[MAX_HARM];

    open_healthy(&f);
    catalogue_text(&f, &before);
    /* numbers 1 to 3 stand for saved versions, 5 for none, with thousands added */
    memcpy(changes, harm->changes, sizeof(changes));
    for (size_t i = 0; i < harm->count; i++) {
        int64_t *numbers[] = { NULL, NULL };
        switch (changes[i].kind) {
        case CHANGE_MOVE_POINTERS:
            numbers[0] = &changes[i].pointers.last;
            numbers[1] = &changes[i].pointers.released;
            break;
        case CHANGE_ADD_INFO:
        case CHANGE_DROP_INFO:
            numbers[0] = &changes[i].info.version;
            break;
        case CHANGE_ADD_SPEC:
        case CHANGE_DROP_SPEC:
            numbers[0] = &changes[i].spec.version;
            break;
        case CHANGE_ADD_TYPE_REF:
            numbers[0] = &changes[i].edge.dep_module_version;
            break;
        default:
            break;
        }
        for (size_t k = 0; k < ARRAY_LEN(numbers); k++)
            if (numbers[k] && *numbers[k])
                *numbers[k] = f.saved[*numbers[k] % 1000] + *numbers[k] / 1000;
    }
    store_change(&f, changes, harm->count);
    assert_look(&f, 0, harm->found);
    assert_look(&f, 0, harm->found); /* looking changes nothing */
    assert_look(&f, f.fence, harm->mended);
    assert_look(&f, 0, harm->still);
    catalogue_text(&f, &after);
    assert_int_equal(slice_eq(sbuf_slice(&before), sbuf_slice(&after)), harm->same);
    fixture_close(&f);
}

static void test_healthy(void **state)
{
    struct fixture f;

    (void)state;
    open_healthy(&f);
    assert_look(&f, 0, "");
    assert_look(&f, f.fence, "");
    fixture_close(&f);
}

static void test_harms(void **state)
{
    const struct harm harms[] = {
        { "-dangling_pointer", "+dangling_pointer", "", true, 1, { POINTERS("User", 9002, 9002) } },
        { "-dangling_pointer", "+dangling_pointer", "", true, 1, { POINTERS("Base", 9001, 9001) } },
        { "-dangling_pointer -orphan_info",
          "+dangling_pointer +orphan_info",
          "",
          true,
          2,
          { POINTERS("User", 9002, 2),
            { .kind = CHANGE_ADD_INFO, .info = { .module = SLICE("User"), .version = 9002 } } } },
        { "-orphan_info",
          "+orphan_info",
          "",
          true,
          1,
          { { .kind = CHANGE_ADD_INFO, .info = { .module = SLICE("User"), .version = 9002 } } } },
        { "-stray_version",
          "-stray_version",
          "-stray_version",
          false,
          2,
          { { .kind = CHANGE_ADD_INFO, .info = { .module = SLICE("User"), .version = 9002 } },
            { .kind = CHANGE_ADD_SPEC, .spec = { SLICE("User"), 9002, SLICE("x") } } } },
        { "-orphan_spec",
          "+orphan_spec",
          "",
          true,
          1,
          { { .kind = CHANGE_ADD_SPEC, .spec = { SLICE("User"), 9002, SLICE("x") } } } },
        { "-missing_info",
          "-missing_info",
          "-missing_info",
          true,
          1,
          { { .kind = CHANGE_ADD_SPEC, .spec = { SLICE("Base"), 5, SLICE("x") } } } },
        { "-missing_row",
          "-missing_row",
          "-missing_row",
          false,
          2,
          { { .kind = CHANGE_DROP_SCHEMA, .row = { SLICE("Base"), SLICE("T"), { 0, 1 } } },
            { .kind = CHANGE_DROP_FUNC_PARSE, .row = { SLICE("Base"), SLICE("f"), { 0, 1 } } } } },
        { "-orphan_row",
          "+orphan_row",
          "",
          true,
          3,
          { { .kind = CHANGE_ADD_SCHEMA, .row = { SLICE("Base"), SLICE("T"), { 9, 0 }, 5 } },
            { .kind = CHANGE_ADD_TYPE_PARSE, .row = { SLICE("Base"), SLICE("T"), { 9, 0 }, 5 } },
            { .kind = CHANGE_ADD_FUNC_PARSE, .row = { SLICE("Base"), SLICE("h"), { 9, 0 }, 5 } } } },
        { "-orphan_edge",
          "+orphan_edge",
          "",
          true,
          2,
          { { .kind = CHANGE_ADD_TYPE_REF,
              .edge = { SLICE("Base"), SLICE("T"), { 9, 0 }, 5, SLICE("Base"), SLICE("T"), { 1, 0 } } },
            { .kind = CHANGE_ADD_FUNC_REF,
              .edge = { SLICE("Base"), SLICE("f"), { 1, 0 }, 5, SLICE("Base"), SLICE("T"), { 9, 0 } } } } },
        { "-unknown_edge",
          "-unknown_edge",
          "-unknown_edge",
          true,
          1,
          { { .kind = CHANGE_ADD_TYPE_REF,
              .edge = { SLICE("Base"), SLICE("T"), { 1, 0 }, 5, SLICE("Gone"), SLICE("T"), { 9, 0 } } } } },
        { "-duplicate_edge",
          "+duplicate_edge",
          "",
          true,
          1,
          { { .kind = CHANGE_ADD_FUNC_REF,
              .edge = { SLICE("Base"), SLICE("f"), { 1, 0 }, 5, SLICE("Base"), SLICE("T"), { 1, 0 } } } } },
        { "-empty_owner",
          "+empty_owner",
          "",
          true,
          1,
          { { .kind = CHANGE_PUT_OWNER, .owner = { SLICE("Base"), SLICE(""), true } } } },
        { "-owner_without_module",
          "+owner_without_module",
          "",
          true,
          1,
          { { .kind = CHANGE_PUT_OWNER, .owner = { SLICE("Nowhere"), SLICE("bob"), true } } } },
        { "-no_owner",
          "-no_owner",
          "-no_owner",
          false,
          1,
          { { .kind = CHANGE_DROP_OWNER, .owner = { SLICE("Base"), SLICE("ann"), true } } } },
        { "-unfinished_approval",
          "+unfinished_approval",
          "",
          true,
          2,
          { { .kind = CHANGE_DROP_OWNER, .owner = { SLICE("Bare"), SLICE("ann"), true } },
            { .kind = CHANGE_ADD_REQUEST, .owner = { SLICE("Bare"), SLICE("ann"), true } } } },
        { "-stale_request",
          "+stale_request",
          "",
          true,
          1,
          { { .kind = CHANGE_ADD_REQUEST, .owner = { SLICE("Base"), SLICE("zoe"), true } } } },
        { "-unfinished_approval",
          "+unfinished_approval",
          "",
          false,
          1,
          { { .kind = CHANGE_ADD_MODULE, .pointers = { SLICE("Wish"), 7, 7, true } } } },
        { "-orphan_info",
          "+orphan_info",
          "",
          true,
          1,
          { { .kind = CHANGE_ADD_INFO, .info = { .module = SLICE("Wish"), .version = 0, .first = true } } } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(harms); i++)
        run_harm(&harms[i]);
}

/* Every edge that the registry writes is one that fsck writes again. */
static void test_lost_edges(void **state)
{
    AUTO_SBUF(before, SBUF_NO_LIMIT);
    AUTO_SBUF(after, SBUF_NO_LIMIT);
    struct fixture f;

    (void)state;
    open_healthy(&f);
    catalogue_text(&f, &before);
    const struct catalogue *cat = registry_snapshot(f.reg);
    size_t lost = 0;
    for (size_t i = 0; i < cat->module_count; i++) {
        const struct cat_module *m = cat->modules[i];
        for (size_t k = 0; k < m->out_count; k++) {
            /* the version that made it is not in the catalogue, so all are tried */
            for (size_t v = 0; v < m->version_count; v++) {
                const struct cat_edge *e = &m->out[k];
                AUTO_ARENA(arena);
                struct change_set set;
                change_set_init(&set, &arena);
                change_set_add(&set, e->dep_is_func ? CHANGE_DROP_FUNC_REF : CHANGE_DROP_TYPE_REF)->edge =
                    (struct rec_edge){ m->name,         e->name,
                                       e->version,      m->versions[v]->version,
                                       e->other_module, e->other_name,
                                       e->other_version };
                lost += store_commit(f.store, &set, f.fence, NULL) == 0;
            }
        }
    }
    catalogue_unref(cat);
    assert_true(lost > 8);
    assert_look(&f, 0, "-missing_edge");
    assert_look(&f, f.fence, "+missing_edge");
    assert_look(&f, 0, "");
    catalogue_text(&f, &after);
    assert_string_equal(before.p, after.p);
    fixture_close(&f);
}

/* Nothing is written without the lease. */
static void test_without_lease(void **state)
{
    struct fixture f;
    AUTO_ERR(err);

    (void)state;
    open_healthy(&f);
    const struct change harm = { .kind = CHANGE_PUT_OWNER, .owner = { SLICE("Base"), SLICE(""), true } };
    store_change(&f, &harm, 1);
    assert_int_equal(store_lease_give_up(f.store, f.fence, &err), 0);
    AUTO(fsck_free_auto) struct fsck *fsck = fsck_new(f.store);
    assert_int_equal(fsck_run(fsck, f.fence, &err), -ERR_FENCED);
    assert_look(&f, 0, "-empty_owner");
    fixture_close(&f);
}

/* ---- a commit that was done although it failed ---- */

static struct store_ops odd_ops;
static const struct store_ops *true_ops;
static int failures;

static int odd_commit(struct store *store, const struct change_set *set, int64_t fence, struct err *err)
{
    if (atomic_load(&store->outdated))
        return err_set(err, ERR_STORE, "to be loaded first");
    int rc = true_ops->commit(store, set, fence, err);
    if (rc || failures == 0)
        return rc;
    failures--;
    atomic_store(&store->outdated, true);
    return err_set(err, ERR_STORE, "the answer was lost");
}

static int odd_load(struct store *store, const struct store_sink *sink, struct err *err)
{
    int rc = true_ops->load(store, sink, err);

    if (rc == 0)
        atomic_store(&store->outdated, false);
    return rc;
}

static void test_outdated(void **state)
{
    static const struct step steps[] = {
        { REQUEST, "ann", "Late", .want = "!Registration of module Late was already requested" },
        { REQUESTS, .want = "Wish:zoe Late:ann" },
        { APPROVE, NULL, "Late" },
        { REGISTER, "ann", .spec = "module Late { typedef int a; };", .add = "a", .want = "Late.a-0.1" },
    };
    struct fixture f;

    (void)state;
    open_healthy(&f);
    true_ops = f.store->ops;
    odd_ops = *true_ops;
    odd_ops.commit = odd_commit;
    odd_ops.load = odd_load;
    f.store->ops = &odd_ops;
    failures = 1;
    run_steps(&f, steps, ARRAY_LEN(steps));
    f.store->ops = true_ops;
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy),    cmocka_unit_test(test_harms),
        cmocka_unit_test(test_lost_edges), cmocka_unit_test(test_without_lease),
        cmocka_unit_test(test_outdated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
