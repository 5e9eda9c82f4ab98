/*
 * methods: what a DWS answers: types are forwarded, the rest is local.
 */
#ifndef DWS_METHODS_H
#define DWS_METHODS_H

#include "shared/rpc/method.h"

extern const struct method_table dws_methods;

#endif
