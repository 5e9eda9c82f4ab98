#include "dws/validate/canon.h"

#include "dws/validate/hasher.h"
#include "shared/base/double_text.h"
#include "shared/base/json.h"
#include "shared/base/utf.h"

enum {
    REFERENCE = 1,       /* the byte that begins one */
    REFERENCE_SIZE = 17, /* with offset and length in the heap */
    SMALL = 4096,        /* objects up to this are put in order where they stand */
    PART = 4096,
    WINDOW = 65536,
    DROPPED = 2 << 20, /* so much is kept of text that may be dropped: what the caches hold */
};

static const size_t NO_RUN = SIZE_MAX / 2;

/* An open object. */
struct canon_level {
    uint64_t start; /* of its bracket in the log */
    bool any, sorting;
    size_t first_entry, first_key;
};

/* A key and its value in an object that is being sorted. */
struct canon_entry {
    uint64_t at, end;  /* in the log, from the key's quote on */
    size_t key, key_n; /* the unescaped key in `keys` */
    uint64_t prefix;   /* its first bytes, the first one uppermost */
};

/* A stretch of the log or the heap that is being followed. */
struct stretch {
    struct spill *from;
    uint64_t at, end;
};

/* Made when it is first needed, because it costs as much as checking a small object. */
static struct hasher *hasher_of(struct canon *c)
{
    if (!c->hasher)
        c->hasher = hasher_new(c->options.threads);
    return c->hasher;
}

static void hash_pending(void *ctx)
{
    struct canon *c = ctx;
    uint64_t end = spill_end(&c->log);

    if (c->unsorted || c->stale || end == c->hashed)
        return;
    hasher_add(hasher_of(c), c->log.p + (c->hashed - c->log.base), (size_t)(end - c->hashed));
    c->hashed = end;
}

static bool about_to_move(void *ctx)
{
    struct canon *c = ctx;

    if (c->unsorted)
        return false;
    hasher_wait(c->hasher);
    if (!c->options.repeatable || c->options.keep || c->log.cap < c->log.memory)
        return c->stale;
    c->dropped = true;
    return true;
}

static void start(struct canon *c)
{
    bool may_drop = c->options.repeatable && !c->options.keep && c->options.memory > DROPPED;

    spill_init(&c->log, may_drop ? DROPPED : c->options.memory, c->options.temp_dir);
    spill_init(&c->heap, c->options.memory, c->options.temp_dir);
    c->log.grown = hash_pending;
    c->log.moving = about_to_move;
    c->log.ctx = c;
    c->hashed = c->moved = 0;
    c->unsorted = c->dropped = c->stale = c->sizing = false;
    c->depth = c->entry_count = 0;
    c->input = NULL;
    c->run = c->run_end = NO_RUN;
    sbuf_reset(&c->keys);
    hasher_reset(c->hasher);
}

void canon_init(struct canon *c, const struct canon_options *options)
{
    *c = (struct canon){ .options = *options };
    c->keys = c->scratch = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
    start(c);
}

void canon_release(struct canon *c)
{
    hasher_free(c->hasher);
    spill_release(&c->log);
    spill_release(&c->heap);
    free(c->levels);
    free(c->entries);
    sbuf_release(&c->keys);
    sbuf_release(&c->scratch);
}

void canon_restart(struct canon *c)
{
    hasher_wait(c->hasher);
    spill_release(&c->log);
    spill_release(&c->heap);
    c->options.repeatable = false;
    start(c);
}

/* Where the canonical form ends that there is so far: in the log, and behind that in the run. */
static uint64_t canon_end(const struct canon *c)
{
    return spill_end(&c->log) + (c->run_end - c->run);
}

uint64_t canon_size(const struct canon *c)
{
    return canon_end(c) + c->moved;
}

/* Input. */

static void end_run(struct canon *c)
{
    if (c->run_end > c->run)
        spill_add(&c->log, c->input + c->run, c->run_end - c->run);
    c->run = c->run_end;
}

