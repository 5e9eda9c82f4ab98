/*
 * fsck_inner: what the files of fsck share; nobody else includes it.
 *
 * One look at the database: all records, by module, in an arena that goes with the look.
 */
#ifndef TWS_FSCK_INNER_H
#define TWS_FSCK_INNER_H

#include "shared/base/uth.h"
#include "tws/fsck.h"

enum fsck_table { TABLE_SCHEMA, TABLE_TYPE_PARSE, TABLE_FUNC_PARSE };

struct fsck_row {
    enum fsck_table table;
    struct slice name;
    struct semver version;
    int64_t module_version;
};

struct fsck_edge {
    bool is_func; /* the using side is a function */
    struct rec_edge rec;
};

struct fsck_info {
    struct rec_info rec;
    bool has_spec;
};

/* A type or function version that a committed version of the module names. */
struct fsck_named {
    bool is_func;
    struct slice name;
    struct semver version;
};

#define FSCK_LIST(type) \
    struct { \
        size_t count, cap; \
        type *items; \
    }

struct fsck_module {
    UT_hash_handle hh;
    struct slice name;
    bool has_pointers;
    bool unreadable; /* some record is, so nothing that is missing is known to be missing, and nothing is
                        mended */
    bool kept;       /* what looks like leftovers may be all there is: nothing of it is touched */
    struct rec_pointers pointers;
    int64_t last, released;            /* what the pointers should be */
    FSCK_LIST(struct fsck_info) infos; /* by version */
    FSCK_LIST(int64_t) specs;
    FSCK_LIST(struct fsck_row) rows;   /* by type or function, name, version, table */
    FSCK_LIST(struct fsck_edge) edges; /* as compare_edges() says */
    FSCK_LIST(struct rec_owner) owners;
    FSCK_LIST(struct rec_owner) requests;
    FSCK_LIST(struct fsck_named) named; /* sorted, each once */
};

struct fsck {
    struct store *store;
    struct arena arena; /* of findings */
    struct arena look;  /* of one look, with all lists */
    struct fsck_module *modules;
    struct fsck_finding *found, **found_end;   /* by this look */
    struct fsck_finding *mended, **mended_end; /* by all */
    size_t module_count;
};

/* Room for one more at the end of a list, zeroed. */
void *fsck_grow(struct arena *arena, void **items, size_t *count, size_t *cap, size_t size) MUST_USE;
#define FSCK_ADD(fsck, list) \
    ((__typeof__((list).items))fsck_grow(&(fsck)->look, (void **)&(list).items, &(list).count, &(list).cap, \
                                         sizeof(*(list).items)))

struct fsck_module *fsck_find(const struct fsck *fsck, struct slice name);
const struct fsck_info *fsck_find_info(const struct fsck_module *m, int64_t version);
/* Whether a version that counts holds it, or wrote its rows. */
bool fsck_is_committed(const struct fsck_module *m, bool is_func, struct slice name, struct semver version);
/* Whether the module version counts: there is its info, and it is not above the newest. */
bool fsck_version_counts(const struct fsck_module *m, int64_t version);
/* Complete, but not counting: neither mended nor in the way. */
bool fsck_is_stray(const struct fsck_module *m, int64_t version);
/* Order by all but the module version that made them; that last. */
int fsck_compare_edges(const void *a, const void *b);
bool fsck_same_edge(const struct fsck_edge *a, const struct fsck_edge *b);

/*
 * Reports.  The text may be freed afterwards.  fsck_mend() makes the set that mends what was just reported,
 * unless the module must not be touched (NULL then).
 */
struct fsck_finding *fsck_report(struct fsck *fsck, const struct fsck_module *m, const char *kind,
                                 const char *advice, const char *fmt, ...) PRINTF(5, 6);
struct change_set *fsck_mend(struct fsck *fsck, const struct fsck_module *m, struct fsck_finding *finding);

/* The first works out what counts, so it has to be done for all modules before the second. */
void fsck_check_module(struct fsck *fsck, struct fsck_module *m);
int fsck_check_references(struct fsck *fsck, struct fsck_module *m, struct err *err) MUST_USE;

#endif
