/* How do the results of one image become rows? */
#include "lab/store_row.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Blobs are written as the machine holds them, and docs/schema.md promises this order. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are little-endian");

tap_row tap_row_of(const tap_store *store, int which)
{
    return (tap_row){.store = store, .statement = store->statements[which]};
}

void tap_row_int(tap_row *r, int64_t value)
{
    if (r->code == SQLITE_OK)
        r->code = sqlite3_bind_int64(r->statement, ++r->column, value);
}

void tap_row_real(tap_row *r, double value)
{
    if (r->code == SQLITE_OK)
        r->code = isnan(value) ? sqlite3_bind_null(r->statement, ++r->column)
                               : sqlite3_bind_double(r->statement, ++r->column, value);
}

void tap_row_text(tap_row *r, const char *text)
{
    if (r->code == SQLITE_OK)
        r->code = sqlite3_bind_text(r->statement, ++r->column, text, -1, SQLITE_STATIC);
}

void tap_row_blob(tap_row *r, const void *bytes, size_t n_bytes)
{
    if (r->code == SQLITE_OK)
        r->code = sqlite3_bind_blob64(r->statement, ++r->column, bytes, n_bytes,
                                      SQLITE_STATIC);
}

tap_status tap_row_end(tap_row *r, tap_error *err)
{
    bool more = false;
    tap_status status = TAP_OK;
    if (r->code != SQLITE_OK)
        status = tap_sql_fail(r->store->db, r->store->path, "write", err);
    else
        status = tap_sql_step(&more, r->statement, r->store->path, err);
    (void)sqlite3_reset(r->statement);
    (void)sqlite3_clear_bindings(r->statement);
    return status;
}

static int64_t item_id(const tap_store *store, int64_t ordinal)
{
    assert(ordinal >= 0 && ordinal < TAP_STORE_ITEMS_PER_IMAGE);
    return store->image_id * TAP_STORE_ITEMS_PER_IMAGE + ordinal;
}

static_assert((int)TAP_N_CONTROLS * (int)TAP_MAX_CONTROL_SEEDS <=
                  (int)TAP_STORE_SETS_PER_ITEM,
              "a place for each set");

static int64_t set_id(const tap_store *store, int64_t ordinal, tap_control control,
                      int32_t seed)
{
    assert(seed >= 0 && seed < TAP_MAX_CONTROL_SEEDS);
    return item_id(store, ordinal) * TAP_STORE_SETS_PER_ITEM +
           (int64_t)control * TAP_MAX_CONTROL_SEEDS + seed;
}

static int64_t condition_id(const tap_store *store, int32_t condition)
{
    assert(condition >= 0 && (size_t)condition < store->n_conditions);
    return store->condition_ids[condition];
}

tap_status tap_store_begin(tap_store *store, const tap_store_image *image,
                           tap_error *err)
{
    assert(store->writable && !store->begun && image->id >= 0);
    TAP_TRY(tap_sql_run(store->db, store->path, "BEGIN IMMEDIATE", err));
    store->begun = true;
    store->image_id = image->id;
    tap_row r = tap_row_of(store, TAP_SQL_PUT_IMAGE);
    tap_row_int(&r, image->id);
    tap_row_text(&r, image->name);
    tap_row_int(&r, image->width_px);
    tap_row_int(&r, image->height_px);
    tap_row_text(&r, image->sha256);
    tap_row_int(&r, image->n_tiles);
    tap_row_int(&r, image->n_rows);
    tap_row_int(&r, image->n_cols);
    tap_row_text(&r, image->excluded);
    tap_status status = tap_row_end(&r, err);
    if (status == TAP_EINVAL)
        status = TAP_FAIL(err, TAP_EINVAL,
                          "'%s' already holds image %lld or the name '%.120s': another "
                          "process writes the same images; use --shard and merge",
                          store->path, (long long)image->id, image->name);
    if (status != TAP_OK)
        tap_store_rollback(store);
    return status;
}

