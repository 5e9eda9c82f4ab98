#include "shared/rpc/convert.h"

#include <math.h>

#include "shared/base/typename.h"
#include "shared/base/utf.h"

enum { QUOTED_UNITS = 500 };

void convert_enter_key(struct convert *c, const char *java_class, struct slice key)
{
    c->refs[c->ref_count++] = (struct convert_ref){ .java_class = java_class, .key = key };
}

void convert_enter_index(struct convert *c, const char *java_class, size_t index)
{
    c->refs[c->ref_count++] =
        (struct convert_ref){ .java_class = java_class, .is_index = true, .index = index };
}

void convert_leave(struct convert *c)
{
    c->ref_count--;
}

/* Errors. */

static void put_location(const struct convert *c, struct sbuf *out, size_t offset, size_t more_columns)
{
    size_t line, column;

    if (!c->source) {
        sbuf_adds(out, "\n at [Source: UNKNOWN; line: -1, column: -1]");
        return;
    }
    json_position(c->body, offset, &line, &column);
    sbuf_addf(out, "\n at [Source: %s; line: %zu, column: %zu]", c->source, line, column + more_columns);
}

/* Ends every text; returns the code. */
static int fail(struct convert *c, struct sbuf *text)
{
    for (size_t i = 0; i < c->ref_count; i++) {
        const struct convert_ref *ref = &c->refs[i];
        sbuf_adds(text, i ? "->" : " (through reference chain: ");
        sbuf_adds(text, ref->java_class);
        if (ref->is_index) {
            sbuf_addf(text, "[%zu]", ref->index);
        } else {
            sbuf_adds(text, "[\"");
            sbuf_add_slice(text, ref->key);
            sbuf_adds(text, "\"]");
        }
    }
    if (c->ref_count)
        sbuf_addc(text, ')');
    return err_set_text(c->err, c->code, sbuf_slice(text));
}

/* Bytes that hold the given number of units, or the whole text; a pair is not cut. */
static size_t units_prefix(struct slice s, size_t units)
{
    size_t at = 0, used;

    while (at < s.n && units) {
        size_t step = utf_decode(s.p + at, s.n - at, &used) >= 0x10000 ? 2 : 1;
        if (step > units)
            break;
        units -= step;
        at += used;
    }
    return at;
}

/* Of a long text, error texts quote only both ends. */
static void put_quoted(struct sbuf *out, struct slice s)
{
    size_t units = utf_units(s);

    if (units <= QUOTED_UNITS) {
        sbuf_add_slice(out, s);
        return;
    }
    sbuf_add(out, s.p, units_prefix(s, QUOTED_UNITS));
    sbuf_adds(out, "]...[");
    size_t skip = units_prefix(s, units - QUOTED_UNITS);
    sbuf_add(out, s.p + skip, s.n - skip);
}

static int fail_token(struct convert *c, const struct json_val *val, const char *java_class)
{
    static const char *const tokens[] = {
        [JSON_KIND_NULL] = "VALUE_NULL",          [JSON_KIND_FALSE] = "VALUE_FALSE",
        [JSON_KIND_TRUE] = "VALUE_TRUE",          [JSON_KIND_INT] = "VALUE_NUMBER_INT",
        [JSON_KIND_FLOAT] = "VALUE_NUMBER_FLOAT", [JSON_KIND_STRING] = "VALUE_STRING",
        [JSON_KIND_ARRAY] = "START_ARRAY",        [JSON_KIND_OBJECT] = "START_OBJECT",
    };
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_addf(&text, "Cannot deserialize instance of `%s` out of %s token", java_class, tokens[val->kind]);
    put_location(c, &text, val->begin, 0);
    return fail(c, &text);
}

/* What Jackson would need to make a structure of an integer, which depends on the size of that. */
static const char *int_creator(struct slice number)
{
    int64_t value;

    if (!java_parse_long(number, &value))
        return "no suitable creator method found";
    return value >= INT32_MIN && value <= INT32_MAX ? "no int/Int-argument constructor/factory method"
                                                    : "no long/Long-argument constructor/factory method";
}

