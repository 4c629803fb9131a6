/* What did the user ask for? Words of a command line against the tables of a command. */
#include "cli/opt.h"

#include "base/suggest.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTS = 48, MAX_CHOICES = 32, WORD_BYTES = 64 };

const tap_opt tap_common_opts[] = {
    {"json", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
     "JSON Lines on stdout, errors as one JSON object on stderr"},
    {"threads", 0, TAP_OPT_INT, "N", "0", 0, 1024, "threads to use; 0: all processors"},
    {"quiet", 'q', TAP_OPT_FLAG, NULL, NULL, 0, 0, "nothing on stderr but errors"},
    {"verbose", 'v', TAP_OPT_FLAG, NULL, NULL, 0, 0,
     "more on stderr; again: still more"},
    {"color", 0, TAP_OPT_CHOICE, "auto|always|never", "auto", 0, 0, "colour on stdout"},
    {"progress", 0, TAP_OPT_CHOICE, "auto|always|never", "auto", 0, 0,
     "progress on stderr"},
    {"help", 'h', TAP_OPT_FLAG, NULL, NULL, 0, 0, "this help"},
    {0}};

typedef struct opt_value {
    int times;
    const char *text;
    const char **list;
    size_t list_capacity;
    int64_t whole;
    double real;
    int choice;
    uint64_t words; /* bit i: word i of `value` */
} opt_value;

struct tap_args {
    const tap_command *command;
    int n_opts;
    const tap_opt *opts[MAX_OPTS];
    opt_value values[MAX_OPTS];
    const char **arguments;
    size_t n_arguments, capacity;
};

size_t tap_opt_next_word(const char **word)
{
    const char *end = *word;
    while (*end && *end != '|')
        end++;
    const size_t n = (size_t)(end - *word);
    *word = *end ? end + 1 : end;
    return n;
}

/* Which of the '|' words is this? -1 if none. */
static int find_choice(const tap_opt *opt, const char *text, size_t n)
{
    const char *at = opt->value;
    for (int i = 0; *at; i++) {
        const char *word = at;
        const size_t n_word = tap_opt_next_word(&at);
        if (n == n_word && memcmp(word, text, n) == 0)
            return i;
    }
    return -1;
}

/* "'auto', 'always' or 'never'" */
static tap_status print_choices(tap_buffer *out, const tap_opt *opt, tap_error *err)
{
    const char *at = opt->value;
    for (int i = 0; *at; i++) {
        const char *word = at;
        const size_t n = tap_opt_next_word(&at);
        const char *before = i == 0 ? "" : *at ? ", " : " or ";
        TAP_TRY(tap_buffer_print(out, err, "%s'%.*s'", before, (int)n, word));
    }
    return TAP_OK;
}

static tap_status refuse_choice(const tap_opt *opt, const char *text, size_t n,
                                tap_error *err)
{
    char words[MAX_CHOICES][WORD_BYTES];
    const char *known[MAX_CHOICES];
    size_t n_known = 0;
    for (const char *at = opt->value; *at && n_known < MAX_CHOICES; n_known++) {
        const char *word = at;
        const size_t n_word = tap_opt_next_word(&at);
        assert(n_word < WORD_BYTES);
        memcpy(words[n_known], word, n_word);
        words[n_known][n_word] = '\0';
        known[n_known] = words[n_known];
    }
    char *found = NULL;
    tap_buffer choices = {0};
    tap_status status = tap_text_copy(&found, text, n, err);
    if (status == TAP_OK)
        status = print_choices(&choices, opt, err);
    if (status == TAP_OK) {
        const char *near = tap_suggest(found, known, n_known);
        status =
            TAP_FAIL(err, TAP_EINVAL, "option '--%s' expects %s, found '%s'%s%s%s",
                     opt->name, choices.text, found, near ? "; did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
    }
    tap_buffer_clear(&choices);
    tap_free(found);
    return status;
}

static tap_status parse_real(double *out, const tap_opt *opt, const char *text,
                             tap_error *err)
{
    char *end = NULL;
    /* the program never calls setlocale: the point is a point */
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < opt->low ||
        value > opt->high)
        return TAP_FAIL(err, TAP_EINVAL,
                        "option '--%s' expects a number from %g to %g, found '%s'",
                        opt->name, opt->low, opt->high, text);
    *out = value;
    return TAP_OK;
}

