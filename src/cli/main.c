/* The command `tapetum`. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return tap_cli_main(argc, (const char *const *)argv);
}
