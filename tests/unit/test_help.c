/* Help, man page and completions against the tables they are made from: every command,
 * argument, option, letter and choice stands in each, and nothing else is offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/commands.h"
#include "cli/help.h"

#include <string.h>

/* Text without the backslashes of roff and of shells. */
static void plain(tap_buffer *out, const tap_buffer *from)
{
    for (size_t i = 0; i < from->n_bytes; i++)
        if (from->text[i] != '\\')
            assert_int_equal(tap_buffer_put(out, from->text + i, 1, NULL), TAP_OK);
}

static void need(const tap_buffer *text, const char *where, const char *command,
                 const char *word)
{
    if (!strstr(text->text, word))
        fail_msg("%s lacks '%s' of '%s'", where, word, command);
}

/* The text from `start` to the next `end`, without backslashes. */
static tap_buffer part_of(const tap_buffer *page, const char *start, const char *end)
{
    tap_buffer part = {0}, out = {0};
    const char *at = strstr(page->text, start);
    if (!at)
        fail_msg("no '%s'", start);
    const char *stop = strstr(at + strlen(start), end);
    const size_t n = stop ? (size_t)(stop - at) : strlen(at);
    assert_int_equal(tap_buffer_put(&part, at, n, NULL), TAP_OK);
    plain(&out, &part);
    tap_buffer_clear(&part);
    return out;
}

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

static int n_options(const tap_opt *o)
{
    int n = 0;
    while (o && o[n].name)
        n++;
    return n;
}

static void each_option(const tap_command *c,
                        void (*check)(const tap_buffer *, const char *,
                                      const tap_command *, const tap_opt *),
                        const tap_buffer *text, const char *where)
{
    for (const tap_opt *o = c->opts; o && o->name; o++)
        check(text, where, c, o);
}

static void check_text(const tap_buffer *text, const char *where, const tap_command *c,
                       const tap_opt *o)
{
    char word[80];
    (void)snprintf(word, sizeof word, "--%s", o->name);
    need(text, where, c->name, word);
    if (o->letter) {
        (void)snprintf(word, sizeof word, "-%c", o->letter);
        need(text, where, c->name, word);
    }
    if (o->value)
        need(text, where, c->name, o->value);
}

static void check_completion(const tap_buffer *text, const char *where,
                             const tap_command *c, const tap_opt *o)
{
    need(text, where, c->name, o->name);
    if (o->kind != TAP_OPT_CHOICE && o->kind != TAP_OPT_WORDS)
        return;
    for (const char *at = o->value; *at;) {
        char word[64];
        const char *first = at;
        const size_t n = tap_opt_next_word(&at);
        (void)snprintf(word, sizeof word, "%.*s", (int)n, first);
        need(text, where, c->name, word);
    }
}

static void test_help(void **state)
{
    (void)state;
    tap_buffer all = {0};
    assert_int_equal(tap_help_all(&all, tap_commands, NULL), TAP_OK);
    for (size_t i = 0; tap_commands[i]; i++) {
        const tap_command *c = tap_commands[i];
        tap_buffer text = {0};
        assert_int_equal(tap_help_command(&text, c, NULL), TAP_OK);
        need(&all, "the help", c->name, c->name);
        /* examples come first: two of them, and each is a command line of this command */
        assert_non_null(c->examples[1]);
        assert_non_null(c->examples[3]);
        const char *first = strstr(text.text, c->examples[1]);
        const char *usage = strstr(text.text, "tapetum ");
        assert_non_null(first);
        assert_true(first <= strstr(text.text, "--help"));
        assert_non_null(usage);
        for (int k = 1; k < 4; k += 2)
            if (!strstr(c->examples[k], c->name) && strcmp(c->name, "merge") != 0)
                fail_msg("an example of '%s' is of another command", c->name);
        for (const tap_arg *a = c->args; a && a->name; a++)
            need(&text, "its help", c->name, a->name);
        each_option(c, check_text, &text, "its help");
        for (const char *line = text.text; *line;) { /* 80 columns, examples apart */
            const size_t n = strcspn(line, "\n");
            if (n > 80 && !strstr(line, "tapetum "))
                fail_msg("a line of the help of '%s' has %zu columns", c->name, n);
            line += n + (line[n] == '\n');
        }
        tap_buffer_clear(&text);
    }
    tap_buffer_clear(&all);
}

