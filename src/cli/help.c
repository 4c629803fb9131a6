/* How is it used? Help, man page and completions, printed from the command tables. */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

enum { NAME_COLUMNS = 26, LINE_COLUMNS = 80 };

static const char exit_codes[] =
    "0 done, 1 failed, 2 wrong usage, 3 ran, but a check did not hold, 130 interrupted "
    "with the state saved";

/* "MODEL IMAGE [MASK ...]" */
static tap_status print_arguments(tap_buffer *out, const tap_command *command,
                                  tap_error *err)
{
    for (const tap_arg *arg = command->args; arg && arg->name; arg++)
        TAP_TRY(tap_buffer_print(out, err, " %s%s%s%s", arg->optional ? "[" : "",
                                 arg->name, arg->repeats ? " ..." : "",
                                 arg->optional ? "]" : ""));
    return TAP_OK;
}

/* Text from a column on, broken at spaces. */
static tap_status print_wrapped(tap_buffer *out, const char *text, int column,
                                tap_error *err)
{
    int at = column;
    while (*text) {
        const int n = (int)strcspn(text, " ");
        if (at > column && at + 1 + n > LINE_COLUMNS) {
            TAP_TRY(tap_buffer_print(out, err, "\n%*s", column, ""));
            at = column;
        }
        TAP_TRY(tap_buffer_print(out, err, "%s%.*s", at > column ? " " : "", n, text));
        at += n + (at > column);
        text += n + (text[n] == ' ');
    }
    return tap_buffer_put(out, "\n", 1, err);
}

/* "  -o, --output FILE" and the help beside it, or below when the name is long. */
static tap_status print_option(tap_buffer *out, const tap_opt *opt, tap_error *err)
{
    const size_t before = out->n_bytes;
    if (opt->letter)
        TAP_TRY(tap_buffer_print(out, err, "  -%c, --%s", opt->letter, opt->name));
    else
        TAP_TRY(tap_buffer_print(out, err, "  --%s", opt->name));
    if (opt->value)
        TAP_TRY(tap_buffer_print(out, err, " %s", opt->value));
    const int n = (int)(out->n_bytes - before);
    if (n + 2 > NAME_COLUMNS)
        TAP_TRY(tap_buffer_print(out, err, "\n%*s", NAME_COLUMNS, ""));
    else
        TAP_TRY(tap_buffer_print(out, err, "%*s", NAME_COLUMNS - n, ""));
    char help[256];
    const size_t n_help = strlen(opt->help);
    const char *shown = opt->fallback && *opt->fallback ? opt->fallback : NULL;
    if (!shown || n_help + strlen(shown) + 4 > sizeof help)
        return print_wrapped(out, opt->help, NAME_COLUMNS, err);
    memcpy(help, opt->help, n_help);
    memcpy(help + n_help, " [", 2);
    memcpy(help + n_help + 2, shown, strlen(shown));
    memcpy(help + n_help + 2 + strlen(shown), "]", 2);
    return print_wrapped(out, help, NAME_COLUMNS, err);
}

tap_status tap_help_all(tap_buffer *out, const tap_command *const *commands,
                        tap_error *err)
{
    TAP_TRY(tap_buffer_print(
        out, err,
        "tapetum asks a vision-language model: who does the seeing?\n\n"
        "Examples:\n"
        "  tapetum demo -o demo\n"
        "      the whole experiment on the embedded model, in seconds\n"
        "  tapetum run experiment.yaml -o results.db && tapetum stats results.db\n"
        "      the same on your model and your annotated photographs\n\n"
        "Usage: tapetum COMMAND [OPTION ...] [ARGUMENT ...]\n\n"
        "Commands:\n"));
    for (; *commands; commands++) {
        TAP_TRY(tap_buffer_print(out, err, "  %-12s", (*commands)->name));
        TAP_TRY(print_wrapped(out, (*commands)->summary, 14, err));
    }
    return tap_buffer_print(out, err,
                            "\n'tapetum COMMAND --help' explains a command; 'tapetum "
                            "--version' prints the version.\n");
}

