#include "dws/validate/wstyped_check.h"
#include "shared/base/json.h"

static struct slice slice_from(struct check_text text)
{
    return slice_of(text.p, text.n);
}

char *check_message(const struct check_result *result, struct check_text name, size_t *ret_n)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    *ret_n = 0;
    if (result->outcome == CHECK_VALID)
        return NULL;
    sbuf_add_slice(&out, slice_from(name));
    if (result->outcome == CHECK_INVALID)
        sbuf_adds(&out, " failed type checking:");
    else
        sbuf_add_slice(&out, slice_from(result->problem));
    for (size_t i = 0; i < result->error_count && result->outcome == CHECK_INVALID; i++) {
        sbuf_addc(&out, '\n');
        sbuf_add_slice(&out, slice_from(result->errors[i].message));
    }
    return sbuf_take(&out, ret_n);
}

static void put_errors(const struct check_result *result, struct sbuf *out)
{
    sbuf_adds(out, "\"errors\":[");
    for (size_t i = 0; i < result->error_count; i++) {
        const struct check_error *e = &result->errors[i];
        sbuf_addf(out, "%s{\"code\":\"%s\",\"message\":", i ? "," : "", e->code);
        json_put_string(out, slice_from(e->message));
        sbuf_adds(out, ",\"location\":");
        json_put_string(out, slice_from(e->location));
        sbuf_adds(out, ",\"path\":[");
        for (size_t k = 0; k < e->path_count; k++) {
            if (k)
                sbuf_addc(out, ',');
            if (e->path[k].key.p)
                json_put_string(out, slice_from(e->path[k].key));
            else
                sbuf_addf(out, "%llu", (unsigned long long)e->path[k].index);
        }
        sbuf_addf(out, "],\"fatal\":%d}", e->fatal);
    }
    sbuf_addc(out, ']');
}

static void put_id(const struct check_id *id, struct sbuf *out)
{
    sbuf_adds(out, "{\"id\":");
    json_put_string(out, slice_from(id->id));
    sbuf_adds(out, ",\"attributes\":[");
    for (size_t i = 0; i < id->attribute_count; i++) {
        if (i)
            sbuf_addc(out, ',');
        json_put_string(out, slice_from(id->attributes[i]));
    }
    sbuf_adds(out, "],\"location\":");
    json_put_string(out, slice_from(id->location));
    sbuf_addc(out, '}');
}

/* All ids of the type of ids[first]. */
static void put_type(const struct check_result *result, size_t first, struct sbuf *out)
{
    struct check_text type = result->ids[first].type;

    json_put_string(out, slice_from(type));
    sbuf_adds(out, ":[");
    for (size_t i = first; i < result->id_count; i++) {
        if (result->ids[i].type.p != type.p)
            continue; /* equal types are one text of the program */
        if (i > first)
            sbuf_addc(out, ',');
        put_id(&result->ids[i], out);
    }
    sbuf_addc(out, ']');
}

static void put_ids(const struct check_result *result, struct sbuf *out)
{
    AUTO_SBUF(done, SBUF_NO_LIMIT); /* texts of types, as pointers */

    sbuf_adds(out, "\"ids\":{");
    for (size_t i = 0; i < result->id_count; i++) {
        const char *type = result->ids[i].type.p;
        bool seen = false;
        for (size_t k = 0; k < done.len && !seen; k += sizeof(type))
            seen = memcmp(done.p + k, &type, sizeof(type)) == 0;
        if (seen)
            continue;
        if (done.len)
            sbuf_addc(out, ',');
        sbuf_add(&done, &type, sizeof(type));
        put_type(result, i, out);
    }
    sbuf_addc(out, '}');
}

static void put_final(const struct check_result *result, struct sbuf *out)
{
    if (!result->final) {
        sbuf_adds(out, "\"metadata\":null,\"size\":null,\"md5\":null,\"final\":0");
        return;
    }
    sbuf_adds(out, "\"metadata\":{");
    for (size_t i = 0; i < result->metadata_count; i++) {
        if (i)
            sbuf_addc(out, ',');
        json_put_string(out, slice_from(result->metadata[i].name));
        sbuf_addc(out, ':');
        json_put_string(out, slice_from(result->metadata[i].value));
    }
    sbuf_addf(out, "},\"size\":%llu,\"md5\":\"%s\",\"final\":1", (unsigned long long)result->size,
              result->md5);
}

char *check_json(const struct check_result *result, struct check_text absolute_type, size_t *ret_n)
{
    AUTO_SBUF(out, SBUF_NO_LIMIT);

    sbuf_adds(&out, "\"type\":");
    json_put_string(&out, slice_from(absolute_type));
    sbuf_addf(&out, ",\"valid\":%d,", result->outcome == CHECK_VALID);
    put_errors(result, &out);
    sbuf_addc(&out, ',');
    put_ids(result, &out);
    sbuf_addc(&out, ',');
    put_final(result, &out);
    return sbuf_take(&out, ret_n);
}