tap_status tap_store_put_thumbnail(tap_store *store,
                                   const tap_store_thumbnail *thumbnail, tap_error *err)
{
    assert(store->begun);
    tap_row r = tap_row_of(store, TAP_SQL_PUT_THUMBNAIL);
    tap_row_int(&r, store->image_id);
    tap_row_int(&r, thumbnail->width_px);
    tap_row_int(&r, thumbnail->height_px);
    tap_row_blob(&r, thumbnail->jpeg, thumbnail->n_bytes);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_patch(tap_store *store, int64_t i,
                               const tap_store_patch *patch, tap_error *err)
{
    assert(store->begun);
    tap_row r = tap_row_of(store, TAP_SQL_PUT_PATCH);
    tap_row_int(&r, store->image_id);
    tap_row_int(&r, i);
    tap_row_int(&r, patch->tile);
    tap_row_int(&r, patch->row);
    tap_row_int(&r, patch->col);
    tap_row_real(&r, patch->x0);
    tap_row_real(&r, patch->y0);
    tap_row_real(&r, patch->x1);
    tap_row_real(&r, patch->y1);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_item(tap_store *store, const tap_store_item *item,
                              tap_error *err)
{
    assert(store->begun);
    if (item->ordinal >= TAP_STORE_ITEMS_PER_IMAGE)
        return TAP_FAIL(err, TAP_EINVAL,
                        "cannot store more than %d parts of one image in '%s'",
                        TAP_STORE_ITEMS_PER_IMAGE, store->path);
    const size_t n = (size_t)item->n_patches;
    tap_row r = tap_row_of(store, TAP_SQL_PUT_ITEM);
    tap_row_int(&r, item_id(store, item->ordinal));
    tap_row_int(&r, store->image_id);
    tap_row_int(&r, item->ordinal);
    tap_row_text(&r, item->object_id);
    tap_row_text(&r, item->object);
    tap_row_text(&r, item->part);
    tap_row_text(&r, item->label);
    tap_row_int(&r, item->area_px);
    tap_row_int(&r, item->n_patches);
    tap_row_blob(&r, item->patches, n * sizeof *item->patches);
    tap_row_blob(&r, item->coverage, n * sizeof *item->coverage);
    tap_row_real(&r, item->raster_frac);
    if (item->n_candidates > 0)
        tap_row_int(&r, item->n_candidates);
    else
        tap_row_real(&r, (double)NAN);
    tap_row_text(&r, item->excluded);
    TAP_TRY(tap_row_end(&r, err));
    if (item->n_outline == 0)
        return TAP_OK;
    r = tap_row_of(store, TAP_SQL_PUT_OUTLINE);
    tap_row_int(&r, item_id(store, item->ordinal));
    tap_row_blob(&r, item->outline, item->n_outline * sizeof *item->outline);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_form(tap_store *store, const char *label, const char *form,
                              int32_t token_id, int n_tokens, tap_error *err)
{
    assert(store->begun);
    tap_row r = tap_row_of(store, TAP_SQL_PUT_FORM);
    tap_row_text(&r, label);
    tap_row_text(&r, form);
    if (token_id >= 0)
        tap_row_int(&r, token_id);
    else
        tap_row_real(&r, (double)NAN);
    tap_row_int(&r, n_tokens);
    return tap_row_end(&r, err);
}

static tap_status check_rank(const tap_store *store, int64_t ordinal, int32_t depth,
                             double rank, tap_error *err)
{
    if (isfinite(rank) && rank >= 1.0)
        return TAP_OK;
    return TAP_FAIL(err, TAP_ENUMERIC,
                    "the best rank of item %lld of image %lld at depth %d is %g; ranks "
                    "are finite and at least 1",
                    (long long)ordinal, (long long)store->image_id, depth, rank);
}

tap_status tap_store_put_score(tap_store *store, int64_t ordinal,
                               const tap_store_score *score, tap_error *err)
{
    assert(store->begun);
    TAP_TRY(check_rank(store, ordinal, score->depth, score->score.best_rank, err));
    tap_row r = tap_row_of(store, TAP_SQL_PUT_SCORE);
    tap_row_int(&r, item_id(store, ordinal));
    tap_row_int(&r, condition_id(store, score->condition));
    tap_row_int(&r, score->depth);
    tap_row_real(&r, score->score.best_rank);
    tap_row_real(&r, score->score.median_rank);
    tap_row_real(&r, score->score.mean_log2_rank);
    tap_row_real(&r, score->score.auc_loc);
    tap_row_real(&r, score->score.gap);
    tap_row_real(&r, score->null_best_rank);
    tap_row_real(&r, score->null_log2_rank);
    tap_row_real(&r, score->null_percentile);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_control_set(tap_store *store, int64_t ordinal,
                                     const tap_store_control_set *set, tap_error *err)
{
    assert(store->begun);
    tap_row r = tap_row_of(store, TAP_SQL_PUT_CONTROL_SET);
    tap_row_int(&r, set_id(store, ordinal, set->control, set->seed));
    tap_row_int(&r, item_id(store, ordinal));
    tap_row_text(&r, tap_control_name(set->control));
    tap_row_int(&r, set->seed);
    tap_row_int(&r, set->n_patches);
    tap_row_blob(&r, set->patches, (size_t)set->n_patches * sizeof *set->patches);
    tap_row_text(&r, set->label);
    tap_row_text(&r, set->other);
    tap_row_text(&r, set->excluded);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_word(tap_store *store, int64_t ordinal, int32_t condition,
                              int32_t depth, const tap_store_word *word, tap_error *err)
{
    assert(store->begun);
    tap_row r = tap_row_of(store, TAP_SQL_PUT_TOKEN);
    tap_row_int(&r, word->token_id);
    tap_row_text(&r, word->text);
    TAP_TRY(tap_row_end(&r, err));
    r = tap_row_of(store, TAP_SQL_PUT_WORD);
    tap_row_int(&r, item_id(store, ordinal));
    tap_row_int(&r, condition_id(store, condition));
    tap_row_int(&r, depth);
    tap_row_int(&r, word->patch);
    tap_row_int(&r, word->place);
    tap_row_int(&r, word->token_id);
    tap_row_real(&r, word->logit);
    tap_row_real(&r, word->probability);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_control(tap_store *store, int64_t ordinal,
                                 const tap_store_control *control, tap_error *err)
{
    assert(store->begun);
    TAP_TRY(check_rank(store, ordinal, control->depth, control->best_rank, err));
    tap_row r = tap_row_of(store, TAP_SQL_PUT_CONTROL);
    tap_row_int(&r, set_id(store, ordinal, control->control, control->seed));
    tap_row_int(&r, condition_id(store, control->condition));
    tap_row_int(&r, control->depth);
    tap_row_real(&r, control->best_rank);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_ranks(tap_store *store, int64_t ordinal, int32_t condition,
                               const float *ranks, int64_t n_patches, tap_error *err)
{
    assert(store->begun && n_patches > 0);
    size_t n_bytes = 0;
    TAP_TRY(tap_size_mul(&n_bytes, (size_t)n_patches, store->n_depths * sizeof *ranks,
                         err));
    tap_row r = tap_row_of(store, TAP_SQL_PUT_RANKS);
    tap_row_int(&r, item_id(store, ordinal));
    tap_row_int(&r, condition_id(store, condition));
    tap_row_blob(&r, ranks, n_bytes);
    return tap_row_end(&r, err);
}

static bool equal_heads(const tap_head_receipt *a, const tap_head_receipt *b)
{
    return a->allowed == b->allowed && a->cut == b->cut && a->zeroed == b->zeroed &&
           a->used == b->used && a->scaled == b->scaled && a->frozen == b->frozen &&
           a->rows_emptied == b->rows_emptied && a->weight_on_cut == b->weight_on_cut;
}

static bool equal_blocks(const tap_head_receipt *a, const tap_head_receipt *b,
                         int n_heads)
{
    for (int h = 0; h < n_heads; h++)
        if (!equal_heads(&a[h], &b[h]))
            return false;
    return true;
}

static bool equal_states(const tap_block_receipt *a, const tap_block_receipt *b)
{
    return a->states_edited == b->states_edited &&
           (a->rows_kept_self > 0) == (b->rows_kept_self > 0);
}

/* A box of blocks and heads with equal counts; block -1 stands outside blocks. */
typedef struct box {
    tap_stack stack;
    int32_t condition;
    int first_block, last_block, first_head, last_head;
} box;

static tap_status put_box(tap_store *store, const box *b, const tap_head_receipt *head,
                          const tap_block_receipt *states, tap_error *err)
{
    tap_row r = tap_row_of(store, TAP_SQL_PUT_RECEIPT);
    tap_row_int(&r, store->image_id);
    tap_row_int(&r, condition_id(store, b->condition));
    tap_row_text(&r, b->stack == TAP_VISION ? "vision" : "lm");
    tap_row_int(&r, b->first_block);
    tap_row_int(&r, b->last_block);
    tap_row_int(&r, b->first_head);
    tap_row_int(&r, b->last_head);
    tap_row_int(&r, head->allowed);
    tap_row_int(&r, head->cut);
    tap_row_int(&r, head->zeroed);
    tap_row_int(&r, head->used);
    tap_row_int(&r, head->scaled);
    tap_row_int(&r, head->frozen);
    tap_row_int(&r, head->rows_emptied);
    tap_row_text(&r, head->rows_emptied > 0       ? "zero"
                     : states->rows_kept_self > 0 ? "self"
                                                  : NULL);
    tap_row_int(&r, states->states_edited);
    tap_row_real(&r, head->weight_on_cut);
    return tap_row_end(&r, err);
}

tap_status tap_store_put_receipt(tap_store *store, int32_t condition, tap_stack stack,
                                 const tap_head_receipt *heads,
                                 const tap_block_receipt *states, int n_blocks,
                                 int n_heads, tap_error *err)
{
    static const tap_block_receipt untouched;
    static const tap_head_receipt no_attention;
    assert(store->begun);
    if (states && states[0].states_edited > 0) {
        const box outside = {stack, condition, -1, -1, 0, n_heads - 1};
        TAP_TRY(put_box(store, &outside, &no_attention, &states[0], err));
    }
    for (int first = 0, next = 0; first < n_blocks; first = next) {
        const tap_head_receipt *block = heads + (ptrdiff_t)first * n_heads;
        const tap_block_receipt *edited = states ? &states[1 + first] : &untouched;
        for (next = first + 1;
             next < n_blocks &&
             equal_blocks(block, heads + (ptrdiff_t)next * n_heads, n_heads) &&
             (!states || equal_states(edited, &states[1 + next]));
             next++)
            continue;
        for (int head = 0, end = 0; head < n_heads; head = end) {
            for (end = head + 1;
                 end < n_heads && equal_heads(&block[head], &block[end]); end++)
                continue;
            const box b = {stack, condition, first, next - 1, head, end - 1};
            TAP_TRY(put_box(store, &b, &block[head], edited, err));
        }
    }
    return TAP_OK;
}

tap_status tap_store_commit(tap_store *store, tap_error *err)
{
    assert(store->begun);
    TAP_TRY(tap_sql_run(store->db, store->path, "COMMIT", err));
    store->begun = false;
    return TAP_OK;
}

void tap_store_rollback(tap_store *store)
{
    if (!store->begun)
        return;
    (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    store->begun = false;
}
