#include "test/differential/tree_check.h"

#include "shared/base/digest.h"
#include "shared/base/double_print.h"
#include "shared/base/json.h"
#include "shared/base/utf.h"

struct step {
    bool is_index;
    size_t index;
    struct slice key, mapped;
};

struct id {
    struct slice type, text;
    const struct json_val *attributes;
    struct sbuf location;
};

struct tree {
    struct arena arena;
    bool mapped;
    struct step path[1000];
    size_t depth;
    struct sbuf errors;
    size_t error_count;
    bool stopped;
    struct id ids[5000];
    size_t id_count;
    bool has_ws;
    struct sbuf sort_error;
    struct sbuf metadata;
    size_t metadata_size, metadata_count;
    bool pair_too_large;
    struct slice too_large;
};

static void put_location(struct tree *t, size_t depth, struct sbuf *out)
{
    for (size_t i = 0; i < depth; i++) {
        sbuf_addc(out, '/');
        if (t->path[i].is_index)
            sbuf_addf(out, "%zu", t->path[i].index);
        else
            sbuf_add_slice(out, t->path[i].key);
    }
}

static void error(struct tree *t, const char *code, bool fatal, const char *between,
                  const struct sbuf *message)
{
    if (t->stopped)
        return;
    sbuf_addf(&t->errors, "E %s %d ", code, fatal);
    sbuf_add_slice(&t->errors, sbuf_slice(message));
    sbuf_adds(&t->errors, between);
    put_location(t, t->depth, &t->errors);
    sbuf_adds(&t->errors, "\n");
    t->stopped = fatal || ++t->error_count == 10;
}

static struct slice text_member(const struct json_val *schema, const char *key)
{
    const struct json_val *val = json_member(schema, key);

    return val ? val->text : SLICE("");
}

static const char *kind_name(const struct json_val *val)
{
    static const char *const names[] = {
        [JSON_KIND_NULL] = "null",   [JSON_KIND_FALSE] = "boolean", [JSON_KIND_TRUE] = "boolean",
        [JSON_KIND_INT] = "integer", [JSON_KIND_FLOAT] = "float",   [JSON_KIND_STRING] = "string",
        [JSON_KIND_ARRAY] = "array", [JSON_KIND_OBJECT] = "object"
    };

    return names[val->kind];
}

static const struct json_val *attributes_of(const struct json_val *ref)
{
    const struct json_val *list = json_member(ref, "attributes");

    return list ? list : json_member(ref, "valid-typedef-names");
}

static bool same_list(const struct json_val *a, const struct json_val *b)
{
    const struct json_val *x = a ? a->first : NULL, *y = b ? b->first : NULL;

    while (x && y && slice_eq(x->text, y->text)) {
        x = x->next;
        y = y->next;
    }
    return !x && !y;
}

static void found_id(struct tree *t, const struct json_val *schema, struct slice text)
{
    const struct json_val *ref = json_member(schema, "id-reference"), *attributes = attributes_of(ref);
    struct slice type = text_member(ref, "id-type");
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    if (t->stopped)
        return;
    if (!utf_trim(text).n) {
        sbuf_adds(&message, "Unparseable id ");
        sbuf_add_slice(&message, text);
        sbuf_adds(&message, " of type ");
        sbuf_add_slice(&message, type);
        sbuf_adds(&message, ": IDs may not be null or the empty string at ");
        error(t, "V10", false, "", &message);
        return;
    }
    t->has_ws = t->has_ws || slice_is(type, "ws");
    for (size_t i = 0; i < t->id_count; i++)
        if (slice_eq(t->ids[i].type, type) && slice_eq(t->ids[i].text, text) &&
            same_list(t->ids[i].attributes, attributes))
            return;
    struct id *id = &t->ids[t->id_count++];
    *id = (struct id){ type, text, attributes, SBUF_INIT(SBUF_NO_LIMIT) };
    put_location(t, t->depth, &id->location);
}