static void test_man(void **state)
{
    (void)state;
    tap_buffer page = {0};
    assert_int_equal(tap_help_man(&page, tap_commands, NULL), TAP_OK);
    for (size_t i = 0; tap_commands[i]; i++) {
        const tap_command *c = tap_commands[i];
        char heading[64];
        (void)snprintf(heading, sizeof heading, "\n.SS tapetum %s ", c->name);
        tap_buffer text = part_of(&page, heading, "\n.S");
        for (const tap_arg *a = c->args; a && a->name; a++)
            need(&text, "the man page", c->name, a->name);
        need(&text, "the man page", c->name, c->summary);
        each_option(c, check_text, &text, "the man page");
        if (times(text.text, "fB--") != n_options(c->opts)) /* and no other */
            fail_msg("the man page gives '%s' %d options, the table %d", c->name,
                     times(text.text, "fB--"), n_options(c->opts));
        tap_buffer_clear(&text);
    }
    tap_buffer common = part_of(&page, "\n.SH COMMON OPTIONS", "\n.SH");
    for (const tap_opt *o = tap_common_opts; o->name; o++)
        need(&common, "the man page", "every command", o->name);
    tap_buffer_clear(&common);
    tap_buffer_clear(&page);
}

static void test_completions(void **state)
{
    (void)state;
    tap_buffer bash = {0}, zsh = {0}, fish = {0};
    assert_int_equal(tap_help_completion(&bash, "bash", tap_commands, NULL), TAP_OK);
    assert_int_equal(tap_help_completion(&zsh, "zsh", tap_commands, NULL), TAP_OK);
    assert_int_equal(tap_help_completion(&fish, "fish", tap_commands, NULL), TAP_OK);
    for (size_t i = 0; tap_commands[i]; i++) {
        const tap_command *c = tap_commands[i];
        char start[80];
        (void)snprintf(start, sizeof start, "\n  %s)\n", c->name);
        tap_buffer text = part_of(&bash, start, "esac ;;");
        each_option(c, check_completion, &text, "bash");
        const char *line = strstr(text.text, "words='");
        const char *end = line ? strchr(line + 7, '\'') : NULL;
        if (!end || end == line + 7)
            fail_msg("bash offers nothing for '%s'", c->name);
        int offered = 0;
        for (const char *at = line; at < end; at++)
            offered += at[0] == ' ' && at[1] == '-';
        assert_int_equal(offered, n_options(c->opts) + n_options(tap_common_opts));
        tap_buffer_clear(&text);

        for (const tap_opt *o = c->opts; o && o->name; o++) {
            (void)snprintf(start, sizeof start, "_from %s' -l %s ", c->name, o->name);
            need(&fish, "fish", c->name, start);
        }
        (void)snprintf(start, sizeof start, "-a %s -d ", c->name);
        need(&fish, "fish", c->name, start);
        need(&zsh, "zsh", c->name, c->name);
        each_option(c, check_completion, &zsh, "zsh");
    }
    tap_buffer_clear(&bash);
    tap_buffer_clear(&zsh);
    tap_buffer_clear(&fish);
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; tap_commands[i]; i++)
        for (const tap_opt *o = tap_commands[i]->opts; o && o->name; o++) {
            for (const tap_opt *p = tap_common_opts; p->name; p++)
                if (strcmp(o->name, p->name) == 0 ||
                    (o->letter && o->letter == p->letter))
                    fail_msg("'%s' redefines --%s", tap_commands[i]->name, p->name);
            for (const tap_opt *p = o + 1; p->name; p++)
                if (strcmp(o->name, p->name) == 0 ||
                    (o->letter && o->letter == p->letter))
                    fail_msg("'%s' has --%s twice", tap_commands[i]->name, p->name);
            if (o->help[strlen(o->help) - 1] == '.')
                fail_msg("help of --%s of '%s' ends in a full stop", o->name,
                         tap_commands[i]->name);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_man),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
