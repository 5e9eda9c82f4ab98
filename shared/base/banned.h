/*
 * banned: functions that we refuse to compile, because each has a safer one beside it.
 * strcpy, strcat, sprintf -> sbuf or snprintf; strtok -> own loops; atoi -> strtol with checks;
 * gmtime, localtime -> the _r forms (threads).
 */
#ifndef SHARED_BASE_BANNED_H
#define SHARED_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gets gmtime localtime

#endif
