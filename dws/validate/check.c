#include "dws/validate/job.h"

#include <errno.h>

#include "shared/base/json.h"
#include "shared/base/utf.h"

/*
 * Upstream's sorters: one for objects up to SORT_FREE bytes, which has no limit; the other may use KEY_MEMORY
 * for keys, less the object itself when all objects of the call are in memory, which they are up to
 * CHECK_MUCH bytes.
 */
enum { KEY_MEMORY = 200000000, SORT_FREE = 20000000, KEY_OVERHEAD = 64 };

/* The way to the map with the most keys is kept if those are worth so much and it is not longer than this. */
enum { WORTH_NAMING = 65536, MAX_STEPS = 16 << 20 };

static const struct node *node_of(const struct check_job *job, uint32_t node)
{
    return program_node(job->program, node);
}

/* The container that a key or a bracket belongs to; the tokenizer gives those only inside of one. */
static struct frame *innermost(struct check_job *job)
{
    return &job->frames[job->depth - 1];
}

/* Errors about the type of a value. */

static void wrong_type(struct check_job *job, const struct node *node, const char *found)
{
    static const char *const expected[] = { "object", "array", "string", "integer", "float" };
    bool container = node->kind == NODE_OBJECT || node->kind == NODE_ARRAY;
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    if (node->kind == NODE_STRING && node->id_ref) {
        sbuf_addf(&message, "instance type (%s) not allowed for ID reference (allowed: [\"string\"])", found);
        job_error(job, "V2", false, job->depth, &message, ", at ");
        return;
    }
    sbuf_addf(&message, "instance type (%s) does not match any allowed primitive type (allowed: [\"%s\"])",
              found, expected[node->kind]);
    job_error(job, "V1", container, job->depth, &message, ", at ");
}

static void not_allowed(struct check_job *job, const struct node *node, struct slice key)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    sbuf_adds(&message, "Object field name [");
    sbuf_add_slice(&message, key);
    sbuf_adds(&message, "] is not in allowed object properties: [");
    for (uint32_t i = 0; i < node->named_count; i++) {
        if (i)
            sbuf_adds(&message, ", ");
        sbuf_add_slice(&message, node->names[i]);
    }
    sbuf_addc(&message, ']');
    job_error(job, "V9", false, job->depth, &message, ", at ");
}

static void missing_fields(struct check_job *job, const struct frame *f, const struct node *node)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);
    bool any = false;

    sbuf_adds(&message, "Object doesn't have required fields : [");
    for (uint32_t i = 0; i < node->required_count; i++) {
        if (job->seen.p[f->seen + i / 8] >> (i % 8) & 1)
            continue;
        if (any)
            sbuf_adds(&message, ", ");
        any = true;
        sbuf_add_slice(&message, node->required[i]);
    }
    sbuf_addc(&message, ']');
    job_error(job, "V3", false, job->depth - 1, &message, ", at ");
}

static void wrong_length(struct check_job *job, bool more, uint64_t limit)
{
    AUTO_SBUF(message, SBUF_NO_LIMIT);

    sbuf_addf(&message, "Array contains %s than %llu items", more ? "more" : "less",
              (unsigned long long)limit);
    job_error(job, more ? "V5" : "V4", false, job->depth - 1, &message, ", at ");
}

/* Places of values. */

/* An element comes: which node it has, and what is wrong with there being one. */
static void place_element(struct check_job *job, struct frame *f)
{
    job->node = 0;
    job->meta = NULL;
    if (f->node) {
        const struct node *node = node_of(job, f->node);
        bool surplus = node->has_max && f->count > node->max_items;
        if (surplus)
            wrong_length(job, true, node->max_items);
        if (!surplus && (!node->item_count || f->count < node->item_count))
            job->node = node->items + (node->item_count ? (uint32_t)f->count : 0);
    }
    job->lead = f->count++ ? ',' : '\0';
}

static inline void place_value(struct check_job *job)
{
    struct frame *f = job_top(job);

    if (!f) {
        job->node = 1;
        job->meta = &job->program->meta;
        job->lead = '\0';
    } else if (f->is_object) {
        job->node = f->child;
        job->meta = f->child_meta;
        job->lead = ':';
    } else {
        place_element(job, f);
    }
}

