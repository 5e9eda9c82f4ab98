/*
 * canon: writes the canonical form of one object (compact, keys in the order of their UTF-16 units) and its
 * MD5 while the object goes by.
 *
 * What comes in is appended to a log.  As long as keys come in order the log is the canonical form and is
 * hashed as it grows.  An object whose keys are not in order is put in order when it ends: a small one where
 * it stands; a larger one is moved, sorted, to the heap, and a reference stays in the log (a byte that cannot
 * occur in canonical text, offset and length in the heap).  So every byte is moved once, however deep objects
 * are nested, and only the keys of objects that are open are in memory.  At the end the references are
 * followed.
 *
 * What already stands in the input as the canonical form has it is not taken token by token: it becomes a
 * run, which grows while nothing but canonical text goes by and goes into the log as one piece.
 *
 * With `repeatable`, bytes that were hashed are dropped instead of being written to a file; a key that is out
 * of order after that makes the writer `stale`: the object has to come a second time.
 */
#ifndef DWS_VALIDATE_CANON_H
#define DWS_VALIDATE_CANON_H

#include "dws/validate/spill.h"
#include "shared/base/digest.h"
#include "shared/base/sbuf.h"

struct canon_level;
struct canon_entry;
struct hasher;

struct canon_options {
    size_t memory;
    const char *temp_dir;
    bool keep; /* a sink will want the text */
    bool repeatable;
    bool threads;
};

struct canon {
    struct spill log, heap;
    struct canon_options options;
    struct hasher *hasher;
    uint64_t hashed; /* bytes of the log */
    bool unsorted, dropped, stale;
    bool sizing;    /* only the size is of interest */
    uint64_t moved; /* bytes that are in the heap instead of the log, less the references */
    struct canon_level *levels;
    size_t depth, level_cap;
    struct canon_entry *entries;
    size_t entry_count, entry_cap;
    struct sbuf keys; /* of the entries */
    struct sbuf scratch;
    /* the input that is at hand, and the run in it: text that belongs behind the log */
    const char *input;
    size_t run, run_end;
};

void canon_init(struct canon *c, const struct canon_options *options);
void canon_release(struct canon *c);
/* Starts anew, for the second time; nothing is dropped then. */
void canon_restart(struct canon *c);

/* The next bytes of the input, borrowed until canon_input_end(); what is written is in them or was cut. */
void canon_input(struct canon *c, const char *bytes);
/* complete: the object ended in them, and its digest will be wanted */
void canon_input_end(struct canon *c, bool complete);

/*
 * Where a token stands: `lead` is the comma or colon in front of it, or 0; `used` is where it ends in the
 * input that is at hand.
 */
struct canon_place {
    char lead;
    size_t used;
};

void canon_open(struct canon *c, struct canon_place place, char bracket);
/* The end of an array. */
void canon_close_array(struct canon *c, size_t used);
/* The end of an object; true if two keys are equal, *ret_key is the first such one, borrowed until the next
 * call. */
bool canon_close_object(struct canon *c, size_t used, struct slice *ret_key);
/* in_order: it is behind the key before it, or the first one. Finds the lead itself. */
void canon_key(struct canon *c, struct slice key, bool plain, bool in_order, size_t used);
void canon_int(struct canon *c, struct canon_place place, struct slice number);
/* Also gives the text (without quotes), borrowed until the next call. */
struct slice canon_float(struct canon *c, struct canon_place place, struct slice number);
void canon_word(struct canon *c, struct canon_place place, struct slice word);
/*
 * A string, or a part of one, with the quotes that belong to it.  plain: the text is the canonical one, and
 * stands in the input that is at hand.
 */
void canon_string(struct canon *c, struct canon_place place, bool opens, struct slice text, bool plain,
                  bool closes);

/* From here on only the size is right: the keys take up too much memory. */
void canon_stop_sorting(struct canon *c);

/* Bytes of the canonical form so far. */
uint64_t canon_size(const struct canon *c);
/*
 * The MD5, and all text to the sink (may be NULL). 0, an errno of the temporary files, or -1 if the sink
 * failed. Not for a stale writer, nor for one that stopped sorting.
 */
int canon_finish(struct canon *c, int (*sink)(void *ctx, const char *bytes, size_t n), void *ctx,
                 char ret_md5[MD5_HEX + 1]);

#endif
