#include "dws/snapshot.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/fault.h"

static const char magic[] = "wstyped snapshot 1\n";

#define MAX_FILE ((size_t)1 << 36)

enum record_kind { RECORD_SCHEMA = 'S', RECORD_UNRELEASED = 'U', RECORD_MAPPING = 'M' };

/* Before the bytes of key and value. */
struct record {
    uint8_t kind;
    int64_t wall_ms; /* when the target said so */
    uint32_t key_len, value_len;
};

enum { RECORD_BYTES = 1 + 8 + 4 + 4 };

/* ---- writing ---- */

struct writer {
    struct sbuf out;
    struct snapshot_counts counts;
    uint64_t now;
    int64_t now_ms;
};

static void put_u32(struct sbuf *out, size_t n)
{
    uint32_t le = htole32((uint32_t)n);

    sbuf_add(out, &le, sizeof(le));
}

static void put_record(struct writer *w, enum record_kind kind, const struct cache_view *view)
{
    uint64_t age_us = w->now > view->put_at ? w->now - view->put_at : 0;
    uint64_t le = htole64((uint64_t)(w->now_ms - (int64_t)(age_us / 1000)));

    sbuf_addc(&w->out, (char)kind);
    sbuf_add(&w->out, &le, sizeof(le));
    put_u32(&w->out, view->key.n);
    put_u32(&w->out, view->value->n);
    sbuf_add_slice(&w->out, view->key);
    sbuf_add_slice(&w->out, blob_slice(view->value));
}

static void put_schema(void *ctx, const struct cache_view *view)
{
    struct writer *w = ctx;

    put_record(w, schema_of(view->value)->released ? RECORD_SCHEMA : RECORD_UNRELEASED, view);
    w->counts.schemas++;
}

static void put_mapping(void *ctx, const struct cache_view *view)
{
    struct writer *w = ctx;

    put_record(w, RECORD_MAPPING, view);
    w->counts.mappings++;
}

static int io_error(struct err *err, const char *what, const char *path)
{
    return err_set(err, ERR_IO, "cannot %s %s: %s", what, path, strerrordesc_np(errno));
}

static int write_all(int fd, struct slice bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes = slice_of(bytes.p + n, bytes.n - (size_t)n);
    }
    return 0;
}

static int write_new(const char *path, struct slice bytes, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return io_error(err, "make", path);
    bool fine = write_all(fd, bytes) == 0 && fsync(fd) == 0;
    int rc = fine ? 0 : io_error(err, "write", path);
    close(fd);
    return rc;
}

/* The rename must not come before the bytes, nor be forgotten. */
static int put_in_place(const char *from, const char *path, struct err *err)
{
    AUTO(free_str_auto) char *copy = xstrdup(path);

    if (rename(from, path) < 0)
        return io_error(err, "rename to", path);
    int dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return 0;
    fsync(dir);
    close(dir);
    return 0;
}

static int write_file(const char *path, struct slice bytes, struct err *err)
{
    AUTO(free_str_auto) char *temp = xasprintf("%s.new", path);
    int rc = write_new(temp, bytes, err);

    if (rc == 0 && FAULT_POINT("snapshot.written"))
        rc = err_set(err, ERR_IO, "told to fail");
    if (rc == 0)
        rc = put_in_place(temp, path, err);
    if (rc < 0)
        unlink(temp);
    return rc;
}

int snapshot_write(struct types *types, const char *url, const char *path, struct snapshot_counts *ret_counts,
                   struct err *err)
{
    struct writer w = { .out = SBUF_INIT(MAX_FILE), .now = types_now(types), .now_ms = clock_wall_ms() };
    char cluster[HOPS_ID_LEN + 1];
    unsigned char digest[SHA256_BYTES];

    types_get_cluster(types, cluster);
    sbuf_addf(&w.out, "%scluster %s\ntarget %s\n", magic, cluster, url);
    /* mappings last: whoever reads in order finds their schemas */
    cache_each(schemas_cache(types_schemas(types)), w.now, put_schema, &w);
    cache_each(mappings_cache(types_mappings(types)), w.now, put_mapping, &w);
    sha256(sbuf_slice(&w.out), digest);
    sbuf_add(&w.out, digest, sizeof(digest));
    int rc = w.out.failed ? err_set(err, ERR_IO, "%s would be too large", path)
                          : write_file(path, sbuf_slice(&w.out), err);
    sbuf_release(&w.out);
    if (rc == 0)
        *ret_counts = w.counts;
    return rc;
}

/* ---- reading ---- */

struct reader {
    struct slice rest;
    uint64_t now;
    int64_t now_ms;
};

static bool skip_text(struct reader *r, const char *text)
{
    size_t n = strlen(text);

    if (r->rest.n < n || memcmp(r->rest.p, text, n) != 0)
        return false;
    r->rest = slice_of(r->rest.p + n, r->rest.n - n);
    return true;
}

static bool take_line(struct reader *r, struct slice *ret_line)
{
    const char *end = r->rest.n ? memchr(r->rest.p, '\n', r->rest.n) : NULL;

    if (!end)
        return false;
    *ret_line = slice_of(r->rest.p, (size_t)(end - r->rest.p));
    r->rest = slice_of(end + 1, r->rest.n - ret_line->n - 1);
    return true;
}

static uint32_t read_u32(const char *p)
{
    uint32_t le;

    memcpy(&le, p, sizeof(le));
    return le32toh(le);
}