void canon_input(struct canon *c, const char *bytes)
{
    c->input = bytes;
}

/* True if all of the canonical form stands in the input: then it needs no log. */
static bool hash_input(struct canon *c)
{
    size_t n = c->run_end - c->run;

    if (spill_end(&c->log) || c->options.keep || c->unsorted)
        return false;
    hasher_add(hasher_of(c), c->input + c->run, n);
    hasher_wait(c->hasher);
    c->hashed = c->log.base = n;
    return true;
}

void canon_input_end(struct canon *c, bool complete)
{
    if (!complete || !hash_input(c))
        end_run(c);
    c->input = NULL;
    c->run = c->run_end = NO_RUN;
}

/*
 * Takes n bytes of canonical text with its lead into the run.  The tokenizer has seen to it that nothing but
 * the lead, the token and blanks stands between the end of the run and `used`: if that is as much as the
 * canonical form has, there are no blanks.  Not so for what follows a cut, because a part of it may have
 * stood there: NO_RUN is too far away for any n.
 */
static inline bool extend_run(struct canon *c, struct canon_place place, size_t n)
{
    if (place.used - c->run_end != n + (place.lead != 0))
        return false;
    c->run_end = place.used;
    if (c->run_end - c->run >= WINDOW)
        end_run(c);
    return true;
}

/* Begins to write a token into the log by itself. */
static void begin_text(struct canon *c, struct canon_place place)
{
    end_run(c);
    c->run = c->run_end = place.used;
    if (place.lead)
        spill_addc(&c->log, place.lead);
}

static void put(struct canon *c, struct canon_place place, struct slice text)
{
    if (extend_run(c, place, text.n))
        return;
    begin_text(c, place);
    spill_add(&c->log, text.p, text.n);
}

/* Scalars. */

void canon_word(struct canon *c, struct canon_place place, struct slice word)
{
    put(c, place, word);
}

void canon_int(struct canon *c, struct canon_place place, struct slice number)
{
    if (number.n == 2 && number.p[0] == '-' && number.p[1] == '0') {
        begin_text(c, place);
        spill_addc(&c->log, '0');
        return;
    }
    put(c, place, number);
}

struct slice canon_float(struct canon *c, struct canon_place place, struct slice number)
{
    if (double_text_is_same(number)) {
        put(c, place, number);
        return number;
    }
    begin_text(c, place);
    char *to = spill_room(&c->log, DOUBLE_TEXT_SIZE + 2);
    size_t n = double_text(number, to);
    if (to[n - 1] != 'y') {
        c->log.n += n;
        return slice_of(to, n);
    }
    memmove(to + 1, to, n); /* Infinity: upstream writes a string */
    to[0] = to[n + 1] = '"';
    c->log.n += n + 2;
    return slice_of(to + 1, n);
}

static void add_escaped(struct canon *c, struct slice text)
{
    while (text.n) {
        size_t n = text.n < PART ? text.n : PART;
        while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
            n++;
        sbuf_reset(&c->scratch);
        json_put_escaped(&c->scratch, slice_of(text.p, n));
        spill_add(&c->log, c->scratch.p, c->scratch.len);
        text = slice_of(text.p + n, text.n - n);
    }
}

void canon_string(struct canon *c, struct canon_place place, bool opens, struct slice text, bool plain,
                  bool closes)
{
    if (plain && extend_run(c, place, text.n + opens + closes))
        return;
    begin_text(c, place);
    if (opens)
        spill_addc(&c->log, '"');
    if (plain)
        spill_add(&c->log, text.p, text.n);
    else
        add_escaped(c, text);
    if (closes)
        spill_addc(&c->log, '"');
}

/* Sorting. */

static uint64_t prefix_of(struct slice key)
{
    uint64_t prefix = 0;

    memcpy(&prefix, key.p, key.n < sizeof(prefix) ? key.n : sizeof(prefix));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    prefix = __builtin_bswap64(prefix);
#endif
    return prefix;
}

