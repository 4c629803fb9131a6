/* Tables of names and merges: read, or refused with a message; every name gets an answer. */
#include <stdint.h>

#include "lab/part_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const kinds[] = {"merge", "names"};
    static const char *const parts[] = {"lear", "wheel_12", "left eye", "_1", "12"};
    tap_error err;
    for (int k = 0; k < 2; k++) {
        tap_part_table *table = NULL;
        if (tap_part_table_parse(&table, kinds[k], (const char *)bytes, n, "fuzz",
                                 &err) != TAP_OK)
            continue;
        for (int p = 0; p < 5; p++) {
            tap_part_naming naming;
            if (tap_part_table_find(&naming, table, "cat", parts[p], &err) == TAP_OK) {
                tap_free(naming.name);
                tap_free(naming.label);
            }
        }
        tap_part_table_close(table);
    }
    return 0;
}
