/*
 * job: the inside of a check, shared by the checker's files.  Nothing outside dws/validate includes this.
 */
#ifndef DWS_VALIDATE_JOB_H
#define DWS_VALIDATE_JOB_H

#include "dws/validate/canon.h"
#include "dws/validate/program.h"
#include "shared/base/json_tok.h"

enum { MAX_ERRORS = 10 };

/* A container on the way to the map with the most keys, and how its own place is written in a message. */
struct key_peak {
    uint64_t cost;
    struct key_peak *next; /* in it */
    size_t n;
    char step[];
};

/* An open container. */
struct frame {
    bool is_object;
    uint32_t node;     /* 0: nothing is checked below */
    uint32_t child;    /* of an object: node of the value that follows */
    uint32_t guess;    /* which property may come next */
    uint32_t required; /* keys seen that are required, repeated ones counted again */
    size_t seen;       /* where the bits of those begin in `seen` */
    uint64_t count;    /* elements or members so far */
    /* the newest key, and the same as it stands in the canonical form; in `keys` */
    size_t key_at, key_n, canon_at, canon_n;
    size_t ids;            /* found when the newest key was read */
    uint64_t key_cost;     /* what upstream thinks the keys take up */
    uint64_t below;        /* the most that those of a map in it and of the maps between do */
    struct key_peak *peak; /* the way to that map, if it is worth naming */
    const struct meta_node *meta, *child_meta;
};

/* What becomes of ids of a type. */
enum id_handling { ID_IGNORED, ID_HANDLED, ID_UNAVAILABLE };

struct found_id {
    uint32_t ref;     /* index of the id reference */
    uint32_t variant; /* of the same type and text with other attributes, plus one */
    bool first;       /* of its type and text */
    uint64_t hash;
    struct slice text, location;
};

/* A metadata value. */
struct meta_value {
    bool set;
    size_t at, n;  /* in meta_text; cut if it is much too long */
    uint64_t full; /* its bytes */
};

/* The string that is being read. */
struct string_state {
    bool active;
    bool opened;  /* its quote was written */
    bool keep;    /* its text is needed as a whole */
    bool writing; /* its parts go straight into the canonical form */
    char lead;    /* of it in the canonical form */
    uint32_t id_ref;
    const struct selection *selections;
    uint64_t units, bytes;
    size_t keep_limit;
};

struct check_job {
    struct check_program *program;
    struct check_options options;
    struct check_counter own_counter, *counter;
    struct json_tok tok;
    struct canon canon;
    bool writing; /* the canonical form is still of use */
    bool final;   /* can be had in this job */
    bool stopped; /* only the end of the value is looked for */
    bool second;  /* time that the object comes by */
    bool done, ended;
    enum check_outcome outcome;

    struct frame *frames;
    size_t depth, frame_cap;
    struct sbuf keys;
    struct sbuf seen;
    struct string_state string;
    struct sbuf text;      /* of a string that is kept */
    struct sbuf unescaped; /* of a part of one */

    /* the value that is at hand */
    uint32_t node;
    const struct meta_node *meta;
    char lead; /* what stands in front of it: a comma, a colon or 0 */

    enum id_handling *handling; /* of the program's id types */
    struct found_id *ids;
    size_t id_count, id_cap;
    uint32_t *id_table;
    size_t id_mask;
    size_t id_bytes;
    uint64_t unique_ids;
    struct arena id_arena;

    struct meta_value *values; /* of the program's selections */
    struct sbuf meta_text;

    uint64_t key_cost; /* of the open containers */
    uint64_t key_most; /* of a map and those around it, once the object is complete */
    struct key_peak *key_peak;
    size_t peak_bytes; /* of all steps that are kept */
    struct sbuf sort_problem;

    struct arena arena; /* what is as large as the program says, errors and results */
    struct check_error *errors;
    struct err problem;
    struct err limit;         /* that was passed; what is wrong with the JSON behind it comes first */
    enum check_status failed; /* CHECK_JSON or CHECK_FAILED, for good */
    struct check_result result;
};

static inline struct frame *job_top(struct check_job *job)
{
    return job->depth ? &job->frames[job->depth - 1] : NULL;
}

static inline struct slice job_key(const struct check_job *job, const struct frame *f)
{
    return slice_of(job->keys.p + f->key_at, f->key_n);
}

static inline struct check_text text_of(struct slice s)
{
    return (struct check_text){ s.p, s.n };
}

/* `/key/0` of the first `depth` frames. */
void job_put_location(const struct check_job *job, size_t depth, struct sbuf *out);
/* The same as the sorter writes it: keys of the canonical form, `/` in them as `\/`, the root as `/`. */
void job_put_sort_path(const struct check_job *job, size_t depth, struct sbuf *out);
/* One step of it: the value of a frame that is being read. */
void job_put_sort_step(const struct check_job *job, const struct frame *f, struct sbuf *out);

/*
 * Records an error at the value of the first `depth` frames; ` at LOCATION` is appended to the message, but
 * for NULL `at`, which stands between.  The tenth one and fatal ones stop the checking.
 */
void job_error(struct check_job *job, const char *code, bool fatal, size_t depth, const struct sbuf *message,
               const char *at);
/* A limit was passed: CHECK_JSON when the value is complete. */
void job_limit(struct check_job *job, const char *text);

/* An id was found: as a value, or as the newest key of an object, after all that is below it. */
void job_found_id(struct check_job *job, uint32_t id_ref, struct slice text, const struct frame *key_of);
/* What stands for it in the canonical form. */
struct slice job_mapped(struct check_job *job, uint32_t id_ref, struct slice text);
bool job_handles(const struct check_job *job, uint32_t id_ref);

/* A number against its bounds. */
void job_check_bounds(struct check_job *job, const struct node *node, bool integer, struct slice number);

/* Selected values. count: elements of a container, or units of a string. */
void meta_text_value(struct check_job *job, const struct selection *selections, struct slice text,
                     uint64_t full, bool is_null);
void meta_count_value(struct check_job *job, const struct selection *selections, uint64_t count);
/* True if the metadata is fine; fills the result. */
bool meta_finish(struct check_job *job, struct sbuf *ret_problem);

#endif
