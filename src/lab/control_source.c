/* Pictures and words that stand in for a photo: made so that every token keeps its place. */
#include "lab/control.h"

#include <assert.h>
#include <string.h>

/* Every value 0 after normalising: the mean colour that preprocessing takes away. */
static tap_status make_blank(tap_sweep_image *image, tap_error *err)
{
    const tap_pixels *photo = &image->scene.pixels;
    tap_pixels *blank = &image->sources[TAP_SOURCE_BLANK].pixels;
    TAP_TRY(tap_alloc(&blank->values, (size_t)photo->n_tiles * 3,
                      (size_t)photo->side_px * (size_t)photo->side_px *
                          sizeof *blank->values,
                      "a blank picture", err));
    blank->n_tiles = photo->n_tiles;
    blank->side_px = photo->side_px;
    image->sources[TAP_SOURCE_BLANK].present = true;
    return TAP_OK;
}

/* Whether two sequences have the same ids, and patches at the same places. */
static bool same_places(const tap_sequence *a, const tap_sequence *b)
{
    if (a->n_tok != b->n_tok || a->n_image != b->n_image)
        return false;
    for (int64_t t = 0; t < a->n_tok; t++) {
        const tap_token *x = &a->tokens[t], *y = &b->tokens[t];
        if (a->ids[t] != b->ids[t] || x->role != y->role || x->tile != y->tile ||
            x->row != y->row || x->col != y->col || x->feature != y->feature)
            return false;
    }
    return true;
}

/* Another photo; one that cannot be read or has other places leaves the source absent. */
static tap_status make_other(tap_sweep_image *image, const tap_sweep_setup *setup,
                             tap_error *err)
{
    assert(setup->survey);
    const int64_t other = tap_survey_mismatch(setup->survey, setup->dataset, image->id);
    if (other < 0)
        return TAP_OK;
    const char *prompt = setup->experiment->prompt;
    tap_scene scene = {0};
    tap_error fault;
    const tap_status status =
        tap_scene_open(&scene, setup->model, tap_dataset_photo(setup->dataset, other),
                       strcmp(prompt, "default") == 0 ? NULL : prompt, &fault);
    if (status == TAP_ENOMEM)
        return TAP_FAIL(err, status, "%s", fault.message);
    if (status != TAP_OK)
        return TAP_OK;
    if (same_places(&scene.sequence, &image->scene.sequence)) {
        image->sources[TAP_SOURCE_OTHER].pixels = scene.pixels;
        image->sources[TAP_SOURCE_OTHER].present = true;
        scene.pixels = (tap_pixels){0};
    }
    tap_scene_clear(&scene);
    return TAP_OK;
}

/* The token of a word: with a space in front if that is one token, else any form that is;
 * -1 if none is. */
static tap_status find_word(int32_t *id, tap_labels *labels, const char *word,
                            tap_error *err)
{
    int64_t index = 0;
    TAP_TRY(tap_labels_find(&index, labels, word, err));
    const tap_label *label = &labels->labels[index];
    *id = -1;
    for (int64_t f = 0; f < label->n_forms; f++)
        if (label->forms[f].token_id >= 0 &&
            (*id < 0 || strcmp(label->forms[f].name, "space") == 0))
            *id = label->forms[f].token_id;
    return TAP_OK;
}

/* For patches without any part or object. */
static tap_status find_background(int32_t *id, tap_labels *labels, tap_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    static const char word[] = "background";
    TAP_TRY(find_word(id, labels, word, err));
    if (*id >= 0)
        return TAP_OK;
    TAP_TRY(tap_tokenizer_encode(&ids, &n, labels->tokenizer, word, strlen(word), false,
                                 err));
    *id = n > 0 ? ids[0] : 0;
    tap_free(ids);
    return TAP_OK;
}

/* best[i] = the coverage of image token i by what its word is taken from. */
static void take_word(int32_t *words, float *best, const float *cover, int64_t n,
                      int32_t id)
{
    for (int64_t i = 0; id >= 0 && i < n; i++)
        if (cover[i] > best[i]) {
            best[i] = cover[i];
            words[i] = id;
        }
}

/* The sequence of the photo with a word at each image token: of the part that covers it
 * most; where there is no part, of the object; else "background". */
static tap_status make_words(tap_sweep_image *image, const tap_sweep_setup *setup,
                             const float *covers, int64_t n_image, tap_error *err)
{
    const tap_items *a = &image->annotation;
    const tap_sequence *photo = &image->scene.sequence;
    tap_sequence *out = &image->sources[TAP_SOURCE_WORDS].sequence;
    const int64_t n = photo->n_image;
    int32_t *words = NULL, id = 0;
    float *best = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&words, (size_t)n, sizeof *words, "words", err));
    TAP_TRY_OUT(tap_alloc(&best, (size_t)n, sizeof *best, "words", err));
    TAP_TRY_OUT(find_background(&id, setup->labels, err));
    for (int64_t i = 0; i < n; i++)
        words[i] = id;
    for (size_t o = 0; o < a->n_objects; o++) {
        TAP_TRY_OUT(find_word(&id, setup->labels, a->objects[o].name, err));
        take_word(words, best, covers + (int64_t)(a->n_parts + o) * n_image, n, id);
    }
    memset(best, 0, (size_t)n * sizeof *best); /* any part wins over an object */
    for (size_t p = 0; p < a->n_parts; p++) {
        TAP_TRY_OUT(find_word(&id, setup->labels, a->parts[p].label, err));
        take_word(words, best, covers + (int64_t)p * n_image, n, id);
    }
    TAP_TRY_OUT(
        tap_alloc(&out->ids, (size_t)photo->n_tok, sizeof *out->ids, "words", err));
    TAP_TRY_OUT(tap_alloc(&out->tokens, (size_t)photo->n_tok, sizeof *out->tokens,
                          "words", err));
    memcpy(out->ids, photo->ids, (size_t)photo->n_tok * sizeof *out->ids);
    memcpy(out->tokens, photo->tokens, (size_t)photo->n_tok * sizeof *out->tokens);
    out->n_tok = photo->n_tok;
    out->n_image = n;
    out->last_image = photo->last_image;
    for (int64_t i = 0; i < n; i++)
        out->ids[image->scene.image_rows[i]] = words[i];
    for (int64_t t = 0; t < out->n_tok; t++)
        out->tokens[t].feature = -1; /* embedded as text */
    image->sources[TAP_SOURCE_WORDS].present = true;
out:
    tap_free(words);
    tap_free(best);
    return status;
}

tap_status tap_control_sources(tap_sweep_image *image, const tap_sweep_setup *setup,
                               const float *covers, int64_t n_image, tap_error *err)
{
    const bool *wanted = setup->experiment->controls;
    image->sources[TAP_SOURCE_PHOTO].present = true;
    if (wanted[TAP_CONTROL_BLANK_IMAGE])
        TAP_TRY(make_blank(image, err));
    if (wanted[TAP_CONTROL_MISMATCHED_IMAGE])
        TAP_TRY(make_other(image, setup, err));
    if (wanted[TAP_CONTROL_WORDS])
        TAP_TRY(make_words(image, setup, covers, n_image, err));
    return TAP_OK;
}
