/* From condition to plan: names become indices and bits before any arithmetic.
 *
 * HOW IT WORKS. Each atom's groups become bit sets over the tokens of its stack, its ranges
 * bit sets over blocks and heads. Blocks on which the same atoms act share one tap_edges
 * (plan_edges.c); state edits are laid beside them (plan_edit.c). What a block does is
 * hashed, so conditions written differently but equal in effect are equal. */
#include "hook/plan.h"

#include "hook/plan_own.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

tap_status tap_plan_own(tap_compiler *c, void *out, size_t n, size_t bytes)
{
    void *memory = NULL;
    TAP_TRY(tap_grow(&c->out->owned, &c->out->capacity, c->out->n_owned + 1,
                     sizeof(void *), "a plan", c->err));
    TAP_TRY(tap_alloc(&memory, n, bytes, "a plan", c->err));
    c->out->owned[c->out->n_owned++] = memory;
    memcpy(out, &memory, sizeof memory);
    return TAP_OK;
}

tap_status tap_plan_refuse(const tap_compiler *c, const tap_atom *atom, int column,
                           const char *format, ...)
{
    char reason[TAP_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return TAP_FAIL(c->err, TAP_EINVAL, "condition '%.200s', column %d: %s",
                    c->condition->strings.text + atom->source, column, reason);
}

/* ---- blocks and heads ---- */

static int32_t clamp(int64_t x, int64_t most)
{
    return (int32_t)(x < 0 ? 0 : x > most ? most : x);
}

/* begin .. end (exclusive) of a range over n items; plain ranges are checked. */
static void ends_of(int32_t *begin, int32_t *end, const tap_range *r, int n)
{
    switch (r->kind) {
    case TAP_RANGE_LAST:
        *begin = n - 1;
        *end = n;
        break;
    case TAP_RANGE_WINDOW: /* Geva et al. 2023, released code */
        *begin = clamp((int64_t)r->first - r->last / 2, n);
        *end = clamp((int64_t)r->first + (r->last + 1) / 2, n);
        break;
    case TAP_RANGE_PREFIX:
        *begin = 0;
        *end = clamp(r->first, n);
        break;
    case TAP_RANGE_SUFFIX:
        *begin = clamp((int64_t)n - r->first, n);
        *end = n;
        break;
    case TAP_RANGE_PLAIN:
        *begin = r->first;
        *end = r->last < 0 ? n : r->last + 1;
    }
}

static tap_status set_ranges(bool *set, const tap_compiler *c, const tap_atom *atom,
                             const tap_range *ranges, int n_ranges, int n,
                             const char *what)
{
    for (int i = 0; i < n; i++)
        set[i] = n_ranges == 0;
    for (int i = 0; i < n_ranges; i++) {
        const bool plain = ranges[i].kind == TAP_RANGE_PLAIN;
        int32_t begin = 0, end = 0;
        ends_of(&begin, &end, &ranges[i], n);
        if (plain && (begin >= n || end > n))
            return tap_plan_refuse(c, atom, ranges[i].column,
                                   "there is no %s %d; the %s stack has %d, 0 to %d",
                                   what, begin >= n ? begin : end - 1,
                                   tap_stack_name(atom->stack), n, n - 1);
        if (ranges[i].kind == TAP_RANGE_WINDOW && ranges[i].first >= n)
            return tap_plan_refuse(
                c, atom, ranges[i].column,
                "the window is centred on block %d; the %s stack has "
                "%d, 0 to %d",
                ranges[i].first, tap_stack_name(atom->stack), n, n - 1);
        for (int32_t k = begin; k < end; k++)
            set[k] = true;
    }
    return TAP_OK;
}

/* ---- atoms ---- */

/* Drops generated or prompt tokens from the queries. */
static tap_status keep_phase(uint64_t *queries, const tap_compiler *c,
                             const tap_atom *atom)
{
    const tap_group_set *set = tap_atom_set(c, atom);
    bool generates = false;
    for (int64_t t = 0; t < set->n_tok; t++) {
        const bool gen = set->tokens[t].role == TAP_ROLE_GEN;
        generates |= gen;
        if ((atom->phase == TAP_PHASE_PREFILL && gen) ||
            (atom->phase == TAP_PHASE_DECODE && !gen))
            tap_bits_drop(queries, t);
    }
    if (atom->phase == TAP_PHASE_DECODE && !generates)
        return tap_plan_refuse(
            c, atom, atom->column,
            "'phase decode' acts on generated tokens, and nothing is "
            "generated here; use it with 'generate'");
    return TAP_OK;
}

static tap_status ready(tap_compiler *c, size_t a)
{
    const tap_atom *atom = &c->condition->atoms[a];
    tap_ready_atom *r = &c->atoms[a];
    const size_t n_words = (size_t)tap_bits_words(tap_atom_set(c, atom)->n_tok);
    r->atom = atom;
    TAP_TRY(tap_plan_own(c, &r->queries, n_words, sizeof *r->queries));
    TAP_TRY(tap_plan_group(r->queries, c, atom, atom->queries, true));
    TAP_TRY(keep_phase(r->queries, c, atom));
    if (atom->keys >= 0) {
        TAP_TRY(tap_plan_own(c, &r->keys, n_words, sizeof *r->keys));
        TAP_TRY(tap_plan_group(r->keys, c, atom, atom->keys, false));
    }
    TAP_TRY(set_ranges(r->blocks, c, atom, atom->blocks, atom->n_blocks,
                       c->sizes->n_blocks[atom->stack], "block"));
    return set_ranges(r->heads, c, atom, atom->heads, atom->n_heads,
                      c->sizes->n_heads[atom->stack], "head");
}

static bool acts_on(const tap_ready_atom *a, tap_stack stack, int block)
{
    return !a->atom->edit && a->atom->stack == stack && a->blocks[block];
}

static tap_status compile_stack(tap_compiler *c, tap_stack stack)
{
    tap_plan *plan = &c->out->plan;
    const int n_blocks = c->sizes->n_blocks[stack];
    const size_t n_atoms = c->condition->n_atoms;
    TAP_TRY(tap_plan_own(c, &plan->blocks[stack], (size_t)n_blocks,
                         sizeof(tap_block_plan)));
    plan->n_blocks[stack] = n_blocks;
    bool acts[TAP_PLAN_ATOMS];
    for (int b = 0; b < n_blocks; b++) {
        bool any = false;
        int twin = -1;
        for (size_t a = 0; a < n_atoms; a++) {
            acts[a] = acts_on(&c->atoms[a], stack, b);
            any |= acts[a];
        }
        for (int earlier = b - 1; any && earlier >= 0 && twin < 0; earlier--) {
            bool same = true;
            for (size_t a = 0; a < n_atoms; a++)
                same &= acts[a] == acts_on(&c->atoms[a], stack, earlier);
            twin = same ? earlier : -1;
        }
        if (twin >= 0)
            plan->blocks[stack][b] = plan->blocks[stack][twin];
        else if (any)
            TAP_TRY(tap_plan_edges(&plan->blocks[stack][b], c, stack, b, acts));
    }
    return TAP_OK;
}

tap_status tap_plan_compile(tap_plan **out, const tap_condition *condition,
                            const tap_groups *groups, const tap_plan_sizes *sizes,
                            tap_error *err)
{
    tap_compiler c = {
        .condition = condition, .groups = groups, .sizes = sizes, .err = err};
    tap_status status = TAP_OK;
    if (condition->n_atoms > TAP_PLAN_ATOMS)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a condition may have at most %d atoms, not %zu",
                        TAP_PLAN_ATOMS, condition->n_atoms);
    for (int s = 0; s < TAP_N_STACKS; s++)
        assert(sizes->n_blocks[s] <= TAP_PLAN_BLOCKS &&
               sizes->n_heads[s] <= TAP_PLAN_HEADS);
    TAP_TRY_OUT(tap_alloc(&c.out, 1, sizeof *c.out, "a plan", err));
    TAP_TRY_OUT(
        tap_alloc(&c.atoms, condition->n_atoms, sizeof *c.atoms, "a plan", err));
    for (size_t a = 0; a < condition->n_atoms; a++)
        TAP_TRY_OUT(ready(&c, a));
    for (int s = 0; s < TAP_N_STACKS; s++)
        TAP_TRY_OUT(compile_stack(&c, (tap_stack)s));
    TAP_TRY_OUT(tap_plan_edits(&c));
    c.out->plan.uses_reg = tap_condition_names(condition, "reg");
out:
    tap_free(c.atoms);
    if (status == TAP_OK)
        *out = &c.out->plan;
    else if (c.out)
        tap_plan_free(&c.out->plan);
    return status;
}

void tap_plan_free(tap_plan *plan)
{
    if (!plan)
        return;
    tap_owned_plan *o = (tap_owned_plan *)(void *)plan; /* plan is its first member */
    for (size_t i = 0; i < o->n_owned; i++)
        tap_free(o->owned[i]);
    tap_free(o->owned);
    tap_free(o);
}

static uint64_t hash_at(const tap_plan *plan, int stack, int block)
{
    return plan ? plan->blocks[stack][block].hash : 0;
}

bool tap_plan_equal(const tap_plan *a, const tap_plan *b)
{
    const tap_plan *any = a ? a : b;
    for (int s = 0; any && s < TAP_N_STACKS; s++)
        for (int block = 0; block < any->n_blocks[s]; block++)
            if (hash_at(a, s, block) != hash_at(b, s, block))
                return false;
    for (int s = 0; any && s < TAP_N_STAGES; s++)
        if ((a ? a->once[s].hash : 0) != (b ? b->once[s].hash : 0))
            return false;
    return true;
}

bool tap_plan_is_clean(const tap_plan *plan)
{
    return tap_plan_equal(plan, NULL);
}
