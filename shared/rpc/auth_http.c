#include "shared/rpc/auth_http.h"

#include <jansson.h>
#include <stdio.h>

#include "shared/base/utf.h"
#include "shared/rpc/role.h"

enum {
    MAX_QUOTED = 100, /* code points of an answer that is not JSON, as upstream cuts it */
    MAX_QUOTED_JSON = 1000,
};

static void free_json(json_t **json)
{
    json_decref(*json);
}

char *auth_http_url(const char *root, const char *path)
{
    size_t n = strlen(root);

    while (n > 0 && root[n - 1] == '/')
        n--;
    return xasprintf("%.*s/%s", (int)n, root, path);
}

void auth_http_get(struct http_client *client, const char *url, const char *token, uint64_t timeout_us,
                   http_done_fn *done, void *ctx)
{
    /* without Accept the service answers with a page for people */
    struct http_field fields[] = { { "Accept", "application/json" }, { "Authorization", token } };
    struct http_send send = {
        .verb = "GET",
        .url = url,
        .field_count = token ? 2 : 1,
        .fields = fields,
        .connect_us = timeout_us,
        .first_byte_us = timeout_us,
        .total_us = timeout_us,
        .answer = { .memory = AUTH_HTTP_MAX_ANSWER, .max = AUTH_HTTP_MAX_ANSWER, .temp_dir = "/tmp" },
        .done = done,
        .ctx = ctx,
    };

    http_send(client, &send);
}

static struct slice answer_bytes(const struct http_result *result)
{
    struct slice bytes = SLICE("");

    if (result->body && spool_bytes(result->body, &bytes, NULL) < 0)
        return SLICE("");
    return bytes;
}

/* NULL if the answer is not a JSON object; *ret_problem says why. */
static json_t *answer_object(const struct http_result *result, char ret_problem[JSON_ERROR_TEXT_LENGTH])
{
    struct slice bytes = answer_bytes(result);
    json_error_t error;
    json_t *json = json_loadb(bytes.p, bytes.n, 0, &error);

    if (json && json_is_object(json))
        return json;
    snprintf(ret_problem, JSON_ERROR_TEXT_LENGTH, "%s", json ? "not an object" : error.text);
    json_decref(json);
    return NULL;
}

/* At most `max` code points; of a longer text three fewer and dots. */
static void put_cut(struct sbuf *out, struct slice text, size_t max)
{
    size_t count = 0, cut = text.n;

    for (size_t at = 0, used; at < text.n; at += used, count++) {
        if (count == max - 3)
            cut = at;
        utf_decode(text.p + at, text.n - at, &used);
    }
    utf_repair(slice_of(text.p, count > max ? cut : text.n), out);
    if (count > max)
        sbuf_adds(out, "...");
}

static int unexpected_answer(const char *what, const char *url, const char *why,
                             const struct http_result *result, size_t max, struct err *err)
{
    AUTO_SBUF(quoted, AUTH_HTTP_MAX_ANSWER * 4);

    put_cut(&quoted, answer_bytes(result), max);
    return err_set(err, ERR_AUTH, "%s from auth url %s with response code %d%s: %s", what, url,
                   result->status, why, quoted.p ? quoted.p : "");
}

static const char *error_message(const json_t *error)
{
    const char *message = json_string_value(json_object_get(error, "message"));

    return message ? message : "no message was given";
}

int auth_http_read_root(const char *url, const struct http_result *result, struct err *err)
{
    char problem[JSON_ERROR_TEXT_LENGTH];

    if (result->outcome != HTTP_ANSWERED)
        return err_set(err, ERR_CONFIG,
                       "auth2-service-url: Couldn't connect to authorization service at %s : %s", url,
                       result->problem);
    AUTO(free_json) json_t *json = answer_object(result, problem);
    const char *name = json_string_value(json_object_get(json, "servicename"));
    if (!name || strcmp(name, "Authentication Service") != 0)
        return err_set(
            err, ERR_CONFIG,
            "auth2-service-url: Service at %s is not the authentication service (it answered with status %d)",
            url, result->status);
    return 0;
}

int auth_http_read_user(const char *url, const struct http_result *result, char **ret_user, struct err *err)
{
    char problem[JSON_ERROR_TEXT_LENGTH];

    if (result->outcome != HTTP_ANSWERED)
        return err_set(err, ERR_AUTH, "The auth service did not answer: %s", result->problem);
    AUTO(free_json) json_t *json = answer_object(result, problem);
    if (!json)
        return unexpected_answer("Failed reading", url, " - response is not JSON", result, MAX_QUOTED, err);
    const json_t *error = json_object_get(json, "error");
    if (error)
        return err_set(err, ERR_AUTH, "Auth service returned an error: %s", error_message(error));
    if (result->status != 200)
        return unexpected_answer("Unexpected error response", url, "", result, MAX_QUOTED_JSON, err);
    const char *user = json_string_value(json_object_get(json, "user"));
    if (!user || !*user)
        return err_set(err, ERR_AUTH, "user cannot be null or empty");
    *ret_user = xstrdup(user);
    return 0;
}

static const char *reason_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        { 200, " OK" },          { 301, " Moved Permanently" },   { 302, " Found" },
        { 400, " Bad Request" }, { 401, " Unauthorized" },        { 403, " Forbidden" },
        { 404, " Not Found" },   { 429, " Too Many Requests" },   { 500, " Internal Server Error" },
        { 502, " Bad Gateway" }, { 503, " Service Unavailable" }, { 504, " Gateway Timeout" },
    };

    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "";
}

int auth_http_read_role(const struct config *config, const struct http_result *result,
                        enum admin_role *ret_role, struct err *err)
{
    char problem[JSON_ERROR_TEXT_LENGTH];

    if (result->outcome != HTTP_ANSWERED)
        return err_set(err, ERR_REMOTE, "Unable to contact the KBase Authentication server: %s",
                       result->problem);
    AUTO(free_json) json_t *json = answer_object(result, problem);
    if (!json)
        return err_set(err, ERR_REMOTE,
                       "Invalid KBase authentication server response. Server said %d%s. JSON parser said %s",
                       result->status, reason_phrase(result->status), problem);
    const json_t *error = json_object_get(json, "error");
    if (error)
        return err_set(err, ERR_REMOTE, "KBase authentication service reported an error: %s",
                       error_message(error));
    *ret_role = role_from_names(config, json_object_get(json, "customroles"));
    return 0;
}