bool tree_check_map(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped)
{
    (void)ctx;
    (void)type;
    if (id.n == 0 || id.p[0] % 2)
        return false;
    *ret_mapped = (struct check_text){ id.p + id.n / 2, id.n - id.n / 2 };
    return true;
}

static struct slice mapped(const struct tree *t, const struct json_val *schema, struct slice text)
{
    struct check_text to;

    if (!t->mapped || !schema || !json_member(schema, "id-reference") ||
        !tree_check_map(NULL, (struct check_text){ "", 0 }, (struct check_text){ text.p, text.n }, &to))
        return text;
    return slice_of(to.p, to.n);
}

static void wrong_kind(struct tree *t, const struct json_val *schema, const struct json_val *val)
{
    struct slice type = text_member(schema, "type");
    bool container = slice_is(type, "object") || slice_is(type, "array");
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    if (slice_is(type, "string") && json_member(schema, "id-reference")) {
        sbuf_addf(&message, "instance type (%s) not allowed for ID reference (allowed: [\"string\"])",
                  kind_name(val));
        error(t, "V2", false, ", at ", &message);
        return;
    }
    sbuf_addf(&message, "instance type (%s) does not match any allowed primitive type (allowed: [\"",
              kind_name(val));
    sbuf_add_slice(&message, slice_is(type, "number") ? SLICE("float") : type);
    sbuf_adds(&message, "\"])");
    error(t, "V1", container, ", at ", &message);
}

/* Only for bounds that are small, which is what the generator makes. */
static void check_range(struct tree *t, const struct json_val *schema, const struct json_val *val)
{
    static const char *const keys[] = { "minimum", "maximum" }, *const flags[] = { "exclusiveMinimum",
                                                                                   "exclusiveMaximum" };
    bool integer = slice_is(text_member(schema, "type"), "integer");

    if (val->kind != JSON_KIND_INT && val->kind != JSON_KIND_FLOAT)
        return;
    AUTO_SBUF(number, SBUF_NO_LIMIT);
    sbuf_add_slice(&number, val->text);
    double v = strtod(number.p, NULL);
    v = val->kind == JSON_KIND_INT && v == 0 ? 0 : v; /* -0 */
    for (int i = 0; i < 2; i++) {
        const struct json_val *bound = json_member(schema, keys[i]);
        AUTO_SBUF(message, SBUF_NO_LIMIT);
        if (!bound)
            continue;
        bool exclusive = json_member(schema, flags[i]) != NULL;
        sbuf_reset(&number);
        sbuf_add_slice(&number, bound->text);
        double b = strtod(number.p, NULL);
        b = bound->kind == JSON_KIND_INT && b == 0 ? 0 : b;
        bool fine = i ? v < b || (v == b && !exclusive) : v > b || (v == b && !exclusive);
        if (fine)
            continue;
        sbuf_adds(&message, "Number value given (");
        if (integer && val->text.n > 18)
            sbuf_add_slice(&message, val->text);
        else
            java_double_text(v, &message);
        sbuf_adds(&message, i ? ") was more than maximum value accepted ("
                              : ") was less than minimum value accepted (");
        if (integer)
            sbuf_add_slice(&message, bound->text);
        else
            java_double_text(b, &message);
        sbuf_addf(&message, ", %s)", exclusive ? "exclusive" : "inclusive");
        error(t, i ? "V7" : "V6", false, " at ", &message);
    }
}

static void check_value(struct tree *t, const struct json_val *schema, const struct json_val *val);

static void push_key(struct tree *t, const struct json_val *schema, const struct json_val *member)
{
    t->path[t->depth++] = (struct step){ .key = member->key, .mapped = mapped(t, schema, member->key) };
}

static bool has_name(const struct json_val *list, struct slice name)
{
    for (const struct json_val *v = list ? list->first : NULL; v; v = v->next)
        if (slice_eq(v->text, name))
            return true;
    return false;
}

