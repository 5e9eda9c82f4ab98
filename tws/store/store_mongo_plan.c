#include "tws/store/store_mongo.h"

void doc_list_add(struct doc_list *list, bson_t *doc)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 8;
        list->items = xrealloc(list->items, list->cap * sizeof(bson_t *));
    }
    list->items[list->count++] = doc;
}

static void doc_list_release(struct doc_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        bson_destroy(list->items[i]);
    free(list->items);
    *list = (struct doc_list){ 0 };
}

void mongo_plan_release(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        doc_list_release(&plan->steps[i].docs);
    free(plan->steps);
    *plan = (struct plan){ 0 };
}

int mongo_key_conflict(enum mongo_collection_id collection, const bson_t *doc, struct err *err)
{
    struct slice module;

    if (!mongo_get_text(doc, "moduleName", &module))
        module = SLICE("");
    return err_set(err, ERR_CONFLICT, "type database: module %.*s %s", (int)module.n, module.p,
                   mongo_collections[collection].conflict);
}

/* A module's pointers: as the database has them, and as the change set leaves them. */
struct module_state {
    struct module_state *next;
    bool stored, exists;
    struct rec_pointers was, now;
};

/* An owner or a request, likewise. */
struct seat {
    struct seat *next;
    struct slice user;
    bson_t *id; /* {_id} of the stored one; NULL: not stored */
    bool present, was_grant, grant;
    bool put; /* the change set says what it shall be */
    bool odd; /* the stored one cannot be read, but for the user */
};

struct seats { /* of one module in one collection */
    struct seats *next;
    enum mongo_collection_id collection;
    struct slice module;
    struct seat *first, **end;
};

struct planner {
    struct mongo_conn *conn;
    const struct change_set *set;
    bool check_keys;
    struct arena arena;
    struct module_state *modules;
    struct seats *seats;
    const struct change **infos; /* those added so far */
    bool *released;              /* whether a later change releases them */
    size_t info_count;
    struct doc_list puts[MONGO_COLLECTION_COUNT]; /* new ones */
    struct doc_list replaced;                     /* owners */
    struct doc_list gone[MONGO_COLLECTION_COUNT];
    struct doc_list updates; /* query, update of module_version, module_info_history */
    struct doc_list info_updates;
};

static int conflict(struct slice module, const char *text, struct err *err)
{
    return err_set(err, ERR_CONFLICT, "type database: module %.*s %s", (int)module.n, module.p, text);
}

/* ---- pointers ---- */

static int look_at_module(struct planner *p, struct slice module, struct module_state **ret_state,
                          struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.read_module", "reading a module", false };
    AUTO_BSON filter = bson_new();
    AUTO_BSON doc = NULL;

    for (struct module_state *s = p->modules; s; s = s->next) {
        if (slice_eq(s->was.module, module)) {
            *ret_state = s;
            return 0;
        }
    }
    mongo_append_text(filter, "moduleName", module);
    int code = mongo_find_one(p->conn, &call, mongo_collections[MONGO_MODULES].name, filter, NULL, &doc, err);
    if (code)
        return code;
    struct module_state *state = arena_zalloc(&p->arena, sizeof(*state));
    if (doc && !mongo_read_pointers(doc, &state->was))
        return err_set(err, ERR_STORE, "type database: the record of module %.*s cannot be read",
                       (int)module.n, module.p);
    state->was.module = module;
    state->stored = state->exists = doc != NULL;
    state->now = state->was;
    state->next = p->modules;
    p->modules = state;
    *ret_state = state;
    return 0;
}

static int check_expectation(struct planner *p, const struct expectation *expect, struct err *err)
{
    const struct rec_pointers *want = &expect->pointers;
    struct module_state *state;
    int code = look_at_module(p, want->module, &state, err);

    if (code)
        return code;
    bool same = state->exists == expect->exists &&
                (!state->exists || (state->was.last == want->last && state->was.released == want->released &&
                                    state->was.supported == want->supported));
    return same ? 0 : conflict(want->module, "has been changed meanwhile", err);
}

static int change_pointers(struct planner *p, const struct change *c, struct err *err)
{
    struct module_state *state;
    int code = look_at_module(p, c->pointers.module, &state, err);

    if (code)
        return code;
    if (state->exists == (c->kind == CHANGE_ADD_MODULE))
        return conflict(c->pointers.module, state->exists ? "exists already" : "does not exist", err);
    state->exists = true;
    state->now = c->pointers;
    return 0;
}

