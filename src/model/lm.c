/* The language decoder: a Llama-type causal transformer.
 *
 * Source: Touvron et al. 2023, and the Llama classes of Hugging Face transformers. Image
 * rows of the embedding are the projector's output; positions count over the whole
 * sequence, image tokens included. */
#include "model/pass.h"

#include <math.h>
#include <string.h>

tap_status tap_lm_embed(tap_pass *pass, float *out, const float *projected,
                        const tap_span *span, tap_error *err)
{
    const tap_job *job = pass->job;
    const tap_sequence *sequence = job->items[span->item].sequence;
    const int64_t d = pass->spec->d_model;
    for (int64_t r = 0; r < span->n_rows; r++) {
        /* without a set the sequence begins with the span's rows */
        const int64_t t = span->needs ? tap_span_place(span, r) : r;
        const int64_t feature = sequence->tokens[t].feature;
        if (feature >= 0)
            memcpy(out + r * d, projected + feature * d, (size_t)d * sizeof *out);
        else
            tap_widen(out + r * d, &job->model->embed, sequence->ids[t] * d, d);
    }
    tap_pass_single(pass, span, span->n_rows);
    return tap_pass_at(pass, TAP_SITE_EMBED, out, d, err);
}

/* The factors of the angles; NULL: all 1. All tokens of the text count, also those after the
 * last row that is run, but none that is still to be generated: rows that were kept stay
 * turned as they were, as in the reference. */
static const float *rope_factors(const tap_rope_spec *rope,
                                 const tap_sequence *sequence, const tap_span *span)
{
    int64_t n_tok = sequence->n_tok;
    while (n_tok > 0 && sequence->tokens[n_tok - 1].role == TAP_ROLE_GEN)
        n_tok--;
    if (span->first_position > 0)
        n_tok = span->first_position + span->n_rows;
    if (rope->n_factors == 0)
        return NULL;
    return n_tok > rope->n_short_positions ? rope->long_factors : rope->short_factors;
}

void tap_lm_rope(tap_pass *pass, const tap_span *spans)
{
    const int64_t half = pass->spec->d_head / 2;
    const tap_rope_spec *rope = &pass->job->model->spec.lm.rope;
    const float theta = (float)rope->theta;
    for (int64_t s = 0; s < pass->n_spans; s++) {
        const tap_span *span = &spans[s];
        const float *factors =
            rope_factors(rope, pass->job->items[span->item].sequence, span);
        for (int64_t i = 0; i < half; i++) {
            /* f32 at each step, as the reference does */
            const float step = powf(theta, (float)(2 * i) / (float)pass->spec->d_head);
            const float frequency = 1.0F / (factors ? factors[i] * step : step);
            for (int64_t t = 0; t < span->n_rows; t++) {
                const float angle = (float)tap_span_place(span, t) * frequency;
                const int64_t at = (span->row + t) * half + i;
                pass->cos[at] = cosf(angle) * rope->gain;
                pass->sin[at] = sinf(angle) * rope->gain;
            }
        }
    }
}

static tap_status lm_project(tap_pass *p, const float *x, tap_error *err)
{
    const tap_kernels *k = p->job->kernels;
    const tap_workspace *work = &p->job->work;
    const tap_block_weights *w = &p->job->model->lm_blocks[p->block];
    const tap_stack_spec *s = p->spec;
    const int64_t n = p->n_rows, d = s->d_model, d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head;

    k->rms_norm(p->normed, x, n, d, &w->attn_norm.weight, s->norm_eps, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_ATTN_IN, p->normed, d, err));
    tap_pass_project(p, w);
    tap_lm_rope(p, p->spans);
    k->rope(p->k, d_kv, n, s->n_kv_heads, s->d_head, p->cos, p->sin, work);
    if (p->query_rows)
        tap_lm_rope(p, p->query_spans);
    k->rope(p->q, d_q, p->query_rows ? p->n_queries : n, s->n_heads, s->d_head, p->cos,
            p->sin, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_Q, p->q, d_q, err));
    TAP_TRY(tap_pass_at(p, TAP_SITE_K, p->k, d_kv, err));
    return tap_pass_at(p, TAP_SITE_V, p->v, d_kv, err);
}

