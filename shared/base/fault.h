/*
 * fault: named places at which a test can make the process die, stop or fail.  Compiled in only with
 * -DWSTYPED_FAULTS (MODE=faults and asan); otherwise FAULT_POINT() is false and costs nothing.
 *
 *     if (FAULT_POINT("store.commit.begin"))
 *         return err_set(...);
 *
 * WSTYPED_FAULT="<point>:<n>:<action>" in the environment arms the n-th hit (from 1) of that point.  `*` at
 * the end of the point stands for anything, so `*` alone counts every hit of every point together.  Actions:
 * kill (SIGKILL to this process), stop (SIGSTOP), fail (FAULT_POINT() is true, once).
 * WSTYPED_FAULT_LOG=<path> gets one line with the point's name for every hit.  Both are read at the first
 * hit; a malformed one ends the process.
 *
 * Threads: any.
 */
#ifndef SHARED_BASE_FAULT_H
#define SHARED_BASE_FAULT_H

#include "shared/base/base.h"

#ifdef WSTYPED_FAULTS

bool fault_point(const char *name);
/* Instead of the environment, and counting from 0 again; NULL for none. */
void fault_arm(const char *spec, const char *log_path);

#define FAULT_POINT(name) fault_point(name)

#else

#define FAULT_POINT(name) ((void)(name), false)

#endif

#endif