static void append_pointers(bson_t *doc, const struct rec_pointers *rec)
{
    BSON_APPEND_INT64(doc, "versionTime", rec->last);
    BSON_APPEND_INT64(doc, "releasedVersionTime", rec->released);
    BSON_APPEND_BOOL(doc, "supported", rec->supported);
}

/* A document of another writer may have no flag, which counts as false. */
static void append_old_pointers(bson_t *doc, const struct rec_pointers *rec)
{
    bson_t not_true;

    if (rec->supported) {
        append_pointers(doc, rec);
        return;
    }
    BSON_APPEND_INT64(doc, "versionTime", rec->last);
    BSON_APPEND_INT64(doc, "releasedVersionTime", rec->released);
    BSON_APPEND_DOCUMENT_BEGIN(doc, "supported", &not_true);
    BSON_APPEND_BOOL(&not_true, "$ne", true);
    bson_append_document_end(doc, &not_true);
}

/* {module, state before or after} -> after: can be done again, but not to a module that somebody has moved
 * on. */
static void add_pointer_update(struct planner *p, const struct module_state *state)
{
    bson_t *query = bson_new(), *update = bson_new(), part, item;

    mongo_append_text(query, "moduleName", state->was.module);
    BSON_APPEND_ARRAY_BEGIN(query, "$or", &part);
    BSON_APPEND_DOCUMENT_BEGIN(&part, "0", &item);
    append_old_pointers(&item, &state->was);
    bson_append_document_end(&part, &item);
    BSON_APPEND_DOCUMENT_BEGIN(&part, "1", &item);
    append_pointers(&item, &state->now);
    bson_append_document_end(&part, &item);
    bson_append_array_end(query, &part);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
    append_pointers(&part, &state->now);
    bson_append_document_end(update, &part);
    doc_list_add(&p->updates, query);
    doc_list_add(&p->updates, update);
}

static bool same_pointers(const struct rec_pointers *a, const struct rec_pointers *b)
{
    return a->last == b->last && a->released == b->released && a->supported == b->supported;
}

static void finish_modules(struct planner *p)
{
    for (const struct module_state *s = p->modules; s; s = s->next) {
        if (s->exists && !s->stored)
            doc_list_add(&p->puts[MONGO_MODULES], mongo_pointers_doc(&s->now));
        else if (s->exists && !same_pointers(&s->was, &s->now))
            add_pointer_update(p, s);
    }
}

/* ---- owners and requests ---- */

struct seat_reading {
    struct planner *p;
    struct seats *seats;
};

static struct seat *add_seat(struct planner *p, struct seats *seats, struct slice user)
{
    struct seat *seat = arena_zalloc(&p->arena, sizeof(*seat));

    seat->user = user;
    *seats->end = seat;
    seats->end = &seat->next;
    return seat;
}

/* One without a user is in nobody's way and stays where it is. */
static int read_seat(void *ctx, const bson_t *doc, struct err *err)
{
    struct seat_reading *r = ctx;
    struct rec_owner rec = { .can_grant = false };
    bson_iter_t iter;

    (void)err;
    bool odd = !mongo_read_owner(doc, &rec);
    if (!rec.user.p || !bson_iter_init_find(&iter, doc, "_id"))
        return 0;
    struct seat *seat = add_seat(r->p, r->seats, arena_slice(&r->p->arena, rec.user));
    seat->odd = odd;
    seat->id = bson_new();
    bson_append_iter(seat->id, "_id", -1, &iter);
    seat->present = true;
    seat->grant = seat->was_grant = rec.can_grant;
    return 0;
}

static int look_at_seats(struct planner *p, enum mongo_collection_id collection, struct slice module,
                         struct seats **ret_seats, struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.read_users", "reading owners or requests", false };
    AUTO_BSON filter = bson_new();

    for (struct seats *s = p->seats; s; s = s->next) {
        if (s->collection == collection && slice_eq(s->module, module)) {
            *ret_seats = s;
            return 0;
        }
    }
    struct seats *seats = arena_zalloc(&p->arena, sizeof(*seats));
    seats->collection = collection;
    seats->module = module;
    seats->end = &seats->first;
    seats->next = p->seats;
    p->seats = seats;
    struct seat_reading reading = { p, seats };
    mongo_append_text(filter, "moduleName", module);
    *ret_seats = seats;
    return mongo_find(p->conn, &call, mongo_collections[collection].name, filter, NULL, read_seat, &reading,
                      err);
}