/* A value is complete, with all that is below it: its key may be an id. */
static inline void value_done(struct check_job *job)
{
    struct frame *f = job_top(job);

    if (f && f->is_object && f->node && !job->stopped) {
        uint32_t id_ref = node_of(job, f->node)->id_ref;
        if (id_ref && job_handles(job, id_ref))
            job_found_id(job, id_ref, job_key(job, f), f);
    }
}

/* Where the token that is at hand goes in the canonical form. */
static inline struct canon_place place_in_canon(const struct check_job *job, char lead)
{
    return (struct canon_place){ lead, json_tok_used(&job->tok) };
}

/* Scalars. */

static const struct selection *selected(const struct check_job *job)
{
    return job->meta ? job->meta->selections : NULL;
}

static void do_number(struct check_job *job, bool integer, struct slice number)
{
    const struct selection *selections;

    place_value(job);
    if (job->node && !job->second) {
        const struct node *node = node_of(job, job->node);
        if (node->kind == NODE_INTEGER ? !integer : node->kind != NODE_NUMBER)
            wrong_type(job, node, integer ? "integer" : "float");
        else if (node->bounds)
            job_check_bounds(job, node, node->kind == NODE_INTEGER, number);
    }
    if (job->writing) {
        struct canon_place place = place_in_canon(job, job->lead);
        struct slice text = number;
        if (integer)
            canon_int(&job->canon, place, number);
        else
            text = canon_float(&job->canon, place, number);
        if ((selections = selected(job))) {
            text = slice_is(text, "-0") ? SLICE("0") : text;
            meta_text_value(job, selections, text, text.n, false);
        }
    }
    value_done(job);
}

static void do_word(struct check_job *job, enum json_token token)
{
    static const struct slice words[] = {
        [JSON_TOKEN_NULL] = { "null", 4 },
        [JSON_TOKEN_TRUE] = { "true", 4 },
        [JSON_TOKEN_FALSE] = { "false", 5 },
    };
    bool is_null = token == JSON_TOKEN_NULL;

    place_value(job);
    if (job->node) {
        const struct node *node = node_of(job, job->node);
        if (!is_null || node->kind < NODE_STRING || (node->kind == NODE_STRING && node->id_ref))
            wrong_type(job, node, is_null ? "null" : "boolean");
    }
    if (job->writing) {
        canon_word(&job->canon, place_in_canon(job, job->lead), words[token]);
        if (selected(job))
            meta_text_value(job, selected(job), words[token], words[token].n, is_null);
    }
    value_done(job);
}

/* Strings. */

static void begin_string(struct check_job *job)
{
    struct string_state *s = &job->string;

    place_value(job);
    *s = (struct string_state){ .active = true, .lead = job->lead };
    if (job->node) {
        const struct node *node = node_of(job, job->node);
        if (node->kind != NODE_STRING)
            wrong_type(job, node, "string");
        else if (job_handles(job, node->id_ref))
            s->id_ref = node->id_ref;
    }
    s->selections = job->writing ? selected(job) : NULL;
    s->writing = job->writing && !(s->id_ref && job->options.map_id);
    s->keep = s->id_ref || s->selections;
    s->keep_limit = s->id_ref ? job->options.max_text : (size_t)job->options.max_metadata + 1;
    if (s->keep)
        sbuf_reset(&job->text);
}

static void string_part(struct check_job *job, bool last)
{
    struct string_state *s = &job->string;
    struct slice text = job->tok.text;
    bool plain = job->tok.plain;

    if (job->tok.escaped && (s->keep || !plain)) {
        plain = false;
        sbuf_reset(&job->unescaped);
        json_put_unescaped(&job->unescaped, text);
        text = sbuf_slice(&job->unescaped);
    }
    if (s->writing)
        canon_string(&job->canon, place_in_canon(job, s->opened ? '\0' : s->lead), !s->opened, text, plain,
                     last);
    s->opened = true;
    if (!s->keep)
        return;
    s->bytes += text.n;
    if (s->selections)
        s->units += utf_units(text);
    if (s->id_ref && s->bytes > s->keep_limit) {
        job_limit(job, "An id of the object is too long");
        return;
    }
    size_t room = s->keep_limit - job->text.len;
    sbuf_add(&job->text, text.p, text.n < room ? text.n : room);
}

