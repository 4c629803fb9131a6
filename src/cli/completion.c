/* Which word may stand here? Completions for three shells, printed from the tables. */
#include "cli/help.h"

#include <string.h>

static tap_status bash_options(tap_buffer *out, const tap_opt *opts, tap_error *err)
{
    for (; opts && opts->name; opts++)
        TAP_TRY(tap_buffer_print(out, err, " --%s", opts->name));
    return TAP_OK;
}

static bool has_words(const tap_opt *opt)
{
    return opt->kind == TAP_OPT_CHOICE || opt->kind == TAP_OPT_WORDS;
}

static tap_status bash_words(tap_buffer *out, const tap_opt *opts, tap_error *err)
{
    for (; opts && opts->name; opts++) {
        if (!has_words(opts))
            continue;
        TAP_TRY(tap_buffer_print(out, err, "    --%s) words='", opts->name));
        for (const char *at = opts->value; *at;) {
            const char *word = at;
            const size_t n = tap_opt_next_word(&at);
            TAP_TRY(tap_buffer_print(out, err, "%s%.*s", word == opts->value ? "" : " ",
                                     (int)n, word));
        }
        TAP_TRY(tap_buffer_print(out, err, "' ;;\n"));
    }
    return TAP_OK;
}

static tap_status complete_bash(tap_buffer *out, const tap_command *const *commands,
                                tap_error *err)
{
    TAP_TRY(tap_buffer_print(
        out, err,
        "# bash completion of tapetum, printed by 'tapetum help --completion bash'\n"
        "_tapetum() {\n  local cur=${COMP_WORDS[COMP_CWORD]} "
        "prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
        "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words='--help --version"));
    for (const tap_command *const *c = commands; *c; c++)
        TAP_TRY(tap_buffer_print(out, err, " %s", (*c)->name));
    TAP_TRY(tap_buffer_print(out, err,
                             "'\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                             "    return\n  fi\n"
                             "  case ${COMP_WORDS[1]} in\n"));
    for (const tap_command *const *c = commands; *c; c++) {
        TAP_TRY(tap_buffer_print(out, err, "  %s)\n    words='", (*c)->name));
        TAP_TRY(bash_options(out, (*c)->opts, err));
        TAP_TRY(bash_options(out, tap_common_opts, err));
        TAP_TRY(tap_buffer_print(out, err, "'\n    case $prev in\n"));
        TAP_TRY(bash_words(out, (*c)->opts, err));
        TAP_TRY(bash_words(out, tap_common_opts, err));
        TAP_TRY(tap_buffer_print(out, err, "    esac ;;\n"));
    }
    return tap_buffer_print(
        out, err,
        "  esac\n  case $cur in\n"
        "  -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
        "  *) case $words in\n"
        "    ' '*|'') COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
        "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
        "    esac ;;\n  esac\n}\ncomplete -o filenames -F _tapetum tapetum\n");
}

/* Text between single quotes of a shell; zsh also reads brackets and colons. */
static tap_status print_quoted(tap_buffer *out, const char *text, bool zsh,
                               tap_error *err)
{
    for (; *text; text++) {
        if (*text == '\'')
            TAP_TRY(tap_buffer_print(out, err, zsh ? "'\\''" : "\\'"));
        else if (zsh && strchr("[]:", *text))
            TAP_TRY(tap_buffer_print(out, err, "\\%c", *text));
        else
            TAP_TRY(tap_buffer_put(out, text, 1, err));
    }
    return TAP_OK;
}

static tap_status zsh_options(tap_buffer *out, const tap_opt *opts, tap_error *err)
{
    for (; opts && opts->name; opts++) {
        TAP_TRY(tap_buffer_print(out, err, " \\\n      '%s--%s[",
                                 opts->kind == TAP_OPT_LIST ? "*" : "", opts->name));
        TAP_TRY(print_quoted(out, opts->help, true, err));
        TAP_TRY(tap_buffer_print(out, err, "]"));
        if (opts->kind == TAP_OPT_CHOICE) {
            TAP_TRY(tap_buffer_print(out, err, ":%s:(", opts->name));
            for (const char *at = opts->value; *at;) {
                const char *word = at;
                const size_t n = tap_opt_next_word(&at);
                TAP_TRY(tap_buffer_print(out, err, "%s%.*s",
                                         word == opts->value ? "" : " ", (int)n, word));
            }
            TAP_TRY(tap_buffer_print(out, err, ")"));
        } else if (opts->value) {
            TAP_TRY(tap_buffer_print(out, err, ":%s:_files", opts->name));
        }
        TAP_TRY(tap_buffer_print(out, err, "'"));
    }
    return TAP_OK;
}