tap_status tap_help_command(tap_buffer *out, const tap_command *command, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "tapetum %s: ", command->name));
    TAP_TRY(tap_buffer_print(out, err, "%s\n\nExamples:\n", command->summary));
    for (int i = 0; i + 1 < 4 && command->examples[i]; i += 2)
        TAP_TRY(tap_buffer_print(out, err, "  %s\n      %s\n", command->examples[i + 1],
                                 command->examples[i]));
    TAP_TRY(
        tap_buffer_print(out, err, "\nUsage: tapetum %s [OPTION ...]", command->name));
    TAP_TRY(print_arguments(out, command, err));
    TAP_TRY(tap_buffer_put(out, "\n", 1, err));
    for (const tap_arg *arg = command->args; arg && arg->name; arg++) {
        TAP_TRY(tap_buffer_print(out, err, "  %-*s", NAME_COLUMNS - 2, arg->name));
        TAP_TRY(print_wrapped(out, arg->help, NAME_COLUMNS, err));
    }
    TAP_TRY(tap_buffer_put(out, "\n", 1, err));
    for (const tap_opt *opt = command->opts; opt && opt->name; opt++)
        TAP_TRY(print_option(out, opt, err));
    TAP_TRY(tap_buffer_print(out, err, "  "));
    size_t at = 2;
    for (const tap_opt *opt = tap_common_opts; opt->name; opt++) {
        char name[64];
        const int n = snprintf(name, sizeof name, "%s%c%s--%s", opt->letter ? "-" : "",
                               opt->letter ? opt->letter : ' ', opt->letter ? " " : "",
                               opt->name);
        const char *text = opt->letter ? name : name + 1;
        const size_t width = (size_t)n - !opt->letter;
        if (at > 2 && at + 2 + width > LINE_COLUMNS) {
            TAP_TRY(tap_buffer_print(out, err, ",\n  "));
            at = 2;
        }
        TAP_TRY(tap_buffer_print(out, err, "%s%s", at > 2 ? ", " : "", text));
        at += width + 2;
    }
    return tap_buffer_print(out, err, "\n      common options: see 'man tapetum'\n");
}

/* ---- man page ---- */

/* Escapes what roff would read: backslashes, dashes, dots and quotes at line starts. */
static tap_status print_roff(tap_buffer *out, const char *text, tap_error *err)
{
    bool start = out->n_bytes == 0 || out->text[out->n_bytes - 1] == '\n';
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            TAP_TRY(tap_buffer_print(out, err, "\\&"));
        if (*text == '\\')
            TAP_TRY(tap_buffer_print(out, err, "\\e"));
        else if (*text == '-')
            TAP_TRY(tap_buffer_print(out, err, "\\-"));
        else
            TAP_TRY(tap_buffer_put(out, text, 1, err));
        start = *text == '\n';
    }
    return TAP_OK;
}

static tap_status man_option(tap_buffer *out, const tap_opt *opt, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, ".TP\n"));
    if (opt->letter)
        TAP_TRY(tap_buffer_print(out, err, "\\fB\\-%c\\fR, ", opt->letter));
    TAP_TRY(tap_buffer_print(out, err, "\\fB\\-\\-"));
    TAP_TRY(print_roff(out, opt->name, err));
    TAP_TRY(tap_buffer_print(out, err, "\\fR"));
    if (opt->value) {
        TAP_TRY(tap_buffer_print(out, err, " \\fI"));
        TAP_TRY(print_roff(out, opt->value, err));
        TAP_TRY(tap_buffer_print(out, err, "\\fR"));
    }
    TAP_TRY(tap_buffer_print(out, err, "\n"));
    TAP_TRY(print_roff(out, opt->help, err));
    if (opt->fallback && *opt->fallback) {
        TAP_TRY(tap_buffer_print(out, err, " (default "));
        TAP_TRY(print_roff(out, opt->fallback, err));
        TAP_TRY(tap_buffer_print(out, err, ")"));
    }
    if (opt->kind == TAP_OPT_LIST)
        TAP_TRY(tap_buffer_print(out, err, "; may be repeated"));
    return tap_buffer_print(out, err, ".\n");
}

