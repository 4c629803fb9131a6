/* tapetum conditions: the conditions that have a name. */
#include "cli/commands.h"
#include "hook/preset.h"

/* One row of the table in docs/conditions.md; "|" is escaped. */
static void put_cell(const char *text)
{
    for (; *text; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void put_markdown(const tap_preset *p, const char *needs)
{
    printf("| `%s` | ", p->name);
    if (!p->text)
        printf("—");
    else if (!p->text[0])
        printf("(empty)");
    else
        putchar('`'), put_cell(p->text), putchar('`');
    printf(" | ");
    put_cell(p->question);
    printf(" | ");
    put_cell(needs);
    printf(" |\n");
}

static void put_text(const tap_preset *p, const char *needs, bool new_source)
{
    if (new_source)
        printf("%s:\n", p->source);
    printf("  %s\n", p->name);
    if (p->text)
        printf("      %s\n", p->text[0] ? p->text : "(empty: nothing is cut)");
    printf("      %s\n", p->question);
    if (needs[0])
        printf("      %s %s\n", p->text ? "needs" : "done by", needs);
}

tap_status tap_cmd_conditions(tap_cli *cli, tap_error *err)
{
    size_t n = 0;
    const tap_preset *presets = tap_presets(&n);
    const bool markdown = tap_args_flag(cli->args, "markdown") > 0;
    char needs[TAP_PRESET_NEEDS_BYTES];
    for (size_t i = 0; i < n; i++) {
        const tap_preset *p = &presets[i];
        const bool new_source = i == 0 || presets[i - 1].source != p->source;
        tap_preset_needs(needs, p);
        if (cli->json) {
            TAP_TRY(tap_cli_put_json(
                json_pack("{s:s, s:o, s:s, s:s, s:o}", "name", p->name, "text",
                          p->text ? json_string(p->text) : json_null(), "question",
                          p->question, "source", p->source,
                          p->text ? "needs" : "done_by",
                          needs[0] ? json_string(needs) : json_null()),
                err));
        } else if (markdown) {
            if (new_source)
                printf(
                    "%s%s:\n\n| name | text | what it asks | %s |\n|---|---|---|---|\n",
                    i ? "\n" : "", p->source, "needs, or what does it");
            put_markdown(p, needs);
        } else {
            put_text(p, needs, new_source);
        }
    }
    return TAP_OK;
}
