/* How is it used? Help, man page and completions, printed from the command tables. */
#ifndef TAP_CLI_HELP_H
#define TAP_CLI_HELP_H

#include "cli/opt.h"

/* All commands with their summaries. */
TAP_NODISCARD tap_status tap_help_all(tap_buffer *out,
                                      const tap_command *const *commands,
                                      tap_error *err);
/* Two examples, then usage, arguments, options. At most 24 lines of 80 columns for a
 * command of few options. */
TAP_NODISCARD tap_status tap_help_command(tap_buffer *out, const tap_command *command,
                                          tap_error *err);
/* tapetum.1 in man(7) macros. */
TAP_NODISCARD tap_status tap_help_man(tap_buffer *out,
                                      const tap_command *const *commands,
                                      tap_error *err);
/* shell: "bash", "zsh" or "fish". */
TAP_NODISCARD tap_status tap_help_completion(tap_buffer *out, const char *shell,
                                             const tap_command *const *commands,
                                             tap_error *err);

#endif
