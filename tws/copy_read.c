/*
 * What comes from outside: the URL that a caller names and the answers of the server behind it.
 */
#include <strings.h>

#include "shared/base/json.h"
#include "shared/base/typename.h"
#include "shared/base/utf.h"
#include "shared/net/client.h"
#include "tws/copy.h"

enum { MAX_DEPTH = 100, MAX_NODES = 500000, HTTP_PORT = 80, HTTPS_PORT = 443 };

/* ---- URLs ---- */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct slice lower(struct slice s, struct arena *arena)
{
    char *p = arena_memdup(arena, s.p, s.n);

    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return slice_of(p, s.n);
}

/* Bytes of the scheme, 0 if there is none: as java.net.URL looks for it, up to the first colon that no slash
 * precedes. */
static size_t scheme_bytes(struct slice url)
{
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] == ':')
            return i > 0 && is_alpha(url.p[0]) ? i : 0;
        if (!is_alpha(url.p[i]) && !is_digit(url.p[i]) && !memchr("+-.", url.p[i], 3))
            return 0;
    }
    return 0;
}

static int bad_url(struct slice url, const char *what, struct err *err)
{
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    sbuf_adds(&text, what);
    sbuf_add_slice(&text, url);
    return err_set_text(err, ERR_ARGUMENT, sbuf_slice(&text));
}

static bool is_plain(struct slice url)
{
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= ' ' || url.p[i] >= 0x7f || memchr("\\\"<>^`{|}", url.p[i], 9))
            return false;
    return true;
}

/* Decimal digits only; nothing stands for the scheme's port. */
static bool read_port(struct slice text, bool https, int *ret_port)
{
    int port = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (!is_digit(text.p[i]) || port > 6553)
            return false;
        port = 10 * port + (text.p[i] - '0');
    }
    if (port > 65535 || (text.n && port == 0))
        return false;
    *ret_port = text.n ? port : https ? HTTPS_PORT : HTTP_PORT;
    return true;
}

static bool is_host(struct slice host, bool in_brackets)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!is_alpha(c) && !is_digit(c) && c != '.' && (in_brackets ? c != ':' : c != '-' && c != '_'))
            return false;
    }
    return host.n > 0;
}

/* host[:port] or [address][:port] */
static bool split_authority(struct slice text, struct slice *ret_host, struct slice *ret_port)
{
    bool in_brackets = text.n > 0 && text.p[0] == '[';
    const char *end = text.n ? memchr(text.p, in_brackets ? ']' : ':', text.n) : NULL;
    size_t host_end = end ? (size_t)(end - text.p) : text.n;

    if (in_brackets && !end)
        return false;
    *ret_host = in_brackets ? slice_of(text.p + 1, host_end - 1) : slice_of(text.p, host_end);
    size_t rest = in_brackets ? host_end + 1 : host_end;
    if (rest < text.n && text.p[rest] != ':')
        return false;
    *ret_port = rest < text.n ? slice_of(text.p + rest + 1, text.n - rest - 1) : SLICE("");
    return is_host(*ret_host, in_brackets);
}

int copy_place_read(struct slice url, struct arena *arena, struct copy_place *ret_place, struct err *err)
{
    struct slice text = utf_trim(url), host, port;
    size_t scheme_n = scheme_bytes(text);
    struct copy_place place;

    if (scheme_n == 0)
        return bad_url(url, "no protocol: ", err);
    struct slice scheme = lower(slice_of(text.p, scheme_n), arena);
    place.https = slice_is(scheme, "https");
    if (!place.https && !slice_is(scheme, "http"))
        return bad_url(scheme, "unknown protocol: ", err);
    struct slice rest = slice_of(text.p + scheme_n + 1, text.n - scheme_n - 1);
    if (rest.n < 2 || memcmp(rest.p, "//", 2) != 0)
        return bad_url(url, "no host: ", err);
    rest = slice_of(rest.p + 2, rest.n - 2);
    size_t n = 0;
    while (n < rest.n && !memchr("/?#", rest.p[n], 3))
        n++;
    if (n == 0)
        return bad_url(url, "no host: ", err);
    if (!is_plain(text) || !split_authority(slice_of(rest.p, n), &host, &port) ||
        !read_port(port, place.https, &place.port))
        return bad_url(url, "not a plain http or https URL: ", err);
    place.host = lower(host, arena);
    *ret_place = place;
    return 0;
}

static bool is_listed_as(const struct copy_place *place, struct slice item)
{
    struct slice host = item, port = SLICE("");
    const char *colon = item.n ? memchr(item.p, ':', item.n) : NULL;
    bool bare_address =
        colon && item.p[0] != '[' && memchr(colon + 1, ':', item.n - (size_t)(colon + 1 - item.p));
    int number = place->port;

    if (!bare_address && !split_authority(item, &host, &port))
        return false;
    if (port.n && !read_port(port, place->https, &number))
        return false;
    return host.n == place->host.n && strncasecmp(host.p, place->host.p, host.n) == 0 &&
           number == place->port;
}

