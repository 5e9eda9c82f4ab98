#include "dws/identity.h"

#include <jansson.h>
#include <stdio.h>

#include "shared/net/client.h"

enum {
    STATUS_ERROR = 500,
    RPC_NO_METHOD = -32601,
    RPC_NOT_STARTED = -32603,
    MAX_SHOWN = 200,
};

const char *identity_kind_name(enum identity_kind kind)
{
    static const char *const names[] = {
        [IDENTITY_UNKNOWN] = "unknown",
        [IDENTITY_TWS] = "tws",
        [IDENTITY_DWS] = "dws",
        [IDENTITY_OTHER] = "other",
    };

    return names[kind];
}

static void json_decref_auto(json_t **p)
{
    json_decref(*p);
}

static bool copy_id(char ret_id[HOPS_ID_LEN + 1], const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || !hops_id_valid(slice_str(text)))
        return false;
    memcpy(ret_id, text, HOPS_ID_LEN + 1);
    return true;
}

static bool read_chain(const json_t *list, struct hops *chain)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (chain->count == HOPS_MAX || !copy_id(chain->nodes[chain->count], json_array_get(list, i)))
            return false;
        chain->count++;
    }
    return true;
}

static bool truth(const json_t *value)
{
    return json_is_true(value) || json_integer_value(value) != 0;
}

static bool read_description(const json_t *about, struct identity *ret_identity)
{
    const char *role = json_string_value(json_object_get(about, "role"));
    const char *version = json_string_value(json_object_get(about, "version"));
    struct identity it = { .kind = IDENTITY_UNKNOWN };

    if (!role || !copy_id(it.node, json_object_get(about, "node")) ||
        !read_chain(json_object_get(about, "chain"), &it.chain))
        return false;
    if (strcmp(role, "tws") == 0)
        it.kind = IDENTITY_TWS;
    else if (strcmp(role, "dws") == 0)
        it.kind = IDENTITY_DWS;
    else
        return false;
    (void)copy_id(it.cluster, json_object_get(about, "cluster"));
    snprintf(it.version, sizeof(it.version), "%s", version ? version : "");
    it.protocol = (int)json_integer_value(json_object_get(about, "protocol"));
    it.read_only = truth(json_object_get(about, "read_only"));
    if (it.kind == IDENTITY_DWS) {
        json_int_t hops = json_integer_value(json_object_get(about, "hops"));
        it.hops = hops < 1 || hops > HOPS_MAX ? (int)it.chain.count + 1 : (int)hops;
    }
    it.complete = it.kind == IDENTITY_TWS || truth(json_object_get(about, "chain_complete"));
    *ret_identity = it;
    return true;
}

static void put_error(const json_t *error, struct sbuf *out)
{
    const char *message = json_string_value(json_object_get(error, "message"));

    if (message)
        sbuf_addf(out, "%.*s", MAX_SHOWN, message);
}

/* An error of ours about delegation says so; one that only quotes the words would have to begin with them,
 * too. */
static bool is_loop_error(const json_t *error)
{
    const char *message = json_string_value(json_object_get(error, "message"));

    return message && strncmp(message, "Delegation loop", 15) == 0;
}

static enum identity_answer judge_error(const json_t *error, struct sbuf *problem)
{
    json_int_t code = json_integer_value(json_object_get(error, "code"));

    if (is_loop_error(error)) {
        put_error(error, problem);
        return ANSWER_LOOP;
    }
    if (code == RPC_NOT_STARTED) {
        sbuf_adds(problem, "it says: ");
        put_error(error, problem);
        return ANSWER_NOT_UP;
    }
    sbuf_addf(problem, "error %lld", (long long)code);
    return ANSWER_NOT_KNOWN;
}

/* The object of a JSON-RPC answer, or NULL with a text. */
static json_t *read_answer(int status, struct slice body, struct sbuf *problem)
{
    json_error_t where;

    if (!http_is_success(status) && status != STATUS_ERROR) {
        sbuf_addf(problem, "the answer has HTTP status %d", status);
        return NULL;
    }
    json_t *answer = json_loadb(body.p, body.n, JSON_ALLOW_NUL, &where);
    if (!json_is_object(answer)) {
        sbuf_adds(problem, "the answer is not a JSON object");
        json_decref(answer);
        return NULL;
    }
    return answer;
}

enum identity_answer identity_read(int status, struct slice body, struct identity *ret_identity,
                                   struct sbuf *ret_problem)
{
    AUTO(json_decref_auto) json_t *answer = read_answer(status, body, ret_problem);
    const json_t *error = json_object_get(answer, "error");

    if (!answer)
        return ANSWER_NOT_UP;
    if (json_is_object(error))
        return judge_error(error, ret_problem);
    if (status != STATUS_ERROR &&
        read_description(json_array_get(json_object_get(answer, "result"), 0), ret_identity))
        return ANSWER_FINE;
    sbuf_adds(ret_problem, "the answer is no description");
    return ANSWER_NOT_KNOWN;
}

enum identity_answer identity_read_probe(int status, struct slice body, struct sbuf *ret_problem)
{
    AUTO(json_decref_auto) json_t *answer = read_answer(status, body, ret_problem);
    const json_t *error = json_object_get(answer, "error");

    if (!answer)
        return ANSWER_NOT_UP;
    if (!json_is_object(error))
        return ANSWER_FINE;
    enum identity_answer kind = judge_error(error, ret_problem);
    return kind == ANSWER_NOT_KNOWN ? ANSWER_FINE : kind;
}

/* node -> target -> its chain */
static void put_path(const char *node, const struct identity *identity, struct sbuf *out)
{
    sbuf_addf(out, "%s -> %s", node, identity->node);
    for (size_t i = 0; i < identity->chain.count; i++) {
        sbuf_addf(out, " -> %s", identity->chain.nodes[i]);
        if (strcmp(identity->chain.nodes[i], node) == 0)
            break;
    }
}

enum identity_verdict identity_judge(const struct identity *identity, const char *node, int max_hops,
                                     struct sbuf *reason)
{
    if (strcmp(identity->node, node) == 0 || hops_contains(&identity->chain, node)) {
        sbuf_addf(reason, "delegation loop: type-delegation-target leads back to this %s: ",
                  strcmp(identity->node, node) == 0 ? "process itself" : "process");
        put_path(node, identity, reason);
        return VERDICT_REFUSED;
    }
    if (identity->kind != IDENTITY_DWS)
        return VERDICT_OK;
    if (identity->hops + 1 > max_hops) {
        sbuf_adds(reason,
                  "type-delegation-target is another DWS, not a TWS, which risks a delegation loop: ");
        put_path(node, identity, reason);
        sbuf_addf(reason, " (delegation-max-hops = %d; a chain of DWS must be allowed there)", max_hops);
        return VERDICT_REFUSED;
    }
    if (!identity->complete) {
        sbuf_adds(reason, "it is a DWS that has not found a TWS itself yet");
        return VERDICT_WAIT;
    }
    return VERDICT_OK;
}
