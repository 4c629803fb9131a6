/* Output, the stop flag and the way from a command line to an exit code. */
#include "cli/cli.h"

#include "base/file.h"
#include "base/suggest.h"
#include "cli/commands.h"
#include "cli/help.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COMMANDS = 32 };

/* ---- the stop flag ---- */

/* The one piece of state outside a structure: a signal handler can reach nothing else. */
static volatile sig_atomic_t stop_signals;

static void on_interrupt(int signal)
{
    static const char said[] =
        "\ntapetum: finishing the image in hand; interrupt again to stop at once\n";
    (void)signal;
    if (stop_signals++ > 0)
        _exit(TAP_EXIT_STOPPED);
    if (write(STDERR_FILENO, said, sizeof said - 1) < 0)
        return; /* nobody listens; the flag is set */
}

void tap_stop_listen(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool tap_stop_requested(void)
{
    return stop_signals > 0;
}

/* ---- output ---- */

void tap_cli_put_cell(const char *text, char end)
{
    for (const char *c = text ? text : ""; *c; c++)
        putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    putchar(end);
}

json_t *tap_cli_json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    char *plain = NULL;
    if (tap_text_copy(&plain, text, strlen(text), NULL) != TAP_OK)
        return NULL;
    for (char *at = plain; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    value = json_string(plain);
    tap_free(plain);
    return value;
}

tap_status tap_cli_ranges(uint64_t *bits, const tap_cli *cli, const char *option,
                          int n_bits, tap_error *err)
{
    const char *text = tap_args_text(cli->args, option), *at = text;
    for (bool more = true; more;) {
        char *end = NULL;
        const bool open = *at == '-'; /* -3 */
        long first = 0, last = 0;
        if (!open && isdigit((unsigned char)*at)) {
            first = last = strtol(at, &end, 10);
            at = end;
        } else if (!open) {
            break;
        }
        if (*at == '-') {
            at++;
            last = n_bits - 1; /* 4- */
            if (isdigit((unsigned char)*at)) {
                last = strtol(at, &end, 10);
                at = end;
            } else if (open) {
                break;
            }
        }
        if (first > last || last >= n_bits)
            break;
        for (long i = first; i <= last; i++)
            tap_bits_set(bits, i);
        more = *at == ',';
        at += more;
        if (!more && *at == '\0')
            return TAP_OK;
    }
    return TAP_FAIL(
        err, TAP_EINVAL,
        "option '--%s' expects numbers below %d as in 0,2,5-7, found '%.80s'", option,
        n_bits, text);
}

tap_status tap_cli_put_json(json_t *object, tap_error *err)
{
    json_t *line = json_pack("{s:i}", "schema", 1);
    char *text = NULL;
    if (object && line && json_object_update(line, object) == 0)
        text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    json_decref(line);
    if (!text)
        return TAP_FAIL(err, TAP_ENOMEM, "no memory left for a line of JSON");
    puts(text);
    free(text); /* jansson's own */
    return TAP_OK;
}

static void say(const tap_cli *cli, int from, const char *format, va_list values)
{
    if (cli->verbosity < from)
        return;
    fputs("tapetum: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
}

void tap_cli_warn(const tap_cli *cli, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(cli, -1, format, values);
    va_end(values);
}

void tap_cli_note(const tap_cli *cli, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(cli, 0, format, values);
    va_end(values);
}

void tap_cli_detail(const tap_cli *cli, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(cli, 1, format, values);
    va_end(values);
}

const tap_kernels *tap_cli_kernels(const tap_cli *cli)
{
    const char *compute = tap_args_text(cli->args, "compute");
    const tap_kernels *bf16 = tap_kernels_bf16();
    if (strcmp(compute, "bf16") != 0)
        return tap_kernels_cpu();
    if (!bf16)
        tap_cli_note(cli, "this processor has no products in bf16; computed in f32");
    return bf16 ? bf16 : tap_kernels_cpu();
}

tap_status tap_cli_flush(tap_error *err)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return TAP_OK;
    return TAP_FAIL(err, TAP_EIO, "cannot write to standard output: %s",
                    errno ? strerror(errno) : "an earlier write failed");
}

static const char *status_name(tap_status status)
{
    switch (status) {
    case TAP_OK:
        return "TAP_OK";
    case TAP_ENOMEM:
        return "TAP_ENOMEM";
    case TAP_EIO:
        return "TAP_EIO";
    case TAP_EFORMAT:
        return "TAP_EFORMAT";
    case TAP_EINVAL:
        return "TAP_EINVAL";
    case TAP_EUNSUPPORTED:
        return "TAP_EUNSUPPORTED";
    case TAP_ENUMERIC:
        return "TAP_ENUMERIC";
    case TAP_EDEVICE:
        return "TAP_EDEVICE";
    case TAP_ESTOPPED:
        return "TAP_ESTOPPED";
    case TAP_EBUG:
        break;
    }
    return "TAP_EBUG";
}

static int exit_code(const tap_cli *cli, tap_status status)
{
    if (status == TAP_OK)
        return cli->not_held ? TAP_EXIT_NOT_HELD : TAP_EXIT_DONE;
    if (status == TAP_EINVAL)
        return TAP_EXIT_USAGE;
    return status == TAP_ESTOPPED ? TAP_EXIT_STOPPED : TAP_EXIT_FAILED;
}

static void put_error(const tap_error *err, bool json, int code)
{
    if (!json) {
        fprintf(stderr, "tapetum: %s\n", err->message);
        return;
    }
    json_t *object = json_pack("{s:i, s:o, s:s, s:i}", "schema", 1, "error",
                               tap_cli_json_text(err->message), "code",
                               status_name(err->status), "exit", code);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    fprintf(stderr, "%s\n", text ? text : "{\"schema\":1,\"error\":\"no memory\"}");
    free(text);
    json_decref(object);
}

/* ---- models ---- */

tap_status tap_cli_model(char **path, const tap_cli *cli, size_t i, tap_error *err)
{
    const char *name = tap_args_argument(cli->args, i);
    assert(name && "the table demands a MODEL");
    return tap_cli_find_model(path, name, err);
}

tap_status tap_cli_find_model(char **path, const char *name, tap_error *err)
{
    const char *places = getenv("TAPETUM_MODELS");
    if (!places || strchr(name, '/') || tap_file_exists(name))
        return tap_text_copy(path, name, strlen(name), err);
    while (*places) {
        const size_t n = strcspn(places, ":");
        char *found = NULL;
        TAP_TRY(tap_text_format(&found, err, "%.*s/%s", (int)n, places, name));
        if (n > 0 && tap_file_exists(found)) {
            *path = found;
            return TAP_OK;
        }
        tap_free(found);
        places += n + (places[n] == ':');
    }
    return TAP_FAIL(err, TAP_EIO,
                    "cannot find the model '%s': it is neither a path nor a name in "
                    "the directories of TAPETUM_MODELS",
                    name);
}

/* ---- from words to an exit code ---- */

tap_status tap_command_get(const tap_command **out, const char *name, tap_error *err)
{
    const char *known[MAX_COMMANDS];
    size_t n = 0;
    for (; tap_commands[n]; n++) {
        assert(n < MAX_COMMANDS);
        known[n] = tap_commands[n]->name;
        if (strcmp(known[n], name) == 0) {
            *out = tap_commands[n];
            return TAP_OK;
        }
    }
    const char *near = tap_suggest(name, known, n);
    return TAP_FAIL(err, TAP_EINVAL,
                    "there is no command '%s'%s%s%s; see 'tapetum --help'", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* One word as a shell would need it: quoted unless it is plain. */
static tap_status put_word(tap_buffer *out, const char *word, tap_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-+=./:,@%";
    if (*word && strspn(word, plain) == strlen(word))
        return tap_buffer_print(out, err, " %s", word);
    TAP_TRY(tap_buffer_print(out, err, " '"));
    for (; *word; word++)
        TAP_TRY(*word == '\'' ? tap_buffer_print(out, err, "'\\''")
                              : tap_buffer_put(out, word, 1, err));
    return tap_buffer_put(out, "'", 1, err);
}

static bool want_color(const tap_args *args)
{
    const int choice = tap_args_choice(args, "color");
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if (choice > 0)
        return choice == 1;
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
           strcmp(term, "dumb") != 0;
}

static tap_status run_command(tap_cli *cli, int n, const char *const *words,
                              tap_error *err)
{
    tap_args *args = NULL;
    tap_buffer text = {0}, line = {0};
    tap_status status = tap_args_parse(&args, cli->command, n, words, err);
    if (status != TAP_OK)
        return status;
    cli->args = args;
    cli->json = tap_args_flag(args, "json") > 0;
    cli->verbosity = tap_args_flag(args, "quiet") ? -1 : tap_args_flag(args, "verbose");
    cli->color = want_color(args);
    cli->n_threads = (int)tap_args_int(args, "threads");
    if (tap_args_flag(args, "help")) {
        TAP_TRY_OUT(tap_help_command(&text, cli->command, err));
        fputs(text.text, stdout);
        goto out;
    }
    TAP_TRY_OUT(tap_buffer_print(&line, err, "tapetum %s", cli->command->name));
    for (int i = 0; i < n; i++)
        TAP_TRY_OUT(put_word(&line, words[i], err));
    cli->command_line = line.text;
    status = cli->command->run(cli, err);
out:
    tap_buffer_clear(&text);
    tap_buffer_clear(&line);
    tap_args_free(args);
    return status;
}

/* Errors before the options are parsed still honour --json. */
static bool asks_json(int n, const char *const *words)
{
    for (int i = 0; i < n && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--json") == 0)
            return true;
    return false;
}

static tap_status run_words(tap_cli *cli, int argc, const char *const *argv,
                            tap_error *err)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name)
        return TAP_FAIL(err, TAP_EINVAL, "a command is missing; see 'tapetum --help'");
    if (strcmp(name, "--version") == 0) {
        printf("tapetum %s\n", tap_version());
        return TAP_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    TAP_TRY(tap_command_get(&cli->command, name, err));
    return run_command(cli, argc - 2, argv + 2, err);
}

int tap_cli_main(int argc, const char *const *argv)
{
    tap_cli cli = {0};
    tap_error err = {0};
    tap_status status = run_words(&cli, argc, argv, &err);
    if (status == TAP_OK)
        status = tap_cli_flush(&err);
    const int code = exit_code(&cli, status);
    if (status != TAP_OK)
        put_error(&err, asks_json(argc, argv), code);
    return code;
}
