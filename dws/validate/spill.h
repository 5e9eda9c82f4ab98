/*
 * spill: bytes that grow at the end, can be cut there and read anywhere; the newest part is in memory, what
 * is above a limit in an unlinked temporary file.  Offsets count from the first byte ever added.  The first
 * failure of the file stays in `failed` (an errno), after which bytes are lost; the owner looks at it once,
 * at the end.
 */
#ifndef DWS_VALIDATE_SPILL_H
#define DWS_VALIDATE_SPILL_H

#include "shared/base/base.h"

struct spill {
    char *p; /* bytes from `base` on */
    size_t n, cap;
    uint64_t base;
    size_t memory;      /* most bytes of p */
    const char *folder; /* for the file */
    int fd;             /* -1: none yet */
    int failed;
    size_t mark; /* a place in p, not above cap, up to which room is given without a look */
    /* Optional. Called now and then while the text grows, and then before bytes move or leave the memory. */
    void (*grown)(void *ctx);
    /* Called before bytes move in memory or leave it; true: if they leave, nobody needs them any more. */
    bool (*moving)(void *ctx);
    void *ctx;
};

void spill_init(struct spill *s, size_t memory, const char *folder);
void spill_release(struct spill *s);
/* Makes room in memory; only for n below SPILL_ROOM. */
enum { SPILL_ROOM = 65536 };
void spill_make_room(struct spill *s, size_t n);
void spill_add(struct spill *s, const char *bytes, size_t n);
void spill_cut(struct spill *s, uint64_t end);
/* Bytes from an offset on, at least one, at most n; borrowed until the next call, or in buf. */
struct slice spill_view(struct spill *s, uint64_t offset, size_t n, char *buf, size_t buf_size);
/* Copies n bytes. */
void spill_read(struct spill *s, uint64_t offset, char *to, size_t n);

/* Where n bytes (below SPILL_ROOM) can be written; then s->n += what was written. */
static inline char *spill_room(struct spill *s, size_t n)
{
    if (s->mark - s->n < n)
        spill_make_room(s, n);
    return s->p + s->n;
}

static inline void spill_addc(struct spill *s, char c)
{
    *spill_room(s, 1) = c;
    s->n++;
}

static inline uint64_t spill_end(const struct spill *s)
{
    return s->base + s->n;
}

#endif