/* An entry whose key was put behind the others in `keys`, from key_at on. */
static void add_entry(struct canon *c, uint64_t at, size_t key_at)
{
    if (c->entry_count == c->entry_cap) {
        c->entry_cap = c->entry_cap ? 2 * c->entry_cap : 64;
        c->entries = xrealloc(c->entries, c->entry_cap * sizeof(*c->entries));
    }
    struct slice key = slice_of(c->keys.p + key_at, c->keys.len - key_at);
    c->entries[c->entry_count++] =
        (struct canon_entry){ .at = at, .key = key_at, .key_n = key.n, .prefix = key.n ? prefix_of(key) : 0 };
}

/* Where a look over the inside of an object is. */
struct scan {
    size_t skip, depth;
    bool in_string, escaped, in_key, key_next;
    uint64_t key_at;
};

static void scan_byte(struct canon *c, struct scan *s, char b, uint64_t at)
{
    if (s->in_string) {
        if (!s->escaped && b == '"') {
            s->in_string = false;
            if (s->in_key) {
                size_t key_at = c->keys.len;
                json_put_unescaped(&c->keys, sbuf_slice(&c->scratch));
                add_entry(c, s->key_at, key_at);
            }
            s->in_key = false;
            return;
        }
        s->escaped = !s->escaped && b == '\\';
        if (s->in_key)
            sbuf_addc(&c->scratch, b);
        return;
    }
    if (b == '"') {
        s->in_string = true;
        s->in_key = s->key_next;
        s->key_next = false;
        s->key_at = at;
        sbuf_reset(&c->scratch);
    } else if (b == '{' || b == '[') {
        s->depth++;
    } else if (b == '}' || b == ']') {
        s->depth--;
    } else if (b == ',') {
        s->key_next = s->depth == 0;
    } else if (b == REFERENCE) {
        s->skip = REFERENCE_SIZE - 1;
    }
}

/* Finds the keys of the innermost object, which seemed to be in order up to here. */
static void begin_sorting(struct canon *c, struct canon_level *level)
{
    struct scan s = { .key_next = true };
    uint64_t end = spill_end(&c->log);
    char *buf = NULL;

    if (!c->unsorted) {
        hasher_wait(c->hasher);
        c->unsorted = true;
        if (c->log.memory < c->options.memory)
            c->log.memory = c->options.memory;
    }
    if (level->start < c->log.base)
        buf = xmalloc(WINDOW);
    sbuf_add(&c->keys, "", 0); /* so that there is an address even for an empty key */
    level->sorting = true;
    level->first_entry = c->entry_count;
    level->first_key = c->keys.len;
    for (uint64_t at = level->start + 1; at < end;) {
        struct slice view = spill_view(&c->log, at, (size_t)(end - at), buf, WINDOW);
        for (size_t i = 0; i < view.n; i++) {
            if (s.skip)
                s.skip--;
            else
                scan_byte(c, &s, view.p[i], at + i);
        }
        at += view.n;
    }
    free(buf);
}

static struct slice key_of(const char *keys, const struct canon_entry *e)
{
    return slice_of(keys + e->key, e->key_n);
}

static int compare_entries(const void *a, const void *b, void *keys)
{
    const uint64_t wide = 0x8080808080808080u;
    const struct canon_entry *x = a, *y = b;

    if (x->prefix != y->prefix && !((x->prefix | y->prefix) & wide))
        return x->prefix < y->prefix ? -1 : 1;
    return utf_compare(key_of(keys, x), key_of(keys, y));
}

static void sort_in_place(struct canon *c, const struct canon_level *level, size_t count)
{
    char *object = c->log.p + (level->start - c->log.base), *to = object + 1;
    size_t n = (size_t)(spill_end(&c->log) - level->start);

    sbuf_reset(&c->scratch);
    sbuf_add(&c->scratch, object, n);
    for (size_t i = 0; i < count; i++) {
        const struct canon_entry *e = &c->entries[level->first_entry + i];
        size_t size = (size_t)(e->end - e->at);
        if (i)
            *to++ = ',';
        memcpy(to, c->scratch.p + (e->at - level->start), size);
        to += size;
    }
}

