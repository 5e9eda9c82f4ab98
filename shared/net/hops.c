#include "shared/net/hops.h"

bool hops_id_valid(struct slice id)
{
    for (size_t i = 0; i < id.n; i++)
        if (!((id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'a' && id.p[i] <= 'f')))
            return false;
    return id.n == HOPS_ID_LEN;
}

static bool set_id(char ret_id[HOPS_ID_LEN + 1], struct slice id)
{
    if (!hops_id_valid(id))
        return false;
    memcpy(ret_id, id.p, HOPS_ID_LEN);
    ret_id[HOPS_ID_LEN] = '\0';
    return true;
}

static bool append(struct hops *hops, struct slice node)
{
    return hops->count < HOPS_MAX && set_id(hops->nodes[hops->count], node) && ++hops->count;
}

/* Cuts off what is before `at`, or everything. */
static struct slice cut(struct slice *rest, char at)
{
    const char *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct slice piece = slice_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);

    *rest = end ? slice_of(end + 1, rest->n - piece.n - 1) : slice_of(NULL, 0);
    return piece;
}

int hops_parse_header(struct slice value, struct hops *ret_hops, struct err *err)
{
    struct hops hops = HOPS_INIT;
    struct slice rest = value;
    bool fine = set_id(hops.cluster, cut(&rest, ';')) && rest.p;

    while (fine && rest.p)
        fine = append(&hops, cut(&rest, ','));
    if (!fine)
        return err_set(err, ERR_PARSE,
                       "The header " HOPS_HEADER
                       " is malformed: it must be a cluster id, `;`, and 1 to %d node ids "
                       "with `,` between them, each id %d digits of 0-9a-f",
                       HOPS_MAX, HOPS_ID_LEN);
    *ret_hops = hops;
    return 0;
}

void hops_put_header(struct sbuf *out, const struct hops *hops)
{
    if (!hops->count)
        return;
    sbuf_adds(out, hops->cluster);
    for (size_t i = 0; i < hops->count; i++) {
        sbuf_addc(out, i ? ',' : ';');
        sbuf_adds(out, hops->nodes[i]);
    }
}

static bool read_json(const struct json_val *val, struct hops *hops)
{
    if (val->kind != JSON_KIND_OBJECT || val->count != 2)
        return false;
    const struct json_val *cluster = json_member(val, "cluster"), *nodes = json_member(val, "nodes");
    if (!cluster || cluster->kind != JSON_KIND_STRING || !set_id(hops->cluster, cluster->text))
        return false;
    if (!nodes || nodes->kind != JSON_KIND_ARRAY || nodes->count == 0)
        return false;
    for (const struct json_val *node = nodes->first; node; node = node->next)
        if (node->kind != JSON_KIND_STRING || !append(hops, node->text))
            return false;
    return true;
}

int hops_parse_json(const struct json_val *val, struct hops *ret_hops, struct err *err)
{
    struct hops hops = HOPS_INIT;

    if (!read_json(val, &hops))
        return err_set(
            err, ERR_PARSE,
            "The delegation mark `wstyped` in the context is malformed: it must have just the members "
            "cluster, an id, and nodes, a list of 1 to %d ids, each id %d digits of 0-9a-f",
            HOPS_MAX, HOPS_ID_LEN);
    *ret_hops = hops;
    return 0;
}

void hops_put_json(struct sbuf *out, const struct hops *hops)
{
    sbuf_addf(out, "{\"cluster\":\"%s\",\"nodes\":[", hops->cluster);
    for (size_t i = 0; i < hops->count; i++)
        sbuf_addf(out, "%s\"%s\"", i ? "," : "", hops->nodes[i]);
    sbuf_adds(out, "]}");
}

bool hops_contains(const struct hops *hops, const char *node)
{
    for (size_t i = 0; i < hops->count; i++)
        if (strcmp(hops->nodes[i], node) == 0)
            return true;
    return false;
}

int hops_add(struct hops *hops, const char *cluster, const char *node, struct err *err)
{
    struct hops more = *hops;

    if (more.count == HOPS_MAX)
        return err_set(err, ERR_LOOP, "The call has passed %d nodes already", HOPS_MAX);
    if (!more.count && !set_id(more.cluster, slice_str(cluster)))
        return err_set(err, ERR_LOOP, "Not a cluster id: %s", cluster);
    if (!append(&more, slice_str(node)))
        return err_set(err, ERR_LOOP, "Not a node id: %s", node);
    *hops = more;
    return 0;
}

int hops_merge(struct hops *hops, const struct hops *from, struct err *err)
{
    struct hops more = *hops;
    int rc;

    for (size_t i = 0; i < from->count; i++)
        if (!hops_contains(hops, from->nodes[i]) &&
            (rc = hops_add(&more, from->cluster, from->nodes[i], err)))
            return rc;
    *hops = more;
    return 0;
}