/* Digits of text as a number below 2^62; *end behind them. False if there are none. */
static bool parse_digits(int64_t *out, const char *text, const char **end)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > ((INT64_C(1) << 62) - 9) / 10)
            return false;
        value = value * 10 + (*at - '0');
    }
    *end = at;
    *out = value;
    return at != text;
}

static tap_status parse_int(int64_t *out, const tap_opt *opt, const char *text,
                            tap_error *err)
{
    const bool minus = *text == '-';
    const char *end = text;
    int64_t value = 0;
    const bool good = parse_digits(&value, text + minus, &end) && !*end;
    value = minus ? -value : value;
    if (!good || (double)value < opt->low || (double)value > opt->high)
        return TAP_FAIL(err, TAP_EINVAL,
                        "option '--%s' expects a whole number from %.0f to %.0f, "
                        "found '%s'",
                        opt->name, opt->low, opt->high, text);
    *out = value;
    return TAP_OK;
}

static tap_status parse_bytes(int64_t *out, const tap_opt *opt, const char *text,
                              tap_error *err)
{
    static const char units[] = "KMGT";
    const char *end = text;
    int64_t value = 0;
    bool good = parse_digits(&value, text, &end);
    const char *unit = good && *end ? strchr(units, *end) : NULL;
    const int shift = unit ? (int)(unit - units + 1) * 10 : 0;
    good = good && (unit ? !end[1] : !*end) && value <= INT64_MAX >> shift;
    if (good)
        value = (int64_t)((uint64_t)value << shift);
    if (!good || (double)value < opt->low)
        return TAP_FAIL(err, TAP_EINVAL,
                        "option '--%s' expects bytes such as 512M or 8G, at least "
                        "%.0f, found '%s'",
                        opt->name, opt->low, text);
    *out = value;
    return TAP_OK;
}

static tap_status parse_words(uint64_t *out, const tap_opt *opt, const char *text,
                              tap_error *err)
{
    uint64_t words = 0;
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ",");
        const int i = find_choice(opt, at, n);
        if (i < 0)
            return refuse_choice(opt, at, n, err);
        words |= UINT64_C(1) << i;
        at += n;
        if (!*at)
            break;
    }
    *out = words;
    return TAP_OK;
}

/* The value of an option, from the user or from the table. */
static tap_status set_value(opt_value *value, const tap_opt *opt, const char *text,
                            tap_error *err)
{
    switch (opt->kind) {
    case TAP_OPT_INT:
        TAP_TRY(parse_int(&value->whole, opt, text, err));
        break;
    case TAP_OPT_BYTES:
        TAP_TRY(parse_bytes(&value->whole, opt, text, err));
        break;
    case TAP_OPT_REAL:
        TAP_TRY(parse_real(&value->real, opt, text, err));
        break;
    case TAP_OPT_CHOICE:
        value->choice = find_choice(opt, text, strlen(text));
        if (value->choice < 0)
            return refuse_choice(opt, text, strlen(text), err);
        break;
    case TAP_OPT_WORDS:
        TAP_TRY(parse_words(&value->words, opt, text, err));
        break;
    case TAP_OPT_LIST:
        TAP_TRY(tap_grow(&value->list, &value->list_capacity, (size_t)value->times + 1,
                         sizeof *value->list, "option values", err));
        value->list[value->times] = text;
        break;
    case TAP_OPT_FLAG:
    case TAP_OPT_TEXT:
        break;
    }
    value->text = text;
    return TAP_OK;
}

/* ---- words ---- */

