#include "shared/base/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/sbuf.h"
#include "shared/base/typename.h"

enum { MAX_FILE = 64 << 20 };

static const char *const role_names[] = {
    [TOKEN_USER] = "user",
    [TOKEN_READ_ADMIN] = "read-admin",
    [TOKEN_ADMIN] = "admin",
};

const char *token_role_name(enum token_role role)
{
    return role_names[role];
}

bool token_role_parse(struct slice name, enum token_role *ret_role)
{
    for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
        if (slice_is(name, role_names[i])) {
            *ret_role = (enum token_role)i;
            return true;
        }
    }
    return false;
}

static int io_error(struct err *err, const char *what, const char *path)
{
    return err_set(err, ERR_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

/* A missing file is an error unless ret_missing is given. */
static int read_file(const char *path, struct sbuf *out, struct stat *ret_stat, bool *ret_missing,
                     struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 && errno == ENOENT && ret_missing) {
        *ret_missing = true;
        return 0;
    }
    if (fd < 0)
        return io_error(err, "open", path);
    if (fstat(fd, ret_stat) < 0) {
        rc = io_error(err, "look at", path);
        goto out;
    }
    if (!S_ISREG(ret_stat->st_mode)) {
        rc = err_set(err, ERR_IO, "cannot read %s: it is not a file", path);
        goto out;
    }
    for (;;) {
        char *to = sbuf_room(out, 65536);
        if (!to) {
            rc = err_set(err, ERR_IO, "cannot read %s: it is larger than %d bytes", path, MAX_FILE);
            goto out;
        }
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = io_error(err, "read", path);
        if (n <= 0)
            goto out;
        sbuf_added(out, (size_t)n);
    }
out:
    close(fd);
    return rc;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice next_line(struct slice *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct slice line = slice_of(rest->p, n);

    n += end != NULL;
    *rest = slice_of(rest->p + n, rest->n - n);
    return line;
}

static struct slice next_word(struct slice *rest)
{
    size_t skip = 0, n = 0;

    while (skip < rest->n && is_blank(rest->p[skip]))
        skip++;
    while (skip + n < rest->n && !is_blank(rest->p[skip + n]))
        n++;
    struct slice word = slice_of(rest->p + skip, n);
    *rest = slice_of(rest->p + skip + n, rest->n - skip - n);
    return word;
}

/* The name on a line, empty for a blank line or a comment. */
static struct slice line_name(struct slice line)
{
    struct slice word = next_word(&line);

    return word.n && word.p[0] == '#' ? slice_of(word.p, 0) : word;
}

static bool is_hash(struct slice word)
{
    if (word.n != SHA256_HEX)
        return false;
    for (size_t i = 0; i < word.n; i++)
        if (!strchr("0123456789abcdef", word.p[i]) || word.p[i] == '\0')
            return false;
    return true;
}

static int read_line(struct slice line, struct token_row *ret_row, struct err *err)
{
    struct slice name = next_word(&line), role = next_word(&line), hash = next_word(&line);
    enum token_role parsed;

    if (hash.n == 0 || next_word(&line).n != 0)
        return err_set(err, ERR_CONFIG, "expected a name, a role and the SHA-256 of a token");
    if (username_check(name, false, err) < 0)
        return -ERR_CONFIG;
    if (!token_role_parse(role, &parsed))
        return err_set(err, ERR_CONFIG, "the role must be user, read-admin or admin");
    if (!is_hash(hash))
        return err_set(err, ERR_CONFIG, "the SHA-256 of the token must be %d lower-case hex digits",
                       SHA256_HEX);
    ret_row->name = xmemdup(name.p, name.n);
    ret_row->role = parsed;
    memcpy(ret_row->hash, hash.p, hash.n);
    ret_row->hash[hash.n] = '\0';
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    const struct token_row *left = a, *right = b;

    return strcmp(left->hash, right->hash);
}

static int read_rows(struct slice text, const char *path, struct tokens *tokens, struct err *err)
{
    size_t cap = 0;

    for (size_t number = 1; text.n > 0; number++) {
        struct slice line = next_line(&text);
        if (line_name(line).n == 0)
            continue;
        if (tokens->count == cap) {
            cap = cap ? cap * 2 : 16;
            tokens->rows = xrealloc(tokens->rows, cap * sizeof(*tokens->rows));
        }
        int rc = read_line(line, &tokens->rows[tokens->count], err);
        if (rc < 0) {
            err_prefix(err, "%s:%zu: ", path, number);
            return rc;
        }
        tokens->count++;
    }
    if (tokens->count)
        qsort(tokens->rows, tokens->count, sizeof(*tokens->rows), compare_rows);
    for (size_t i = 1; i < tokens->count; i++)
        if (strcmp(tokens->rows[i - 1].hash, tokens->rows[i].hash) == 0)
            return err_set(err, ERR_CONFIG, "%s: users %s and %s have the same token", path,
                           tokens->rows[i - 1].name, tokens->rows[i].name);
    return 0;
}

struct tokens *tokens_read(const char *path, struct err *err)
{
    AUTO_SBUF(text, MAX_FILE);
    AUTO(tokens_free_auto) struct tokens *tokens = xcalloc(1, sizeof(*tokens));
    struct stat st;

    if (read_file(path, &text, &st, NULL, err) < 0 || read_rows(sbuf_slice(&text), path, tokens, err) < 0)
        return NULL;
    tokens->world_readable = (st.st_mode & S_IROTH) != 0;
    return TAKE(tokens);
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    for (size_t i = 0; i < tokens->count; i++)
        free(tokens->rows[i].name);
    free(tokens->rows);
    free(tokens);
}

const struct token_row *tokens_find(const struct tokens *tokens, const char *hash)
{
    size_t low = 0, high = tokens->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(hash, tokens->rows[mid].hash);
        if (order == 0)
            return &tokens->rows[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

static int write_all(int fd, struct slice bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes = slice_of(bytes.p + n, bytes.n - (size_t)n);
    }
    return 0;
}

/* Puts a new file in the place of the old one. */
static int replace_file(const char *path, struct slice text, mode_t mode, struct err *err)
{
    AUTO(free_str_auto) char *temp = xasprintf("%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return io_error(err, "make", temp);
    bool written = fchmod(fd, mode) == 0 && write_all(fd, text) == 0 && fsync(fd) == 0;
    if (close(fd) < 0 || !written) {
        int rc = io_error(err, "write", temp);
        unlink(temp);
        return rc;
    }
    if (rename(temp, path) < 0) {
        int rc = io_error(err, "replace", path);
        unlink(temp);
        return rc;
    }
    return 0;
}

/* Makes the new text out of the old one; ctx comes from the caller of change_file(). */
typedef int edit_fn(struct slice old, struct sbuf *text, void *ctx, struct err *err);

static int change_locked(const char *path, edit_fn *edit, void *ctx, struct err *err)
{
    AUTO_SBUF(old, MAX_FILE);
    AUTO_SBUF(text, MAX_FILE + 4096);
    struct tokens tokens = { 0 };
    struct stat st = { .st_mode = 0600 };
    bool missing = false;
    int rc = read_file(path, &old, &st, &missing, err);

    if (rc == 0)
        rc = edit(sbuf_slice(&old), &text, ctx, err);
    /* a file that could not be read back must not be written */
    if (rc == 0)
        rc = read_rows(sbuf_slice(&text), path, &tokens, err);
    for (size_t i = 0; i < tokens.count; i++)
        free(tokens.rows[i].name);
    free(tokens.rows);
    return rc < 0 ? rc : replace_file(path, sbuf_slice(&text), st.st_mode & 0777, err);
}

static int change_file(const char *path, edit_fn *edit, void *ctx, struct err *err)
{
    AUTO(free_str_auto) char *lock = xasprintf("%s.lock", path);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return io_error(err, "make", lock);
    int rc = flock(fd, LOCK_EX) < 0 ? io_error(err, "lock", lock) : change_locked(path, edit, ctx, err);
    close(fd);
    return rc;
}

static int edit_add(struct slice old, struct sbuf *text, void *ctx, struct err *err)
{
    const struct token_row *row = ctx;

    sbuf_add_slice(text, old);
    if (old.n && old.p[old.n - 1] != '\n')
        sbuf_addc(text, '\n');
    sbuf_addf(text, "%s  %s  %s\n", row->name, token_role_name(row->role), row->hash);
    return text->failed ? err_set(err, ERR_IO, "the file would be larger than %d bytes", MAX_FILE) : 0;
}

int tokens_add(const char *path, const char *name, enum token_role role, const char *hash, struct err *err)
{
    struct token_row row = { .role = role };
    int rc = username_check(slice_str(name), false, err);

    if (rc < 0)
        return rc;
    row.name = xstrdup(name);
    snprintf(row.hash, sizeof(row.hash), "%s", hash);
    rc = change_file(path, edit_add, &row, err);
    free(row.name);
    return rc;
}

struct removal {
    const char *name;
    size_t count;
};

static int edit_remove(struct slice old, struct sbuf *text, void *ctx, struct err *err UNUSED)
{
    struct removal *removal = ctx;

    while (old.n > 0) {
        struct slice line = next_line(&old);
        if (slice_is(line_name(line), removal->name)) {
            removal->count++;
            continue;
        }
        sbuf_add_slice(text, line);
        sbuf_addc(text, '\n');
    }
    return 0;
}

int tokens_remove(const char *path, const char *name, size_t *ret_count, struct err *err)
{
    struct removal removal = { name, 0 };

    if (access(path, F_OK) < 0)
        return io_error(err, "open", path);
    int rc = change_file(path, edit_remove, &removal, err);
    if (rc == 0)
        *ret_count = removal.count;
    return rc;
}
