/*
 * digest: MD5 (type and module ids), SHA-256 (token keys), random ids; all from OpenSSL.  Any thread.
 */
#ifndef SHARED_BASE_DIGEST_H
#define SHARED_BASE_DIGEST_H

#include "shared/base/base.h"

enum { MD5_HEX = 32, SHA256_BYTES = 32, SHA256_HEX = 64, RANDOM_ID_HEX = 32 };

/* Lower-case hex of the MD5 of the text's Java bytes (utf_put_java_bytes), NUL behind it. */
void md5_hex(struct slice text, char ret_hex[MD5_HEX + 1]);
/* The MD5 of bytes that come in pieces. One stream belongs to one thread at a time. */
struct md5_stream;
struct md5_stream *md5_stream_new(void) MUST_USE;
void md5_stream_update(struct md5_stream *s, const void *bytes, size_t n);
/* Gives the digest; the stream can only be freed or reset after that. */
void md5_stream_final(struct md5_stream *s, char ret_hex[MD5_HEX + 1]);
void md5_stream_reset(struct md5_stream *s);
void md5_stream_free(struct md5_stream *s);

void sha256(struct slice bytes, unsigned char ret_digest[SHA256_BYTES]);
void sha256_hex(struct slice bytes, char ret_hex[SHA256_HEX + 1]);
/* 128 random bits as lower-case hex; for node ids, cluster ids and nonces. */
void random_id(char ret_hex[RANDOM_ID_HEX + 1]);
/* n random bytes as 2 * n hex digits; for tokens. */
void random_hex(char *ret_hex, size_t bytes);

#endif