/* The end of an id, or of a string that is wanted for the metadata. */
static void end_kept_string(struct check_job *job)
{
    struct string_state *s = &job->string;
    struct slice text = sbuf_slice(&job->text);

    if (s->id_ref) {
        job_found_id(job, s->id_ref, text, NULL);
        if (job->options.map_id && s->selections) {
            text = job_mapped(job, s->id_ref, text);
            s->bytes = text.n;
            s->units = utf_units(text);
        }
    }
    if (!s->writing && job->writing && s->id_ref)
        canon_string(&job->canon, place_in_canon(job, s->lead), true,
                     s->selections ? text : job_mapped(job, s->id_ref, text), false, true);
    if (s->selections && job->writing) {
        meta_text_value(job, s->selections, text, s->bytes, false);
        meta_count_value(job, s->selections, s->units);
    }
}

static void do_string(struct check_job *job, bool last)
{
    if (!job->string.active)
        begin_string(job);
    if (!job->stopped)
        string_part(job, last);
    if (!last)
        return;
    job->string.active = false;
    if (job->stopped)
        return;
    if (job->string.keep)
        end_kept_string(job);
    value_done(job);
}

/* Containers. */

static struct frame *push_frame(struct check_job *job, bool is_object)
{
    if (job->depth == job->frame_cap) {
        job->frame_cap = job->frame_cap ? 2 * job->frame_cap : 8;
        job->frames = xrealloc(job->frames, job->frame_cap * sizeof(*job->frames));
    }
    struct frame *f = &job->frames[job->depth++];
    *f = (struct frame){
        .is_object = is_object,
        .node = job->node,
        .key_at = job->keys.len,
        .seen = job->seen.len,
        .meta = job->meta,
    };
    return f;
}

static void do_open(struct check_job *job, bool is_object)
{
    place_value(job);
    if (job->node) {
        const struct node *node = node_of(job, job->node);
        if (node->kind != (is_object ? NODE_OBJECT : NODE_ARRAY)) {
            wrong_type(job, node, is_object ? "object" : "array");
            if (job->stopped)
                return;
            job->node = 0; /* what is in it is not looked at */
        }
    }
    struct frame *f = push_frame(job, is_object);
    if (f->node && node_of(job, f->node)->required_count) {
        size_t bytes = (node_of(job, f->node)->required_count + 7) / 8;
        memset(sbuf_room(&job->seen, bytes), 0, bytes);
        sbuf_added(&job->seen, bytes);
    }
    if (job->writing)
        canon_open(&job->canon, place_in_canon(job, job->lead), is_object ? '{' : '[');
}

static void check_end_of(struct check_job *job, const struct frame *f)
{
    const struct node *node = node_of(job, f->node);

    if (f->is_object) {
        if (f->required != node->required_count)
            missing_fields(job, f, node);
        return;
    }
    if (node->has_max && f->count > node->max_items)
        wrong_length(job, true, node->max_items);
    if (node->has_min && f->count < node->min_items)
        wrong_length(job, false, node->min_items);
}

static void found_equal_keys(struct check_job *job, struct slice key)
{
    struct sbuf *problem = &job->sort_problem;

    if (problem->len)
        return;
    sbuf_adds(problem,
              ": Two references in a single hash are identical when resolved, resulting in a loss of data: "
              "Duplicated key '");
    sbuf_add_slice(problem, key);
    sbuf_adds(problem, "' was found at ");
    job_put_sort_path(job, job->depth - 1, problem);
}

static void free_peak(struct check_job *job, struct key_peak *peak)
{
    while (peak) {
        struct key_peak *next = peak->next;
        job->peak_bytes -= peak->n;
        free(peak);
        peak = next;
    }
}

/* The way to the most keys, from the container on that ends now. */
static struct key_peak *add_to_peak(struct check_job *job, const struct frame *f)
{
    AUTO_SBUF(step, SBUF_NO_LIMIT);