static struct seat *find_seat(struct seats *seats, struct slice user)
{
    struct seat *seat = seats->first;

    while (seat && !slice_eq(seat->user, user))
        seat = seat->next;
    return seat;
}

static int change_request(struct planner *p, const struct change *c, struct err *err)
{
    struct seats *seats;
    int code = look_at_seats(p, MONGO_REQUESTS, c->owner.module, &seats, err);

    if (code)
        return code;
    for (struct seat *s = seats->first; s; s = s->next) {
        if (c->kind == CHANGE_ADD_REQUEST && s->present)
            return conflict(c->owner.module, "is requested already", err);
        if (c->kind == CHANGE_DROP_REQUESTS && (!c->owner.user.p || slice_eq(s->user, c->owner.user)))
            s->present = false;
    }
    if (c->kind == CHANGE_ADD_REQUEST) {
        /* a seat of its own even for a user who had one: the order of requests is that of their insertion */
        struct seat *seat = add_seat(p, seats, c->owner.user);
        seat->present = true;
        seat->grant = c->owner.can_grant;
    }
    return 0;
}

static int change_owner(struct planner *p, const struct change *c, struct err *err)
{
    struct seats *seats;
    int code = look_at_seats(p, MONGO_OWNERS, c->owner.module, &seats, err);

    if (code)
        return code;
    struct seat *seat = find_seat(seats, c->owner.user);
    if (c->kind == CHANGE_DROP_OWNER) {
        if (seat)
            seat->present = false;
        return 0;
    }
    if (!seat)
        seat = add_seat(p, seats, c->owner.user);
    seat->present = seat->put = true;
    seat->grant = c->owner.can_grant;
    return 0;
}

static bson_t *with_id(const bson_t *id, bson_t *doc)
{
    bson_t *with = bson_copy(id);

    bson_copy_to_excluding_noinit(doc, with, "_id", NULL);
    bson_destroy(doc);
    return with;
}

static void finish_seat(struct planner *p, const struct seats *seats, struct seat *seat)
{
    struct rec_owner rec = { seats->module, seat->user, seat->grant };

    if (seat->present && !seat->id)
        doc_list_add(&p->puts[seats->collection], mongo_owner_doc(&rec));
    else if (seat->present && seat->put && (seat->odd || seat->grant != seat->was_grant))
        doc_list_add(&p->replaced, with_id(seat->id, mongo_owner_doc(&rec)));
    else if (!seat->present && seat->id)
        doc_list_add(&p->gone[seats->collection], TAKE(seat->id));
}

/* What was touched first stands last in the list, and is to be written first. */
static void finish_seats(struct planner *p, const struct seats *seats)
{
    size_t count = 0;

    for (const struct seats *s = seats; s; s = s->next)
        count++;
    const struct seats **all = xcalloc(count + 1, sizeof(*all));
    for (const struct seats *s = seats; s; s = s->next)
        all[--count] = s;
    for (size_t i = 0; all[i]; i++)
        for (struct seat *seat = all[i]->first; seat; seat = seat->next)
            finish_seat(p, all[i], seat);
    free(all);
}

/* ---- versions ---- */

static int release_stored(struct planner *p, const struct rec_pointers *rec, struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.read_info", "reading a module version", false };
    AUTO_BSON opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}");
    AUTO_BSON query = bson_new();
    AUTO_BSON doc = NULL;

    mongo_append_text(query, "moduleName", rec->module);
    BSON_APPEND_INT64(query, "versionTime", rec->last);
    int code = mongo_find_one(p->conn, &call, mongo_collections[MONGO_INFOS].name, query, opts, &doc, err);
    if (!code && !doc)
        code = conflict(rec->module, "lacks the version to be released", err);
    if (code)
        return code;
    doc_list_add(&p->info_updates, TAKE(query));
    doc_list_add(&p->info_updates, BCON_NEW("$set", "{", "released", BCON_BOOL(true), "}"));
    return 0;
}

static int set_released(struct planner *p, const struct rec_pointers *rec, struct err *err)
{
    for (size_t i = 0; i < p->info_count; i++) {
        const struct rec_info *info = &p->infos[i]->info;
        if (info->version == rec->last && slice_eq(info->module, rec->module)) {
            p->released[i] = true;
            return 0;
        }
    }
    return release_stored(p, rec, err);
}

/* ---- repairs ---- */

