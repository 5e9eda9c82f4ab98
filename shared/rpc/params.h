/*
 * params: converting the parameters of a call to what its method declares, with upstream's (Jackson's)
 * coercions and texts.
 *
 * Every method has a table of struct param_spec; conversion gives one union param_value per row.  Everything
 * is allocated in the call's arena; texts may point into the body.  A JSON null is `given == false`, or a
 * NULL object. Pure functions, any thread.
 */
#ifndef SHARED_RPC_PARAMS_H
#define SHARED_RPC_PARAMS_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/json.h"

struct envelope;
struct method;

enum param_kind {
    PARAM_STRING,
    PARAM_INT,
    PARAM_STRING_LIST,
    PARAM_INT_MAP,
    PARAM_STRUCT,
    PARAM_ANY,
    PARAM_RAW
};

struct param_text {
    bool given;
    struct slice text;
};

struct param_int {
    bool given;
    int64_t value;
};

struct param_texts {
    bool given;
    size_t count;
    struct param_text *items;
};

struct param_int_entry {
    struct slice key;
    struct param_int value;
};

/* Distinct keys in the order of their first appearance. */
struct param_int_map {
    bool given;
    size_t count;
    struct param_int_entry *items;
};

/* The first member of every structure below. */
struct param_head {
    const struct param_struct *type;
    size_t unknown_count;
    struct slice *unknown; /* distinct keys that the type does not have */
};

struct register_typespec_params {
    struct param_head head;
    struct param_text spec, mod;
    struct param_texts new_types, remove_types;
    struct param_int_map dependencies;
    struct param_int dryrun, prev_ver;
};

struct register_typespec_copy_params {
    struct param_head head;
    struct param_text external_workspace_url, mod;
    struct param_int version;
};

struct list_modules_params {
    struct param_head head;
    struct param_text owner;
};

struct list_module_versions_params {
    struct param_head head;
    struct param_text mod, type;
};

struct get_module_info_params {
    struct param_head head;
    struct param_text mod;
    struct param_int ver;
};

struct grant_module_ownership_params {
    struct param_head head;
    struct param_text mod, new_owner;
    struct param_int with_grant_option;
};

struct remove_module_ownership_params {
    struct param_head head;
    struct param_text mod, old_owner;
};

struct list_all_types_params {
    struct param_head head;
    struct param_int with_empty_modules;
};

union param_value {
    struct param_text text;     /* PARAM_STRING */
    struct param_int integer;   /* PARAM_INT */
    struct param_texts texts;   /* PARAM_STRING_LIST */
    struct param_int_map map;   /* PARAM_INT_MAP */
    const void *object;         /* PARAM_STRUCT: a struct of above, NULL for null */
    const struct json_val *any; /* PARAM_ANY: never NULL */
    struct slice raw; /* PARAM_RAW, of a method with one parameter: its JSON text, of which no tree is made */
};

struct param_field {
    const char *name;
    enum param_kind kind; /* not STRUCT, not ANY */
    size_t offset;
};

struct param_struct {
    const char *name;       /* GetModuleInfoParams */
    const char *java_class; /* us.kbase.workspace.GetModuleInfoParams */
    size_t size;
    const struct param_field *fields;
    size_t field_count;
};

struct param_spec {
    enum param_kind kind;
    const struct param_struct *type; /* PARAM_STRUCT */
};

/*
 * The signatures that methods have: each at most one parameter.  METHOD_ROW() takes one of these names.
 */
#define PARAM_SIGNATURES(X) \
    X(NOTHING, 0) \
    X(STRING, 1) \
    X(STRING_LIST, 1) \
    X(ANY, 1) \
    X(RAW, 1) \
    X(REGISTER_TYPESPEC, 1) \
    X(REGISTER_TYPESPEC_COPY, 1) \
    X(LIST_MODULES, 1) \
    X(LIST_MODULE_VERSIONS, 1) \
    X(GET_MODULE_INFO, 1) \
    X(GRANT_MODULE_OWNERSHIP, 1) \
    X(REMOVE_MODULE_OWNERSHIP, 1) \
    X(LIST_ALL_TYPES, 1)

#define PARAM_DECLARE(name, n) \
    extern const struct param_spec param_spec_##name[1]; \
    enum { PARAM_COUNT_##name = (n) };
PARAM_SIGNATURES(PARAM_DECLARE)
#undef PARAM_DECLARE

/*
 * -ERR_PARAMS: `Wrong parameter count for method <m>`, `Wrong type of parameter <i> for method <m>
 * (<converter's text>)`; left to right, the first error counts.  params_has_trace() tells the two apart:
 * upstream sends no trace for the count.
 */
int params_convert(const struct envelope *env, const struct method *method, struct arena *arena,
                   const union param_value **ret_values, struct err *err) MUST_USE;
bool params_has_trace(const struct err *err);

/* -ERR_ARGUMENT `Unexpected arguments in <name>: <key> <key>`, keys in the order of a Java HashMap. */
int params_check_unexpected(const struct param_head *head, struct err *err) MUST_USE;

#endif
