#include "shared/base/digest.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>

#include "shared/base/utf.h"

static void put_hex(char *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

/* Looking an algorithm up takes locks and about as long as hashing a hundred bytes: once is enough. */
static EVP_MD *md5, *sha;
static pthread_once_t looked_up = PTHREAD_ONCE_INIT;

static void look_up(void)
{
    md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    sha = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!md5 || !sha)
        abort();
}

static const EVP_MD *md5_method(void)
{
    pthread_once(&looked_up, look_up);
    return md5;
}

static const EVP_MD *sha256_method(void)
{
    pthread_once(&looked_up, look_up);
    return sha;
}

static void digest(const EVP_MD *md, struct slice bytes, unsigned char *ret_digest, unsigned want)
{
    unsigned n = 0;

    /* fails only when memory runs out or the library is broken */
    if (!EVP_Digest(bytes.p, bytes.n, ret_digest, &n, md, NULL) || n != want)
        abort();
}

static bool has_surrogate_lead(struct slice s)
{
    return s.n && memchr(s.p, 0xed, s.n);
}

void md5_hex(struct slice text, char ret_hex[MD5_HEX + 1])
{
    AUTO_SBUF(java, SBUF_NO_LIMIT);
    unsigned char bytes[MD5_HEX / 2];

    if (has_surrogate_lead(text)) {
        utf_put_java_bytes(text, &java);
        text = sbuf_slice(&java);
    }
    digest(md5_method(), text, bytes, sizeof(bytes));
    put_hex(ret_hex, bytes, sizeof(bytes));
}

struct md5_stream {
    EVP_MD_CTX *ctx;
};

struct md5_stream *md5_stream_new(void)
{
    struct md5_stream *s = xmalloc(sizeof(*s));

    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx)
        abort();
    md5_stream_reset(s);
    return s;
}

void md5_stream_reset(struct md5_stream *s)
{
    if (!EVP_DigestInit_ex(s->ctx, md5_method(), NULL))
        abort();
}

void md5_stream_update(struct md5_stream *s, const void *bytes, size_t n)
{
    if (n && !EVP_DigestUpdate(s->ctx, bytes, n))
        abort();
}

void md5_stream_final(struct md5_stream *s, char ret_hex[MD5_HEX + 1])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (!EVP_DigestFinal_ex(s->ctx, bytes, &n) || n != MD5_HEX / 2)
        abort();
    put_hex(ret_hex, bytes, n);
}

void md5_stream_free(struct md5_stream *s)
{
    if (s)
        EVP_MD_CTX_free(s->ctx);
    free(s);
}

void sha256(struct slice bytes, unsigned char ret_digest[SHA256_BYTES])
{
    digest(sha256_method(), bytes, ret_digest, SHA256_BYTES);
}

void sha256_hex(struct slice bytes, char ret_hex[SHA256_HEX + 1])
{
    unsigned char raw[SHA256_BYTES];

    sha256(bytes, raw);
    put_hex(ret_hex, raw, sizeof(raw));
}

void random_hex(char *ret_hex, size_t bytes)
{
    unsigned char raw[32];

    while (bytes) {
        size_t n = bytes < sizeof(raw) ? bytes : sizeof(raw);
        if (RAND_bytes(raw, (int)n) != 1)
            abort();
        put_hex(ret_hex, raw, n);
        ret_hex += 2 * n;
        bytes -= n;
    }
}

void random_id(char ret_hex[RANDOM_ID_HEX + 1])
{
    random_hex(ret_hex, RANDOM_ID_HEX / 2);
}