    if (job->depth > 1)
        job_put_sort_step(job, f - 1, &step);
    if (job->peak_bytes + step.len > MAX_STEPS) {
        free_peak(job, f->peak);
        return NULL;
    }
    struct key_peak *peak = xmalloc(sizeof(*peak) + step.len);
    *peak = (struct key_peak){ .cost = f->key_cost, .next = f->peak, .n = step.len };
    if (step.len)
        memcpy(peak->step, step.p, step.len);
    job->peak_bytes += step.len;
    return peak;
}

/*
 * Upstream's sorter reads all keys of a map before it goes on to the maps in it, so keys behind a map count
 * for it like those in front of it.
 */
static void close_keys(struct check_job *job, struct frame *f)
{
    uint64_t cost = f->key_cost + f->below;
    bool outermost = job->depth == 1;
    uint64_t *most = outermost ? &job->key_most : &f[-1].below;
    struct key_peak **peak = outermost ? &job->key_peak : &f[-1].peak;

    job->key_cost -= f->key_cost;
    if (cost <= *most) {
        free_peak(job, f->peak);
        return;
    }
    *most = cost;
    if (cost < WORTH_NAMING)
        return;
    free_peak(job, *peak);
    *peak = add_to_peak(job, f);
}

static void do_close(struct check_job *job)
{
    struct frame *f = innermost(job);
    struct slice key;

    if (f->node && !job->second) {
        check_end_of(job, f);
        if (job->stopped)
            return;
    }
    if (job->writing) {
        if (!f->is_object)
            canon_close_array(&job->canon, json_tok_used(&job->tok));
        else if (canon_close_object(&job->canon, json_tok_used(&job->tok), &key))
            found_equal_keys(job, key);
        if (f->meta && f->meta->selections)
            meta_count_value(job, f->meta->selections, f->count);
    }
    job->keys.len = f->key_at;
    job->seen.len = f->seen;
    close_keys(job, f);
    job->depth--;
    value_done(job);
}

/* Keys. */

/* UTF-16 units, quickly. */
static size_t count_units(struct slice s)
{
    const uint64_t highs = 0x8080808080808080u;
    uint64_t w, wide = 0;

    for (size_t i = 0; i + sizeof(w) <= s.n; i += sizeof(w)) {
        memcpy(&w, s.p + i, sizeof(w));
        wide |= w;
    }
    for (size_t i = s.n & ~(size_t)7; i < s.n; i++)
        wide |= (unsigned char)s.p[i];
    return wide & highs ? utf_units(s) : s.n;
}

/* Reckons what upstream's sorter needs for one more key. */
static void count_key(struct check_job *job, struct frame *f, struct slice key)
{
    size_t units = count_units(key);
    uint64_t cost = KEY_OVERHEAD + units + (8 - units % 8);

    f->key_cost += cost;
    job->key_cost += cost;
    if (job->key_cost > KEY_MEMORY && job->canon.unsorted && canon_size(&job->canon) > SORT_FREE)
        canon_stop_sorting(&job->canon); /* there will be no canonical form, but its size is asked for */
}

/* True if a key is behind the one before it. */
static inline bool is_behind(struct slice before, struct slice key)
{
    if (before.n && key.n && before.p[0] != key.p[0] && !((before.p[0] | key.p[0]) & 0x80))
        return before.p[0] < key.p[0];
    return utf_compare(before, key) < 0;
}

/* Writes a key and takes it as the newest one of its object. */
static void take_key(struct check_job *job, struct frame *f, struct slice key, bool plain, uint32_t id_ref)
{
    struct slice canonical = key;
    bool first = f->count++ == 0;

    if (job->writing && id_ref && job->options.map_id && job_handles(job, id_ref))
        canonical = job_mapped(job, id_ref, key);
    if (job->writing) {
        struct slice before = slice_of(job->keys.p + f->canon_at, f->canon_n);
        canon_key(&job->canon, canonical, plain && canonical.p == key.p,
                  first || is_behind(before, canonical), json_tok_used(&job->tok));
        if (job->canon.stale)
            job->writing = false;
    }
    job->keys.len = f->key_at;
    if (job->keys.len + key.n + canonical.n > job->options.max_path) {
        job_limit(job, "The keys that lead to a value of the object are too long");
        return;
    }
    f->key_n = key.n;
    f->canon_at = f->key_at;
    f->canon_n = canonical.n;
    sbuf_add_slice(&job->keys, key);
    if (canonical.p != key.p) {
        f->canon_at = job->keys.len;
        sbuf_add_slice(&job->keys, canonical);
    }
    if (job->writing)
        count_key(job, f, canonical);
}

