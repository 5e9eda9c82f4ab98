#include "dws/validate/job.h"

/* Java makes one question mark of a lone surrogate, where it has three bytes here. */
static uint64_t java_bytes(struct slice text, uint64_t bytes)
{
    for (size_t i = 0; i + 1 < text.n; i++)
        if (text.p[i] == '\xed' && (unsigned char)text.p[i + 1] >= 0xa0)
            bytes -= 2;
    return bytes;
}

static void set_value(struct check_job *job, const struct selection *s, struct slice text, uint64_t full)
{
    size_t most = (size_t)job->options.max_metadata + 1;
    struct meta_value *value = &job->values[s->index];

    if (text.n > most)
        text.n = most; /* it will be refused */
    *value = (struct meta_value){
        .set = true, .at = job->meta_text.len, .n = text.n, .full = java_bytes(text, full)
    };
    sbuf_add_slice(&job->meta_text, text);
}

void meta_text_value(struct check_job *job, const struct selection *selections, struct slice text,
                     uint64_t full, bool is_null)
{
    /* a key that comes twice is refused later, so its values need not be kept */
    for (const struct selection *s = selections; s; s = s->next)
        if (!s->length && !job->values[s->index].set)
            set_value(job, s, text, full);
        else if (is_null && s->length && !job->values[s->index].set)
            set_value(job, s, SLICE("NaN"), 3);
}

void meta_count_value(struct check_job *job, const struct selection *selections, uint64_t count)
{
    char text[24];

    for (const struct selection *s = selections; s; s = s->next)
        if (s->length && !job->values[s->index].set) {
            int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count);
            set_value(job, s, slice_of(text, (size_t)n), (uint64_t)n);
        }
}

/* What the pairs take up as upstream reckons, or the first one that is too large. */
struct tally {
    uint64_t size;
    struct slice too_large;
    bool has_too_large;
    struct check_pair *pairs;
    size_t count;
};

static void tally_selections(struct check_job *job, const struct meta_node *node, struct tally *t)
{
    enum { QUOTES_AND_COLON = 5 };

    for (const struct selection *s = node->selections; s; s = s->next) {
        const struct meta_value *v = &job->values[s->index];
        if (!v->set)
            continue;
        t->size += s->name.n + v->full + QUOTES_AND_COLON;
        t->count++;
        if (s->name.n + v->full > job->options.max_metadata_pair && !t->has_too_large) {
            t->has_too_large = true;
            t->too_large = s->name;
        }
        t->pairs[s->index] = (struct check_pair){
            { s->name.p, s->name.n },
            { job->meta_text.p ? job->meta_text.p + v->at : "", v->n },
        };
    }
}

/* The tree is as deep as a path in a schema is long, which the schema's own size bounds; hence a walk without
 * a stack. */
static void tally_nodes(struct check_job *job, struct tally *t)
{
    size_t count = 0, cap = 16;
    const struct meta_node **left = xmalloc(cap * sizeof(const struct meta_node *));

    left[count++] = &job->program->meta;
    while (count) {
        const struct meta_node *node = left[--count];
        tally_selections(job, node, t);
        for (const struct meta_node *child = node->child; child; child = child->next) {
            if (count == cap) {
                cap *= 2;
                left = xrealloc(left, cap * sizeof(const struct meta_node *));
            }
            left[count++] = child;
        }
    }
    free(left);
}

bool meta_finish(struct check_job *job, struct sbuf *ret_problem)
{
    size_t most = job->program->selection_count;
    struct tally t = { .size = 2 };

    if (most) {
        t.pairs = arena_zalloc(&job->arena, most * sizeof(*t.pairs));
        tally_nodes(job, &t);
    }
    t.size += t.count ? t.count - 1 : 0;
    if (t.size > job->options.max_metadata) {
        sbuf_addf(ret_problem, ": Extracted metadata from object exceeds limit of %lluB",
                  (unsigned long long)job->options.max_metadata);
        return false;
    }
    if (t.has_too_large) {
        sbuf_addf(ret_problem, ": Total size of metadata key + value exceeds maximum of %lluB for key ",
                  (unsigned long long)job->options.max_metadata_pair);
        sbuf_add_slice(ret_problem, t.too_large);
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < most; i++)
        if (job->values[i].set)
            t.pairs[kept++] = t.pairs[i];
    job->result.metadata = t.pairs;
    job->result.metadata_count = kept;
    return true;
}