bool copy_place_listed(const struct copy_place *place, const struct config_list *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (is_listed_as(place, slice_str(hosts->items[i])))
            return true;
    return false;
}

/* ---- answers ---- */

static int unknown_error(struct err *err)
{
    return err_set(err, ERR_REMOTE, "An unknown server error occured");
}

static int remote_error(const struct json_val *error, struct err *err)
{
    const struct json_val *message = error->kind == JSON_KIND_OBJECT ? json_member(error, "message") : NULL;

    if (!message || message->kind != JSON_KIND_STRING || message->text.n == 0)
        return unknown_error(err);
    return err_set_text(err, ERR_REMOTE, message->text);
}

/* The one element of the result. */
static int open_answer(int status, struct slice body, struct arena *arena, const struct json_val **ret_value,
                       struct err *err)
{
    const struct json_limits limits = { MAX_DEPTH, MAX_NODES };
    struct json_val *root;

    if (!http_is_success(status) && status != 500)
        return err_set(err, ERR_REMOTE, "Server returned HTTP response code: %d", status);
    if (json_read(body, &limits, arena, &root, NULL, NULL) < 0)
        return err_set(err, ERR_REMOTE, "Server response is not in JSON format");
    if (root->kind != JSON_KIND_OBJECT)
        return unknown_error(err);
    const struct json_val *error = json_member(root, "error"), *result = json_member(root, "result");
    if (error && error->kind != JSON_KIND_NULL)
        return remote_error(error, err);
    if (status == 500)
        return err_set(err, ERR_REMOTE, "Server response contains result but has error code 500");
    if (!result || result->kind != JSON_KIND_ARRAY || !result->first ||
        result->first->kind != JSON_KIND_OBJECT)
        return unknown_error(err);
    *ret_value = result->first;
    return 0;
}

static int need_member(const struct json_val *object, const char *key, enum json_kind kind,
                       const struct json_val **ret_member, struct err *err)
{
    const struct json_val *member = json_member(object, key);

    if (!member || member->kind != kind)
        return err_set(err, ERR_REMOTE, "The external workspace service's answer has no proper member %s",
                       key);
    *ret_member = member;
    return 0;
}

static int read_types(const struct json_val *types, struct arena *arena, struct copy_module *module,
                      struct err *err)
{
    module->types = arena_alloc(arena, (types->count + 1) * sizeof(*module->types));
    for (const struct json_val *type = types->first; type; type = type->next) {
        struct type_id id;
        int rc = type_id_parse(type->key, false, &id, err);
        if (rc < 0)
            return rc;
        module->types[module->type_count++] = id.name;
    }
    return 0;
}

static int read_includes(const struct json_val *includes, struct arena *arena, struct copy_module *module,
                         struct err *err)
{
    const struct json_val **members;
    size_t count = json_distinct(includes, arena, &members);

    module->includes = arena_alloc(arena, (count + 1) * sizeof(*module->includes));
    for (size_t i = 0; i < count; i++) {
        struct copy_include *include = &module->includes[module->include_count++];
        include->module = members[i]->key;
        if (members[i]->kind != JSON_KIND_INT || !java_parse_long(members[i]->text, &include->version))
            return err_set(err, ERR_REMOTE,
                           "The external workspace service's answer has no proper version of an include");
    }
    return 0;
}

/* The body is copied once, so that everything that points into it lives as long as the arena. */
int copy_answer_read(int status, struct slice body, struct arena *arena, struct copy_module *ret_module,
                     struct err *err)
{
    const struct json_val *value = NULL, *spec = NULL, *md5 = NULL, *types = NULL, *includes = NULL;
    struct copy_module module = { .type_count = 0 };
    int rc;

    if ((rc = open_answer(status, arena_slice(arena, body), arena, &value, err)) < 0 ||
        (rc = need_member(value, "spec", JSON_KIND_STRING, &spec, err)) < 0 ||
        (rc = need_member(value, "chsum", JSON_KIND_STRING, &md5, err)) < 0 ||
        (rc = need_member(value, "types", JSON_KIND_OBJECT, &types, err)) < 0 ||
        (rc = need_member(value, "included_spec_version", JSON_KIND_OBJECT, &includes, err)) < 0 ||
        (rc = read_types(types, arena, &module, err)) < 0 ||
        (rc = read_includes(includes, arena, &module, err)) < 0)
        return rc;
    module.spec = spec->text;
    module.md5 = md5->text;
    *ret_module = module;
    return 0;
}