static const struct json_val *member_of(const struct json_val *object, struct slice key)
{
    const struct json_val *found = NULL;

    for (const struct json_val *m = object ? object->first : NULL; m; m = m->next)
        if (slice_eq(m->key, key))
            found = m;
    return found;
}

static void check_object(struct tree *t, const struct json_val *schema, const struct json_val *val)
{
    const struct json_val *required = json_member(schema, "required"),
                          *props = json_member(schema, "properties");
    const struct json_val *other = json_member(schema, "additionalProperties");
    size_t seen = 0;
    bool first = true;

    for (const struct json_val *m = val->first; m && !t->stopped; m = m->next) {
        const struct json_val *child = member_of(props, m->key);
        seen += has_name(required, m->key);
        if (!child && other && other->kind == JSON_KIND_OBJECT)
            child = other;
        push_key(t, schema, m);
        if (child)
            check_value(t, child, m);
        if (json_member(schema, "id-reference"))
            found_id(t, schema, m->key);
        t->depth--;
    }
    if (t->stopped || seen == (required ? required->count : 0))
        return;
    AUTO_SBUF(message, SBUF_NO_LIMIT);
    sbuf_adds(&message, "Object doesn't have required fields : [");
    for (const struct json_val *r = required ? required->first : NULL; r; r = r->next) {
        if (member_of(val, r->text))
            continue;
        if (!first)
            sbuf_adds(&message, ", ");
        sbuf_add_slice(&message, r->text);
        first = false;
    }
    sbuf_adds(&message, "]");
    error(t, "V3", false, ", at ", &message);
}

static void check_array(struct tree *t, const struct json_val *schema, const struct json_val *val)
{
    const struct json_val *items = json_member(schema, "items"), *limit = json_member(schema, "maxItems");
    const struct json_val *item = items->kind == JSON_KIND_ARRAY ? items->first : items;
    size_t i = 0, most = limit ? strtoul(limit->text.p, NULL, 10) : 0;
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    for (const struct json_val *e = val->first; e && !t->stopped; e = e->next, i++) {
        if (item) {
            t->path[t->depth++] = (struct step){ .is_index = true, .index = i };
            check_value(t, item, e);
            t->depth--;
        }
        if (item && items->kind == JSON_KIND_ARRAY)
            item = item->next;
        if (limit && i + 1 > most) {
            sbuf_reset(&message);
            sbuf_addf(&message, "Array contains more than %zu items", most);
            error(t, "V5", false, ", at ", &message);
        }
    }
    if (limit && val->count < most) {
        sbuf_reset(&message);
        sbuf_addf(&message, "Array contains less than %zu items", most);
        error(t, "V4", false, ", at ", &message);
    }
}

static void check_value(struct tree *t, const struct json_val *schema, const struct json_val *val)
{
    struct slice type = text_member(schema, "type");
    bool has_id = json_member(schema, "id-reference") != NULL, fine;

    if (slice_is(type, "object"))
        fine = val->kind == JSON_KIND_OBJECT;
    else if (slice_is(type, "array"))
        fine = val->kind == JSON_KIND_ARRAY;
    else if (slice_is(type, "string"))
        fine = val->kind == JSON_KIND_STRING || (val->kind == JSON_KIND_NULL && !has_id);
    else
        fine = val->kind == JSON_KIND_INT || val->kind == JSON_KIND_NULL ||
               (val->kind == JSON_KIND_FLOAT && slice_is(type, "number"));
    if (!fine)
        wrong_kind(t, schema, val);
    else if (val->kind == JSON_KIND_OBJECT)
        check_object(t, schema, val);
    else if (val->kind == JSON_KIND_ARRAY)
        check_array(t, schema, val);
    else if (val->kind == JSON_KIND_STRING && has_id)
        found_id(t, schema, val->text);
    else
        check_range(t, schema, val);
}

/* The canonical form. */

struct member {
    struct slice key;
    const struct json_val *val;
};