static tap_status man_command(tap_buffer *out, const tap_command *command,
                              tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, ".SS tapetum %s [\\fIoption\\fR ...]",
                             command->name));
    TAP_TRY(print_arguments(out, command, err));
    TAP_TRY(tap_buffer_print(out, err, "\n"));
    TAP_TRY(print_roff(out, command->summary, err));
    TAP_TRY(tap_buffer_print(out, err, ".\n"));
    for (const char *note = command->notes; note && *note;) {
        const size_t n = strcspn(note, "\n");
        TAP_TRY(tap_buffer_print(out, err, ".PP\n"));
        char *line = NULL;
        TAP_TRY(tap_text_copy(&line, note, n, err));
        const tap_status status = print_roff(out, line, err);
        tap_free(line);
        TAP_TRY(status);
        TAP_TRY(tap_buffer_print(out, err, "\n"));
        note += n + (note[n] == '\n');
    }
    for (const tap_arg *arg = command->args; arg && arg->name; arg++) {
        TAP_TRY(tap_buffer_print(out, err, ".TP\n\\fI%s\\fR\n", arg->name));
        TAP_TRY(print_roff(out, arg->help, err));
        TAP_TRY(tap_buffer_print(out, err, ".\n"));
    }
    for (const tap_opt *opt = command->opts; opt && opt->name; opt++)
        TAP_TRY(man_option(out, opt, err));
    for (int i = 0; i + 1 < 4 && command->examples[i]; i += 2) {
        TAP_TRY(tap_buffer_print(out, err, ".PP\nExample, "));
        TAP_TRY(print_roff(out, command->examples[i], err));
        TAP_TRY(tap_buffer_print(out, err, ":\n.PP\n.nf\n    "));
        TAP_TRY(print_roff(out, command->examples[i + 1], err));
        TAP_TRY(tap_buffer_print(out, err, "\n.fi\n"));
    }
    return TAP_OK;
}

tap_status tap_help_man(tap_buffer *out, const tap_command *const *commands,
                        tap_error *err)
{
    TAP_TRY(tap_buffer_print(
        out, err,
        ".TH TAPETUM 1 \"\" \"tapetum %s\" \"User commands\"\n"
        ".SH NAME\ntapetum \\- who does the seeing in a vision\\-language model?\n"
        ".SH SYNOPSIS\n.B tapetum\n\\fIcommand\\fR [\\fIoption\\fR ...] "
        "[\\fIargument\\fR ...]\n"
        ".SH DESCRIPTION\n"
        "tapetum finds the image patches of an object part, reads the states of a "
        "vision\\-language model there through the logit lens, ranks the part's name in "
        "the vocabulary, cuts attention edges in the vision encoder, in the language "
        "decoder or in both, and states with intervals how much of what the encoder "
        "loses the decoder restores.\n.PP\n"
        "Data goes to standard output, everything else to standard error. The file name "
        "\\- is standard input or output.\n"
        ".SH COMMON OPTIONS\n",
        tap_version()));
    for (const tap_opt *opt = tap_common_opts; opt->name; opt++)
        TAP_TRY(man_option(out, opt, err));
    TAP_TRY(tap_buffer_print(out, err, ".SH COMMANDS\n"));
    for (; *commands; commands++)
        TAP_TRY(man_command(out, *commands, err));
    return tap_buffer_print(
        out, err,
        ".SH EXIT STATUS\n%s.\n"
        ".SH ENVIRONMENT\n.TP\n.B TAPETUM_MODELS\nDirectories, separated by colons, in "
        "which a model name without a slash is looked for.\n.TP\n.B NO_COLOR\nNot empty: "
        "no colour unless \\-\\-color says otherwise.\n",
        exit_codes);
}
