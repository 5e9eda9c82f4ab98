#include "dws/validate_request.h"

#include "dws/raw_json.h"
#include "shared/base/javahash.h"
#include "shared/base/typename.h"
#include "shared/base/utf.h"
#include "shared/base/uth.h"

enum {
    MAX_NAME = 255,
    MAX_TREE = 2000000, /* values in id_map or provenance_refs */
    TREE_DEPTH = 8,
    MAP_CAPACITY = 16,
};

struct type_entry {
    size_t index;
    UT_hash_handle hh;
    struct slice text;
};

/* ---- forms ---- */

static int wrong(struct err *err, const char *what)
{
    return err_set(err, ERR_PARAMS, "%s", what);
}

/* Unknown keys in the order of a Java HashMap. */
static void put_unexpected(const char *where, const struct slice *keys, size_t count, struct sbuf *out)
{
    size_t *order = xcalloc(count, sizeof(*order));

    java_hash_order(keys, count, MAP_CAPACITY, order);
    sbuf_addf(out, "Unexpected arguments in %s:", where);
    for (size_t i = 0; i < count; i++) {
        sbuf_addc(out, ' ');
        sbuf_add_slice(out, keys[order[i]]);
    }
    free(order);
}

static int read_texts(struct validate_request *r, struct slice value, const char *problem, size_t *ret_count,
                      struct check_text **ret_texts, struct err *err)
{
    const struct json_val *list = raw_tree(value, TREE_DEPTH, MAX_TREE, &r->arena);
    size_t n = 0;

    *ret_count = 0;
    if (list && list->kind == JSON_KIND_NULL)
        return 0;
    if (!list || list->kind != JSON_KIND_ARRAY)
        return wrong(err, problem);
    struct check_text *texts = arena_zalloc(&r->arena, (list->count + 1) * sizeof(*texts));
    for (const struct json_val *m = list->first; m; m = m->next, n++) {
        if (m->kind != JSON_KIND_STRING)
            return wrong(err, problem);
        texts[n] = check_text_of(m->text);
    }
    *ret_texts = texts;
    *ret_count = n;
    return 0;
}

static int read_limit(struct slice value, const char *problem, uint64_t *ret, struct err *err)
{
    int64_t n;

    *ret = 0;
    if (raw_kind(value) == JSON_KIND_NULL)
        return 0;
    if (raw_kind(value) != JSON_KIND_INT || !java_parse_long(value, &n) || n <= 0)
        return wrong(err, problem);
    *ret = (uint64_t)n;
    return 0;
}

/* ---- id_map ---- */

struct map_entry {
    struct slice id;
    struct check_text mapped;
    UT_hash_handle hh;
};

struct map_type {
    struct slice type;
    struct map_entry *table;
};

struct id_map {
    size_t count;
    struct map_type *types;
};

static void id_map_free(struct id_map *map)
{
    for (size_t i = 0; map && i < map->count; i++)
        HASH_CLEAR(hh, map->types[i].table);
}

static int read_type_map(struct validate_request *r, const struct json_val *object, struct map_type *type,
                         struct err *err)
{
    struct map_entry *entries = arena_zalloc(&r->arena, (object->count + 1) * sizeof(*entries));

    for (const struct json_val *m = object->first; m; m = m->next, entries++) {
        struct map_entry *same;
        if (m->kind != JSON_KIND_STRING)
            return wrong(err, "id_map must map texts to texts for each id type");
        HASH_FIND(hh, type->table, m->key.p, m->key.n, same);
        if (same) {
            same->mapped = check_text_of(m->text);
            continue;
        }
        entries->id = m->key;
        entries->mapped = check_text_of(m->text);
        HASH_ADD_KEYPTR(hh, type->table, entries->id.p, entries->id.n, entries);
    }
    return 0;
}

