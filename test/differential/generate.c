#include "test/differential/generate.h"

#include "shared/base/json.h"

static const char *const keys[] = { "a",
                                    "b",
                                    "id",
                                    "name",
                                    "zz",
                                    "A",
                                    "",
                                    "k/",
                                    "k~0",
                                    "long key that takes more than sixteen bytes",
                                    "\\u00e9",
                                    "\xc3\xa9",
                                    "\\ud83d\\ude00",
                                    "\xf0\x9f\x98\x80",
                                    "\xef\xbf\xae",
                                    "\\u0001",
                                    "q\\\"",
                                    "\\ud83d",
                                    "a\\u0000b",
                                    "b2",
                                    "c",
                                    "d",
                                    "e",
                                    "f" };

uint64_t generate_number(struct generator *g, uint64_t below)
{
    g->state ^= g->state << 13;
    g->state ^= g->state >> 7;
    g->state ^= g->state << 17;
    return (g->state >> 11) % below;
}

static bool chance(struct generator *g, unsigned of_thousand)
{
    return generate_number(g, 1000) < of_thousand;
}

static const char *pick_key(struct generator *g)
{
    return keys[generate_number(g, ARRAY_LEN(keys))];
}

static void put_id(struct generator *g, struct sbuf *out)
{
    static const char *const types[] = { "ws", "handle", "kb", "sample" };

    if (!chance(g, 300))
        return;
    sbuf_addf(out, ",\"id-reference\":{\"id-type\":\"%s\"",
              types[generate_number(g, chance(g, 300) ? 4 : 2)]);
    if (chance(g, 300))
        sbuf_addf(out, ",\"attributes\":[\"M.%c\"]", (char)('A' + generate_number(g, 2)));
    sbuf_addc(out, '}');
}

static void put_range(struct generator *g, struct sbuf *out, bool integer)
{
    int low = (int)generate_number(g, 20) - 10;

    if (chance(g, 200))
        sbuf_addf(out, ",\"minimum\":%d%s", low, integer ? "" : ".5");
    if (chance(g, 200))
        sbuf_addf(out, ",\"maximum\":%d%s", low + (int)generate_number(g, 30), integer ? "" : "e0");
    if (chance(g, 100))
        sbuf_addf(out, ",\"exclusiveMinimum\":%s", chance(g, 500) ? "true" : "false");
    if (chance(g, 100))
        sbuf_adds(out, ",\"exclusiveMaximum\":true");
}

static void put_schema(struct generator *g, struct sbuf *out, unsigned depth);

static void put_structure(struct generator *g, struct sbuf *out, unsigned depth)
{
    size_t first = generate_number(g, ARRAY_LEN(keys)), n = generate_number(g, 9);
    bool any = false;

    sbuf_adds(out, "\"type\":\"object\",\"original-type\":\"kidl-structure\",\"additionalProperties\":true");
    if (!n)
        return;
    sbuf_adds(out, ",\"properties\":{");
    for (size_t i = 0; i < n; i++) {
        sbuf_addf(out, "%s\"%s\":{", i ? "," : "", keys[(first + 5 * i) % ARRAY_LEN(keys)]);
        put_schema(g, out, depth + 1);
        sbuf_addc(out, '}');
    }
    sbuf_addc(out, '}');
    for (size_t i = 0; i < n; i++)
        if (chance(g, 500)) {
            /* the same text in two spellings is one key for us, and the compiler never writes it twice */
            const char *key = keys[(first + 5 * i) % ARRAY_LEN(keys)];
            if (key[0] & 0x80 || strstr(key, "\\u00e9") || strstr(key, "ude00"))
                continue;
            sbuf_addf(out, "%s\"%s\"", any ? "," : ",\"required\":[", key);
            any = true;
        }
    if (any)
        sbuf_addc(out, ']');
}

static void put_tuple(struct generator *g, struct sbuf *out, unsigned depth)
{
    size_t n = 1 + generate_number(g, 4);

    sbuf_addf(out, "\"type\":\"array\",\"minItems\":%zu,\"maxItems\":%zu,\"items\":[", n, n);
    for (size_t i = 0; i < n; i++) {
        sbuf_adds(out, i ? ",{" : "{");
        put_schema(g, out, depth + 1);
        sbuf_addc(out, '}');
    }
    sbuf_addc(out, ']');
}