static bson_t *key_of(enum mongo_collection_id collection, const bson_t *doc)
{
    bson_t *key = bson_new();
    bson_iter_t iter;

    for (size_t i = 0; mongo_collections[collection].keys[i]; i++)
        if (bson_iter_init_find(&iter, doc, mongo_collections[collection].keys[i]))
            bson_append_iter(key, NULL, 0, &iter);
    return key;
}

/* Not one that is to go already: of records that are equal each change takes one. */
static void exclude_gone(const struct doc_list *gone, bson_t *filter)
{
    bson_t id, list;
    char index[16];
    const char *name;
    bson_iter_t iter;

    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &id);
    BSON_APPEND_ARRAY_BEGIN(&id, "$nin", &list);
    for (size_t i = 0; i < gone->count; i++) {
        size_t n = bson_uint32_to_string((uint32_t)i, &name, index, sizeof(index));
        if (bson_iter_init_find(&iter, gone->items[i], "_id"))
            bson_append_iter(&list, name, (int)n, &iter);
    }
    bson_append_array_end(&id, &list);
    bson_append_document_end(filter, &id);
}

/* Takes like: a document with the members that the record has to have. */
static int drop_one(struct planner *p, enum mongo_collection_id collection, struct slice module, bson_t *like,
                    struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.read_record", "looking for a record", false };
    AUTO_BSON opts =
        BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}", "sort", "{", "_id", BCON_INT32(-1), "}");
    AUTO_BSON filter = bson_new();
    AUTO_BSON doc = NULL;

    exclude_gone(&p->gone[collection], filter);
    bson_copy_to_excluding_noinit(like, filter, "_id", NULL);
    bson_destroy(like);
    int code = mongo_find_one(p->conn, &call, mongo_collections[collection].name, filter, opts, &doc, err);
    if (!code && !doc)
        return conflict(module, "has no such record any more", err);
    if (!code)
        doc_list_add(&p->gone[collection], TAKE(doc));
    return code;
}

static int drop_row(struct planner *p, enum mongo_collection_id collection, const struct rec_row *rec,
                    struct err *err)
{
    AUTO_BSON doc = mongo_row_doc(collection, rec);

    return drop_one(p, collection, rec->module, key_of(collection, doc), err);
}

static int drop_version(struct planner *p, enum mongo_collection_id collection, struct slice module,
                        int64_t version, struct err *err)
{
    bson_t *like = bson_new();

    mongo_append_text(like, "moduleName", module);
    BSON_APPEND_INT64(like, "versionTime", version);
    return drop_one(p, collection, module, like, err);
}

/* ---- planning ---- */

static const enum mongo_collection_id row_collections[] = {
    [CHANGE_ADD_SCHEMA] = MONGO_SCHEMAS,          [CHANGE_ADD_TYPE_PARSE] = MONGO_TYPE_PARSES,
    [CHANGE_ADD_FUNC_PARSE] = MONGO_FUNC_PARSES,  [CHANGE_ADD_TYPE_REF] = MONGO_TYPE_REFS,
    [CHANGE_ADD_FUNC_REF] = MONGO_FUNC_REFS,      [CHANGE_DROP_SCHEMA] = MONGO_SCHEMAS,
    [CHANGE_DROP_TYPE_PARSE] = MONGO_TYPE_PARSES, [CHANGE_DROP_FUNC_PARSE] = MONGO_FUNC_PARSES,
    [CHANGE_DROP_TYPE_REF] = MONGO_TYPE_REFS,     [CHANGE_DROP_FUNC_REF] = MONGO_FUNC_REFS,
};

