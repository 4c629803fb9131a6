/* Any bytes as an experiment file: an error or an experiment whose facts can be listed. */
#include "lab/experiment.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    tap_experiment experiment = {0};
    tap_error err = {0};
    const tap_status status = tap_experiment_parse(&experiment, (const char *)bytes,
                                                   n_bytes, "fuzz.yaml", &err);
    if (status != TAP_OK) {
        if (experiment.owned || err.message[0] == '\0')
            abort();
        return 0;
    }
    uint64_t bits[1] = {0};
    const tap_fact *facts = NULL;
    size_t n_facts = 0;
    if (tap_experiment_depths(bits, &experiment, 9, &err) == TAP_OK && bits[0] >> 9)
        abort();
    if (experiment.n_conditions == 0 ||
        tap_experiment_facts(&facts, &n_facts, &experiment, &err) != TAP_OK)
        abort();
    tap_experiment_clear(&experiment);
    return 0;
}