static bool take_record(struct reader *r, struct record *ret, struct slice *ret_key, struct slice *ret_value)
{
    uint64_t le;

    if (r->rest.n < RECORD_BYTES)
        return false;
    const char *p = r->rest.p;
    memcpy(&le, p + 1, sizeof(le));
    *ret = (struct record){ (uint8_t)*p, (int64_t)le64toh(le), read_u32(p + 9), read_u32(p + 13) };
    size_t left = r->rest.n - RECORD_BYTES;
    if (ret->key_len > left || ret->value_len > left - ret->key_len)
        return false;
    *ret_key = slice_of(p + RECORD_BYTES, ret->key_len);
    *ret_value = slice_of(ret_key->p + ret->key_len, ret->value_len);
    r->rest = slice_of(ret_value->p + ret->value_len, left - ret->key_len - ret->value_len);
    return true;
}

/* False if it is no record of ours. put: else it goes into the caches. */
static bool use_record(struct types *types, const struct reader *r, const struct record *record,
                       struct slice key, struct slice value, bool put, struct snapshot_counts *counts)
{
    struct type_id id, absolute;
    bool is_mapping = record->kind == RECORD_MAPPING;
    /* one from the future (a clock was set) counts as just written: what it says was true lately */
    uint64_t age_ms = r->now_ms > record->wall_ms ? (uint64_t)(r->now_ms - record->wall_ms) : 0;
    uint64_t put_at = age_ms < r->now / 1000 ? r->now - age_ms * 1000 : 0;

    if (!is_mapping && record->kind != RECORD_SCHEMA && record->kind != RECORD_UNRELEASED)
        return false;
    if (type_id_parse(key, false, &id, NULL) < 0 || (id.form == TYPE_ID_FULL) == is_mapping)
        return false;
    if (is_mapping && (type_id_parse(value, false, &absolute, NULL) < 0 || absolute.form != TYPE_ID_FULL))
        return false;
    if (put && is_mapping)
        mappings_put(types_mappings(types), key, value, put_at);
    else if (put)
        blob_unref(
            schemas_put(types_schemas(types), schema_new(key, value, record->kind == RECORD_SCHEMA), put_at));
    counts->mappings += is_mapping;
    counts->schemas += !is_mapping;
    return true;
}

static bool use_records(struct types *types, struct reader r, bool put, struct snapshot_counts *ret_counts)
{
    struct snapshot_counts counts = { 0, 0 };
    struct record record;
    struct slice key, value;

    while (r.rest.n)
        if (!take_record(&r, &record, &key, &value) ||
            !use_record(types, &r, &record, key, value, put, &counts))
            return false;
    *ret_counts = counts;
    return true;
}

static int refuse(struct err *err, const char *path, const char *why)
{
    return err_set(err, ERR_CONFIG, "%s is not used: %s", path, why);
}

static int read_head(struct reader *r, const char *url, const char *path, char ret_cluster[HOPS_ID_LEN + 1],
                     struct err *err)
{
    struct slice cluster, target;

    if (!skip_text(r, "cluster ") || !take_line(r, &cluster) || (cluster.n && !hops_id_valid(cluster)) ||
        !skip_text(r, "target ") || !take_line(r, &target))
        return refuse(err, path, "it is damaged");
    if (!slice_is(target, url))
        return refuse(err, path, "it was made with another type-delegation-target");
    memset(ret_cluster, 0, HOPS_ID_LEN + 1);
    memcpy(ret_cluster, cluster.p, cluster.n);
    return 0;
}

static int use_bytes(struct types *types, struct slice bytes, const char *url, const char *path,
                     struct snapshot_counts *ret_counts, struct err *err)
{
    struct reader r = { bytes, types_now(types), clock_wall_ms() };
    unsigned char digest[SHA256_BYTES];
    char cluster[HOPS_ID_LEN + 1];

    if (!skip_text(&r, magic))
        return refuse(err, path, "it is no snapshot of this version");
    if (r.rest.n < SHA256_BYTES)
        return refuse(err, path, "it is damaged");
    sha256(slice_of(bytes.p, bytes.n - SHA256_BYTES), digest);
    if (memcmp(digest, bytes.p + bytes.n - SHA256_BYTES, SHA256_BYTES) != 0)
        return refuse(err, path, "it is damaged (the checksum does not match)");
    r.rest.n -= SHA256_BYTES;
    int rc = read_head(&r, url, path, cluster, err);
    if (rc < 0)
        return rc;
    if (!use_records(types, r, false, ret_counts))
        return refuse(err, path, "it is damaged");
    types_note_cluster(types, cluster);
    return use_records(types, r, true, ret_counts) ? 0 : refuse(err, path, "it is damaged");
}

static int read_all(int fd, struct sbuf *out)
{
    enum { PIECE = 1 << 20 };

    for (;;) {
        char *room = sbuf_room(out, PIECE);
        ssize_t n = room ? read(fd, room, PIECE) : -1;
        if (n < 0 && room && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        sbuf_added(out, (size_t)n);
    }
}

int snapshot_read(struct types *types, const char *url, const char *path, struct snapshot_counts *ret_counts,
                  struct err *err)
{
    AUTO_SBUF(bytes, MAX_FILE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return io_error(err, "open", path);
    int rc = read_all(fd, &bytes) < 0 ? io_error(err, "read", path) : 0;
    close(fd);
    return rc < 0 ? rc : use_bytes(types, sbuf_slice(&bytes), url, path, ret_counts, err);
}
