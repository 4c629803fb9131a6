#include "read/translator.h"

#include "base/memory.h"
#include "format/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tap_translator {
    tap_safetensors *file;
    int64_t d;
    int n_blocks;
    const tap_tensor **weights, **biases; /* [n_blocks + 1], NULL where there is none */
};

/* "layer_translators.D.weight" or "D.weight": the depth and which of the two; false if the
 * name is of another kind. */
static bool read_name(long *depth, bool *bias, const char *name)
{
    static const char prefix[] = "layer_translators.";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        name += sizeof prefix - 1;
    if (*name < '0' || *name > '9' || strlen(name) > 32)
        return false;
    char *end = NULL;
    *depth = strtol(name, &end, 10);
    *bias = strcmp(end, ".bias") == 0;
    return *bias || strcmp(end, ".weight") == 0;
}

static tap_status take_tensors(tap_translator *t, const char *path, tap_error *err)
{
    int n_found = 0;
    for (int64_t i = 0; i < tap_safetensors_count(t->file); i++) {
        const char *name = tap_safetensors_name(t->file, i);
        const tap_tensor *tensor = tap_safetensors_tensor(t->file, i);
        long depth = 0;
        bool bias = false;
        if (!read_name(&depth, &bias, name))
            continue;
        if (depth > t->n_blocks)
            return TAP_FAIL(err, TAP_EINVAL,
                            "translator '%s': '%s' is of depth %ld, but the decoder's "
                            "depths go from 0 to %d; it belongs to another model",
                            path, name, depth, t->n_blocks);
        const bool fits = tensor->dtype != TAP_OTHER && tensor->shape[0] == t->d &&
                          (bias ? tensor->n_dims == 1
                                : tensor->n_dims == 2 && tensor->shape[1] == t->d);
        if (!fits) {
            char shape[64];
            tap_tensor_print_shape(shape, sizeof shape, tensor);
            return TAP_FAIL(err, TAP_EFORMAT,
                            "translator '%s': '%s' is %s %s, expected [%lld]%s of a "
                            "floating type; it belongs to another model",
                            path, name, tap_safetensors_dtype(t->file, i), shape,
                            (long long)t->d, bias ? "" : " twice");
        }
        (bias ? t->biases : t->weights)[depth] = tensor;
        n_found += !bias;
    }
    for (int depth = 0; depth <= t->n_blocks; depth++)
        if (t->biases[depth] && !t->weights[depth])
            return TAP_FAIL(err, TAP_EFORMAT,
                            "translator '%s': '%d.bias' stands without '%d.weight'",
                            path, depth, depth);
    if (n_found == 0)
        return TAP_FAIL(
            err, TAP_EINVAL,
            "translator '%s': it holds no tensor called 'D.weight' with D a "
            "depth",
            path);
    return TAP_OK;
}

tap_status tap_translator_open(tap_translator **out, const char *path, int64_t d,
                               int n_blocks, tap_error *err)
{
    tap_translator *t = NULL;
    const size_t n = (size_t)n_blocks + 1;
    tap_status status = tap_alloc(&t, 1, sizeof *t, "a translator", err);
    if (status != TAP_OK)
        return status;
    t->d = d;
    t->n_blocks = n_blocks;
    TAP_TRY_OUT(tap_alloc(&t->weights, n, sizeof *t->weights, "a translator", err));
    TAP_TRY_OUT(tap_alloc(&t->biases, n, sizeof *t->biases, "a translator", err));
    TAP_TRY_OUT(tap_safetensors_open(&t->file, path, err));
    TAP_TRY_OUT(take_tensors(t, path, err));
out:
    if (status == TAP_OK)
        *out = t;
    else
        tap_translator_close(t);
    return status;
}

void tap_translator_close(tap_translator *translator)
{
    if (!translator)
        return;
    tap_safetensors_close(translator->file);
    tap_free(translator->weights);
    tap_free(translator->biases);
    tap_free(translator);
}

void tap_translator_run(float *out, const tap_translator *translator, int depth,
                        const float *h, int64_t n_rows, const tap_kernels *kernels,
                        const tap_workspace *work)
{
    const int64_t d = translator->d;
    const tap_tensor *weight = translator->weights[depth];
    if (!weight) {
        memcpy(out, h, (size_t)(n_rows * d) * sizeof *out);
        return;
    }
    kernels->linear(out, d, h, d, n_rows, weight, translator->biases[depth], work);
    kernels->add(out, h, n_rows * d, work);
}