static void put_schema(struct generator *g, struct sbuf *out, unsigned depth)
{
    switch (generate_number(g, depth < 5 ? 10 : 3)) {
    case 0:
        sbuf_adds(out, "\"type\":\"string\"");
        put_id(g, out);
        break;
    case 1:
        sbuf_adds(out, "\"type\":\"integer\"");
        put_range(g, out, true);
        break;
    case 2:
        sbuf_adds(out, "\"type\":\"number\"");
        put_range(g, out, false);
        break;
    case 3:
    case 4:
        sbuf_adds(out, "\"type\":\"object\",\"original-type\":\"kidl-mapping\"");
        put_id(g, out);
        sbuf_adds(out, ",\"additionalProperties\":{");
        put_schema(g, out, depth + 1);
        sbuf_addc(out, '}');
        break;
    case 5:
        sbuf_adds(out, "\"type\":\"object\",\"original-type\":\"kidl-UnspecifiedObject\"");
        break;
    case 6:
        put_tuple(g, out, depth);
        break;
    case 7:
        sbuf_adds(out, "\"type\":\"array\",\"items\":{");
        put_schema(g, out, depth + 1);
        sbuf_addc(out, '}');
        break;
    default:
        put_structure(g, out, depth);
    }
}

void generate_schema(struct generator *g, struct sbuf *out)
{
    static const char *const paths[] = { "a",   "b",           "id",  "length(a)", "length(id)",
                                         "a.b", "length(a.c)", "A.a", "name" };

    sbuf_addc(out, '{');
    put_structure(g, out, 0);
    if (chance(g, 500)) {
        sbuf_adds(out, ",\"metadata-ws\":{");
        for (size_t i = 0, n = 1 + generate_number(g, 5); i < n; i++)
            sbuf_addf(out, "%s\"n%zu\":\"%s\"", i ? "," : "", i, paths[generate_number(g, ARRAY_LEN(paths))]);
        sbuf_addc(out, '}');
    }
    sbuf_addc(out, '}');
}

static void put_space(struct generator *g, struct sbuf *out)
{
    static const char *const spaces[] = { " ", "\n", "\r\n", "\t", "                    ", "\n  " };

    if (chance(g, 50))
        sbuf_adds(out, spaces[generate_number(g, ARRAY_LEN(spaces))]);
}

static void put_number(struct generator *g, struct sbuf *out, bool integer)
{
    static const char *const odd[] = { "-0",        "1e400",
                                       "-1E+400",   "0.1234567890123456789",
                                       "1e-7",      "123456789012345678901",
                                       "5e-324",    "100.50",
                                       "9.0E15",    "-0.0",
                                       "1e3",       "0.001",
                                       "12345678.9" };

    if (!integer && chance(g, 300)) {
        const char *text = odd[generate_number(g, ARRAY_LEN(odd))];
        sbuf_adds(out, text);
        return;
    }
    sbuf_addf(out, "%d", (int)generate_number(g, 60) - 30);
    if (!integer && chance(g, 500))
        sbuf_addf(out, ".%u", (unsigned)generate_number(g, 1000));
    if (!integer && chance(g, 200))
        sbuf_addf(out, "%c%d", chance(g, 500) ? 'e' : 'E', (int)generate_number(g, 30) - 15);
}

static void put_string(struct generator *g, struct sbuf *out)
{
    static const char *const odd[] = { "\\n",          "\\u00e9",        "\xff",    "\xe2\x82",
                                       "\xed\xa0\x80", "\\ud83d\\ude00", "\\/",     "\xf0\x9f\x98\x80",
                                       "\\u001f",      "\xe2\x82\xac",   "\\ude00", "\\ud800" };

    sbuf_addc(out, '"');
    for (size_t n = generate_number(g, chance(g, 20) ? 1200 : chance(g, 100) ? 60 : 5); n; n--)
        if (chance(g, 100))
            sbuf_adds(out, odd[generate_number(g, ARRAY_LEN(odd))]);
        else
            sbuf_addc(out, (char)(chance(g, 100) ? ' ' : 'a' + (int)generate_number(g, 26)));
    sbuf_addc(out, '"');
}