static void do_key(struct check_job *job, struct slice key, bool plain)
{
    struct frame *f = innermost(job);
    const struct node *node = f->node ? node_of(job, f->node) : NULL;
    const struct property *property = NULL;

    take_key(job, f, key, plain, node ? node->id_ref : 0);
    f->child = 0;
    f->child_meta = NULL;
    f->ids = job->id_count;
    for (const struct meta_node *m = f->meta ? f->meta->child : NULL; m; m = m->next)
        if (slice_eq(m->key, key))
            f->child_meta = m;
    if (!node)
        return;
    if (node->property_count)
        property = program_property(node, key, &f->guess);
    if (property && property->required) {
        uint32_t bit = property->required - 1;
        f->required++;
        job->seen.p[f->seen + bit / 8] = (char)(job->seen.p[f->seen + bit / 8] | 1 << bit % 8);
    }
    f->child = property && property->node ? property->node : node->other;
    if (node->closed && !(property && property->node))
        not_allowed(job, node, key);
}

/* The job. */

static void set_defaults(struct check_options *o)
{
#define DEFAULT(field, value) \
    do { \
        if (!o->field) \
            o->field = (value); \
    } while (0)
    DEFAULT(max_ids, 100000);
    DEFAULT(max_object_size, 1000000000);
    DEFAULT(max_metadata, 16000);
    DEFAULT(max_metadata_pair, 900);
    DEFAULT(max_depth, 5000);
    DEFAULT(max_text, (size_t)16 << 20);
    DEFAULT(max_path, (size_t)64 << 20);
    DEFAULT(max_id_bytes, (size_t)512 << 20);
    DEFAULT(memory, (size_t)32 << 20);
    DEFAULT(temp_dir, "/tmp");
    DEFAULT(line, 1);
    DEFAULT(column, 1);
#undef DEFAULT
}

static bool is_listed(const struct check_text *list, size_t n, struct check_text text)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(slice_of(list[i].p, list[i].n), slice_of(text.p, text.n)))
            return true;
    return false;
}

static void start_reading(struct check_job *job)
{
    const struct json_tok_limits limits = { job->options.max_depth, job->options.max_text };

    json_tok_init(&job->tok, &limits);
    json_tok_set_position(&job->tok, (struct json_tok_position){ job->options.line, job->options.column });
}

struct check_job *check_begin(struct check_program *program, const struct check_options *options)
{
    struct check_job *job = xcalloc(1, sizeof(*job));
    struct check_options *o = &job->options;

    job->program = check_program_ref(program);
    *o = *options;
    set_defaults(o);
    job->counter = o->counter ? o->counter : &job->own_counter;
    job->keys = job->seen = job->text = job->meta_text = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    job->unescaped = job->sort_problem = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    sbuf_add(&job->keys, "", 0);
    start_reading(job);
    canon_init(&job->canon, &(struct canon_options){ .memory = o->memory,
                                                     .temp_dir = o->temp_dir,
                                                     .keep = o->sink != NULL,
                                                     .repeatable = o->repeatable,
                                                     .threads = !o->no_threads });
    job->writing = job->final = !o->only_check;
    if (program->id_type_count)
        job->handling = arena_zalloc(&job->arena, program->id_type_count * sizeof(*job->handling));
    for (size_t i = 0; i < program->id_type_count; i++) {
        if (is_listed(o->id_types, o->id_type_count, program->id_types[i]))
            job->handling[i] = ID_HANDLED;
        if (job->handling[i] &&
            is_listed(o->unavailable_id_types, o->unavailable_id_type_count, program->id_types[i]))
            job->handling[i] = ID_UNAVAILABLE;
    }
    if (program->selection_count)
        job->values = arena_zalloc(&job->arena, program->selection_count * sizeof(*job->values));
    if (!program->is_structure) {
        AUTO_SBUF(message, SBUF_NO_LIMIT);
        sbuf_adds(&message, "Data of type other than structure couldn't be stored in workspace");
        job_error(job, "V13", true, 0, &message, NULL);
    }
    return job;
}