static tap_status lm_finish(tap_pass *p, float *x, tap_error *err)
{
    const tap_kernels *k = p->job->kernels;
    const tap_workspace *work = &p->job->work;
    const tap_block_weights *w = &p->job->model->lm_blocks[p->block];
    const tap_stack_spec *s = p->spec;
    const int64_t n = p->n_rows, d = s->d_model, d_q = (int64_t)s->n_heads * s->d_head,
                  d_mlp = s->d_mlp;

    TAP_TRY(tap_pass_at(p, TAP_SITE_Z, p->z, d_q, err));
    k->linear(p->out, d, p->z, d_q, n, &w->o.weight, tap_affine_bias(&w->o), work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_ATTN_OUT, p->out, d, err));
    k->add(x, p->out, n * d, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_RESID_MID, x, d, err));

    k->rms_norm(p->normed, x, n, d, &w->mlp_norm.weight, s->norm_eps, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_MLP_IN, p->normed, d, err));
    const tap_linear wide[] = {{p->gate, d_mlp, &w->gate.weight, NULL},
                               {p->up, d_mlp, &w->up.weight, NULL}};
    k->linears(wide, 2, p->normed, d, n, work);
    k->gate(p->gate, p->up, n * d_mlp, s->act, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_MLP_ACT, p->gate, d_mlp, err));
    k->linear(p->out, d, p->gate, d_mlp, n, &w->down.weight, NULL, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_MLP_OUT, p->out, d, err));
    k->add(x, p->out, n * d, work);
    return TAP_OK;
}

const tap_block_halves tap_lm_halves = {lm_project, lm_finish};

/* Logits of rows first .. first + n of normed states [n][d], handed on in one piece. */
static tap_status put_logits(tap_pass *pass, const tap_span *span, const float *normed,
                             int64_t first, int64_t n, float *logits, tap_error *err)
{
    tap_job *job = pass->job;
    const tap_model *m = job->model;
    const int64_t d = pass->spec->d_model, d_vocab = m->spec.lm.d_vocab;
    job->kernels->linear(logits, d_vocab, normed, d, n, &m->head,
                         m->head_bias.bytes ? &m->head_bias : NULL, &job->work);
    const int64_t n_asked = tap_job_asked(job, span);
    if (n_asked == 0)
        return TAP_OK;
    const tap_state state = {.site = TAP_SITE_LOGITS,
                             .stack = TAP_LM,
                             .block = -1,
                             .item = span->item,
                             .conditions = job->conditions,
                             .n_conditions = n_asked,
                             .first_row = first,
                             .n_rows = n,
                             .d = d_vocab,
                             .values = logits};
    return job->sink->put(job->sink->owner, &state, err);
}

tap_status tap_lm_logits(tap_pass *pass, const float *state, const tap_span *span,
                         tap_error *err)
{
    enum { PIECE_ROWS = 32 };

    tap_job *job = pass->job;
    const tap_model *m = job->model;
    const int64_t d = pass->spec->d_model;
    const bool logits_wanted = tap_sink_wants(job->sink, TAP_SITE_LOGITS, TAP_LM, -1);
    if (!logits_wanted && !tap_sink_wants(job->sink, TAP_SITE_FINAL_NORM, TAP_LM, -1))
        return TAP_OK;
    const size_t mark = tap_arena_mark(&job->arena);
    float *normed = NULL, *logits = NULL;
    TAP_TRY(tap_arena_take(&normed, &job->arena, (size_t)span->n_rows,
                           (size_t)d * sizeof *normed, err));
    job->kernels->rms_norm(normed, state, span->n_rows, d, &m->final_norm.weight,
                           pass->spec->norm_eps, &job->work);
    tap_pass_single(pass, span, span->n_rows);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_FINAL_NORM, normed, d, err));
    if (logits_wanted) {
        TAP_TRY(tap_arena_take(&logits, &job->arena, PIECE_ROWS,
                               (size_t)m->spec.lm.d_vocab * sizeof *logits, err));
        const int64_t begin = job->options->all_logits ? 0 : span->n_rows - 1;
        for (int64_t r = begin; r < span->n_rows; r += PIECE_ROWS) {
            const int64_t left = span->n_rows - r;
            TAP_TRY(put_logits(pass, span, normed + r * d, tap_span_place(span, r),
                               left < PIECE_ROWS ? left : PIECE_ROWS, logits, err));
        }
    }
    tap_arena_release(&job->arena, mark);
    return TAP_OK;
}