static int plan_change(struct planner *p, const struct change *c, struct err *err)
{
    switch (c->kind) {
    case CHANGE_ADD_REQUEST:
    case CHANGE_DROP_REQUESTS:
        return change_request(p, c, err);
    case CHANGE_PUT_OWNER:
    case CHANGE_DROP_OWNER:
        return change_owner(p, c, err);
    case CHANGE_ADD_SCHEMA:
    case CHANGE_ADD_TYPE_PARSE:
    case CHANGE_ADD_FUNC_PARSE:
        doc_list_add(&p->puts[row_collections[c->kind]], mongo_row_doc(row_collections[c->kind], &c->row));
        return 0;
    case CHANGE_ADD_TYPE_REF:
    case CHANGE_ADD_FUNC_REF:
        doc_list_add(&p->puts[row_collections[c->kind]], mongo_edge_doc(&c->edge));
        return 0;
    case CHANGE_ADD_SPEC:
        doc_list_add(&p->puts[MONGO_SPECS], mongo_spec_doc(&c->spec));
        return 0;
    case CHANGE_ADD_INFO:
        p->released[p->info_count] = c->info.released;
        p->infos[p->info_count++] = c;
        return 0;
    case CHANGE_SET_RELEASED:
        return set_released(p, &c->pointers, err);
    case CHANGE_ADD_MODULE:
    case CHANGE_MOVE_POINTERS:
        return change_pointers(p, c, err);
    case CHANGE_DROP_SCHEMA:
    case CHANGE_DROP_TYPE_PARSE:
    case CHANGE_DROP_FUNC_PARSE:
        return drop_row(p, row_collections[c->kind], &c->row, err);
    case CHANGE_DROP_TYPE_REF:
    case CHANGE_DROP_FUNC_REF:
        return drop_one(p, row_collections[c->kind], c->edge.dep_module, mongo_edge_doc(&c->edge), err);
    case CHANGE_DROP_SPEC:
        return drop_version(p, MONGO_SPECS, c->spec.module, c->spec.version, err);
    case CHANGE_DROP_INFO:
        return drop_version(p, MONGO_INFOS, c->info.module, c->info.version, err);
    }
    return err_set(err, ERR_UNEXPECTED, "a change of kind %d", (int)c->kind);
}

static int check_sizes(const struct planner *p, struct err *err)
{
    for (size_t i = 0; i < MONGO_COLLECTION_COUNT; i++) {
        for (size_t k = 0; k < p->puts[i].count; k++) {
            if (p->puts[i].items[k]->len > MONGO_MAX_DOC)
                return err_set(err, ERR_LIMIT,
                               "type database: a record for %s is %u bytes long; MongoDB keeps up to %d",
                               mongo_collections[i].name, p->puts[i].items[k]->len, MONGO_MAX_DOC);
        }
    }
    return 0;
}

/* ---- keys that are there already ---- */

struct key {
    bson_t *key;
    const bson_t *doc;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    return bson_compare(x->key, y->key);
}

enum { KEYS_AT_ONCE = 100 };

static int check_stored_keys(struct planner *p, enum mongo_collection_id collection, const struct key *keys,
                             size_t count, struct err *err)
{
    static const struct mongo_call call = { "mongo.commit.read_keys", "looking for records", false };
    AUTO_BSON opts = BCON_NEW("projection", "{", "moduleName", BCON_INT32(1), "}");
    AUTO_BSON filter = bson_new();
    AUTO_BSON doc = NULL;
    bson_t list;
    char index[16];
    const char *name;

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &list);
    for (size_t i = 0; i < count; i++) {
        size_t n = bson_uint32_to_string((uint32_t)i, &name, index, sizeof(index));
        bson_append_document(&list, name, (int)n, keys[i].key);
    }
    bson_append_array_end(filter, &list);
    int code = mongo_find_one(p->conn, &call, mongo_collections[collection].name, filter, opts, &doc, err);
    return !code && doc ? mongo_key_conflict(collection, doc, err) : code;
}

static int check_keys_of(struct planner *p, enum mongo_collection_id collection, struct err *err)
{
    const struct doc_list *docs = &p->puts[collection];
    int code = 0;

    if (!docs->count || !mongo_collections[collection].keys[0])
        return 0;
    struct key *keys = xcalloc(docs->count, sizeof(*keys));
    for (size_t i = 0; i < docs->count; i++)
        keys[i] = (struct key){ key_of(collection, docs->items[i]), docs->items[i] };
    qsort(keys, docs->count, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < docs->count && !code; i++)
        if (compare_keys(&keys[i - 1], &keys[i]) == 0)
            code = mongo_key_conflict(collection, keys[i].doc, err);
    for (size_t i = 0; i < docs->count && !code; i += KEYS_AT_ONCE) {
        size_t n = docs->count - i < KEYS_AT_ONCE ? docs->count - i : KEYS_AT_ONCE;
        code = check_stored_keys(p, collection, &keys[i], n, err);
    }
    for (size_t i = 0; i < docs->count; i++)
        bson_destroy(keys[i].key);
    free(keys);
    return code;
}

/* ---- steps ---- */

static struct step *add_step(struct plan *plan, enum step_kind kind, enum mongo_collection_id collection)
{
    if (plan->count == plan->cap) {
        plan->cap = plan->cap ? 2 * plan->cap : 16;
        plan->steps = xrealloc(plan->steps, plan->cap * sizeof(*plan->steps));
    }
    struct step *step = &plan->steps[plan->count++];
    *step = (struct step){ .kind = kind, .collection = collection };
    return step;
}

