/*
 * cmd_config: `wstyped config`: checks a deploy.cfg, prints the example, explains keys.
 */
#ifndef SHARED_BASE_CMD_CONFIG_H
#define SHARED_BASE_CMD_CONFIG_H

/* argv[0] is "config". Returns the exit status: 0, 1 for a wrong file or key, 2 for a wrong command line. */
int cmd_config(int argc, char **argv);

#endif
