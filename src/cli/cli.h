/* What all commands share: the parsed command line, output, the stop flag, where models
 * are found. Only this floor prints and reads the environment.
 *
 * To add a command: write tap_cmd_NAME in cmd_NAME.c, declare it in commands.h and give it a
 * table in table.c. */
#ifndef TAP_CLI_CLI_H
#define TAP_CLI_CLI_H

#include "cli/opt.h"
#include "tensor/kernels.h"

#include <jansson.h>
#include <stdio.h>

enum {
    TAP_EXIT_DONE = 0,
    TAP_EXIT_FAILED = 1,
    TAP_EXIT_USAGE = 2,
    TAP_EXIT_NOT_HELD = 3,
    TAP_EXIT_STOPPED = 130
};

typedef struct tap_cli {
    const tap_command *command;
    const tap_args *args;
    char *command_line; /* as typed, quoted for a shell; for manifests */
    bool json;          /* --json */
    int verbosity;      /* -1 with -q, 0, 1 with -v ... */
    bool color;         /* whether stdout may be coloured */
    int n_threads;      /* --threads; 0: all processors */
    bool not_held;      /* a command sets it: exit code 3 */
} tap_cli;

/* Argument i of the command, a model directory: as it stands if it exists or holds a '/',
 * else looked for in the directories of TAPETUM_MODELS (separated by ':'). tap_free it. */
TAP_NODISCARD tap_status tap_cli_model(char **path, const tap_cli *cli, size_t i,
                                       tap_error *err);

/* The kernels that --compute asks for. Where the processor has no products in bf16: those of
 * f32, with a note; a manifest names kernels->compute. */
const tap_kernels *tap_cli_kernels(const tap_cli *cli);

/* Sets the bits that the option's value names, "0,2,5-7" or "4-", all below n_bits; bits
 * [n_bits / 64] begins as zeros. */
TAP_NODISCARD tap_status tap_cli_ranges(uint64_t *bits, const tap_cli *cli,
                                        const char *option, int n_bits, tap_error *err);

/* The same of a name that stands elsewhere. */
TAP_NODISCARD tap_status tap_cli_find_model(char **path, const char *name,
                                            tap_error *err);

/* Prints a JSON object as one line on stdout, with "schema": 1 set first; takes the
 * reference, and reports a NULL object as lack of memory. */
TAP_NODISCARD tap_status tap_cli_put_json(json_t *object, tap_error *err);
/* A cell of a table on stdout, NULL as empty, and what ends it. Control characters become
 * '?': names from files must neither break the table nor steer the terminal. */
void tap_cli_put_cell(const char *text, char end);
/* A JSON string of any text: bytes that are not UTF-8 become "?". */
json_t *tap_cli_json_text(const char *text);

/* Text for people on stderr: always (warn), unless -q (note), with -v (detail). */
void tap_cli_warn(const tap_cli *cli, const char *format, ...) TAP_FORMAT(2, 3);
void tap_cli_note(const tap_cli *cli, const char *format, ...) TAP_FORMAT(2, 3);
void tap_cli_detail(const tap_cli *cli, const char *format, ...) TAP_FORMAT(2, 3);

/* All that was printed reached stdout; else TAP_EIO. main calls it after each command. */
TAP_NODISCARD tap_status tap_cli_flush(tap_error *err);

/* The first interrupt asks to finish the image in hand and save; the second ends the
 * program at once. A command that can stop calls tap_stop_listen first and returns
 * TAP_ESTOPPED; without it an interrupt ends the program as usual. */
void tap_stop_listen(void);
bool tap_stop_requested(void);

/* The whole program; returns the exit code. */
int tap_cli_main(int argc, const char *const *argv);

#endif