static tap_status complete_zsh(tap_buffer *out, const tap_command *const *commands,
                               tap_error *err)
{
    TAP_TRY(tap_buffer_print(
        out, err,
        "#compdef tapetum\n"
        "# zsh completion of tapetum, printed by 'tapetum help --completion zsh'\n"
        "if (( CURRENT == 2 )); then\n  local -a commands=("));
    for (const tap_command *const *c = commands; *c; c++) {
        TAP_TRY(tap_buffer_print(out, err, "\n    '%s:", (*c)->name));
        TAP_TRY(print_quoted(out, (*c)->summary, true, err));
        TAP_TRY(tap_buffer_print(out, err, "'"));
    }
    TAP_TRY(tap_buffer_print(out, err,
                             ")\n  _describe command commands\nelse\n"
                             "  local name=$words[2]\n"
                             "  shift words; (( CURRENT-- ))\n  case $name in\n"));
    for (const tap_command *const *c = commands; *c; c++) {
        TAP_TRY(tap_buffer_print(out, err, "  %s)\n    _arguments", (*c)->name));
        TAP_TRY(zsh_options(out, (*c)->opts, err));
        TAP_TRY(zsh_options(out, tap_common_opts, err));
        TAP_TRY(tap_buffer_print(out, err, " \\\n      '*:file:_files' ;;\n"));
    }
    return tap_buffer_print(out, err, "  esac\nfi\n");
}

static tap_status fish_options(tap_buffer *out, const char *command,
                               const tap_opt *opts, tap_error *err)
{
    for (; opts && opts->name; opts++) {
        TAP_TRY(tap_buffer_print(out, err,
                                 "complete -c tapetum -n '__fish_seen_subcommand_from "
                                 "%s' -l %s",
                                 command, opts->name));
        if (opts->letter)
            TAP_TRY(tap_buffer_print(out, err, " -s %c", opts->letter));
        if (has_words(opts)) {
            TAP_TRY(tap_buffer_print(out, err, " -x -a '"));
            for (const char *at = opts->value; *at;) {
                const char *word = at;
                const size_t n = tap_opt_next_word(&at);
                TAP_TRY(tap_buffer_print(out, err, "%s%.*s",
                                         word == opts->value ? "" : " ", (int)n, word));
            }
            TAP_TRY(tap_buffer_print(out, err, "'"));
        } else if (opts->value) {
            TAP_TRY(tap_buffer_print(out, err, " -r"));
        }
        TAP_TRY(tap_buffer_print(out, err, " -d '"));
        TAP_TRY(print_quoted(out, opts->help, false, err));
        TAP_TRY(tap_buffer_print(out, err, "'\n"));
    }
    return TAP_OK;
}

static tap_status complete_fish(tap_buffer *out, const tap_command *const *commands,
                                tap_error *err)
{
    TAP_TRY(tap_buffer_print(
        out, err,
        "# fish completion of tapetum, printed by 'tapetum help --completion fish'\n"));
    for (; *commands; commands++) {
        TAP_TRY(
            tap_buffer_print(out, err,
                             "complete -c tapetum -n __fish_use_subcommand -f -a %s "
                             "-d '",
                             (*commands)->name));
        TAP_TRY(print_quoted(out, (*commands)->summary, false, err));
        TAP_TRY(tap_buffer_print(out, err, "'\n"));
        TAP_TRY(fish_options(out, (*commands)->name, (*commands)->opts, err));
        TAP_TRY(fish_options(out, (*commands)->name, tap_common_opts, err));
    }
    return TAP_OK;
}

tap_status tap_help_completion(tap_buffer *out, const char *shell,
                               const tap_command *const *commands, tap_error *err)
{
    if (strcmp(shell, "bash") == 0)
        return complete_bash(out, commands, err);
    if (strcmp(shell, "zsh") == 0)
        return complete_zsh(out, commands, err);
    if (strcmp(shell, "fish") == 0)
        return complete_fish(out, commands, err);
    return TAP_FAIL(err, TAP_EINVAL,
                    "there is a completion for bash, zsh and fish, not for '%s'",
                    shell);
}