/* Moves the documents into as many steps as it takes. */
static void add_batches(struct plan *plan, enum step_kind kind, enum mongo_collection_id collection,
                        struct doc_list *docs)
{
    struct step *step = NULL;
    size_t bytes = 0;

    for (size_t i = 0; i < docs->count; i++) {
        size_t n = docs->items[i]->len;
        if (!step || bytes + n > MONGO_BATCH_BYTES || step->docs.count == MONGO_BATCH_DOCS) {
            step = add_step(plan, kind, collection);
            bytes = 0;
        }
        bytes += n;
        doc_list_add(&step->docs, TAKE(docs->items[i]));
    }
    docs->count = 0;
}

static void add_updates(struct plan *plan, enum mongo_collection_id collection, struct doc_list *pairs)
{
    for (size_t i = 0; i < pairs->count; i += 2) {
        struct step *step = add_step(plan, STEP_UPDATE, collection);
        doc_list_add(&step->docs, TAKE(pairs->items[i]));
        doc_list_add(&step->docs, TAKE(pairs->items[i + 1]));
    }
    pairs->count = 0;
}

/* Rows, edges, specs and infos before the pointers that make them visible; an approved module before its
 * request goes. */
static void make_steps(struct planner *p, struct plan *plan)
{
    for (enum mongo_collection_id c = MONGO_SCHEMAS; c <= MONGO_OWNERS; c++)
        add_batches(plan, STEP_INSERT, c, &p->puts[c]);
    add_batches(plan, STEP_REPLACE, MONGO_OWNERS, &p->replaced);
    add_batches(plan, STEP_INSERT, MONGO_MODULES, &p->puts[MONGO_MODULES]);
    add_updates(plan, MONGO_MODULES, &p->updates);
    add_updates(plan, MONGO_INFOS, &p->info_updates);
    for (enum mongo_collection_id c = MONGO_SCHEMAS; c < MONGO_COLLECTION_COUNT; c++)
        add_batches(plan, STEP_DELETE, c, &p->gone[c]);
    add_batches(plan, STEP_INSERT, MONGO_REQUESTS, &p->puts[MONGO_REQUESTS]);
}

static int plan_all(struct planner *p, struct plan *plan, struct err *err)
{
    int code = 0;

    for (const struct expectation *e = p->set->expects; e && !code; e = e->next)
        code = check_expectation(p, e, err);
    for (const struct change *c = p->set->changes; c && !code; c = c->next)
        code = plan_change(p, c, err);
    if (code)
        return code;
    for (size_t i = 0; i < p->info_count; i++)
        doc_list_add(&p->puts[MONGO_INFOS], mongo_info_doc(&p->infos[i]->info, p->released[i]));
    finish_modules(p);
    finish_seats(p, p->seats);
    code = check_sizes(p, err);
    for (enum mongo_collection_id c = MONGO_SCHEMAS; c <= MONGO_INFOS && p->check_keys && !code; c++)
        code = check_keys_of(p, c, err);
    if (!code)
        make_steps(p, plan);
    return code;
}

static void release_planner(struct planner *p)
{
    for (size_t i = 0; i < MONGO_COLLECTION_COUNT; i++) {
        doc_list_release(&p->puts[i]);
        doc_list_release(&p->gone[i]);
    }
    doc_list_release(&p->replaced);
    doc_list_release(&p->updates);
    doc_list_release(&p->info_updates);
    for (struct seats *s = p->seats; s; s = s->next)
        for (struct seat *seat = s->first; seat; seat = seat->next)
            bson_destroy(seat->id);
    arena_release(&p->arena);
}

int mongo_plan(struct mongo_conn *conn, const struct change_set *set, bool check_keys, struct plan *ret_plan,
               struct err *err)
{
    struct planner p = { .conn = conn, .set = set, .check_keys = check_keys, .arena = ARENA_INIT };
    struct plan plan = { 0 };

    p.infos = arena_zalloc(&p.arena, (set->change_count + 1) * sizeof(*p.infos));
    p.released = arena_zalloc(&p.arena, (set->change_count + 1) * sizeof(*p.released));
    int code = plan_all(&p, &plan, err);
    release_planner(&p);
    if (code)
        mongo_plan_release(&plan);
    else
        *ret_plan = plan;
    return code;
}
