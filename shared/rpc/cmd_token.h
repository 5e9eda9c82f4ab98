/*
 * cmd_token: `wstyped token add|list|remove`: the users of a tokens file.
 */
#ifndef SHARED_RPC_CMD_TOKEN_H
#define SHARED_RPC_CMD_TOKEN_H

/* argv[0] is "token". Returns the exit status: 0, 1 for failures, 2 for wrong arguments. */
int cmd_token(int argc, char **argv);

#endif