static int compare_members(const void *a, const void *b)
{
    return utf_compare(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void put_float(struct slice text, struct sbuf *out)
{
    AUTO_SBUF(number, SBUF_NO_LIMIT);
    AUTO_SBUF(printed, SBUF_NO_LIMIT);

    sbuf_add_slice(&number, text);
    java_double_text(strtod(number.p, NULL), &printed);
    bool infinite = strchr(printed.p, 'f') != NULL;
    if (infinite)
        sbuf_addc(out, '"');
    sbuf_add_slice(out, sbuf_slice(&printed));
    if (infinite)
        sbuf_addc(out, '"');
}

static void equal_keys(struct tree *t, struct slice key)
{
    if (t->sort_error.len)
        return;
    sbuf_adds(&t->sort_error, "Duplicated key '");
    sbuf_add_slice(&t->sort_error, key);
    sbuf_adds(&t->sort_error, "' was found at ");
    if (!t->depth)
        sbuf_addc(&t->sort_error, '/');
    for (size_t i = 0; i < t->depth; i++) {
        struct slice step = t->path[i].mapped;
        sbuf_addc(&t->sort_error, '/');
        if (t->path[i].is_index)
            sbuf_addf(&t->sort_error, "%zu", t->path[i].index);
        for (size_t k = 0; !t->path[i].is_index && k < step.n; k++)
            sbuf_addf(&t->sort_error, "%s%c", step.p[k] == '/' ? "\\" : "", step.p[k]);
    }
}

static void put_canonical(struct tree *t, const struct json_val *schema, const struct json_val *val,
                          struct sbuf *out);

static void put_object(struct tree *t, const struct json_val *schema, const struct json_val *val,
                       struct sbuf *out)
{
    const struct json_val *props = schema ? json_member(schema, "properties") : NULL;
    const struct json_val *other = schema ? json_member(schema, "additionalProperties") : NULL;
    struct member *members = arena_alloc(&t->arena, (val->count + 1) * sizeof(*members));
    struct sbuf *texts = xcalloc(val->count + 1, sizeof(*texts));
    size_t n = 0;

    other = other && other->kind == JSON_KIND_OBJECT ? other : NULL;
    for (const struct json_val *m = val->first; m; m = m->next, n++) {
        const struct json_val *child = member_of(props, m->key);
        texts[n] = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
        members[n] = (struct member){ mapped(t, schema, m->key), m };
        push_key(t, schema, m);
        put_canonical(t, child ? child : other, m, &texts[n]);
        t->depth--;
    }
    qsort(members, n, sizeof(*members), compare_members);
    for (size_t i = 1; i < n; i++)
        if (slice_eq(members[i - 1].key, members[i].key)) {
            equal_keys(t, members[i].key);
            break;
        }
    sbuf_addc(out, '{');
    for (size_t i = 0; i < n; i++) {
        size_t place = 0;
        for (const struct json_val *m = val->first; m != members[i].val; m = m->next)
            place++;
        if (i)
            sbuf_addc(out, ',');
        json_put_string(out, members[i].key);
        sbuf_addc(out, ':');
        sbuf_add_slice(out, sbuf_slice(&texts[place]));
    }
    sbuf_addc(out, '}');
    for (size_t i = 0; i < n; i++)
        sbuf_release(&texts[i]);
    free(texts);
}

static const struct json_val *item_schema(const struct json_val *schema, size_t i)
{
    const struct json_val *items = schema ? json_member(schema, "items") : NULL;

    if (!items || items->kind != JSON_KIND_ARRAY)
        return items;
    for (items = items->first; items && i; i--)
        items = items->next;
    return items;
}

static void put_canonical(struct tree *t, const struct json_val *schema, const struct json_val *val,
                          struct sbuf *out)
{
    size_t i = 0;

    if (val->kind == JSON_KIND_OBJECT) {
        put_object(t, schema, val, out);
    } else if (val->kind == JSON_KIND_ARRAY) {
        sbuf_addc(out, '[');
        for (const struct json_val *e = val->first; e; e = e->next, i++) {
            if (i)
                sbuf_addc(out, ',');
            t->path[t->depth++] = (struct step){ .is_index = true, .index = i };
            put_canonical(t, item_schema(schema, i), e, out);
            t->depth--;
        }
        sbuf_addc(out, ']');
    } else if (val->kind == JSON_KIND_STRING) {
        json_put_string(out, mapped(t, schema, val->text));
    } else if (val->kind == JSON_KIND_FLOAT) {
        put_float(val->text, out);
    } else {
        json_java_text(val, out);
    }
}

/* Metadata: one name and expression of the schema. */
static void select_value(struct tree *t, const struct json_val *name, const struct json_val *schema,
                         const struct json_val *val)
{
    struct slice path = name->text;
    bool length = path.n > 7 && memcmp(path.p, "length(", 7) == 0;
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (length)
        path = slice_of(path.p + 7, path.n - 8);
    while (path.n && val) {
        const char *dot = memchr(path.p, '.', path.n);
        size_t n = dot ? (size_t)(dot - path.p) : path.n;
        if (val->kind != JSON_KIND_OBJECT)
            return;
        val = member_of(val, slice_of(path.p, n));
        schema = schema ? member_of(json_member(schema, "properties"), slice_of(path.p, n)) : NULL;
        path = dot ? slice_of(dot + 1, path.n - n - 1) : SLICE("");
    }
    bool container = val && (val->kind == JSON_KIND_OBJECT || val->kind == JSON_KIND_ARRAY);
    if (!val || container != (length && container))
        return;
    if (container)
        sbuf_addf(&text, "%zu", val->count);
    else if (length && val->kind == JSON_KIND_NULL)
        sbuf_adds(&text, "NaN");
    else if (length && val->kind == JSON_KIND_STRING)
        sbuf_addf(&text, "%zu", utf_units(mapped(t, schema, val->text)));
    else if (length)
        return;
    else if (val->kind == JSON_KIND_STRING)
        sbuf_add_slice(&text, mapped(t, schema, val->text));
    else
        put_canonical(t, NULL, val, &text);
    struct slice value = sbuf_slice(&text);
    if (val->kind == JSON_KIND_FLOAT && value.p[0] == '"')
        value = slice_of(value.p + 1, value.n - 2);
    t->metadata_size += name->key.n + value.n + 5;
    if (name->key.n + value.n > 900 && !t->pair_too_large) {
        t->pair_too_large = true;
        t->too_large = name->key;
    }
    t->metadata_count++;
    sbuf_adds(&t->metadata, "M ");
    sbuf_add_slice(&t->metadata, name->key);
    sbuf_addc(&t->metadata, '=');
    sbuf_add_slice(&t->metadata, value);
    sbuf_addc(&t->metadata, '\n');
}

static void put_ids(struct tree *t, struct sbuf *out)
{
    for (size_t i = 0; i < t->id_count; i++) {
        const struct json_val *list = t->ids[i].attributes;
        sbuf_adds(out, "I ");
        sbuf_add_slice(out, t->ids[i].type);
        sbuf_addc(out, ' ');
        sbuf_add_slice(out, t->ids[i].text);
        for (const struct json_val *a = list ? list->first : NULL; a; a = a->next) {
            sbuf_addc(out, ' ');
            sbuf_add_slice(out, a->text);
        }
        sbuf_addc(out, ' ');
        sbuf_add_slice(out, sbuf_slice(&t->ids[i].location));
        sbuf_addc(out, '\n');
    }
}

static void put_final(struct tree *t, const struct json_val *schema, const struct json_val *val,
                      struct sbuf *out)
{
    AUTO_SBUF(canonical, SBUF_NO_LIMIT);
    char md5[MD5_HEX + 1];

    put_canonical(t, schema, val, &canonical);
    const struct json_val *selections = json_member(schema, "metadata-ws");
    t->metadata_size = 2;
    for (const struct json_val *s = selections ? selections->first : NULL; s && !t->sort_error.len;
         s = s->next)
        select_value(t, s, schema, val);
    t->metadata_size += t->metadata_count ? t->metadata_count - 1 : 0;
    if (t->sort_error.len) {
        sbuf_adds(
            out,
            "P : Two references in a single hash are identical when resolved, resulting in a loss of data: ");
        sbuf_add_slice(out, sbuf_slice(&t->sort_error));
    } else if (t->metadata_size > 16000) {
        sbuf_adds(out, "P : Extracted metadata from object exceeds limit of 16000B");
    } else if (t->pair_too_large) {
        sbuf_adds(out, "P : Total size of metadata key + value exceeds maximum of 900B for key");
    } else {
        md5_hex(sbuf_slice(&canonical), md5);
        sbuf_addf(out, "F %zu %s ", canonical.len, md5);
        sbuf_add_slice(out, sbuf_slice(&canonical));
        sbuf_addc(out, '\n');
        sbuf_add_slice(out, sbuf_slice(&t->metadata));
    }
}

void tree_check(struct slice schema, struct slice object, bool use_map, struct sbuf *out)
{
    static const struct json_limits limits = { 900, 1000000 };
    struct tree *t = xcalloc(1, sizeof(*t));
    struct json_val *schema_val, *val;
    AUTO_ERR(err);

    t->mapped = use_map;
    t->errors = t->sort_error = t->metadata = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    if (json_read(schema, &limits, &t->arena, &schema_val, NULL, &err))
        abort();
    if (json_read(object, &limits, &t->arena, &val, NULL, &err)) {
        sbuf_addf(out, "J ");
        sbuf_add(out, err.text, err.len);
    } else {
        check_value(t, schema_val, val);
        sbuf_add_slice(out, sbuf_slice(&t->errors));
        put_ids(t, out);
        if (!t->errors.len && (use_map || !t->has_ws))
            put_final(t, schema_val, val, out);
    }
    for (size_t i = 0; i < t->id_count; i++)
        sbuf_release(&t->ids[i].location);
    sbuf_release(&t->errors);
    sbuf_release(&t->sort_error);
    sbuf_release(&t->metadata);
    arena_release(&t->arena);
    free(t);
}

static void add_text(struct sbuf *out, struct check_text text)
{
    sbuf_add(out, text.p, text.n);
}

void tree_check_describe(const struct check_result *result, struct slice canonical, struct sbuf *out)
{
    for (size_t i = 0; i < result->error_count; i++) {
        sbuf_addf(out, "E %s %d ", result->errors[i].code, result->errors[i].fatal);
        add_text(out, result->errors[i].message);
        sbuf_addc(out, '\n');
    }
    for (size_t i = 0; i < result->id_count; i++) {
        const struct check_id *id = &result->ids[i];
        sbuf_adds(out, "I ");
        add_text(out, id->type);
        sbuf_addc(out, ' ');
        add_text(out, id->id);
        for (size_t k = 0; k < id->attribute_count; k++) {
            sbuf_addc(out, ' ');
            add_text(out, id->attributes[k]);
        }
        sbuf_addc(out, ' ');
        add_text(out, id->location);
        sbuf_addc(out, '\n');
    }
    if (result->outcome != CHECK_VALID && result->outcome != CHECK_INVALID) {
        sbuf_adds(out, "P ");
        struct check_text problem = result->problem;
        const char *found = memmem(problem.p, problem.n, " for key ", 9);
        sbuf_add(out, problem.p,
                 found ? (size_t)(found - problem.p) + 8 : problem.n); /* any key may be named */
    }
    if (!result->final)
        return;
    sbuf_addf(out, "F %llu %s ", (unsigned long long)result->size, result->md5);
    sbuf_add_slice(out, canonical);
    sbuf_addc(out, '\n');
    for (size_t i = 0; i < result->metadata_count; i++) {
        sbuf_adds(out, "M ");
        add_text(out, result->metadata[i].name);
        sbuf_addc(out, '=');
        add_text(out, result->metadata[i].value);
        sbuf_addc(out, '\n');
    }
}
