/*
 * typename: names of modules, types and functions, and type ids: `Module.Type`, `-major`, `-major.minor`,
 * `-md5`. Rules and error texts are upstream's, Java's split() and parseInt() leniency included.  Pure
 * functions, any thread.
 */
#ifndef SHARED_BASE_TYPENAME_H
#define SHARED_BASE_TYPENAME_H

#include "shared/base/arena.h"
#include "shared/base/err.h"
#include "shared/base/sbuf.h"

struct semver {
    int major, minor;
};

static inline int semver_compare(struct semver a, struct semver b)
{
    return a.major != b.major ? (a.major < b.major ? -1 : 1) : (a.minor > b.minor) - (a.minor < b.minor);
}

/* "major.minor" of a stored record: plain decimal int parts. False if it is anything else. */
bool semver_parse(struct slice text, struct semver *ret_version);

enum type_id_form { TYPE_ID_NONE, TYPE_ID_MAJOR, TYPE_ID_FULL, TYPE_ID_MD5 };

struct type_id {
    struct slice module;
    struct slice name;
    enum type_id_form form;
    struct semver version; /* MAJOR: only major is meant */
    struct slice md5;      /* 32 lower-case hex digits */
};

/* Value of a decimal digit as Java's Character.digit() knows them in the BMP, or -1. */
int java_digit(uint32_t cp);
/* Java's Long.parseLong(): a sign, digits of any script, 64 bits. */
bool java_parse_long(struct slice text, int64_t *ret_value);

/*
 * what: "Module name", "Type name", "Function name" or so.  is_null: the text was a JSON null.
 * -ERR_ARGUMENT with `<what> cannot be null or the empty string`, `<what> size is > 255 bytes`,
 * `Illegal character in <what> <name>: <first bad unit>`.
 */
int name_check(struct slice name, bool is_null, const char *what, struct err *err) MUST_USE;

/* User names: 1..100 of [A-Za-z0-9_-]; -ERR_ARGUMENT with upstream's texts (`Username cannot be ...`). */
int username_check(struct slice name, bool is_null, struct err *err) MUST_USE;

/* The slices of *ret_id point into text. -ERR_ARGUMENT with upstream's texts. */
int type_id_parse(struct slice text, bool is_null, struct type_id *ret_id, struct err *err) MUST_USE;

/* The normalised form that error texts quote. */
void type_id_put(struct sbuf *sb, const struct type_id *id);

#endif
