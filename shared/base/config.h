/*
 * config: deploy.cfg as upstream's ini4j reads it (section [Workspace]), checked as a whole, every error
 * reported. A struct config is read-only once loaded and may be shared between threads.
 */
#ifndef SHARED_BASE_CONFIG_H
#define SHARED_BASE_CONFIG_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"

struct config_list {
    size_t count;
    char **items;
};

enum config_mode { CONFIG_AUTO, CONFIG_TWS, CONFIG_DWS };
enum { LOG_CHOICE_INFO, LOG_CHOICE_ERROR, LOG_CHOICE_DEBUG }; /* the values of log-level */

#define CONFIG_TYPE_TEXT const char *
#define CONFIG_TYPE_PATH const char *
#define CONFIG_TYPE_URL const char *
#define CONFIG_TYPE_INT int64_t
#define CONFIG_TYPE_BYTES int64_t
#define CONFIG_TYPE_SECONDS int64_t /* microseconds */
#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_CHOICE int64_t
#define CONFIG_TYPE_LIST struct config_list

struct config {
#define OPTION(field, key, kind, dflt, min, max, modes, flags, doc) CONFIG_TYPE_##kind field;
#define UPSTREAM(key, doc)
#include "shared/base/options_list.h"
#undef OPTION
#undef UPSTREAM
    enum config_mode role;     /* CONFIG_TWS or CONFIG_DWS, after loading */
    struct config_list unused; /* upstream keys in the file that do not concern us */
    char *path;
    struct config_private *priv;
};

/*
 * Reads and checks a file; path NULL means $KB_DEPLOYMENT_CONFIG.  Every error is appended to `problems`, one
 * a line, each naming the key (and the nearest known one for an unknown key).  Returns NULL if there was any.
 */
struct config *config_load(const char *path, struct sbuf *problems) MUST_USE;
/* The same with the text of the file; path is only for messages. */
struct config *config_parse(struct slice text, const char *path, struct sbuf *problems) MUST_USE;
void config_free(struct config *config);
/*
 * One `key=value` a line: upstream's report, which holds the keys that are given, in its order (without
 * mongodb-type-database on a DWS, and secrets not shown); then all other keys of ours that have a value,
 * defaults included.
 */
void config_report(const struct config *config, struct sbuf *out);
/* What deploy.cfg.example is, and the text of `wstyped config --explain`. */
void config_example(struct sbuf *out);
void config_explain(struct sbuf *out);
/* One key of it; false (and the nearest key in out) if there is none of that name. */
bool config_explain_key(const char *key, struct sbuf *out);

DEFINE_AUTO(struct config, config_free);

#endif
