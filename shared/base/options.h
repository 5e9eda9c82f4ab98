/*
 * options: the rows of options_list.h at run time: finding a key, setting its value, printing the table.
 *
 * Constant data and pure functions, any thread.
 */
#ifndef SHARED_BASE_OPTIONS_H
#define SHARED_BASE_OPTIONS_H

#include "shared/base/arena.h"
#include "shared/base/config.h"

enum option_kind {
    OPTION_TEXT,
    OPTION_PATH,
    OPTION_URL,
    OPTION_INT,
    OPTION_BYTES,
    OPTION_SECONDS,
    OPTION_BOOL,
    OPTION_CHOICE,
    OPTION_LIST,
};

enum option_modes { OPTION_MODE_TWS = 1, OPTION_MODE_DWS = 2, OPTION_MODE_BOTH = 3 };
enum option_flags { OPTION_FLAG_0 = 0, OPTION_FLAG_SECRET = 1 };

struct option {
    const char *key;
    enum option_kind kind;
    const char *dflt;
    double min, max;
    enum option_modes modes;
    enum option_flags flags;
    const char *doc;
    size_t offset; /* of the field in struct config */
};

enum {
#define OPTION(field, key, kind, dflt, min, max, modes, flags, doc) OPTION_AT_##field,
#define UPSTREAM(key, doc)
#include "shared/base/options_list.h"
#undef OPTION
#undef UPSTREAM
    OPTION_COUNT,
};

extern const struct option options[OPTION_COUNT];

/* NULL if there is none. */
const struct option *option_find(struct slice key);
/* True for a key of upstream's that does not concern types. */
bool option_is_upstream(struct slice key);
/* The known key that looks most like it, or NULL if none does. */
const char *option_nearest(struct slice key);

/*
 * Reads a value, not empty and without NUL, into its field; what it needs is in the arena.  -ERR_CONFIG with
 * a text that names key, value and what is allowed.
 */
int option_set(const struct option *option, struct slice text, struct arena *arena, struct config *config,
               struct err *err) MUST_USE;

/* Appends a text from a file so that it stays on one line: controls as \xNN, long ones cut. */
void option_put_shown(struct sbuf *out, struct slice text);

#endif
