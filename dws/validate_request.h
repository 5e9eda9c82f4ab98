/*
 * validate_request: the parameter of TypeService.validate_objects, read where it stands: nothing is made of
 * the objects' data but where it begins and ends.
 *
 * The body must outlive the request, whose other memory is its own.  One thread at a time.
 */
#ifndef DWS_VALIDATE_REQUEST_H
#define DWS_VALIDATE_REQUEST_H

#include "dws/validate/wstyped_check.h"
#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"

enum {
    REQUEST_MAX_OBJECTS = 1000000,
    REQUEST_MAX_TYPES = 1000, /* different ones */
};

struct request_object {
    struct slice data;
    struct slice id;              /* name or number, as it was given */
    struct slice provenance_refs; /* JSON text, or empty */
    size_t type;                  /* index into types */
};

/* Why an object cannot be looked at: what upstream finds before it checks types. */
struct request_problem {
    size_t number; /* of the object, from 1 */
    struct sbuf text;
};

struct id_map;

struct validate_request {
    size_t count;
    struct request_object *objects; /* up to the first problem */
    size_t type_count;
    struct slice *types; /* as they were given */
    bool has_problem;
    struct request_problem problem;

    size_t id_type_count, unavailable_count;
    struct check_text *id_types, *unavailable;
    uint64_t max_ids, max_object_size; /* 0: default */
    struct id_map *id_map;             /* NULL: not given */
    bool return_data;

    struct arena arena;
    size_t object_cap, type_cap;
    struct type_entry *type_table;
};

/*
 * -ERR_PARAMS with the bare text of what is wrong with the parameter's form, -ERR_ARGUMENT for keys that do
 * not belong, -ERR_LIMIT.  What is wrong with an object is no error, see has_problem.  In any case to be
 * released.
 */
int validate_request_read(struct validate_request *request, struct slice param, struct err *err) MUST_USE;
void validate_request_release(struct validate_request *request);

/* `Object #N, ID` */
void validate_request_put_name(const struct validate_request *request, size_t index, struct sbuf *out);
/* Different texts in the object's provenance_refs. */
int validate_request_count_refs(const struct request_object *object, size_t *ret_count, struct err *err)
    MUST_USE;
/* Fits struct check_options; ctx is the id_map. */
bool id_map_find(void *ctx, struct check_text type, struct check_text id, struct check_text *ret_mapped);

static inline struct check_text check_text_of(struct slice s)
{
    return (struct check_text){ s.p, s.n };
}

#endif
