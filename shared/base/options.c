#include "shared/base/options.h"

#include <strings.h>

#include "shared/base/url.h"

enum { MAX_SHOWN = 200, MAX_KEY = 64, WRAP = 100 };

const struct option options[OPTION_COUNT] = {
#define OPTION(field, key, kind, dflt, min, max, modes, flags, doc) \
    { key, \
      OPTION_##kind, \
      dflt, \
      (double)(min), \
      (double)(max), \
      OPTION_MODE_##modes, \
      OPTION_FLAG_##flags, \
      doc, \
      offsetof(struct config, field) },
#define UPSTREAM(key, doc)
#include "shared/base/options_list.h"
#undef OPTION
#undef UPSTREAM
};

/* Everything of options_list.h in its order, headings too. */
static const struct row {
    const char *heading;
    int option; /* index in options, if there is no heading and no upstream key */
    const char *upstream, *upstream_doc;
} rows[] = {
#define SECTION(text) { text, -1, NULL, NULL },
#define OPTION(field, key, kind, dflt, min, max, modes, flags, doc) { NULL, OPTION_AT_##field, NULL, NULL },
#define UPSTREAM(key, doc) { NULL, -1, key, doc },
#include "shared/base/options_list.h"
#undef OPTION
#undef UPSTREAM
};

/* as in the example */
static const char *const kind_names[] = {
    [OPTION_TEXT] = "text",
    [OPTION_PATH] = "path",
    [OPTION_URL] = "http or https URL",
    [OPTION_INT] = "number",
    [OPTION_BYTES] = "bytes (k, M, G allowed)",
    [OPTION_SECONDS] = "seconds",
    [OPTION_BOOL] = "true or false",
    [OPTION_CHOICE] = "one of",
    [OPTION_LIST] = "list, separated by commas",
};

static const char *const mode_names[] = {
    [OPTION_MODE_TWS] = "TWS",
    [OPTION_MODE_DWS] = "DWS",
    [OPTION_MODE_BOTH] = "TWS and DWS",
};

/* ---- finding ---- */

const struct option *option_find(struct slice key)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (slice_is(key, options[i].key))
            return &options[i];
    return NULL;
}

static bool matches_upstream(struct slice key, const char *pattern)
{
    size_t n = strlen(pattern);

    if (pattern[n - 1] == '*')
        return key.n >= n && memcmp(key.p, pattern, n - 1) == 0;
    return slice_is(key, pattern);
}

bool option_is_upstream(struct slice key)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].upstream && matches_upstream(key, rows[i].upstream))
            return true;
    return false;
}

static int smallest(int a, int b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours; both at most MAX_KEY long. */
static int edit_distance(struct slice a, struct slice b)
{
    int before[MAX_KEY + 1] = { 0 }, above[MAX_KEY + 1], now[MAX_KEY + 1];

    for (size_t j = 0; j <= b.n; j++)
        above[j] = (int)j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= b.n; j++) {
            now[j] = smallest(above[j - 1] + (a.p[i - 1] != b.p[j - 1]), smallest(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                now[j] = smallest(now[j], before[j - 2] + 1);
        }
        memcpy(before, above, sizeof(above));
        memcpy(above, now, sizeof(now));
    }
    return above[b.n];
}

const char *option_nearest(struct slice key)
{
    const char *best = NULL;
    int best_distance = (int)(key.n / 2) + 1;

    if (key.n > MAX_KEY)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *known = rows[i].option >= 0 ? options[rows[i].option].key : rows[i].upstream;
        if (!known || strlen(known) > MAX_KEY)
            continue;
        int distance = edit_distance(key, slice_str(known));
        if (distance < best_distance) {
            best_distance = distance;
            best = known;
        }
    }
    return best;
}

/* ---- values ---- */

void option_put_shown(struct sbuf *out, struct slice text)
{
    for (size_t i = 0; i < text.n && i < MAX_SHOWN; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < ' ' || c == 0x7f)
            sbuf_addf(out, "\\x%02x", c);
        else
            sbuf_addc(out, (char)c);
    }
    if (text.n > MAX_SHOWN)
        sbuf_adds(out, "...");
}

/* 1048576 as 1M where that is exact. */
static void put_amount(const struct option *option, double amount, struct sbuf *out)
{
    static const char suffixes[] = "kMG";
    int64_t whole = (int64_t)amount, scaled = whole;
    int power = 0;

    if (option->kind == OPTION_SECONDS) {
        sbuf_addf(out, "%g", amount);
        return;
    }
    while (option->kind == OPTION_BYTES && power < 3 && scaled >= 1024 && scaled % 1024 == 0) {
        scaled /= 1024;
        power++;
    }
    if (scaled > 1024) {
        scaled = whole;
        power = 0;
    }
    sbuf_addf(out, "%lld", (long long)scaled);
    if (power)
        sbuf_addc(out, suffixes[power - 1]);
}