static void copy_to_heap(struct canon *c, uint64_t at, uint64_t end, char *buf)
{
    while (at < end) {
        struct slice view = spill_view(&c->log, at, (size_t)(end - at), buf, WINDOW);
        spill_add(&c->heap, view.p, view.n);
        at += view.n;
    }
}

static void put_reference(struct canon *c, uint64_t at, uint64_t size)
{
    char *to = spill_room(&c->log, REFERENCE_SIZE);

    to[0] = REFERENCE;
    memcpy(to + 1, &at, sizeof(at));
    memcpy(to + 9, &size, sizeof(size));
    c->log.n += REFERENCE_SIZE;
}

static void move_sorted(struct canon *c, const struct canon_level *level, size_t count)
{
    uint64_t at = spill_end(&c->heap);
    char *buf = level->start < c->log.base ? xmalloc(WINDOW) : NULL;

    spill_addc(&c->heap, '{');
    for (size_t i = 0; i < count; i++) {
        const struct canon_entry *e = &c->entries[level->first_entry + i];
        if (i)
            spill_addc(&c->heap, ',');
        copy_to_heap(c, e->at, e->end, buf);
    }
    spill_addc(&c->heap, '}');
    free(buf);
    uint64_t size = spill_end(&c->heap) - at;
    spill_cut(&c->log, level->start);
    put_reference(c, at, size);
    c->moved += size - REFERENCE_SIZE;
}

/* Puts the innermost object in order; true if two of its keys are equal. */
static bool sort_object(struct canon *c, const struct canon_level *level, struct slice *ret_key)
{
    struct canon_entry *entries = c->entries + level->first_entry;
    size_t count = c->entry_count - level->first_entry;
    uint64_t end = spill_end(&c->log);

    for (size_t i = 0; i < count; i++)
        entries[i].end = i + 1 < count ? entries[i + 1].at - 1 : end;
    qsort_r(entries, count, sizeof(*entries), compare_entries, c->keys.p);
    for (size_t i = 1; i < count; i++)
        if (slice_eq(key_of(c->keys.p, &entries[i - 1]), key_of(c->keys.p, &entries[i]))) {
            *ret_key = key_of(c->keys.p, &entries[i]);
            return true;
        }
    if (end - level->start <= SMALL && level->start >= c->log.base) {
        sort_in_place(c, level, count);
        spill_addc(&c->log, '}');
    } else {
        move_sorted(c, level, count);
    }
    return false;
}

/* Containers. */

void canon_open(struct canon *c, struct canon_place place, char bracket)
{
    put(c, place, slice_of(&bracket, 1));
    if (bracket != '{')
        return;
    if (c->depth == c->level_cap) {
        c->level_cap = c->level_cap ? 2 * c->level_cap : 8;
        c->levels = xrealloc(c->levels, c->level_cap * sizeof(*c->levels));
    }
    c->levels[c->depth++] = (struct canon_level){ .start = canon_end(c) - 1 };
}

void canon_close_array(struct canon *c, size_t used)
{
    put(c, (struct canon_place){ .used = used }, SLICE("]"));
}

bool canon_close_object(struct canon *c, size_t used, struct slice *ret_key)
{
    struct canon_level *level = &c->levels[--c->depth];
    const struct canon_place place = { .used = used };
    bool equal;

    if (!level->sorting) {
        put(c, place, SLICE("}"));
        return false;
    }
    begin_text(c, place);
    equal = sort_object(c, level, ret_key);
    if (equal)
        spill_addc(&c->log, '}'); /* the size is still asked for */
    c->entry_count = level->first_entry;
    if (c->keys.len > level->first_key)
        c->keys.len = level->first_key; /* the key's bytes stay where they are for now */
    return equal;
}

