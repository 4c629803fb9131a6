/* tapetum help: the help texts, the man page and the completions. */
#include "cli/commands.h"
#include "cli/help.h"

static tap_status print_text(tap_buffer *text, const tap_cli *cli, tap_error *err)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    const char *name = tap_args_argument(cli->args, 0);
    const int shell = tap_args_choice(cli->args, "completion");
    if (tap_args_flag(cli->args, "man"))
        return tap_help_man(text, tap_commands, err);
    if (shell >= 0)
        return tap_help_completion(text, shells[shell], tap_commands, err);
    if (!name)
        return tap_help_all(text, tap_commands, err);
    const tap_command *command = NULL;
    TAP_TRY(tap_command_get(&command, name, err));
    return tap_help_command(text, command, err);
}

tap_status tap_cmd_help(tap_cli *cli, tap_error *err)
{
    tap_buffer text = {0};
    const tap_status status = print_text(&text, cli, err);
    if (status == TAP_OK)
        fputs(text.text, stdout);
    tap_buffer_clear(&text);
    return status;
}
