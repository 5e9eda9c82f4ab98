/*
 * hasher: MD5 of a long text, on a second thread when it is worth it.  hasher_add() borrows the bytes until
 * hasher_wait() has returned; it waits itself unless they follow those before them in memory or nothing is
 * left to do. One hasher belongs to one thread at a time.  hasher_wait(), hasher_reset() and hasher_free()
 * accept NULL.
 */
#ifndef DWS_VALIDATE_HASHER_H
#define DWS_VALIDATE_HASHER_H

#include "shared/base/digest.h"

struct hasher;

struct hasher *hasher_new(bool threads) MUST_USE;
void hasher_free(struct hasher *h);
void hasher_reset(struct hasher *h);
void hasher_add(struct hasher *h, const char *bytes, size_t n);
/* Nothing is borrowed any more. */
void hasher_wait(struct hasher *h);
void hasher_final(struct hasher *h, char ret_hex[MD5_HEX + 1]);

#endif