static int fail_construct(struct convert *c, const struct json_val *val, const char *java_class)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);
    AUTO_SBUF(value, SBUF_NO_LIMIT);

    sbuf_addf(&text,
              "Cannot construct instance of `%s` (although at least one Creator exists): ", java_class);
    if (val->kind == JSON_KIND_STRING) {
        sbuf_adds(&text, "no String-argument constructor/factory method to deserialize from String value ('");
        put_quoted(&text, val->text);
        sbuf_adds(&text, "')");
    } else {
        json_java_text(val, &value);
        if (val->kind == JSON_KIND_INT)
            sbuf_addf(&text, "%s to deserialize from Number value (", int_creator(val->text));
        else if (val->kind == JSON_KIND_FLOAT)
            sbuf_adds(
                &text,
                "no double/Double-argument constructor/factory method to deserialize from Number value (");
        else
            sbuf_adds(
                &text,
                "no boolean/Boolean-argument constructor/factory method to deserialize from boolean value (");
        put_quoted(&text, sbuf_slice(&value));
        sbuf_addc(&text, ')');
    }
    put_location(c, &text, val->begin, 0);
    return fail(c, &text);
}

/* The text of Jackson's parser about a number; inside a structure databind puts its own position behind it.
 */
static int fail_range(struct convert *c, const struct json_val *val)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "Numeric value (");
    put_quoted(&text, val->text);
    sbuf_adds(&text, ") out of range of long (-9223372036854775808 - 9223372036854775807)");
    put_location(c, &text, val->end, 0);
    if (c->ref_count)
        put_location(c, &text, val->begin, 0);
    return fail(c, &text);
}

static int fail_not_long(struct convert *c, const struct json_val *val, struct slice trimmed)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "Cannot deserialize value of type `java.lang.Long` from String \"");
    put_quoted(&text, trimmed);
    sbuf_adds(&text, "\": not a valid Long value");
    put_location(c, &text, val->begin, 0);
    return fail(c, &text);
}

int convert_fail_missing(struct convert *c, const struct json_val *array)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "No content to map due to end-of-input");
    put_location(c, &text, array->end - 1, 0);
    return fail(c, &text);
}

/* How far Jackson has read when it has seen the value's token. */
static size_t token_end(const struct json_val *val)
{
    bool begun =
        val->kind == JSON_KIND_STRING || val->kind == JSON_KIND_ARRAY || val->kind == JSON_KIND_OBJECT;

    return begun ? val->begin + 1 : val->end;
}

int convert_fail_unknown(struct convert *c, const struct json_val *member, const char *java_class,
                         const char *known, size_t known_count)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, "Unrecognized field \"");
    sbuf_add_slice(&text, member->key);
    sbuf_addf(&text, "\" (class %s), not marked as ignorable (%zu known properties: %s])", java_class,
              known_count, known);
    put_location(c, &text, token_end(member), 0);
    convert_enter_key(c, java_class, member->key);
    int rc = fail(c, &text);
    convert_leave(c);
    return rc;
}

/* Values. */

int convert_string(struct convert *c, const struct json_val *val, struct param_text *ret_text)
{
    switch (val->kind) {
    case JSON_KIND_NULL:
        *ret_text = (struct param_text){ false, { NULL, 0 } };
        return 0;
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
        *ret_text = (struct param_text){ true, val->kind == JSON_KIND_TRUE ? SLICE("true") : SLICE("false") };
        return 0;
    case JSON_KIND_INT:
    case JSON_KIND_FLOAT:
    case JSON_KIND_STRING:
        *ret_text = (struct param_text){ true, val->text };
        return 0;
    default:
        return fail_token(c, val, "java.lang.String");
    }
}

static int int_of_string(struct convert *c, const struct json_val *val, struct param_int *ret_int)
{
    struct slice text = utf_trim(val->text);
    struct param_int result = { .given = text.n && !slice_is(text, "null") };

    if (result.given && !java_parse_long(text, &result.value))
        return fail_not_long(c, val, text);
    *ret_int = result;
    return 0;
}

static int int_of_float(struct convert *c, const struct json_val *val, struct param_int *ret_int)
{
    char *text = xmemdup(val->text.p, val->text.n);
    double d = strtod(text, NULL);

    free(text);
    if (d < -0x1p63 || d > 0x1p63)
        return fail_range(c, val);
    *ret_int = (struct param_int){ true, d >= 0x1p63 ? INT64_MAX : (int64_t)d };
    return 0;
}

int convert_int(struct convert *c, const struct json_val *val, struct param_int *ret_int)
{
    int64_t value;

    switch (val->kind) {
    case JSON_KIND_NULL:
        *ret_int = (struct param_int){ false, 0 };
        return 0;
    case JSON_KIND_INT:
        if (!java_parse_long(val->text, &value))
            return fail_range(c, val);
        *ret_int = (struct param_int){ true, value };
        return 0;
    case JSON_KIND_FLOAT:
        return int_of_float(c, val, ret_int);
    case JSON_KIND_STRING:
        return int_of_string(c, val, ret_int);
    default:
        return fail_token(c, val, "java.lang.Long");
    }
}

