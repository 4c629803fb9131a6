/* A group expression without a condition around it. */
#include "hook/condition_parse.h"
#include "hook/plan_own.h"

#include <string.h>

tap_status tap_group_bits(uint64_t *bits, const char *text, tap_stack stack,
                          const tap_groups *groups, tap_error *err)
{
    tap_condition *condition = NULL;
    int32_t node = -1;
    tap_status status = tap_alloc(&condition, 1, sizeof *condition, "a group", err);
    if (status != TAP_OK)
        return status;
    tap_parser p = {.out = condition, .text = text, .at = text, .err = err};
    TAP_TRY_OUT(tap_parse_keep(&p, &p.source, text, strlen(text)));
    TAP_TRY_OUT(tap_parse_group(&p, &node));
    tap_parse_space(&p);
    if (*p.at != '\0')
        TAP_TRY_OUT(tap_parse_fail(&p, "the end of the group"));
    const tap_atom atom = {.stack = stack, .column = 1, .source = p.source};
    tap_compiler c = {.condition = condition, .groups = groups, .err = err};
    status = tap_plan_group(bits, &c, &atom, node, false);
out:
    tap_condition_free(condition);
    return status;
}