void check_free(struct check_job *job)
{
    if (!job)
        return;
    json_tok_release(&job->tok);
    canon_release(&job->canon);
    for (size_t i = 0; i < job->depth; i++)
        free_peak(job, job->frames[i].peak);
    free_peak(job, job->key_peak);
    free(job->frames);
    sbuf_release(&job->keys);
    sbuf_release(&job->seen);
    sbuf_release(&job->text);
    sbuf_release(&job->unescaped);
    sbuf_release(&job->meta_text);
    sbuf_release(&job->sort_problem);
    free(job->ids);
    free(job->id_table);
    arena_release(&job->id_arena);
    arena_release(&job->arena);
    err_clear(&job->problem);
    err_clear(&job->limit);
    check_program_unref(job->program);
    free(job);
}

static inline void do_token(struct check_job *job, enum json_token token)
{
    switch (token) {
    case JSON_TOKEN_KEY:
        do_key(job, job->tok.text, job->tok.plain);
        break;
    case JSON_TOKEN_PIECE:
    case JSON_TOKEN_STRING:
        do_string(job, token == JSON_TOKEN_STRING);
        break;
    case JSON_TOKEN_INT:
    case JSON_TOKEN_FLOAT:
        do_number(job, token == JSON_TOKEN_INT, job->tok.text);
        break;
    case JSON_TOKEN_OBJECT:
    case JSON_TOKEN_ARRAY:
        do_open(job, token == JSON_TOKEN_OBJECT);
        break;
    case JSON_TOKEN_OBJECT_END:
    case JSON_TOKEN_ARRAY_END:
        do_close(job);
        break;
    default:
        do_word(job, token);
    }
}

/* Takes tokens until there is no more. */
static enum check_status run(struct check_job *job)
{
    enum json_token token;

    canon_input(&job->canon, job->tok.fed);
    for (;;) {
        token = json_tok_next(&job->tok, &job->problem);
        if (token <= JSON_TOKEN_END)
            break;
        if (!job->stopped)
            do_token(job, token);
    }
    canon_input_end(&job->canon, token == JSON_TOKEN_END && job->writing);
    if (token == JSON_TOKEN_ERROR)
        job->failed = CHECK_JSON;
    job->done = token == JSON_TOKEN_END;
    if (job->done && job->limit.text) {
        err_move(&job->problem, &job->limit);
        job->failed = CHECK_JSON;
    }
    return job->failed ? job->failed : job->done ? CHECK_DONE : CHECK_MORE;
}

enum check_status check_feed(struct check_job *job, const char *bytes, size_t n, size_t *ret_used)
{
    *ret_used = 0;
    if (job->failed || job->done)
        return job->failed ? job->failed : CHECK_DONE;
    json_tok_feed(&job->tok, slice_of(bytes, n));
    enum check_status status = run(job);
    *ret_used = json_tok_used(&job->tok);
    return status;
}

/* The results. */

static void give_ids(struct check_job *job)
{
    struct check_id *ids = job->id_count ? arena_alloc(&job->arena, job->id_count * sizeof(*ids)) : NULL;

    for (size_t i = 0; i < job->id_count; i++) {
        const struct found_id *found = &job->ids[i];
        const struct id_ref *ref = &job->program->id_refs[found->ref];
        ids[i] = (struct check_id){ .type = job->program->id_types[ref->type],
                                    .id = text_of(found->text),
                                    .location = text_of(found->location),
                                    .attributes = ref->attributes,
                                    .attribute_count = ref->attribute_count };
    }
    job->result.ids = ids;
    job->result.id_count = job->id_count;
    job->result.unique_ids = job->unique_ids;
    job->result.errors = job->errors;
}

static void set_problem(struct check_job *job, enum check_outcome outcome, struct slice text)
{
    job->outcome = outcome;
    job->result.problem = text_of(arena_slice(&job->arena, text));
}

/* The outermost map on the way to the most keys at which upstream's sorter gives up. */
static void name_peak(const struct check_job *job, uint64_t limit, struct sbuf *out)
{
    uint64_t cost = 0;
    size_t begin = out->len;

    for (const struct key_peak *at = job->key_peak; at && cost <= limit; at = at->next) {
        cost += at->cost;
        sbuf_add(out, at->step, at->n);
    }
    if (out->len == begin)
        sbuf_addc(out, '/');
}

