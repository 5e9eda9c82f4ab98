#include "dws/validate/job.h"
#include "shared/base/utf.h"
#include "shared/base/uth.h"

enum { FIRST_TABLE = 256 };

static const struct id_ref *ref_of(const struct check_job *job, uint32_t id_ref)
{
    return &job->program->id_refs[id_ref - 1];
}

static struct slice type_of(const struct check_job *job, uint32_t id_ref)
{
    struct check_text type = job->program->id_types[ref_of(job, id_ref)->type];

    return slice_of(type.p, type.n);
}

bool job_handles(const struct check_job *job, uint32_t id_ref)
{
    return id_ref && job->handling[ref_of(job, id_ref)->type] != ID_IGNORED;
}

struct slice job_mapped(struct check_job *job, uint32_t id_ref, struct slice text)
{
    struct check_text mapped;

    if (!job->options.map_id ||
        !job->options.map_id(job->options.map_ctx, text_of(type_of(job, id_ref)), text_of(text), &mapped))
        return text;
    return slice_of(mapped.p, mapped.n);
}

/* What a service that is not there makes of an id of its type; %s is the id. */
static const struct {
    const char *type, *before, *after;
} unavailable[] = {
    { "handle", "Found handle id ",
      ". The workspace service currently does not have a connection to the handle service and so cannot "
      "process "
      "objects containing handle IDs." },
    { "bytestream", "Found bytestream id ",
      ". There is no connection configured for bytestream IDs and so objects containing bytestream IDs "
      "cannot be "
      "processed." },
    { "sample", "Found sample id ",
      ". The workspace service currently does not have a connection to the sample service and so cannot "
      "process "
      "objects containing sample IDs." },
};

/* `what ID of type TYPE: before ID after` */
static void id_error(struct check_job *job, const char *code, const char *what, uint32_t id_ref,
                     struct slice id, const char *before, const char *after)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    sbuf_adds(&message, what);
    sbuf_add_slice(&message, id);
    sbuf_adds(&message, " of type ");
    sbuf_add_slice(&message, type_of(job, id_ref));
    sbuf_adds(&message, ": ");
    sbuf_adds(&message, before);
    if (after) {
        sbuf_add_slice(&message, id);
        sbuf_adds(&message, after);
    }
    job_error(job, code, false, job->depth, &message, " at ");
}

/* 8-4-4-4-12 lower-case hex digits */
static bool is_uuid(struct slice s)
{
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    }
    return true;
}

static bool is_fine(struct check_job *job, uint32_t id_ref, struct slice text)
{
    struct slice type = type_of(job, id_ref);

    if (!utf_trim(text).n) {
        id_error(job, "V10", "Unparseable id ", id_ref, text, "IDs may not be null or the empty string",
                 NULL);
        return false;
    }
    if (job->handling[ref_of(job, id_ref)->type] == ID_UNAVAILABLE) {
        for (size_t i = 0; i < ARRAY_LEN(unavailable); i++)
            if (slice_is(type, unavailable[i].type)) {
                id_error(job, "V11", "Invalid id ", id_ref, text, unavailable[i].before,
                         unavailable[i].after);
                return false;
            }
    }
    if (slice_is(type, "bytestream") && !is_uuid(text)) {
        id_error(job, "V10", "Unparseable id ", id_ref, text, "Illegal bytestream ID: ", "");
        return false;
    }
    return true;
}

static void grow_table(struct check_job *job)
{
    size_t size = job->id_mask ? 2 * (job->id_mask + 1) : FIRST_TABLE;

    free(job->id_table);
    job->id_table = xcalloc(size, sizeof(*job->id_table));
    job->id_mask = size - 1;
    for (size_t i = 0; i < job->id_count; i++) {
        if (!job->ids[i].first)
            continue;
        size_t h = job->ids[i].hash & job->id_mask;
        while (job->id_table[h])
            h = (h + 1) & job->id_mask;
        job->id_table[h] = (uint32_t)i + 1;
    }
}

static void too_many(struct check_job *job)
{
    job->outcome = CHECK_TOO_MANY_IDS;
    job->stopped = true;
    job->writing = false;
}

/* Appends an id; `first`: of its type and text. */
static void add_id(struct check_job *job, uint32_t id_ref, struct slice text, uint64_t hash, bool first)
{
    AUTO_SBUF(location, SBUF_NO_LIMIT);

    if (job->id_count == job->id_cap) {
        job->id_cap = job->id_cap ? 2 * job->id_cap : 64;
        job->ids = xrealloc(job->ids, job->id_cap * sizeof(*job->ids));
    }
    job_put_location(job, job->depth, &location);
    job->id_bytes += sizeof(*job->ids) + text.n + location.len;
    if (job->id_bytes > job->options.max_id_bytes) {
        job_limit(job, "The ids of the object and their locations take up too much memory");
        return;
    }
    job->ids[job->id_count++] = (struct found_id){
        .ref = id_ref - 1,
        .first = first,
        .hash = hash,
        .text = arena_slice(&job->id_arena, text),
        .location = arena_slice(&job->id_arena, sbuf_slice(&location)),
    };
}

/* The id of that type and text, or the free place in the table. */
static struct found_id *find_id(struct check_job *job, uint32_t type, struct slice text, uint64_t hash,
                                size_t *ret_h)
{
    size_t h = hash & job->id_mask;

    for (; job->id_table[h]; h = (h + 1) & job->id_mask) {
        struct found_id *id = &job->ids[job->id_table[h] - 1];
        if (id->hash == hash && job->program->id_refs[id->ref].type == type && slice_eq(id->text, text))
            return id;
    }
    *ret_h = h;
    return NULL;
}

/* A key comes before its value: an id that was first seen in the value is cut back to the key. */
static void move_to_key(struct check_job *job, const struct frame *key_of, struct found_id *id)
{
    AUTO_SBUF(location, SBUF_NO_LIMIT);

    if (!key_of || (size_t)(id - job->ids) < key_of->ids)
        return;
    job_put_location(job, job->depth, &location);
    id->location.n = location.len;
}

static void record(struct check_job *job, uint32_t id_ref, struct slice text, const struct frame *key_of)
{
    uint32_t type = ref_of(job, id_ref)->type;
    uint64_t hash = uth_hash(text.p, text.n) ^ type;
    size_t h;

    if (2 * (job->id_count + 1) > job->id_mask)
        grow_table(job);
    struct found_id *id = find_id(job, type, text, hash, &h);
    if (!id) {
        if (job->counter->unique_ids >= job->options.max_ids) {
            too_many(job);
            return;
        }
        job->counter->unique_ids++;
        job->unique_ids++;
        job->id_table[h] = (uint32_t)job->id_count + 1;
        add_id(job, id_ref, text, hash, true);
        return;
    }
    while (id->ref != id_ref - 1) {
        if (!id->variant) {
            id->variant = (uint32_t)job->id_count + 1;
            add_id(job, id_ref, text, hash, false);
            return;
        }
        id = &job->ids[id->variant - 1];
    }
    move_to_key(job, key_of, id);
}

void job_found_id(struct check_job *job, uint32_t id_ref, struct slice text, const struct frame *key_of)
{
    if (job->stopped || job->second || !is_fine(job, id_ref, text))
        return;
    if (!job->options.map_id && slice_is(type_of(job, id_ref), "ws")) {
        job->final = false; /* the canonical form has the resolved text */
        job->writing = false;
    }
    record(job, id_ref, text, key_of);
}