static int read_id_map(struct validate_request *r, struct slice value, struct err *err)
{
    const struct json_val *object = raw_tree(value, TREE_DEPTH, MAX_TREE, &r->arena);

    if (object && object->kind == JSON_KIND_NULL)
        return 0;
    if (!object || object->kind != JSON_KIND_OBJECT)
        return wrong(err, "id_map must be an object of at most 2000000 values");
    if (!r->id_map)
        r->id_map = arena_zalloc(&r->arena, sizeof(*r->id_map));
    id_map_free(r->id_map);
    r->id_map->count = 0;
    r->id_map->types = arena_zalloc(&r->arena, (object->count + 1) * sizeof(*r->id_map->types));
    for (const struct json_val *m = object->first; m; m = m->next) {
        struct map_type *type = &r->id_map->types[r->id_map->count++];
        type->type = m->key;
        if (m->kind != JSON_KIND_OBJECT)
            return wrong(err, "id_map must map texts to texts for each id type");
        int rc = read_type_map(r, m, type, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

bool id_map_find(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped)
{
    const struct id_map *map = ctx;
    struct map_entry *found = NULL;

    /* of two entries for a type the last one counts */
    for (size_t i = map->count; i-- > 0;) {
        if (!slice_eq(map->types[i].type, slice_of(type.p, type.n)))
            continue;
        HASH_FIND(hh, map->types[i].table, id.p, id.n, found);
        break;
    }
    if (found)
        *ret_mapped = found->mapped;
    return found != NULL;
}

/* ---- one object ---- */

enum member { TYPE, DATA, NAME, OBJID, META, HIDDEN, PROVENANCE, PROVENANCE_REFS, MEMBER_COUNT };

static const char *const member_names[MEMBER_COUNT] = {
    [TYPE] = "type",
    [DATA] = "data",
    [NAME] = "name",
    [OBJID] = "objid",
    [META] = "meta",
    [HIDDEN] = "hidden",
    [PROVENANCE] = "provenance",
    [PROVENANCE_REFS] = "provenance_refs",
};

/* The members of an object's entry; n is 0 if it is not there or null. */
struct parts {
    struct slice values[MEMBER_COUNT];
    size_t unknown_count;
    struct slice *unknown;
};

static enum member find_member(struct slice key)
{
    enum member m = TYPE;

    while (m < MEMBER_COUNT && !slice_is(key, member_names[m]))
        m++;
    return m;
}

static void add_unknown(struct validate_request *r, struct parts *parts, struct slice key)
{
    enum { MAX_NAMED = 1000 };

    for (size_t i = 0; i < parts->unknown_count; i++)
        if (slice_eq(parts->unknown[i], key))
            return;
    if (parts->unknown_count == MAX_NAMED)
        return;
    if (!parts->unknown)
        parts->unknown = arena_zalloc(&r->arena, MAX_NAMED * sizeof(*parts->unknown));
    parts->unknown[parts->unknown_count++] = key;
}

static void split_object(struct validate_request *r, struct slice text, struct parts *parts)
{
    struct raw_walk walk;
    struct slice key, value;

    *parts = (struct parts){ .unknown_count = 0 };
    raw_begin(&walk, text);
    while (raw_next(&walk, &key, &value)) {
        struct slice name = raw_string(key, &r->arena);
        enum member m = find_member(name);
        if (m == MEMBER_COUNT)
            add_unknown(r, parts, name);
        else
            parts->values[m] = raw_kind(value) == JSON_KIND_NULL ? SLICE("") : value;
    }
}

/* Strings and scalars, as upstream's parser takes them for a text. */
static int take_text(struct validate_request *r, struct slice value, const char *problem, struct slice *ret,
                     struct err *err)
{
    enum json_kind kind = value.n ? raw_kind(value) : JSON_KIND_NULL;

    *ret = value;
    if (kind == JSON_KIND_ARRAY || kind == JSON_KIND_OBJECT)
        return wrong(err, problem);
    if (kind == JSON_KIND_STRING)
        *ret = raw_string(value, &r->arena);
    return 0;
}

/* Of any size. */
static bool is_integer(struct slice name)
{
    size_t sign = name.n && name.p[0] == '-', i = sign;

    while (i < name.n && name.p[i] >= '0' && name.p[i] <= '9')
        i++;
    return i == name.n && i > sign;
}

static void check_name(struct slice name, struct sbuf *out)
{
    if (name.n == 0) {
        sbuf_adds(out, "Object name cannot be null or the empty string");
        return;
    }
    if (name.n > MAX_NAME && utf_units(name) > MAX_NAME) {
        sbuf_addf(out, "Object name exceeds the maximum length of %d", MAX_NAME);
        return;
    }
    for (size_t i = 0, used; i < name.n; i += used) {
        uint32_t cp = utf_decode(name.p + i, name.n - i, &used);
        bool allowed = cp < 0x80 && cp &&
                       (strchr("_|.-", (int)cp) || (cp >= '0' && cp <= '9') ||
                        ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z'));
        if (allowed)
            continue;
        sbuf_adds(out, "Illegal character in object name ");
        sbuf_add_slice(out, name);
        sbuf_adds(out, ": ");
        sbuf_add(out, name.p + i, used);
        return;
    }
    if (is_integer(name)) {
        sbuf_adds(out, "Object names cannot be integers: ");
        sbuf_add_slice(out, name);
    }
}

/* Appends nothing if the object is named well. */
static int check_identifier(struct validate_request *r, const struct parts *parts, struct slice *ret_id,
                            struct sbuf *out, struct err *err)
{
    static const char bad_id[] = "objid must be an integer";
    struct slice name_value = parts->values[NAME], id_value = parts->values[OBJID], name, id;
    int64_t number = 0;
    int rc = take_text(r, name_value, "name must be a string", &name, err);

    if (rc == 0)
        rc = take_text(r, id_value, bad_id, &id, err);
    if (rc < 0)
        return rc;
    if (id_value.n && !java_parse_long(id, &number))
        return wrong(err, bad_id);
    *ret_id = name_value.n ? name : id;
    if ((name_value.n == 0) == (id_value.n == 0)) {
        sbuf_adds(out, "Must provide one and only one of object name (was: ");
        sbuf_add_slice(out, name_value.n ? name : SLICE("null"));
        sbuf_adds(out, ") or id (was: ");
        sbuf_add_slice(out, id_value.n ? id : SLICE("null"));
        sbuf_addc(out, ')');
    } else if (id_value.n && number <= 0) {
        sbuf_adds(out, "Object id must be > 0");
    } else if (name_value.n) {
        check_name(name, out);
    }
    return 0;
}

static size_t intern_type(struct validate_request *r, struct slice type)
{
    struct type_entry *entry;

    HASH_FIND(hh, r->type_table, type.p, type.n, entry);
    if (entry)
        return entry->index;
    if (r->type_count == r->type_cap) {
        r->type_cap = r->type_cap ? r->type_cap * 2 : 16;
        r->types = xrealloc(r->types, r->type_cap * sizeof(*r->types));
    }
    entry = arena_zalloc(&r->arena, sizeof(*entry));
    entry->index = r->type_count;
    entry->text = type;
    r->types[r->type_count++] = type;
    HASH_ADD_KEYPTR(hh, r->type_table, entry->text.p, entry->text.n, entry);
    return entry->index;
}

/* Behind the identifier. */
static int check_parts(struct validate_request *r, const struct parts *parts, struct request_object *object,
                       struct sbuf *out, struct err *err)
{
    struct slice type;
    struct type_id id;
    AUTO_ERR(problem);
    int rc = take_text(r, parts->values[TYPE], "type must be a string", &type, err);

    if (rc < 0)
        return rc;
    if (parts->unknown_count) {
        put_unexpected("ObjectSaveData", parts->unknown, parts->unknown_count, out);
    } else if (parts->values[DATA].n == 0) {
        sbuf_adds(out, "no data");
    } else if (type_id_parse(type, parts->values[TYPE].n == 0, &id, &problem) < 0) {
        sbuf_add(out, problem.text, problem.len);
    } else {
        object->data = parts->values[DATA];
        object->provenance_refs = parts->values[PROVENANCE_REFS];
        object->type = intern_type(r, type);
    }
    return 0;
}

static struct request_object *add_object(struct validate_request *r)
{
    if (r->count == r->object_cap) {
        r->object_cap = r->object_cap ? r->object_cap * 2 : 16;
        r->objects = xrealloc(r->objects, r->object_cap * sizeof(*r->objects));
    }
    r->objects[r->count] = (struct request_object){ .type = 0 };
    return &r->objects[r->count++];
}

/* Each object gets a place, also the one with the problem, for its name. */
static int read_object(struct validate_request *r, struct slice value, struct err *err)
{
    struct request_object *object = add_object(r);
    AUTO_SBUF(bare, SBUF_NO_LIMIT);
    AUTO_SBUF(named, SBUF_NO_LIMIT);
    struct parts parts;
    int rc = 0;

    if (raw_kind(value) == JSON_KIND_NULL) {
        sbuf_adds(&bare, "is null");
    } else if (raw_kind(value) != JSON_KIND_OBJECT) {
        return wrong(err, "each of objects must be an object");
    } else {
        split_object(r, value, &parts);
        rc = check_identifier(r, &parts, &object->id, &bare, err);
        if (rc == 0 && bare.len == 0)
            rc = check_parts(r, &parts, object, &named, err);
    }
    if (rc < 0 || bare.len + named.len == 0)
        return rc;
    r->has_problem = true;
    r->problem.number = r->count;
    if (bare.len)
        sbuf_addf(&r->problem.text, "Object #%zu", r->count);
    else
        validate_request_put_name(r, r->count - 1, &r->problem.text);
    sbuf_adds(&r->problem.text, ": ");
    sbuf_add_slice(&r->problem.text, sbuf_slice(bare.len ? &bare : &named));
    return 0;
}

static int read_objects(struct validate_request *r, struct slice list, struct err *err)
{
    struct raw_walk walk;
    struct slice key, value;

    r->count = 0;
    r->has_problem = false;
    sbuf_reset(&r->problem.text);
    if (raw_kind(list) != JSON_KIND_ARRAY)
        return wrong(err, "objects must be a list");
    raw_begin(&walk, list);
    while (!r->has_problem && raw_next(&walk, &key, &value)) {
        if (r->count == REQUEST_MAX_OBJECTS)
            return err_set(err, ERR_LIMIT, "More than %d objects in one call", REQUEST_MAX_OBJECTS);
        int rc = read_object(r, value, err);
        if (rc < 0)
            return rc;
        if (r->type_count > REQUEST_MAX_TYPES)
            return err_set(err, ERR_LIMIT, "More than %d types in one call", REQUEST_MAX_TYPES);
    }
    return 0;
}

/* ---- the whole ---- */

static int set_objects(struct validate_request *r, struct slice value, struct err *err)
{
    return read_objects(r, value, err);
}

static int set_id_types(struct validate_request *r, struct slice value, struct err *err)
{
    return read_texts(r, value, "id_types must be a list of strings", &r->id_type_count, &r->id_types, err);
}

static int set_unavailable(struct validate_request *r, struct slice value, struct err *err)
{
    return read_texts(r, value, "unavailable_id_types must be a list of strings", &r->unavailable_count,
                      &r->unavailable, err);
}

static int set_max_ids(struct validate_request *r, struct slice value, struct err *err)
{
    return read_limit(value, "max_ids must be an integer above 0", &r->max_ids, err);
}

static int set_max_object_size(struct validate_request *r, struct slice value, struct err *err)
{
    return read_limit(value, "max_object_size must be an integer above 0", &r->max_object_size, err);
}

static int set_return_data(struct validate_request *r, struct slice value, struct err *err)
{
    enum json_kind kind = raw_kind(value);

    if (kind == JSON_KIND_STRING || kind == JSON_KIND_ARRAY || kind == JSON_KIND_OBJECT ||
        kind == JSON_KIND_FLOAT)
        return wrong(err, "return_data must be 0 or 1");
    r->return_data = kind == JSON_KIND_TRUE || (kind == JSON_KIND_INT && !slice_is(value, "0"));
    return 0;
}

static const struct {
    const char *name;
    int (*set)(struct validate_request *r, struct slice value, struct err *err);
} settings[] = {
    { "objects", set_objects },
    { "id_types", set_id_types },
    { "unavailable_id_types", set_unavailable },
    { "max_ids", set_max_ids },
    { "max_object_size", set_max_object_size },
    { "id_map", read_id_map },
    { "return_data", set_return_data },
};

static int read_member(struct validate_request *r, struct slice key, struct slice value, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (slice_is(key, settings[i].name))
            return settings[i].set(r, value, err);
    put_unexpected("ValidateObjectsParams", &key, 1, &text);
    return err_set_text(err, ERR_ARGUMENT, sbuf_slice(&text));
}

int validate_request_read(struct validate_request *r, struct slice param, struct err *err)
{
    struct raw_walk walk;
    struct slice key, value;
    bool has_objects = false;

    *r = (struct validate_request){ .problem = { .text = SBUF_INIT(SBUF_NO_LIMIT) }, .arena = ARENA_INIT };
    if (raw_kind(param) != JSON_KIND_OBJECT)
        return wrong(err, "an object is wanted");
    raw_begin(&walk, param);
    while (raw_next(&walk, &key, &value)) {
        struct slice name = raw_string(key, &r->arena);
        int rc = read_member(r, name, value, err);
        if (rc < 0)
            return rc;
        has_objects = has_objects || slice_is(name, "objects");
    }
    if (!has_objects || r->count == 0)
        return err_set(err, ERR_ARGUMENT, "No data provided");
    return 0;
}

void validate_request_release(struct validate_request *r)
{
    id_map_free(r->id_map);
    HASH_CLEAR(hh, r->type_table);
    free(r->objects);
    free(r->types);
    sbuf_release(&r->problem.text);
    arena_release(&r->arena);
}

void validate_request_put_name(const struct validate_request *r, size_t index, struct sbuf *out)
{
    sbuf_addf(out, "Object #%zu, ", index + 1);
    sbuf_add_slice(out, r->objects[index].id);
}

/* ---- provenance ---- */

static int compare_texts(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = n ? memcmp(x->p, y->p, n) : 0;

    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static size_t count_distinct(const struct json_val *list)
{
    struct slice *texts = xcalloc(list->count + 1, sizeof(*texts));
    size_t n = 0, distinct = 0;

    for (const struct json_val *m = list->first; m; m = m->next)
        texts[n++] = m->text;
    qsort(texts, n, sizeof(*texts), compare_texts);
    for (size_t i = 0; i < n; i++)
        distinct += i == 0 || !slice_eq(texts[i - 1], texts[i]);
    free(texts);
    return distinct;
}

int validate_request_count_refs(const struct request_object *object, size_t *ret_count, struct err *err)
{
    static const char problem[] = "provenance_refs must be a list of at most 2000000 strings";
    AUTO_ARENA(arena);

    *ret_count = 0;
    if (object->provenance_refs.n == 0)
        return 0;
    const struct json_val *list = raw_tree(object->provenance_refs, TREE_DEPTH, MAX_TREE, &arena);
    if (!list || list->kind != JSON_KIND_ARRAY)
        return wrong(err, problem);
    for (const struct json_val *m = list->first; m; m = m->next)
        if (m->kind != JSON_KIND_STRING)
            return wrong(err, problem);
    *ret_count = count_distinct(list);
    return 0;
}
