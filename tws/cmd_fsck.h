/*
 * cmd_fsck: the subcommand `wstyped fsck`: checks a type database, and mends it.
 */
#ifndef TWS_CMD_FSCK_H
#define TWS_CMD_FSCK_H

/* Exit status: 0 clean, 1 damage is left, 2 it could not be checked. */
int cmd_fsck(int argc, char **argv);

#endif
