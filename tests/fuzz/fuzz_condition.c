/* Condition text: parsed, printed and parsed again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "hook/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char text[4096], *printed = NULL, *again = NULL;
    tap_condition *condition = NULL;
    tap_error err;
    if (n >= sizeof text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = '\0';
    if (tap_condition_parse(&condition, text, &err) != TAP_OK)
        return 0;
    if (tap_condition_print(&printed, condition, &err) != TAP_OK)
        abort();
    tap_condition_free(condition);
    if (tap_condition_parse(&condition, printed, &err) != TAP_OK ||
        tap_condition_print(&again, condition, &err) != TAP_OK ||
        strcmp(printed, again) != 0)
        abort();
    tap_condition_free(condition);
    tap_free(printed);
    tap_free(again);
    return 0;
}
