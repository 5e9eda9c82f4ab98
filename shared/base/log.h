/*
 * log: one line per request and per event, `key=value`, to standard output or log-file.
 *
 * Callers never wait for the disk or a pipe: lines go into a bounded buffer that a thread of its own writes
 * out; lines that do not fit are dropped and counted (`log.dropped n=...`).  Any thread.  Tokens never go
 * into a log line: only code that holds a token can leak it, and none of that logs.
 *
 * Line: `time=2026-01-02T03:04:05.678901Z level=info event=module.registered key=value ...`; values with
 * blanks, quotes, backslashes, controls or `=`, and empty ones, are put in double quotes with JSON escapes.
 */
#ifndef SHARED_BASE_LOG_H
#define SHARED_BASE_LOG_H

#include "shared/base/err.h"
#include "shared/base/sbuf.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* path NULL: standard output. Before log_open() and after log_close() lines go to standard error directly. */
int log_open(const char *path, enum log_level level, struct err *err) MUST_USE;
/* Opens the file anew (after rotation). */
void log_reopen(void);
/* Writes out what waits and ends the thread. */
void log_close(void);
bool log_wants(enum log_level level);

/* `fields` makes `key=value` pairs by log_put(); or NULL. */
void log_event(enum log_level level, const char *event, const struct sbuf *fields);
/* Appends ` key=value`, quoted where needed. */
void log_put(struct sbuf *fields, const char *key, struct slice value);
void log_putf(struct sbuf *fields, const char *key, const char *fmt, ...) PRINTF(3, 4);

/* One event with one free text: event=... message="..." */
void log_message(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

#endif