static void put_allowed(const struct option *option, struct sbuf *out)
{
    sbuf_adds(out, kind_names[option->kind]);
    if (option->kind == OPTION_CHOICE) {
        for (const char *p = option->dflt, *end; *p; p = *end ? end + 1 : end) {
            end = strchrnul(p, '|');
            sbuf_adds(out, p == option->dflt ? " " : ", ");
            sbuf_add(out, p, (size_t)(end - p));
        }
    } else if (option->max > 0) {
        sbuf_adds(out, " from ");
        put_amount(option, option->min, out);
        sbuf_adds(out, " to ");
        put_amount(option, option->max, out);
    }
}

static int bad_value(const struct option *option, struct slice text, struct err *err)
{
    AUTO_SBUF(shown, SBUF_NO_LIMIT);
    AUTO_SBUF(allowed, SBUF_NO_LIMIT);

    if (option->flags & OPTION_FLAG_SECRET)
        sbuf_adds(&shown, "(secret)");
    else
        option_put_shown(&shown, text);
    put_allowed(option, &allowed);
    return err_set(err, ERR_CONFIG, "the value of %s is '%s', but must be: %s", option->key, shown.p,
                   allowed.p);
}

/* Digits, at most one point if asked for; false for anything else. */
static bool read_decimal(struct slice text, bool point_allowed, double *ret_value)
{
    double value = 0, unit = 1;
    bool digits = false, point = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '.' && point_allowed && !point) {
            point = true;
        } else if (c >= '0' && c <= '9') {
            digits = true;
            value = value * 10 + (c - '0');
            unit = point ? unit * 10 : unit;
        } else {
            return false;
        }
    }
    *ret_value = value / unit;
    return digits;
}

static double take_suffix(struct slice *text)
{
    static const struct suffix {
        char letters[3];
        double factor;
    } suffixes[] = { { "kK", 1 << 10 }, { "mM", 1 << 20 }, { "gG", 1 << 30 } };

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (text->n > 1 && strchr(suffixes[i].letters, text->p[text->n - 1])) {
            text->n--;
            return suffixes[i].factor;
        }
    }
    return 1;
}

static bool read_amount(const struct option *option, struct slice text, int64_t *ret_value)
{
    double factor = option->kind == OPTION_BYTES ? take_suffix(&text) : 1, value;

    /* with 40 digits a double is still finite, and far outside of every range */
    if (text.n > 40 || !read_decimal(text, option->kind == OPTION_SECONDS, &value))
        return false;
    value *= factor;
    if (value < option->min || value > option->max)
        return false;
    *ret_value = (int64_t)(option->kind == OPTION_SECONDS ? value * 1e6 + 0.5 : value);
    return true;
}

static bool read_choice(const struct option *option, struct slice text, int64_t *ret_index)
{
    int64_t index = 0;

    for (const char *p = option->dflt, *end; *p; p = *end ? end + 1 : end, index++) {
        end = strchrnul(p, '|');
        if (slice_eq(text, slice_of(p, (size_t)(end - p)))) {
            *ret_index = index;
            return true;
        }
    }
    return false;
}

static struct slice trim_blanks(struct slice s)
{
    while (s.n && strchr(" \t\r\n", s.p[0]))
        s = slice_of(s.p + 1, s.n - 1);
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

static void read_list(struct slice text, struct arena *arena, struct config_list *ret_list)
{
    size_t most = 1;
    struct config_list list = { 0, NULL };

    for (size_t i = 0; i < text.n; i++)
        most += text.p[i] == ',';
    list.items = arena_alloc(arena, most * sizeof(*list.items));
    while (text.n) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma ? (size_t)(comma - text.p) : text.n;
        struct slice item = trim_blanks(slice_of(text.p, n));
        if (item.n)
            list.items[list.count++] = arena_memdup(arena, item.p, item.n);
        n += comma != NULL;
        text = slice_of(text.p + n, text.n - n);
    }
    *ret_list = list;
}

static int set_url(const struct option *option, struct slice text, const char **field, struct arena *arena,
                   struct err *err)
{
    const char *url = arena_memdup(arena, text.p, text.n), *why;

    if (!url_ok(url, &why)) {
        AUTO_SBUF(shown, SBUF_NO_LIMIT);
        AUTO_SBUF(public, SBUF_NO_LIMIT);
        url_put_public(&public, text);
        option_put_shown(&shown, sbuf_slice(&public));
        return err_set(err, ERR_CONFIG, "Invalid url for parameter %s: %s (%s)", option->key,
                       shown.p ? shown.p : "", why);
    }
    *field = url;
    return 0;
}

int option_set(const struct option *option, struct slice text, struct arena *arena, struct config *config,
               struct err *err)
{
    void *field = (char *)config + option->offset;
    bool ok = true;