/* True if upstream's sorter would have room for the keys. */
static bool keys_fit(struct check_job *job, uint64_t size)
{
    uint64_t limit = KEY_MEMORY;
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (!job->canon.unsorted || size <= SORT_FREE)
        return true;
    if (!job->options.much && job->counter->bytes <= CHECK_MUCH)
        limit -= size;
    if (job->key_most <= limit)
        return true;
    job->result.tight = limit < KEY_MEMORY;
    sbuf_addf(&text, ": Memory necessary for sorting map keys exceeds the limit %llu bytes at ",
              (unsigned long long)limit);
    name_peak(job, limit, &text);
    set_problem(job, CHECK_UNSORTABLE, sbuf_slice(&text));
    return false;
}

static enum check_status give_final(struct check_job *job)
{
    uint64_t size = canon_size(&job->canon);
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (size > job->options.max_object_size) {
        sbuf_addf(&text, " data size %llu exceeds limit of %llu", (unsigned long long)size,
                  (unsigned long long)job->options.max_object_size);
        set_problem(job, CHECK_TOO_BIG, sbuf_slice(&text));
        return CHECK_DONE;
    }
    job->counter->bytes += size;
    if (!keys_fit(job, size)) /* before equal keys: those are found when all keys of a map are in memory */
        return CHECK_DONE;
    if (job->sort_problem.len) {
        set_problem(job, CHECK_UNSORTABLE, sbuf_slice(&job->sort_problem));
        return CHECK_DONE;
    }
    if (!meta_finish(job, &text)) {
        set_problem(job, CHECK_BAD_METADATA, sbuf_slice(&text));
        return CHECK_DONE;
    }
    int rc = canon_finish(&job->canon, job->options.sink, job->options.sink_ctx, job->result.md5);
    if (rc) {
        err_set(&job->problem, ERR_IO, "%s",
                rc < 0 ? "the canonical form could not be passed on" : strerror(rc));
        job->failed = CHECK_FAILED;
        return CHECK_FAILED;
    }
    job->result.size = size;
    job->result.final = true;
    return CHECK_DONE;
}

/* Makes ready for the same bytes once more; only the canonical form is made from them. */
static enum check_status ask_again(struct check_job *job)
{
    json_tok_release(&job->tok);
    start_reading(job);
    canon_restart(&job->canon);
    job->second = true;
    job->done = false;
    job->writing = true;
    job->depth = 0;
    job->keys.len = job->seen.len = 0;
    free_peak(job, job->key_peak);
    job->key_peak = NULL;
    job->key_cost = job->key_most = 0;
    sbuf_reset(&job->sort_problem);
    if (job->values)
        memset(job->values, 0, job->program->selection_count * sizeof(*job->values));
    sbuf_reset(&job->meta_text);
    return CHECK_AGAIN;
}

enum check_status check_end(struct check_job *job, const struct check_result **ret)
{
    enum check_status status = CHECK_DONE;
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (!job->done && !job->failed) {
        json_tok_feed(&job->tok, SLICE(""));
        json_tok_end(&job->tok);
        run(job);
    }
    if (job->failed)
        return job->failed;
    if (!job->ended) {
        if (job->outcome == CHECK_VALID && job->final && job->canon.stale)
            return ask_again(job);
        job->ended = true;
        give_ids(job);
        if (job->outcome == CHECK_TOO_MANY_IDS) {
            job->result.error_count = 0; /* upstream tells nothing but this */
            sbuf_addf(
                &text,
                " failed type checking - the number of unique IDs in the saved objects exceeds the maximum "
                "allowed, %llu",
                (unsigned long long)job->options.max_ids);
            set_problem(job, CHECK_TOO_MANY_IDS, sbuf_slice(&text));
        } else if (job->outcome == CHECK_VALID && job->final) {
            status = give_final(job);
        }
        job->result.outcome = job->outcome;
    }
    if (job->failed)
        return job->failed;
    *ret = &job->result;
    return status;
}

struct check_text check_problem(const struct check_job *job)
{
    return (struct check_text){ job->problem.text ? job->problem.text : "", job->problem.len };
}
