/*
 * url: what a URL in the configuration must look like, and how it is shown.  Pure functions, any thread.
 */
#ifndef SHARED_BASE_URL_H
#define SHARED_BASE_URL_H

#include "shared/base/sbuf.h"

/* True for http or https with a host; *ret_why says what is wrong otherwise. */
bool url_ok(const char *url, const char **ret_why);
/* The URL without name and password, for texts that people see. */
void url_put_public(struct sbuf *out, struct slice url);

#endif