int convert_check_list(struct convert *c, const struct json_val *val)
{
    if (val->kind == JSON_KIND_ARRAY || val->kind == JSON_KIND_NULL)
        return 0;
    return fail_token(c, val, "java.util.ArrayList");
}

int convert_texts(struct convert *c, const struct json_val *val, struct param_texts *ret_texts)
{
    struct param_texts texts = { .given = val->kind == JSON_KIND_ARRAY, .count = val->count };
    size_t i = 0;
    int rc = convert_check_list(c, val);

    if (rc)
        return rc;
    texts.items = arena_zalloc(c->arena, (texts.count + 1) * sizeof(*texts.items));
    for (const struct json_val *element = val->first; element; element = element->next, i++) {
        convert_enter_index(c, "java.util.ArrayList", i);
        rc = convert_string(c, element, &texts.items[i]);
        convert_leave(c);
        if (rc)
            return rc;
    }
    *ret_texts = texts;
    return 0;
}

int convert_check_object(struct convert *c, const struct json_val *val, const char *java_class)
{
    switch (val->kind) {
    case JSON_KIND_OBJECT:
    case JSON_KIND_NULL:
        return 0;
    case JSON_KIND_ARRAY:
        return fail_token(c, val, java_class);
    default:
        return fail_construct(c, val, java_class);
    }
}

static const char map_class[] = "java.util.LinkedHashMap";

int convert_int_map(struct convert *c, const struct json_val *val, struct param_int_map *ret_map)
{
    struct param_int_map map = { .given = val->kind == JSON_KIND_OBJECT };
    const struct json_val **members;
    struct param_int value;
    int rc;

    if (val->kind != JSON_KIND_OBJECT && val->kind != JSON_KIND_NULL)
        return val->kind == JSON_KIND_STRING ? fail_construct(c, val, map_class)
                                             : fail_token(c, val, map_class);
    /* a duplicate that is not kept is converted, too: it may be the error that upstream finds first */
    for (const struct json_val *m = val->first; m; m = m->next) {
        convert_enter_key(c, map_class, m->key);
        rc = convert_int(c, m, &value);
        convert_leave(c);
        if (rc)
            return rc;
    }
    map.count = json_distinct(val, c->arena, &members);
    map.items = arena_zalloc(c->arena, (map.count + 1) * sizeof(*map.items));
    for (size_t i = 0; i < map.count; i++) {
        map.items[i].key = members[i]->key;
        if ((rc = convert_int(c, members[i], &map.items[i].value)))
            return rc;
    }
    *ret_map = map;
    return 0;
}

/* Structures. */

static const struct param_field *find_field(const struct param_struct *type, struct slice key)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (slice_is(key, type->fields[i].name))
            return &type->fields[i];
    return NULL;
}

static int convert_field(struct convert *c, const struct json_val *val, const struct param_field *field,
                         char *object)
{
    void *to = object + field->offset;

    switch (field->kind) {
    case PARAM_STRING:
        return convert_string(c, val, to);
    case PARAM_INT:
        return convert_int(c, val, to);
    case PARAM_STRING_LIST:
        return convert_texts(c, val, to);
    case PARAM_INT_MAP:
        return convert_int_map(c, val, to);
    default:
        abort(); /* no table has others */
    }
}

static void collect_unknown(struct convert *c, const struct json_val *val, struct param_head *head)
{
    const struct json_val **members;
    size_t n = json_distinct(val, c->arena, &members);

    head->unknown = arena_zalloc(c->arena, n * sizeof(*head->unknown));
    for (size_t i = 0; i < n; i++)
        if (!find_field(head->type, members[i]->key))
            head->unknown[head->unknown_count++] = members[i]->key;
}

int convert_struct(struct convert *c, const struct json_val *val, const struct param_struct *type,
                   const void **ret_object)
{
    bool unknown = false;
    int rc = convert_check_object(c, val, type->java_class);

    if (rc)
        return rc;
    if (val->kind == JSON_KIND_NULL) {
        *ret_object = NULL;
        return 0;
    }
    char *object = arena_zalloc(c->arena, type->size);
    struct param_head *head = (struct param_head *)(void *)object;
    head->type = type;
    for (const struct json_val *m = val->first; m; m = m->next) {
        const struct param_field *field = find_field(type, m->key);
        if (!field) {
            unknown = true;
            continue;
        }
        convert_enter_key(c, type->java_class, m->key);
        rc = convert_field(c, m, field, object);
        convert_leave(c);
        if (rc)
            return rc;
    }
    if (unknown)
        collect_unknown(c, val, head);
    *ret_object = object;
    return 0;
}
