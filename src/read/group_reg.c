/* High-norm tokens: what a clean run of the image says about its own patches. */
#include "base/memory.h"
#include "model/run.h"
#include "read/group.h"

#include <math.h>
#include <string.h>

/* Collects the norms of the rows of two sites. */
typedef struct meter {
    double *norms[TAP_N_STACKS]; /* [n_tok] of the state that is read, of lm.embed */
} meter;

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    meter *m = owner;
    (void)err;
    double *norms = m->norms[state->site == TAP_SITE_EMBED ? TAP_LM : TAP_VISION];
    for (int64_t r = 0; r < state->n_rows; r++) {
        double sum = 0.0;
        for (int64_t i = 0; i < state->d; i++) {
            const double x = (double)state->values[r * state->d + i];
            sum += x * x;
        }
        norms[r] = sqrt(sum);
    }
    return TAP_OK;
}

/* members = patches whose norm lies above mean + 2 sd. */
static void choose(uint64_t *members, const tap_token *tokens, int64_t n_tok,
                   const double *norms)
{
    double sum = 0.0, squares = 0.0;
    int64_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double mean = n ? sum / (double)n : 0.0;
        const double sd = n ? sqrt(fmax(0.0, squares / (double)n - mean * mean)) : 0.0;
        for (int64_t t = 0; t < n_tok; t++) {
            if (tokens[t].role != TAP_ROLE_PATCH)
                continue;
            const double norm = norms[t];
            if (pass == 1 && norm > mean + 2.0 * sd)
                tap_bits_set(members, t);
            if (pass == 0) {
                sum += norm;
                squares += norm * norm;
                n++;
            }
        }
    }
}

tap_status tap_reg_find(tap_reg *out, const tap_scene *scene, int n_threads,
                        tap_error *err)
{
    const tap_group_input input = {.scene = scene, .threshold = 0.5};
    tap_groups groups = {0};
    tap_reg reg = {{NULL, NULL}};
    meter m = {{NULL, NULL}};
    tap_wanted *wanted = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_group_compile(&groups, &input, err));
    for (int s = 0; s < TAP_N_STACKS; s++) {
        const size_t n = (size_t)groups.stacks[s].n_tok;
        TAP_TRY_OUT(tap_alloc(&reg.members[s], (size_t)tap_bits_words((int64_t)n),
                              sizeof *reg.members[s], "groups", err));
        TAP_TRY_OUT(tap_alloc(&m.norms[s], n, sizeof *m.norms[s], "groups", err));
    }
    TAP_TRY_OUT(tap_alloc(&wanted, 1, sizeof *wanted, "groups", err));
    const int depth = scene->model->spec.vision.n_blocks_read;
    wanted->once[TAP_SITE_EMBED] = true;
    if (depth > 0)
        tap_bits_set(wanted->blocks[TAP_VISION][TAP_SITE_RESID_POST], depth - 1);
    const tap_plan *clean = NULL;
    const tap_item item = {
        .pixels = &scene->pixels, .sequence = &scene->sequence, .plans = &clean};
    const tap_sink sink = {.owner = &m, .wanted = wanted, .put = put};
    const tap_run_options options = {.n_threads = n_threads};
    TAP_TRY_OUT(tap_run(NULL, scene->model, &item, 1, 1, &options, &sink, err));
    for (int s = 0; s < TAP_N_STACKS; s++)
        choose(reg.members[s], groups.stacks[s].tokens, groups.stacks[s].n_tok,
               m.norms[s]);
out:
    tap_free(wanted);
    for (int s = 0; s < TAP_N_STACKS; s++)
        tap_free(m.norms[s]);
    tap_groups_clear(&groups);
    if (status == TAP_OK)
        *out = reg;
    else
        tap_reg_clear(&reg);
    return status;
}

void tap_reg_clear(tap_reg *reg)
{
    for (int s = 0; s < TAP_N_STACKS; s++)
        tap_free(reg->members[s]);
    *reg = (tap_reg){{NULL, NULL}};
}