static tap_status refuse_option(const tap_args *args, const char *word, size_t n,
                                tap_error *err)
{
    const char *known[MAX_OPTS];
    for (int i = 0; i < args->n_opts; i++)
        known[i] = args->opts[i]->name;
    char name[WORD_BYTES] = "";
    if (word[1] == '-' && n - 2 < WORD_BYTES)
        memcpy(name, word + 2, n - 2);
    const char *near = *name ? tap_suggest(name, known, (size_t)args->n_opts) : NULL;
    return TAP_FAIL(err, TAP_EINVAL,
                    "'tapetum %s' has no option '%.*s'%s%s%s; see 'tapetum %s --help'",
                    args->command->name, (int)(n < 200 ? n : 200), word,
                    near ? "; did you mean '--" : "", near ? near : "",
                    near ? "'?" : "", args->command->name);
}

static int find_name(const tap_args *args, const char *name, size_t n)
{
    for (int i = 0; i < args->n_opts; i++)
        if (strlen(args->opts[i]->name) == n &&
            memcmp(args->opts[i]->name, name, n) == 0)
            return i;
    return -1;
}

static int find_letter(const tap_args *args, char letter)
{
    for (int i = 0; i < args->n_opts; i++)
        if (letter && args->opts[i]->letter == letter)
            return i;
    return -1;
}

static tap_status take_option(tap_args *args, int i, const char *text, tap_error *err)
{
    opt_value *value = &args->values[i];
    TAP_TRY(set_value(value, args->opts[i], text, err));
    value->times++;
    return TAP_OK;
}

static tap_status need_value(const tap_opt *opt, tap_error *err)
{
    return TAP_FAIL(err, TAP_EINVAL, "option '--%s' needs a value: --%s %s", opt->name,
                    opt->name, opt->value);
}

/* --name or --name=value; *used counts the words that follow and are consumed. */
static tap_status take_long(tap_args *args, const char *word, const char *next,
                            int *used, tap_error *err)
{
    const size_t n = strcspn(word, "=");
    const int i = find_name(args, word + 2, n - 2);
    if (i < 0)
        return refuse_option(args, word, n, err);
    const tap_opt *opt = args->opts[i];
    const char *text = word[n] ? word + n + 1 : NULL;
    if (opt->kind == TAP_OPT_FLAG) {
        if (text)
            return TAP_FAIL(err, TAP_EINVAL, "option '--%s' takes no value, found '%s'",
                            opt->name, text);
        return take_option(args, i, "", err);
    }
    if (!text) {
        text = next;
        *used = 1;
    }
    return text ? take_option(args, i, text, err) : need_value(opt, err);
}

/* -n value, -nvalue, or several flags in one word. */
static tap_status take_short(tap_args *args, const char *word, const char *next,
                             int *used, tap_error *err)
{
    for (const char *at = word + 1; *at; at++) {
        const int i = find_letter(args, *at);
        if (i < 0)
            return refuse_option(args, word, strlen(word), err);
        const tap_opt *opt = args->opts[i];
        if (opt->kind != TAP_OPT_FLAG) {
            const char *text = at[1] ? at + 1 : next;
            *used = !at[1];
            return text ? take_option(args, i, text, err) : need_value(opt, err);
        }
        TAP_TRY(take_option(args, i, "", err));
    }
    return TAP_OK;
}

static tap_status take_argument(tap_args *args, const char *word, tap_error *err)
{
    TAP_TRY(tap_grow(&args->arguments, &args->capacity, args->n_arguments + 1,
                     sizeof *args->arguments, "arguments", err));
    args->arguments[args->n_arguments++] = word;
    return TAP_OK;
}

static tap_status take_words(tap_args *args, int n, const char *const *words,
                             tap_error *err)
{
    bool options = true;
    const int help = find_name(args, "help", 4);
    for (int i = 0; i < n && !args->values[help].times; i++) {
        const char *word = words[i];
        const char *next = i + 1 < n ? words[i + 1] : NULL;
        int used = 0;
        if (!options || word[0] != '-' || !word[1])
            TAP_TRY(take_argument(args, word, err));
        else if (strcmp(word, "--") == 0)
            options = false;
        else if (word[1] == '-')
            TAP_TRY(take_long(args, word, next, &used, err));
        else
            TAP_TRY(take_short(args, word, next, &used, err));
        i += used;
    }
    return TAP_OK;
}

