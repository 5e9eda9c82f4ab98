/*
 * fsck: looks for damage in a type database, mends what can be mended without guessing.
 *
 * It works on the records themselves, not on a catalogue, which hides what is not committed.  Every repair is
 * one change set that expects the module as it was when it was looked at; a repair that makes others possible
 * or needless is followed by another look.
 *
 * Threads: one.  Findings last as long as the struct fsck.
 */
#ifndef TWS_FSCK_H
#define TWS_FSCK_H

#include "shared/base/err.h"
#include "tws/store/store.h"

struct fsck;

struct fsck_finding {
    struct fsck_finding *next;
    const char *kind;    /* a word, e.g. dangling_pointer */
    struct slice module; /* "" where there is none */
    const char *what;
    const char *advice; /* what a person can do if it is left; "" where nothing needs doing */
    bool mendable, mended;
    struct change_set *repair; /* of the look that found it; private */
};

/* The store is borrowed. */
struct fsck *fsck_new(struct store *store) MUST_USE;
void fsck_free(struct fsck *fsck);
DEFINE_AUTO(struct fsck, fsck_free);

/* Looks; fence, unless 0, is a lease's token, under which it mends too. */
int fsck_run(struct fsck *fsck, int64_t fence, struct err *err) MUST_USE;

/* What was mended, in that order, then what is left, by module. After fsck_run(). */
const struct fsck_finding *fsck_findings(const struct fsck *fsck);
size_t fsck_left(const struct fsck *fsck);
size_t fsck_mended(const struct fsck *fsck);
size_t fsck_modules(const struct fsck *fsck); /* looked at */

#endif
