/* State edits of a condition: tokens become rows of a site, heads columns, files numbers;
 * two edits of one state are refused by name. */
#include "hook/plan_edit.h"

#include "base/hash.h"
#include "base/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t width_of(const tap_plan_sizes *s, const tap_atom *atom)
{
    const tap_stack stack = atom->stack;
    switch ((int)atom->site) {
    case TAP_SITE_Q:
    case TAP_SITE_Z:
        return (int64_t)s->n_heads[stack] * s->d_head[stack];
    case TAP_SITE_K:
    case TAP_SITE_V:
        return (int64_t)s->n_kv_heads[stack] * s->d_head[stack];
    case TAP_SITE_MLP_ACT:
        return s->d_mlp[stack];
    case TAP_SITE_PIXELS:
        return s->d_patch;
    case TAP_SITE_PROJECTOR_IN:
        return s->d_projector_in;
    case TAP_SITE_PROJECTOR_OUT:
        return s->d_projector_out;
    default:
        return s->d_model[stack];
    }
}

tap_stage tap_site_stage(tap_site site)
{
    if (site == TAP_SITE_EMBED)
        return TAP_STAGE_EMBED;
    return site == TAP_SITE_FEATURES || site == TAP_SITE_PROJECTOR_IN ||
                   site == TAP_SITE_PROJECTOR_OUT
               ? TAP_STAGE_PROJECTOR
               : TAP_STAGE_VISION;
}

void tap_edit_site(char out[TAP_SITE_NAME_BYTES], const tap_atom *atom, int block)
{
    const char *name = tap_site_about(atom->site)->name;
    if (block < 0)
        (void)snprintf(out, TAP_SITE_NAME_BYTES, "%s", name);
    else
        (void)snprintf(out, TAP_SITE_NAME_BYTES, "%s.%d.%s",
                       tap_stack_name(atom->stack), block, name);
}

/* ---- rows ---- */

int32_t tap_edit_row(const tap_editor *e, int64_t token)
{
    if (e->atom->projector)
        return e->c->groups->projector_rows ? e->c->groups->projector_rows[token]
                                            : e->set->tokens[token].feature;
    const bool without_cls =
        e->atom->site == TAP_SITE_PIXELS ||
        (e->atom->site == TAP_SITE_FEATURES && !e->c->sizes->keeps_cls);
    if (!without_cls)
        return (int32_t)token;
    if (e->set->tokens[token].role == TAP_ROLE_CLS)
        return -1;
    int32_t row = 0;
    for (int64_t t = 0; t < token; t++)
        row += e->set->tokens[t].role != TAP_ROLE_CLS;
    return row;
}

