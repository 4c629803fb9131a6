/* What did the user ask for? One table per command says which options and arguments exist;
 * parsing, --help, the man page and the completions all come from it (help.h).
 *
 *   --name value, --name=value, -n value, -nvalue, flags joined (-qv), "--" ends options,
 *   "-" alone is an argument. Options and arguments may be mixed.
 *
 * This room knows no command and prints nothing. */
#ifndef TAP_CLI_OPT_H
#define TAP_CLI_OPT_H

#include "base/memory.h"

typedef enum tap_opt_kind {
    TAP_OPT_FLAG,   /* present or not; may be given again */
    TAP_OPT_TEXT,   /* any text, the last one counts */
    TAP_OPT_LIST,   /* any text, may be given again: all count */
    TAP_OPT_INT,    /* whole number in [low, high] */
    TAP_OPT_REAL,   /* finite number in [low, high] */
    TAP_OPT_BYTES,  /* 4096, 512M, 8G ... (1024-based), at least low */
    TAP_OPT_CHOICE, /* one of the words of `value`, which are separated by '|' */
    TAP_OPT_WORDS   /* like CHOICE, several separated by commas */
} tap_opt_kind;

typedef struct tap_opt {
    const char *name; /* without dashes; a table ends with name NULL */
    char letter;      /* 0: none */
    tap_opt_kind kind;
    const char *value;    /* "FILE", "auto|always|never"; NULL for a flag */
    const char *fallback; /* value when absent, shown in the help; NULL: none */
    double low, high;     /* numbers only */
    const char *help;     /* one line, lower case, no full stop */
} tap_opt;

typedef struct tap_arg {
    const char *name; /* "MODEL"; a table ends with name NULL */
    bool optional;
    bool repeats; /* the last one only: one or more */
    const char *help;
} tap_arg;

struct tap_cli;

typedef struct tap_command {
    const char *name;
    const char *summary;     /* one line, lower case, no full stop */
    const char *examples[4]; /* what it does, command line; twice */
    const tap_arg *args;     /* may be NULL */
    const tap_opt *opts;     /* may be NULL */
    const char *notes; /* for the man page: paragraphs separated by "\n"; or NULL */
    tap_status (*run)(struct tap_cli *cli, tap_error *err);
} tap_command;

/* Options that every command has. */
extern const tap_opt tap_common_opts[];

typedef struct tap_args tap_args;

/* Parses the words after the command's name. Nothing is checked beyond the tables: files
 * are not looked at. --help and -h stop the parsing (tap_args_flag "help").
 *
 * Errors:  TAP_EINVAL naming the word, what is expected and the nearest known option.
 * Memory:  texts are borrowed from argv.
 * Checked: test_opt.c, fuzz_opt.c */
TAP_NODISCARD tap_status tap_args_parse(tap_args **out, const tap_command *command,
                                        int n, const char *const *words,
                                        tap_error *err);
void tap_args_free(tap_args *args);

/* Asking for an option that stands in no table is our mistake (assert). */
int tap_args_flag(const tap_args *args, const char *name); /* times given */
/* Given by the user, not by the fallback. */
bool tap_args_given(const tap_args *args, const char *name);
/* NULL if absent without fallback. */
const char *tap_args_text(const tap_args *args, const char *name);
/* n texts of a list; NULL and 0 if absent. */
const char *const *tap_args_list(size_t *n, const tap_args *args, const char *name);
int64_t tap_args_int(const tap_args *args, const char *name); /* also of BYTES */
double tap_args_real(const tap_args *args, const char *name);
/* Which word of `value`, counted from 0; -1 if absent without fallback. */
int tap_args_choice(const tap_args *args, const char *name);
/* Whether `word` is among the words given. */
bool tap_args_has_word(const tap_args *args, const char *name, const char *word);

/* Arguments in order: NULL past the last. */
const char *tap_args_argument(const tap_args *args, size_t i);
size_t tap_args_count(const tap_args *args);

/* One word of a '|' list: its length, and *word moves behind it. 0 at the end. */
size_t tap_opt_next_word(const char **word);

#endif