static void put_value(struct generator *g, const struct json_val *schema, unsigned wrong, unsigned depth,
                      struct sbuf *out);

static void put_member(struct generator *g, bool *any, const char *key, size_t n, struct sbuf *out)
{
    if (*any)
        sbuf_addc(out, ',');
    *any = true;
    put_space(g, out);
    sbuf_addc(out, '"');
    sbuf_add(out, key, n);
    sbuf_addc(out, '"');
    put_space(g, out);
    sbuf_addc(out, ':');
}

static void put_object(struct generator *g, const struct json_val *schema, unsigned wrong, unsigned depth,
                       struct sbuf *out)
{
    const struct json_val *props = schema ? json_member(schema, "properties") : NULL;
    const struct json_val *other = schema ? json_member(schema, "additionalProperties") : NULL;
    bool any = false;
    AUTO_SBUF(key, SBUF_NO_LIMIT);

    sbuf_addc(out, '{');
    for (const struct json_val *p = props ? props->first : NULL; p; p = p->next) {
        if (chance(g, wrong * 3))
            continue;
        sbuf_reset(&key);
        json_put_escaped(&key, p->key);
        put_member(g, &any, key.p ? key.p : "", key.len, out);
        put_value(g, p, wrong, depth + 1, out);
    }
    other = other && other->kind == JSON_KIND_OBJECT ? other : NULL;
    if (depth < 8 && (!props || chance(g, 100 + 3 * wrong)))
        for (size_t n = generate_number(g, 5); n; n--) {
            sbuf_reset(&key);
            sbuf_adds(&key, pick_key(g));
            if (!chance(g, 50 + wrong)) /* else keys may well be equal */
                sbuf_addf(&key, "%u", (unsigned)generate_number(g, 1000000));
            put_member(g, &any, key.p, key.len, out);
            put_value(g, other, wrong, depth + 1, out);
        }
    sbuf_addc(out, '}');
}

static void put_array(struct generator *g, const struct json_val *schema, unsigned wrong, unsigned depth,
                      struct sbuf *out)
{
    const struct json_val *items = schema ? json_member(schema, "items") : NULL;
    bool tuple = items && items->kind == JSON_KIND_ARRAY;
    size_t n = tuple ? items->count : generate_number(g, 6);
    const struct json_val *item = tuple ? items->first : items;

    if (tuple && chance(g, wrong * 3))
        n = generate_number(g, 8);
    sbuf_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            sbuf_addc(out, ',');
        put_space(g, out);
        put_value(g, item, wrong, depth + 1, out);
        if (tuple && item)
            item = item->next;
    }
    sbuf_addc(out, ']');
}

static void put_value(struct generator *g, const struct json_val *schema, unsigned wrong, unsigned depth,
                      struct sbuf *out)
{
    static const char *const types[] = { "string", "integer", "number", "null", "true", "object", "array" };
    struct slice type = slice_str(types[generate_number(g, depth < 8 ? ARRAY_LEN(types) : 5)]);

    if (schema && !chance(g, wrong))
        type = json_member(schema, "type")->text;
    if (slice_is(type, "string"))
        put_string(g, out);
    else if (slice_is(type, "integer") || slice_is(type, "number"))
        put_number(g, out, slice_is(type, "integer"));
    else if (slice_is(type, "object"))
        put_object(g, schema, wrong, depth, out);
    else if (slice_is(type, "array"))
        put_array(g, schema, wrong, depth, out);
    else
        sbuf_add_slice(out, type);
    put_space(g, out);
}

void generate_object(struct generator *g, struct slice schema, unsigned wrong, struct sbuf *out)
{
    static const struct json_limits limits = { 100, 1000000 };
    AUTO_ARENA(arena);
    struct json_val *val;

    if (json_read(schema, &limits, &arena, &val, NULL, NULL))
        abort();
    put_value(g, val, chance(g, 500) ? 0 : wrong, 0, out);
    if (out->len && chance(g, wrong)) /* no JSON any more, mostly */
        out->p[generate_number(g, out->len)] = "{}[],:\"\\x0"[generate_number(g, 10)];
}