static int by_row(const void *a, const void *b)
{
    const tap_row_place *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* Every row of the projector: what the edit does to one needs no token for it, and the group
 * holds all image tokens. */
static bool takes_all_rows(const tap_editor *e, const uint64_t *members)
{
    const tap_edit_kind kind = e->atom->edit;
    if (kind == TAP_EDIT_MEAN || kind == TAP_EDIT_PERMUTE || kind == TAP_EDIT_COPY ||
        kind == TAP_EDIT_PATCH)
        return false;
    for (int64_t t = 0; t < e->set->n_tok; t++)
        if (e->set->tokens[t].role == TAP_ROLE_PATCH && !tap_bits_get(members, t))
            return false;
    return true;
}

static tap_status all_rows(tap_row_place **out, int64_t *n, const tap_editor *e)
{
    tap_row_place *places = NULL;
    *n = e->c->groups->n_projector_rows;
    TAP_TRY(tap_plan_own(e->c, &places, (size_t)*n, sizeof *places));
    for (int64_t i = 0; i < *n; i++)
        places[i] = (tap_row_place){(int32_t)i, -1};
    *out = places;
    return TAP_OK;
}

/* *out [*n], of the plan's memory, sorted by row. */
tap_status tap_edit_places(tap_row_place **out, int64_t *n, const tap_editor *e,
                           const uint64_t *members)
{
    const int64_t n_tok = e->set->n_tok;
    int64_t count = 0;
    tap_row_place *places = NULL;
    TAP_TRY(tap_plan_own(e->c, &places,
                         (size_t)tap_bits_count(members, tap_bits_words(n_tok)),
                         sizeof *places));
    for (int64_t t = 0; t < n_tok; t++) {
        const int32_t row = tap_bits_get(members, t) ? tap_edit_row(e, t) : -1;
        if (row == TAP_ROW_MIXED && takes_all_rows(e, members))
            return all_rows(out, n, e);
        if (row == TAP_ROW_MIXED)
            return tap_plan_refuse(e->c, e->atom, e->atom->column,
                                   "image tokens of this model mix several rows of the "
                                   "projector; name the whole image, or edit tokens at "
                                   "lm.embed instead");
        if (row >= 0)
            places[count++] = (tap_row_place){row, t};
    }
    qsort(places, (size_t)count, sizeof *places, by_row);
    *out = places;
    *n = count;
    return TAP_OK;
}

/* ---- columns ---- */

/* Heads as columns of the site. Keys and values belong to groups of query heads: all of a
 * group must be named. */
static tap_status columns_of(tap_edit *edit, const tap_editor *e)
{
    const tap_plan_sizes *s = e->c->sizes;
    const tap_stack stack = e->atom->stack;
    const bool kv = e->atom->site == TAP_SITE_K || e->atom->site == TAP_SITE_V;
    const int n_heads = s->n_heads[stack], n_kv = kv ? s->n_kv_heads[stack] : n_heads;
    const int per = n_heads / n_kv, d = s->d_head[stack];
    int32_t *spans = NULL;
    if (e->atom->n_heads == 0)
        return TAP_OK;
    TAP_TRY(tap_plan_own(e->c, &spans, (size_t)n_kv, 2 * sizeof *spans));
    for (int g = 0; g < n_kv; g++) {
        int named = 0;
        for (int h = 0; h < per; h++)
            named += e->a->heads[g * per + h];
        if (named != 0 && named != per)
            return tap_plan_refuse(
                e->c, e->atom, e->atom->heads_column,
                "query heads %d to %d share one %s, so an edit acts on all of them; "
                "write .h[%d-%d]",
                g * per, g * per + per - 1,
                e->atom->site == TAP_SITE_K ? "key" : "value", g * per,
                g * per + per - 1);
        if (named == 0)
            continue;
        if (edit->n_spans > 0 && spans[2 * edit->n_spans - 1] == g * d) {
            spans[2 * edit->n_spans - 1] += d;
        } else {
            spans[2 * edit->n_spans] = g * d;
            spans[2 * edit->n_spans + 1] = (g + 1) * d;
            edit->n_spans++;
        }
    }
    edit->spans = spans;
    return TAP_OK;
}

static tap_status find_run(tap_edit *edit, const tap_editor *e)
{
    const tap_plan_runs *runs = e->c->sizes->runs;
    edit->from_run = true;
    for (int64_t i = 0; runs && i < runs->n; i++)
        if (strcmp(runs->names[i], tap_edit_text(e)) == 0) {
            edit->run = runs->plans[i];
            return TAP_OK;
        }
    if (strcmp(tap_edit_text(e), "clean") == 0)
        return TAP_OK;
    const char *near = runs && runs->n > 0
                           ? tap_suggest(tap_edit_text(e), runs->names, (size_t)runs->n)
                           : NULL;
    return tap_plan_refuse(
        e->c, e->atom, e->atom->column,
        "patch(%s): no condition before this one is called so%s%s%s; "
        "'clean' always is, and a trace file stands in quotes",
        tap_edit_text(e), near ? "; did you mean '" : "", near ? near : "",
        near ? "'?" : "");
}

/* Rows of another picture's run, which are there once all plans are compiled. */
static tap_status find_picture(tap_edit *edit, const tap_editor *e, int block)
{
    const tap_plan_pictures *pictures = e->c->sizes->pictures;
    const tap_picture_rows rows = {.path = tap_edit_text(e),
                                   .site = edit->site,
                                   .stack = e->atom->stack,
                                   .block = block,
                                   .rows = edit->rows,
                                   .n_rows = edit->n_rows,
                                   .d = edit->d,
                                   .groups = e->c->groups};
    tap_error why = {0};
    if (!pictures)
        return tap_plan_refuse(
            e->c, e->atom, e->atom->column,
            "patch(image \"%s\"): other pictures cannot be run here; "
            "trace it and name the trace file",
            rows.path);
    if (edit->site == TAP_SITE_PIXELS)
        return tap_plan_refuse(
            e->c, e->atom, e->atom->column,
            "patch(image \"%s\") gives states, not pixels; write 'at "
            "patch_embed', where each row is one patch's pixels",
            rows.path);
    const tap_status status =
        pictures->want(pictures->owner, &edit->values, &edit->key, &rows, &why);
    if (status == TAP_EINVAL)
        return tap_plan_refuse(e->c, e->atom, e->atom->column, "%s", why.message);
    return status == TAP_OK ? TAP_OK : TAP_FAIL(e->c->err, status, "%s", why.message);
}

/* ---- one edit ---- */

static uint64_t hash_array(uint64_t seed, const void *bytes, size_t n)
{
    return bytes ? tap_hash(seed, bytes, n) : seed;
}

/* Everything that decides what the edit does. */
static void hash_edit(tap_edit *edit, int block)
{
    const int64_t head[] = {edit->kind,     edit->site,    edit->n_rows,
                            edit->n_from,   block,         edit->n_spans,
                            edit->positive, edit->instead, edit->from_run};
    uint64_t h = tap_hash(7, head, sizeof head);
    h = tap_hash(h, &edit->weight, sizeof edit->weight);
    h = tap_hash(h, &edit->key, sizeof edit->key);
    h = tap_hash(h, &edit->place, sizeof edit->place);
    h = hash_array(h, edit->rows, (size_t)edit->n_rows * sizeof *edit->rows);
    h = hash_array(h, edit->from, (size_t)edit->n_from * sizeof *edit->from);
    h = hash_array(h, edit->spans, (size_t)edit->n_spans * 2 * sizeof *edit->spans);
    h = hash_array(h, edit->columns, (size_t)edit->d * sizeof *edit->columns);
    h = hash_array(h, edit->vector, (size_t)edit->d * sizeof *edit->vector);
    if (edit->key == 0 ||
        edit->kind != TAP_EDIT_PATCH) /* else the key stands for them */
        h = hash_array(h, edit->values,
                       (size_t)(edit->n_rows * edit->d) * sizeof *edit->values);
    for (int s = 0; edit->run && s < TAP_N_STACKS; s++)
        for (int b = 0; b < edit->run->n_blocks[s]; b++)
            h = tap_hash(h, &edit->run->blocks[s][b].hash, sizeof h);
    for (int s = 0; edit->run && s < TAP_N_STAGES; s++)
        h = tap_hash(h, &edit->run->once[s].hash, sizeof h);
    edit->hash = h ? h : 1;
}

/* The atom at one block (-1: outside blocks). */
static tap_status add(tap_editor *e, const tap_row_place *places, int64_t n_rows,
                      int block)
{
    tap_edit edit = {.kind = e->atom->edit,
                     .site = e->atom->site,
                     .d = width_of(e->c->sizes, e->atom),
                     .n_rows = n_rows,
                     .weight = e->atom->weight,
                     .positive = e->atom->positive,
                     .instead = e->atom->instead};
    char name[TAP_SITE_NAME_BYTES];
    int32_t *rows = NULL;
    TAP_TRY(tap_plan_own(e->c, &rows, (size_t)n_rows, sizeof *rows));
    for (int64_t i = 0; i < n_rows; i++)
        rows[i] = places[i].row;
    edit.rows = rows;
    TAP_TRY(columns_of(&edit, e));
    TAP_TRY(tap_edit_rows_read(&edit, e, places));
    TAP_TRY(tap_edit_note_reads(e, &edit));
    if (edit.kind == TAP_EDIT_NOISE)
        edit.key = (uint64_t)e->atom->seed ^ e->c->groups->key;
    if (edit.kind == TAP_EDIT_NOISE || edit.kind == TAP_EDIT_SCRAMBLE) {
        /* every site of every block has numbers of its own */
        tap_edit_site(name, e->atom, block);
        for (const char *at = name; *at; at++)
            edit.place = 31U * edit.place + (unsigned char)*at;
    }
    if (edit.kind == TAP_EDIT_SCRAMBLE)
        TAP_TRY(tap_edit_scramble(&edit, e));
    if (edit.kind == TAP_EDIT_STEER || edit.kind == TAP_EDIT_PROJECT_OUT)
        TAP_TRY(tap_edit_read_vector(&edit, e, block));
    if (edit.kind == TAP_EDIT_PATCH)
        TAP_TRY(e->atom->from_file    ? tap_edit_read_trace(&edit, e, places, block)
                : e->atom->from_image ? find_picture(&edit, e, block)
                                      : find_run(&edit, e));
    hash_edit(&edit, block);
    TAP_TRY(tap_grow(&e->entries, &e->capacity, e->n + 1, sizeof *e->entries, "edits",
                     e->c->err));
    e->entries[e->n++] = (tap_edit_entry){.edit = edit,
                                          .atom = e->atom,
                                          .stage = tap_site_stage(e->atom->site),
                                          .block = block};
    return TAP_OK;
}

/* The path of the file that the atom names, if it names one. */
static tap_status find_path(tap_editor *e)
{
    const tap_atom *atom = e->atom;
    const bool names_file =
        atom->edit == TAP_EDIT_STEER || atom->edit == TAP_EDIT_PROJECT_OUT ||
        (atom->edit == TAP_EDIT_PATCH && (atom->from_file || atom->from_image));
    const char *beside = e->c->sizes->beside;
    const char *end = beside ? strrchr(beside, '/') : NULL;
    e->path = NULL;
    const char *text = tap_edit_text(e);
    if (!names_file || !end || text[0] == '/')
        return TAP_OK;
    const size_t n = (size_t)(end - beside) + 1;
    char *path = NULL;
    TAP_TRY(tap_plan_own(e->c, &path, n + strlen(text) + 1, 1));
    memcpy(path, beside, n);
    memcpy(path + n, text, strlen(text) + 1);
    e->path = path;
    return TAP_OK;
}

static tap_status add_atom(tap_editor *e, const tap_ready_atom *a)
{
    tap_row_place *places = NULL;
    int64_t n = 0;
    e->a = a;
    e->atom = a->atom;
    e->set = tap_atom_set(e->c, a->atom);
    TAP_TRY(find_path(e));
    TAP_TRY(tap_edit_places(&places, &n, e, a->queries));
    if (n == 0) /* a group without members here: nothing to do */
        return TAP_OK;
    if (!tap_site_about(e->atom->site)->per_block)
        return add(e, places, n, -1);
    for (int b = 0; b < e->c->sizes->n_blocks[e->atom->stack]; b++)
        if (a->blocks[b])
            TAP_TRY(add(e, places, n, b));
    return TAP_OK;
}

/* ---- together ---- */

static bool same_place(const tap_edit_entry *a, const tap_edit_entry *b)
{
    return a->block == b->block && a->edit.site == b->edit.site &&
           (a->block < 0 || a->atom->stack == b->atom->stack);
}

static bool columns_meet(const tap_edit *a, const tap_edit *b)
{
    if (!a->spans || !b->spans)
        return true;
    for (int64_t i = 0; i < a->n_spans; i++)
        for (int64_t j = 0; j < b->n_spans; j++)
            if (a->spans[2 * i] < b->spans[2 * j + 1] &&
                b->spans[2 * j] < a->spans[2 * i + 1])
                return true;
    return false;
}

/* The first row that both change; -1: none. */
static int32_t common_row(const tap_edit *a, const tap_edit *b)
{
    for (int64_t i = 0, j = 0; i < a->n_rows && j < b->n_rows;) {
        if (a->rows[i] == b->rows[j])
            return a->rows[i];
        if (a->rows[i] < b->rows[j])
            i++;
        else
            j++;
    }
    return -1;
}

/* At most one edit of a state. */
static tap_status check_pairs(const tap_editor *e)
{
    for (size_t i = 0; i < e->n; i++)
        for (size_t j = 0; j < i; j++) {
            const tap_edit_entry *a = &e->entries[j], *b = &e->entries[i];
            if (!same_place(a, b) || !columns_meet(&a->edit, &b->edit))
                continue;
            const int32_t row = common_row(&a->edit, &b->edit);
            if (row < 0)
                continue;
            char name[TAP_SITE_NAME_BYTES];
            tap_edit_site(name, b->atom, b->block);
            return tap_plan_refuse(
                e->c, b->atom, b->atom->column,
                "'%s' and the '%s' of column %d both change row %d of "
                "%s; a state takes one edit",
                tap_edit_names[b->edit.kind], tap_edit_names[a->edit.kind],
                a->atom->column, row, name);
        }
    return TAP_OK;
}

/* Puts the edits of one place into its block plan. */
static tap_status settle(const tap_editor *e, tap_block_plan *plan, tap_stack stack,
                         int block, tap_stage stage)
{
    tap_edit *edits = NULL;
    uint64_t sum = 0;
    int n = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < e->n; i++) {
            const tap_edit_entry *x = &e->entries[i];
            const bool here = block >= 0 ? x->block == block && x->atom->stack == stack
                                         : x->block < 0 && x->stage == stage;
            if (!here)
                continue;
            if (pass == 1) {
                edits[plan->n_edits++] = x->edit;
                sum += x->edit.hash; /* in any order */
            }
            n += pass == 0;
        }
        if (n == 0)
            return TAP_OK;
        if (pass == 0)
            TAP_TRY(tap_plan_own(e->c, &edits, (size_t)n, sizeof *edits));
    }
    plan->edits = edits;
    plan->hash = tap_hash(plan->hash, &sum, sizeof sum);
    plan->hash = plan->hash ? plan->hash : 1;
    return TAP_OK;
}

tap_status tap_plan_edits(tap_compiler *c)
{
    tap_editor e = {.c = c};
    tap_plan *plan = &c->out->plan;
    tap_status status = TAP_OK;
    for (size_t a = 0; a < c->condition->n_atoms; a++) {
        if (!c->atoms[a].atom->edit)
            continue;
        status = add_atom(&e, &c->atoms[a]);
        tap_edit_close_file(&e);
        if (status != TAP_OK)
            goto out;
    }
    TAP_TRY_OUT(check_pairs(&e));
    for (int s = 0; s < TAP_N_STACKS; s++)
        for (int b = 0; b < plan->n_blocks[s]; b++)
            TAP_TRY_OUT(settle(&e, &plan->blocks[s][b], (tap_stack)s, b, 0));
    for (int s = 0; s < TAP_N_STAGES; s++)
        TAP_TRY_OUT(settle(&e, &plan->once[s], TAP_VISION, -1, (tap_stage)s));
out:
    tap_free(e.entries);
    return status;
}
