/*
 * clock: time.  Deadlines use the monotonic clock in microseconds; module versions the wall clock in
 * milliseconds.  Any thread.
 */
#ifndef SHARED_BASE_CLOCK_H
#define SHARED_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_us(void);     /* monotonic */
int64_t clock_wall_ms(void); /* since the epoch */

#endif
