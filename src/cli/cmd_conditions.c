/* tapetum conditions: the conditions that have a name. */
#include "cli/commands.h"
#include "hook/condition.h"

tap_status tap_cmd_conditions(tap_cli *cli, tap_error *err)
{
    size_t n = 0;
    const tap_preset *presets = tap_presets(&n);
    for (size_t i = 0; i < n; i++) {
        const tap_preset *p = &presets[i];
        if (cli->json)
            TAP_TRY(tap_cli_put_json(json_pack("{s:s, s:s, s:s, s:s}", "name", p->name,
                                               "text", p->text, "question", p->question,
                                               "source", p->source),
                                     err));
        else
            printf("%s\n    %s\n    %s\n    %s\n", p->name,
                   p->text[0] ? p->text : "(empty: nothing is cut)", p->question,
                   p->source);
    }
    return TAP_OK;
}
