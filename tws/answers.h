/*
 * answers: the JSON of what the reading methods return, made from one snapshot of the catalogue and the
 * cached texts.
 *
 * Who sees what: an owner of the module everything; others (user NULL: anonymous) what a released module
 * version holds. Members stand in upstream's order.  Lists that upstream leaves to hashing are sorted by
 * name, then by numeric version.
 *
 * All functions append to `out`; on failure it holds a part of the answer.  They return -ERR_AGAIN when a
 * text has to be read from the store and may_block is false.  Any thread.
 */
#ifndef TWS_ANSWERS_H
#define TWS_ANSWERS_H

#include "tws/registry/registry.h"
#include "tws/texts.h"

/* What an answer is made from; all borrowed. */
struct answers {
    const struct catalogue *cat;
    struct texts *texts;
    const char *user; /* NULL: anonymous */
    bool may_block;
    struct arena *arena; /* for what is needed until the answer is complete */
};

void answer_put_int(struct sbuf *out, int64_t value);
/* `"Module.Name-major.minor"` */
void answer_put_id(struct sbuf *out, struct slice module, struct slice name, struct semver version);

/* The schema as a JSON string. */
int answer_schema(const struct answers *a, const struct resolved_type *type, struct sbuf *out,
                  struct err *err) MUST_USE;
int answer_module_info(const struct answers *a, const struct cat_module *module,
                       const struct cat_version *version, struct sbuf *out, struct err *err) MUST_USE;
/* -ERR_NO_TYPE `Unable to locate type: <id>` if no module version holds that version of the type as a
 * supported one. */
int answer_type_info(const struct answers *a, const struct resolved_type *type, struct sbuf *out,
                     struct err *err) MUST_USE;
int answer_func_info(const struct answers *a, const struct resolved_type *func, struct sbuf *out,
                     struct err *err) MUST_USE;
/* Supported types, or all functions, of a module version. */
int answer_all_types(const struct answers *a, const struct cat_module *module,
                     const struct cat_version *version, struct sbuf *out, struct err *err) MUST_USE;
int answer_all_funcs(const struct answers *a, const struct cat_module *module,
                     const struct cat_version *version, struct sbuf *out, struct err *err) MUST_USE;

/* Names of supported modules; of those that `owner` owns if it is not NULL. */
void answer_module_names(const struct answers *a, const struct slice *owner, struct sbuf *out);
/* ModuleVersions of a module. */
void answer_versions(const struct answers *a, const struct cat_module *module, struct sbuf *out);
/* ModuleVersions with a type. absolute: the caller named the exact version. */
void answer_versions_of_type(const struct answers *a, const struct resolved_type *type, bool absolute,
                             struct sbuf *out);
/* module -> type -> version of what is released. */
void answer_released_types(const struct answers *a, bool with_empty, struct sbuf *out);
/* The versions of a type whose schema has that MD5, as a list of ids. */
void answer_md5_versions(const struct cat_module *module, const struct type_id *id, struct sbuf *out);

#endif
