/*
 * cmd_compile: `wstyped compile`, the KIDL compiler as an offline command.  Reads files, writes to standard
 * output and standard error; no configuration, no type database.
 */
#ifndef TWS_CMD_COMPILE_H
#define TWS_CMD_COMPILE_H

/* argv[0] is "compile". Returns the exit status: 0, 1 for a spec that does not compile, 2 for wrong usage. */
int cmd_compile(int argc, char **argv);

#endif
