/* The commands: one entry each, in cmd_NAME.c. Their options stand in table.c. */
#ifndef TAP_CLI_COMMANDS_H
#define TAP_CLI_COMMANDS_H

#include "cli/cli.h"

/* All commands in the order of the help, ending with NULL. */
extern const tap_command *const tap_commands[];

/* The command of that name. TAP_EINVAL names the nearest. */
TAP_NODISCARD tap_status tap_command_get(const tap_command **out, const char *name,
                                         tap_error *err);

TAP_NODISCARD tap_status tap_cmd_demo(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_run(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_merge(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_stats(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_report(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_figure(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_export(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_labels(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_items(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_patches(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_lens(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_attention(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_answer(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_check(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_trace(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_generate(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_inspect(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_conditions(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_help(tap_cli *cli, tap_error *err);
TAP_NODISCARD tap_status tap_cmd_tokenize(tap_cli *cli, tap_error *err);

#endif
