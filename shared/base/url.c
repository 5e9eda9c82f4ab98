#include "shared/base/url.h"

#include <strings.h>

static bool port_ok(struct slice port)
{
    long value = 0;

    if (port.n == 0 || port.n > 5)
        return false;
    for (size_t i = 0; i < port.n; i++) {
        if (port.p[i] < '0' || port.p[i] > '9')
            return false;
        value = value * 10 + (port.p[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

static const char *host_problem(struct slice host)
{
    const char *bracket = host.n && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
    size_t n;

    if (host.n && host.p[0] == '[' && (!bracket || bracket == host.p + 1))
        return "its [address] is not complete";
    if (bracket) {
        n = (size_t)(bracket - host.p) + 1;
    } else {
        const char *colon = memchr(host.p, ':', host.n);
        n = colon ? (size_t)(colon - host.p) : host.n;
    }
    if (n == 0)
        return "it has no host";
    if (n < host.n && (host.p[n] != ':' || !port_ok(slice_of(host.p + n + 1, host.n - n - 1))))
        return "its port is not a number from 1 to 65535";
    return NULL;
}

static const char *url_problem(const char *url)
{
    const char *host;
    size_t n;

    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return "it has blanks or control characters";
    if (strncasecmp(url, "http://", 7) == 0)
        host = url + 7;
    else if (strncasecmp(url, "https://", 8) == 0)
        host = url + 8;
    else
        return "it does not begin with http:// or https://";
    n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n);
    if (at) {
        n -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    return host_problem(slice_of(host, n));
}

bool url_ok(const char *url, const char **ret_why)
{
    const char *why = url_problem(url);

    if (why)
        *ret_why = why;
    return !why;
}

void url_put_public(struct sbuf *out, struct slice url)
{
    const char *scheme = memmem(url.p, url.n, "://", 3);
    size_t start = scheme ? (size_t)(scheme - url.p) + 3 : 0, end = start;

    while (end < url.n && !strchr("/?#", url.p[end]))
        end++;
    const char *at = scheme ? memrchr(url.p + start, '@', end - start) : NULL;
    size_t host = at ? (size_t)(at + 1 - url.p) : start;
    sbuf_add(out, url.p, start);
    sbuf_add(out, url.p + host, url.n - host);
}