    switch (option->kind) {
    case OPTION_TEXT:
    case OPTION_PATH:
        *(const char **)field = arena_memdup(arena, text.p, text.n);
        break;
    case OPTION_URL:
        return set_url(option, text, field, arena, err);
    case OPTION_INT:
    case OPTION_BYTES:
    case OPTION_SECONDS:
        ok = read_amount(option, text, field);
        break;
    case OPTION_BOOL:
        ok = slice_is(text, "true") || slice_is(text, "false");
        *(bool *)field = slice_is(text, "true");
        break;
    case OPTION_CHOICE:
        ok = read_choice(option, text, field);
        break;
    case OPTION_LIST:
        read_list(text, arena, field);
        break;
    }
    return ok ? 0 : bad_value(option, text, err);
}

/* ---- printing ---- */

/* Comment lines of at most WRAP columns. */
static void put_wrapped(struct sbuf *out, const char *indent, const char *text)
{
    size_t column = 0;

    for (const char *p = text, *end; *p; p = *end ? end + 1 : end) {
        end = strchrnul(p, ' ');
        size_t n = (size_t)(end - p);
        if (column && column + 1 + n > WRAP) {
            sbuf_addc(out, '\n');
            column = 0;
        }
        sbuf_adds(out, column ? " " : indent);
        column += n + (column ? 1 : strlen(indent));
        sbuf_add(out, p, n);
    }
    sbuf_addc(out, '\n');
}

static void put_default(const struct option *option, struct sbuf *out)
{
    size_t n = option->kind == OPTION_CHOICE ? (size_t)(strchrnul(option->dflt, '|') - option->dflt)
                                             : strlen(option->dflt);

    sbuf_add(out, option->dflt, n);
}

/* `number from 0 to 65535; default 7058; TWS and DWS` */
static void put_facts(const struct option *option, struct sbuf *out)
{
    put_allowed(option, out);
    if (option->dflt[0]) {
        sbuf_adds(out, "; default ");
        put_default(option, out);
    }
    sbuf_addf(out, "; %s", mode_names[option->modes]);
    if (option->flags & OPTION_FLAG_SECRET)
        sbuf_adds(out, "; never printed");
}

static void put_heading(struct sbuf *out, const char *text)
{
    sbuf_addf(out, "\n# ---- %s ----\n", text);
}

void config_example(struct sbuf *out)
{
    bool upstream = false;

    sbuf_adds(out,
              "# Every key there is, made by `wstyped config --example`. A line that begins with # or ; is a "
              "comment;\n"
              "# there are no comments behind a value. What is not given has its default. A service needs:\n"
              "#   as TWS: type-database-file (or the mongodb keys)      as DWS: type-delegation-target\n"
              "#   both: auth2-service-url or auth-tokens-file\n"
              "# Check a file with `wstyped config --check FILE`.\n"
              "\n[Workspace]\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].heading) {
            put_heading(out, rows[i].heading);
        } else if (rows[i].upstream) {
            if (!upstream)
                put_heading(out, "Keys of the Java service, accepted and not used");
            upstream = true;
            sbuf_addf(out, "# %s: %s\n", rows[i].upstream, rows[i].upstream_doc);
        } else {
            const struct option *option = &options[rows[i].option];
            sbuf_addc(out, '\n');
            put_wrapped(out, "# ", option->doc);
            sbuf_adds(out, "# (");
            put_facts(option, out);
            sbuf_addf(out, ")\n#%s =%s", option->key, option->dflt[0] ? " " : "");
            put_default(option, out);
            sbuf_addc(out, '\n');
        }
    }
}

static void explain(const struct option *option, struct sbuf *out)
{
    sbuf_addf(out, "%s\n", option->key);
    put_wrapped(out, "    ", option->doc);
    sbuf_adds(out, "    (");
    put_facts(option, out);
    sbuf_adds(out, ")\n");
}

void config_explain(struct sbuf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].heading)
            sbuf_addf(out, "%s%s\n\n", i ? "\n" : "", rows[i].heading);
        else if (rows[i].upstream)
            sbuf_addf(out, "%s\n    %s; accepted and not used\n", rows[i].upstream, rows[i].upstream_doc);
        else
            explain(&options[rows[i].option], out);
    }
}

bool config_explain_key(const char *key, struct sbuf *out)
{
    const struct option *option = option_find(slice_str(key));

    if (option) {
        explain(option, out);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].upstream && matches_upstream(slice_str(key), rows[i].upstream)) {
            sbuf_addf(out, "%s\n    %s; accepted and not used\n", key, rows[i].upstream_doc);
            return true;
        }
    }
    const char *nearest = option_nearest(slice_str(key));
    if (nearest)
        sbuf_adds(out, nearest);
    return false;
}
