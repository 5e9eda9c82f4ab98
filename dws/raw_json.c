#include "dws/raw_json.h"

#include "shared/base/utf.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static size_t skip_space(struct slice text, size_t at)
{
    while (at < text.n && is_space(text.p[at]))
        at++;
    return at;
}

/* at: of the opening quote. */
static size_t string_end(struct slice text, size_t at)
{
    for (at++; at < text.n; at++) {
        const char *quote = memchr(text.p + at, '"', text.n - at);
        if (!quote)
            return text.n;
        size_t end = (size_t)(quote - text.p), slashes = 0;
        while (end - slashes > at && text.p[end - slashes - 1] == '\\')
            slashes++;
        at = end;
        if (slashes % 2 == 0)
            return end + 1;
    }
    return text.n;
}

static size_t container_end(struct slice text, size_t at)
{
    enum { PLAIN, QUOTE, OPEN, CLOSE };
    static const unsigned char classes[256] = {
        ['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE,
    };
    size_t depth = 0;

    while (at < text.n) {
        switch (classes[(unsigned char)text.p[at]]) {
        case QUOTE:
            at = string_end(text, at);
            continue;
        case OPEN:
            depth++;
            break;
        case CLOSE:
            if (--depth == 0)
                return at + 1;
            break;
        default:
            break;
        }
        at++;
    }
    return text.n;
}

static size_t scalar_end(struct slice text, size_t at)
{
    while (at < text.n && !is_space(text.p[at]) && !strchr(",:]}", text.p[at]))
        at++;
    return at;
}

static size_t value_end(struct slice text, size_t at)
{
    if (at >= text.n)
        return text.n;
    if (text.p[at] == '"')
        return string_end(text, at);
    return text.p[at] == '{' || text.p[at] == '[' ? container_end(text, at) : scalar_end(text, at);
}

enum json_kind raw_kind(struct slice value)
{
    switch (value.n ? value.p[0] : 'n') {
    case '{':
        return JSON_KIND_OBJECT;
    case '[':
        return JSON_KIND_ARRAY;
    case '"':
        return JSON_KIND_STRING;
    case 't':
        return JSON_KIND_TRUE;
    case 'f':
        return JSON_KIND_FALSE;
    case 'n':
        return JSON_KIND_NULL;
    default:
        return memchr(value.p, '.', value.n) || memchr(value.p, 'e', value.n) || memchr(value.p, 'E', value.n)
                   ? JSON_KIND_FLOAT
                   : JSON_KIND_INT;
    }
}

void raw_begin(struct raw_walk *walk, struct slice container)
{
    *walk = (struct raw_walk){ container, 1, container.n && container.p[0] == '{' };
}

static struct slice take(struct raw_walk *walk)
{
    size_t begin = skip_space(walk->text, walk->at);

    if (begin > walk->text.n)
        begin = walk->text.n;
    size_t end = value_end(walk->text, begin);
    walk->at = skip_space(walk->text, end);
    return slice_of(walk->text.p + begin, end - begin);
}

bool raw_next(struct raw_walk *walk, struct slice *ret_key, struct slice *ret_value)
{
    size_t at = skip_space(walk->text, walk->at);

    if (at < walk->text.n && walk->text.p[at] == ',')
        at = skip_space(walk->text, at + 1);
    if (at >= walk->text.n || walk->text.p[at] == '}' || walk->text.p[at] == ']')
        return false;
    walk->at = at;
    if (walk->in_object) {
        *ret_key = take(walk);
        walk->at++; /* the colon */
    }
    *ret_value = take(walk);
    return ret_value->n > 0;
}

struct slice raw_string(struct slice quoted, struct arena *arena)
{
    static const struct json_limits limits = { .max_depth = 1, .max_nodes = 1 };
    struct slice inside = slice_of(quoted.p + 1, quoted.n < 2 ? 0 : quoted.n - 2);
    struct json_val *val;
    bool plain = true;

    for (size_t i = 0; i < inside.n && plain; i++)
        plain = inside.p[i] != '\\' && (unsigned char)inside.p[i] < 0x80;
    if (plain)
        return inside;
    return json_read(quoted, &limits, arena, &val, NULL, NULL) < 0 ? inside : val->text;
}

const struct json_val *raw_tree(struct slice value, size_t max_depth, size_t max_nodes, struct arena *arena)
{
    const struct json_limits limits = { .max_depth = max_depth, .max_nodes = max_nodes };
    struct json_val *val;

    return json_read(value, &limits, arena, &val, NULL, NULL) < 0 ? NULL : val;
}