void canon_key(struct canon *c, struct slice key, bool plain, bool in_order, size_t used)
{
    struct canon_level *level = &c->levels[c->depth - 1];
    const struct canon_place place = { level->any ? ',' : 0, used };

    if (!in_order && !level->sorting && !c->sizing) {
        if (c->dropped) {
            c->stale = true;
            return;
        }
        end_run(c);
        begin_sorting(c, level);
    }
    level->any = true;
    if (level->sorting) {
        size_t key_at = c->keys.len;
        sbuf_add_slice(&c->keys, key);
        add_entry(c, canon_end(c) + (place.lead != 0), key_at);
    }
    canon_string(c, place, true, key, plain, true);
}

void canon_stop_sorting(struct canon *c)
{
    if (c->sizing)
        return;
    c->sizing = true;
    for (size_t i = 0; i < c->depth; i++)
        c->levels[i].sorting = false;
    free(c->entries);
    c->entries = NULL;
    c->entry_count = c->entry_cap = 0;
    sbuf_release(&c->keys);
    c->keys = (struct sbuf)SBUF_INIT(SBUF_NO_LIMIT);
}

/* The end. */

/* What the final walk does with text, and with what it has left to follow. */
struct walk {
    struct canon *c;
    int (*sink)(void *ctx, const char *bytes, size_t n);
    void *ctx;
    struct stretch *stretches;
    size_t count, cap;
};

static void push_stretch(struct walk *w, struct spill *from, uint64_t at, uint64_t end)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 32;
        w->stretches = xrealloc(w->stretches, w->cap * sizeof(*w->stretches));
    }
    w->stretches[w->count++] = (struct stretch){ from, at, end };
}

static int give(struct walk *w, struct slice text)
{
    if (w->c->unsorted) {
        hasher_add(hasher_of(w->c), text.p, text.n);
        hasher_wait(w->c->hasher);
    }
    return w->sink && text.n && w->sink(w->ctx, text.p, text.n) ? -1 : 0;
}

/* Follows the innermost stretch up to its end or the next reference in it. */
static int walk_on(struct walk *w, char *buf)
{
    struct stretch *s = &w->stretches[w->count - 1];
    uint64_t at, size;

    if (s->at == s->end) {
        w->count--;
        return 0;
    }
    size_t left = s->end - s->at < 16 * WINDOW ? (size_t)(s->end - s->at) : 16 * WINDOW;
    struct slice view = spill_view(s->from, s->at, left, buf, WINDOW);
    const char *found = memchr(view.p, REFERENCE, view.n);
    size_t n = found ? (size_t)(found - view.p) : view.n;
    if (give(w, slice_of(view.p, n)))
        return -1;
    s->at += n;
    if (found) {
        char reference[REFERENCE_SIZE];
        spill_read(s->from, s->at, reference, sizeof(reference));
        memcpy(&at, reference + 1, sizeof(at));
        memcpy(&size, reference + 9, sizeof(size));
        s->at += REFERENCE_SIZE;
        if (!w->c->log.failed && !w->c->heap.failed)
            push_stretch(w, &w->c->heap, at, at + size);
    }
    return 0;
}

int canon_finish(struct canon *c, int (*sink)(void *ctx, const char *bytes, size_t n), void *ctx,
                 char ret_md5[MD5_HEX + 1])
{
    struct walk w = { .c = c, .sink = sink, .ctx = ctx };
    int rc = 0;

    hash_pending(c);
    hasher_wait(c->hasher);
    if (c->unsorted)
        hasher_reset(c->hasher);
    if (c->unsorted || sink) {
        char *buf = xmalloc(WINDOW);
        push_stretch(&w, &c->log, 0, spill_end(&c->log));
        while (!rc && w.count)
            rc = walk_on(&w, buf);
        free(buf);
        free(w.stretches);
    }
    if (!rc)
        rc = c->log.failed ? c->log.failed : c->heap.failed;
    if (!rc)
        hasher_final(hasher_of(c), ret_md5);
    return rc;
}