static tap_status check_arguments(const tap_args *args, tap_error *err)
{
    const tap_arg *table = args->command->args;
    size_t n_known = 0, n_needed = 0;
    bool repeats = false;
    for (; table && table[n_known].name; n_known++) {
        n_needed += !table[n_known].optional;
        repeats = table[n_known].repeats;
    }
    if (args->n_arguments < n_needed)
        return TAP_FAIL(
            err, TAP_EINVAL, "'tapetum %s' needs %s; see 'tapetum %s --help'",
            args->command->name, table[args->n_arguments].name, args->command->name);
    if (args->n_arguments > n_known && !repeats)
        return TAP_FAIL(err, TAP_EINVAL,
                        "'tapetum %s' does not expect '%s'; see 'tapetum %s --help'",
                        args->command->name, args->arguments[n_known],
                        args->command->name);
    return TAP_OK;
}

static void add_table(tap_args *args, const tap_opt *table)
{
    for (; table && table->name; table++) {
        assert(args->n_opts < MAX_OPTS && find_letter(args, table->letter) < 0);
        assert(find_name(args, table->name, strlen(table->name)) < 0);
        args->opts[args->n_opts++] = table;
    }
}

tap_status tap_args_parse(tap_args **out, const tap_command *command, int n,
                          const char *const *words, tap_error *err)
{
    tap_args *args = NULL;
    TAP_TRY(tap_alloc(&args, 1, sizeof *args, "options", err));
    tap_status status = TAP_OK;
    args->command = command;
    add_table(args, command->opts);
    add_table(args, tap_common_opts);
    for (int i = 0; i < args->n_opts; i++) {
        args->values[i].choice = -1;
        if (args->opts[i]->fallback)
            TAP_TRY_OUT(set_value(&args->values[i], args->opts[i],
                                  args->opts[i]->fallback, err));
    }
    TAP_TRY_OUT(take_words(args, n, words, err));
    if (!tap_args_flag(args, "help"))
        TAP_TRY_OUT(check_arguments(args, err));
    *out = args;
    return TAP_OK;
out:
    tap_args_free(args);
    return status;
}

void tap_args_free(tap_args *args)
{
    if (!args)
        return;
    for (int i = 0; i < args->n_opts; i++)
        tap_free(args->values[i].list);
    tap_free(args->arguments);
    tap_free(args);
}

/* ---- questions ---- */

static const opt_value *value_of(const tap_args *args, const char *name)
{
    const int i = find_name(args, name, strlen(name));
    assert(i >= 0 && "no such option in the table");
    return &args->values[i];
}

int tap_args_flag(const tap_args *args, const char *name)
{
    return value_of(args, name)->times;
}

bool tap_args_given(const tap_args *args, const char *name)
{
    return value_of(args, name)->times > 0;
}

const char *tap_args_text(const tap_args *args, const char *name)
{
    return value_of(args, name)->text;
}

const char *const *tap_args_list(size_t *n, const tap_args *args, const char *name)
{
    const opt_value *value = value_of(args, name);
    *n = (size_t)value->times;
    return value->times ? value->list : NULL;
}

int64_t tap_args_int(const tap_args *args, const char *name)
{
    return value_of(args, name)->whole;
}

double tap_args_real(const tap_args *args, const char *name)
{
    return value_of(args, name)->real;
}

int tap_args_choice(const tap_args *args, const char *name)
{
    return value_of(args, name)->choice;
}

bool tap_args_has_word(const tap_args *args, const char *name, const char *word)
{
    const int i = find_name(args, name, strlen(name));
    assert(i >= 0 && args->opts[i]->kind == TAP_OPT_WORDS);
    const int bit = find_choice(args->opts[i], word, strlen(word));
    assert(bit >= 0 && "no such word in the table");
    return args->values[i].words >> bit & 1;
}

const char *tap_args_argument(const tap_args *args, size_t i)
{
    return i < args->n_arguments ? args->arguments[i] : NULL;
}

size_t tap_args_count(const tap_args *args)
{
    return args->n_arguments;
}
