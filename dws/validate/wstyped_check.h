/*
 * wstyped_check: checks objects against workspace types and computes what a workspace needs before it saves
 * them: errors in upstream's words, ids, metadata, size and MD5 of the canonical form.  The only header of
 * libwstyped-check.a; it needs nothing else of the project.
 *
 * A program is a JSON Schema made by the type compiler, in a compact read-only form; it may be shared between
 * threads. A job checks one object: the bytes are pushed in, in pieces of any size, and go through once.  No
 * tree of the object is built.  Besides about 1 MB, memory is what check_options.memory allows twice
 * (canonical text that may have to be sorted), the keys of the maps that are open while an unsorted object is
 * read (at most 200,000,000 bytes as upstream counts them), and the ids found with their locations
 * (max_id_bytes).  A job belongs to one thread at a time.
 *
 * Texts are UTF-8 with a length, may contain NUL, and keep lone surrogates in their three-byte form.  They
 * are borrowed from the program or the job they came from.  Sizes are bytes.  Memory running out ends the
 * process.
 */
#ifndef DWS_VALIDATE_WSTYPED_CHECK_H
#define DWS_VALIDATE_WSTYPED_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_text {
    const char *p;
    size_t n;
};

/* ---- Programs ---- */

struct check_program;

/*
 * Compiles a schema; the caller holds the one reference.  NULL if it cannot be used; *ret_problem is then
 * upstream's text, for the caller to free().
 */
struct check_program *check_program_new(struct check_text schema, char **ret_problem);
struct check_program *check_program_ref(struct check_program *program);
void check_program_unref(struct check_program *program);
/* Memory that the program holds. */
size_t check_program_bytes(const struct check_program *program);
/* The id types that the schema names, each once. */
size_t check_program_id_type_count(const struct check_program *program);
struct check_text check_program_id_type(const struct check_program *program, size_t i);

/* ---- Jobs ---- */

/* What the objects of one call have in common; start with zeros. */
struct check_counter {
    uint64_t unique_ids;
    uint64_t bytes; /* canonical size of those that are valid, or were until they had to be sorted */
};

/* Upstream has more memory for keys if the objects of a call have more bytes than this together. */
enum { CHECK_MUCH = 100000000 };

/* Zeros mean the defaults. All that is pointed to must live as long as the job. */
struct check_options {
    /* Id types that the workspace handles; ids of others are only checked to be strings. */
    const struct check_text *id_types;
    size_t id_type_count;
    /* Handled types whose service is missing: each such id is an error. */
    const struct check_text *unavailable_id_types;
    size_t unavailable_id_type_count;
    /*
     * The resolved text of an id, for the canonical form; false: the id stays as it is.  Without this
     * function an object that holds `ws` ids has no final results.
     */
    bool (*map_id)(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped);
    void *map_ctx;
    /* Gets the canonical form, piece by piece, in check_end(), if the object is valid; not 0 means it failed.
     */
    int (*sink)(void *ctx, const char *bytes, size_t n);
    void *sink_ctx;
    struct check_counter *counter; /* NULL: the object is alone in its call */
    uint64_t max_ids;              /* unique ids of a call; default 100,000 */
    uint64_t max_object_size;      /* of the canonical form; default 1,000,000,000 */
    uint64_t max_metadata;         /* default 16,000 */
    uint64_t max_metadata_pair;    /* default 900 */
    size_t max_depth;              /* default 5,000 */
    size_t max_text;               /* of one key, id or number; default 16 MiB */
    size_t max_path;               /* of all keys from the root to one value; default 64 MiB */
    size_t max_id_bytes;           /* of all ids and their locations; default 512 MiB */
    size_t memory;                 /* canonical text kept in memory before temp_dir is used; default 32 MiB */
    const char *temp_dir;          /* default /tmp */
    bool only_check;               /* no size, MD5 and metadata are wanted */
    bool no_threads;               /* never hash large objects on a second thread */
    bool repeatable;               /* the caller can feed the object again if check_end() asks for that */
    bool much;                     /* the objects of the call have more than CHECK_MUCH bytes together */
    uint64_t line, column;         /* where the object begins, for JSON errors; default 1, 1 */
};

enum check_status {
    CHECK_MORE,   /* go on */
    CHECK_DONE,   /* the value is complete (bytes behind it were not used) */
    CHECK_AGAIN,  /* only from check_end(): feed the same bytes again from the start, then check_end() */
    CHECK_JSON,   /* the bytes are no JSON, or pass a limit: check_problem(); ends the job */
    CHECK_FAILED, /* a temporary file or the sink failed: check_problem(); ends the job */
};

struct check_job;

struct check_job *check_begin(struct check_program *program, const struct check_options *options);
/* *ret_used tells how many bytes belonged to the object. */
enum check_status check_feed(struct check_job *job, const char *bytes, size_t n, size_t *ret_used);

enum check_outcome {
    CHECK_VALID,
    CHECK_INVALID,      /* errors says why */
    CHECK_TOO_MANY_IDS, /* the rest is in problem */
    CHECK_TOO_BIG,
    CHECK_UNSORTABLE, /* keys that are equal, or too many */
    CHECK_BAD_METADATA,
};

/* One step of a path: a key, or an index if key.p is NULL. */
struct check_step {
    struct check_text key;
    uint64_t index;
};

struct check_error {
    const char *code; /* "V1" ... "V13" */
    bool fatal;       /* checking could not go on behind it */
    struct check_text message, location;
    const struct check_step *path;
    size_t path_count;
};

struct check_id {
    struct check_text type, id, location; /* its first place: a key comes before its value */
    const struct check_text *attributes;
    size_t attribute_count;
};

struct check_pair {
    struct check_text name, value;
};

struct check_result {
    enum check_outcome outcome;
    struct check_text
        problem; /* for outcomes but VALID and INVALID: upstream's text behind the object's name */
    const struct check_error *errors;
    size_t error_count;
    const struct check_id *ids; /* distinct (type, text, attributes) in the order they were first seen */
    size_t id_count;
    uint64_t unique_ids; /* distinct (type, text) of this object */
    bool tight;          /* UNSORTABLE: it may be otherwise if the call turns out to have `much` */
    bool final;          /* size, md5 and metadata are given */
    uint64_t size;
    char md5[33];
    const struct check_pair *metadata;
    size_t metadata_count;
};

/*
 * After CHECK_DONE, or at the end of the bytes, which is CHECK_JSON if the object is not complete.
 * CHECK_DONE: *ret is borrowed from the job.
 */
enum check_status check_end(struct check_job *job, const struct check_result **ret);
/* The text of CHECK_JSON and CHECK_FAILED. */
struct check_text check_problem(const struct check_job *job);
void check_free(struct check_job *job);

/* ---- Texts, each for the caller to free(); *ret_n is the length ---- */

/* What upstream tells its client; name is like "Object #1, foo". NULL if the object is valid. */
char *check_message(const struct check_result *result, struct check_text name, size_t *ret_n);
/*
 * The object's entry in the answer of validate_objects without its braces and without "data":
 * "type":...,"valid":...,"errors":...,"ids":...,"metadata":...,"size":...,"md5":...,"final":...
 */
char *check_json(const struct check_result *result, struct check_text absolute_type, size_t *ret_n);

#endif
