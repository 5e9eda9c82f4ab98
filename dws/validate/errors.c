#include "dws/validate/job.h"

void job_put_location(const struct check_job *job, size_t depth, struct sbuf *out)
{
    for (size_t i = 0; i < depth; i++) {
        const struct frame *f = &job->frames[i];
        sbuf_addc(out, '/');
        if (f->is_object)
            sbuf_add_slice(out, job_key(job, f));
        else
            sbuf_addf(out, "%llu", (unsigned long long)(f->count - 1));
    }
}

void job_put_sort_step(const struct check_job *job, const struct frame *f, struct sbuf *out)
{
    const char *key = job->keys.p + f->canon_at;

    sbuf_addc(out, '/');
    if (!f->is_object)
        sbuf_addf(out, "%llu", (unsigned long long)(f->count - 1));
    for (size_t k = 0; f->is_object && k < f->canon_n; k++) {
        if (key[k] == '/')
            sbuf_addc(out, '\\');
        sbuf_addc(out, key[k]);
    }
}

void job_put_sort_path(const struct check_job *job, size_t depth, struct sbuf *out)
{
    if (!depth)
        sbuf_addc(out, '/');
    for (size_t i = 0; i < depth; i++)
        job_put_sort_step(job, &job->frames[i], out);
}

static const struct check_step *make_path(struct check_job *job, size_t depth)
{
    struct check_step *path = arena_alloc(&job->arena, (depth + 1) * sizeof(*path));

    for (size_t i = 0; i < depth; i++) {
        const struct frame *f = &job->frames[i];
        path[i] = (struct check_step){ .index = 0 };
        if (f->is_object)
            path[i].key = text_of(arena_slice(&job->arena, job_key(job, f)));
        else
            path[i].index = f->count - 1;
    }
    return path;
}

void job_error(struct check_job *job, const char *code, bool fatal, size_t depth, const struct sbuf *message,
               const char *at)
{
    AUTO_SBUF(location, SBUF_NO_LIMIT);
    AUTO_SBUF(text, SBUF_NO_LIMIT);

    if (job->stopped || job->second)
        return;
    job->writing = false;
    job_put_location(job, depth, &location);
    sbuf_add_slice(&text, sbuf_slice(message));
    if (at) {
        sbuf_adds(&text, at);
        sbuf_add_slice(&text, sbuf_slice(&location));
    }
    if (!job->errors)
        job->errors = arena_alloc(&job->arena, MAX_ERRORS * sizeof(*job->errors));
    job->errors[job->result.error_count++] = (struct check_error){
        .code = code,
        .fatal = fatal,
        .message = text_of(arena_slice(&job->arena, sbuf_slice(&text))),
        .location = text_of(arena_slice(&job->arena, sbuf_slice(&location))),
        .path = make_path(job, depth),
        .path_count = depth,
    };
    if (fatal || job->result.error_count == MAX_ERRORS)
        job->stopped = true;
    job->outcome = CHECK_INVALID;
}

void job_limit(struct check_job *job, const char *text)
{
    job->stopped = true;
    job->writing = false;
    err_set(&job->limit, ERR_LIMIT, "%s", text);
}
