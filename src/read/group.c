#include "read/group.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/planted.h"

#include <string.h>

enum { MAX_NAMES = 24 };

static tap_status put_set(uint64_t **out, tap_group_set *set, const char *name,
                          tap_error *err)
{
    if (!set->names) {
        TAP_TRY(tap_alloc(&set->names, MAX_NAMES, sizeof *set->names, "groups", err));
        TAP_TRY(
            tap_alloc(&set->members, MAX_NAMES, sizeof *set->members, "groups", err));
    }
    TAP_TRY(tap_alloc(&set->members[set->n_names], (size_t)tap_bits_words(set->n_tok),
                      sizeof(uint64_t), "groups", err));
    *out = set->members[set->n_names];
    set->names[set->n_names++] = name;
    return TAP_OK;
}

static bool has_role(const tap_token *t, const char *name, bool is_last)
{
    static const struct {
        const char *name;
        tap_role role;
    } roles[] = {{"cls", TAP_ROLE_CLS},           {"image", TAP_ROLE_PATCH},
                 {"bos", TAP_ROLE_BOS},           {"prefix", TAP_ROLE_PREFIX},
                 {"question", TAP_ROLE_QUESTION}, {"row_end", TAP_ROLE_ROW_END},
                 {"gen", TAP_ROLE_GEN},           {"pad", TAP_ROLE_PAD}};

    if (TAP_PLANTED(TAP_BUG_CLS_LEAKS) && strcmp(name, "cls") == 0)
        return false;
    if (strcmp(name, "all") == 0)
        return true;
    if (strcmp(name, "last") == 0)
        return is_last;
    if (strcmp(name, "thumb") == 0)
        return t->thumb;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(name, roles[i].name) == 0)
            return t->role == roles[i].role;
    return false;
}

/* Patches of the lowest row of their view. */
static bool in_last_row(const tap_group_set *set, int64_t t)
{
    const tap_token *token = &set->tokens[t];
    if (token->role != TAP_ROLE_PATCH || token->row < 0)
        return false;
    for (int64_t i = 0; i < set->n_tok; i++)
        if (set->tokens[i].role == TAP_ROLE_PATCH &&
            set->tokens[i].thumb == token->thumb && set->tokens[i].row > token->row)
            return false;
    return true;
}

static tap_status put_roles(tap_group_set *set, const char *const *names, size_t n,
                            tap_error *err)
{
    int64_t last = set->n_tok - 1; /* of the prompt */
    while (last > 0 && set->tokens[last].role == TAP_ROLE_GEN)
        last--;
    for (size_t i = 0; i < n; i++) {
        uint64_t *bits = NULL;
        TAP_TRY(put_set(&bits, set, names[i], err));
        const bool row = strcmp(names[i], "row_last") == 0;
        for (int64_t t = 0; t < set->n_tok; t++)
            if (row ? in_last_row(set, t)
                    : has_role(&set->tokens[t], names[i], t == last))
                tap_bits_set(bits, t);
    }
    return TAP_OK;
}

/* inside = tokens whose patches are covered enough (or the one covered most); rest = the
 * other ones that stand for patches. cover [n_cover] is indexed by a token's feature. */
static tap_status put_mask(tap_group_set *set, const float *cover, int64_t n_cover,
                           double threshold, const char *inside_name,
                           const char *rest_name, tap_error *err)
{
    uint64_t *inside = NULL, *rest = NULL;
    TAP_TRY(put_set(&inside, set, inside_name, err));
    if (rest_name)
        TAP_TRY(put_set(&rest, set, rest_name, err));
    int64_t best = 0;
    bool any = false;
    for (int64_t i = 0; i < n_cover; i++) {
        best = cover[i] > cover[best] ? i : best;
        any |= cover[i] > 0.0F && (double)cover[i] >= threshold;
    }
    for (int64_t t = 0; t < set->n_tok; t++) {
        const tap_token *token = &set->tokens[t];
        if (token->role != TAP_ROLE_PATCH || token->feature < 0 ||
            token->feature >= n_cover)
            continue;
        const float c = cover[token->feature];
        const bool is_in = any ? c > 0.0F && (double)c >= threshold
                               : c > 0.0F && token->feature == best;
        if (is_in)
            tap_bits_set(inside, t);
        else if (rest)
            tap_bits_set(rest, t);
    }
    return TAP_OK;
}

/* Tokens of the vision stack: the class token, then patches row by row, tile by tile. */
static tap_status vision_tokens(tap_token **out, tap_group_set *set,
                                const tap_scene *scene, tap_error *err)
{
    const tap_geometry *g = &scene->geometry;
    const tap_vision_spec *v = &scene->model->spec.vision;
    set->segment = g->n_tiles > 1 ? tap_vision_rows(v) : 0;
    set->n_tok = g->n_tiles * tap_vision_rows(v);
    tap_token *tokens = NULL;
    TAP_TRY(tap_alloc(&tokens, (size_t)set->n_tok, sizeof *tokens, "groups", err));
    int64_t t = 0;
    int32_t patch = 0;
    for (int tile = 0; tile < g->n_tiles; tile++) {
        const int at = tile == g->thumb ? 0 : tile - g->first_tile;
        tap_token token = {.role = TAP_ROLE_CLS,
                           .tile = tile,
                           .thumb = tile == g->thumb,
                           .row = -1,
                           .col = -1,
                           .feature = -1};
        if (v->has_cls)
            tokens[t++] = token;
        token.role = TAP_ROLE_PATCH;
        for (int row = 0; row < g->n_rows; row++)
            for (int col = 0; col < g->n_cols; col++) {
                token.row = at / g->tile_cols * g->n_rows + row;
                token.col = at % g->tile_cols * g->n_cols + col;
                token.feature = patch++;
                tokens[t++] = token;
            }
    }
    *out = tokens;
    return TAP_OK;
}

/* The text that each token of the prompt adds, spaces included: what two tokens spell
 * together, less what the first spells alone. */
static tap_status spell(tap_group_set *set, const tap_scene *scene, tap_error *err)
{
    const tap_tokenizer *tokenizer = scene->model->tokenizer;
    const tap_sequence *s = &scene->sequence;
    TAP_TRY(
        tap_alloc(&set->pieces, (size_t)s->n_tok, sizeof *set->pieces, "groups", err));
    for (int64_t t = 0; t < s->n_tok; t++) {
        const tap_role role = s->tokens[t].role;
        const bool text = role == TAP_ROLE_PREFIX || role == TAP_ROLE_QUESTION;
        char *alone = NULL, *both = NULL, *piece = NULL;
        size_t n_alone = 0, n_both = 0;
        if (!text || t == 0)
            continue;
        const bool follows = s->tokens[t - 1].role == role;
        tap_status status = tap_tokenizer_decode(&alone, &n_alone, tokenizer,
                                                 s->ids + t - 1, 1, false, err);
        if (status == TAP_OK && follows)
            status = tap_tokenizer_decode(&both, &n_both, tokenizer, s->ids + t - 1, 2,
                                          false, err);
        else if (status == TAP_OK)
            status = tap_tokenizer_decode(&both, &n_both, tokenizer, s->ids + t, 1,
                                          false, err);
        const bool split =
            follows && status == TAP_OK && strncmp(both, alone, strlen(alone)) == 0;
        if (status == TAP_OK)
            status = tap_text_copy(&piece, split ? both + strlen(alone) : both,
                                   strlen(split ? both + strlen(alone) : both), err);
        tap_free(alone);
        tap_free(both);
        TAP_TRY(status);
        set->pieces[t] = piece;
    }
    return TAP_OK;
}

/* Which row of the projector each image token of the decoder is. */
static tap_status find_rows(tap_groups *groups, const tap_scene *scene, tap_error *err)
{
    const tap_group_set *set = &groups->stacks[TAP_LM];
    const tap_layout *layout = &scene->sequence.layout;
    groups->n_projector_rows =
        scene->model->spec.gathers_first ? layout->n_slots : layout->n_merged;
    TAP_TRY(tap_alloc(&groups->projector_rows, (size_t)set->n_tok,
                      sizeof *groups->projector_rows, "groups", err));
    for (int64_t t = 0; t < set->n_tok; t++) {
        const int32_t slot = set->tokens[t].feature;
        int32_t row = slot;
        if (slot >= 0 && !scene->model->spec.gathers_first) {
            const tap_slot *s = &layout->slots[slot];
            const bool mixed = s->lean_x > 0.0F || s->lean_y > 0.0F;
            row = mixed ? TAP_ROW_MIXED : s->from[0];
        }
        groups->projector_rows[t] = row < 0 && row != TAP_ROW_MIXED ? -1 : row;
    }
    return TAP_OK;
}

static tap_status put_reg(tap_group_set *set, const uint64_t *members, tap_error *err)
{
    uint64_t *bits = NULL;
    TAP_TRY(put_set(&bits, set, "reg", err));
    memcpy(bits, members, (size_t)tap_bits_words(set->n_tok) * sizeof *bits);
    return TAP_OK;
}

/* The patches at these places, counted in order. */
static tap_status put_places(tap_group_set *set, const int32_t *places, int64_t n,
                             const char *name, tap_error *err)
{
    uint64_t *bits = NULL;
    int64_t at = 0;
    TAP_TRY(put_set(&bits, set, name, err));
    for (int64_t t = 0, k = 0; t < set->n_tok && k < n; t++)
        if (set->tokens[t].role == TAP_ROLE_PATCH && at++ == places[k]) {
            tap_bits_set(bits, t);
            k++;
        }
    return TAP_OK;
}

tap_status tap_group_compile(tap_groups *out, const tap_group_input *input,
                             tap_error *err)
{
    static const char *const vision_names[] = {"all", "image", "cls", "row_last",
                                               "thumb"};
    static const char *const lm_names[] = {"all",      "image", "bos",  "prefix",
                                           "question", "last",  "gen",  "row_last",
                                           "row_end",  "pad",   "thumb"};
    const tap_scene *scene = input->scene;
    const tap_layout *layout = &scene->sequence.layout;

    const struct {
        const float *cover; /* of the vision grid */
        const char *inside, *rest;
    } masks[] = {{input->part, "part", "outside"},
                 {input->object, "object", "background"},
                 {input->other_part, "other_part", NULL}};

    float *slots = NULL;
    tap_groups groups = {0};
    tap_token *tokens = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(vision_tokens(&tokens, &groups.stacks[TAP_VISION], scene, err));
    groups.stacks[TAP_VISION].tokens = tokens;
    groups.stacks[TAP_LM].tokens = scene->sequence.tokens;
    groups.stacks[TAP_LM].n_tok = scene->sequence.n_tok;
    TAP_TRY_OUT(put_roles(&groups.stacks[TAP_VISION], vision_names,
                          sizeof vision_names / sizeof *vision_names, err));
    TAP_TRY_OUT(put_roles(&groups.stacks[TAP_LM], lm_names,
                          sizeof lm_names / sizeof *lm_names, err));
    TAP_TRY_OUT(spell(&groups.stacks[TAP_LM], scene, err));
    TAP_TRY_OUT(find_rows(&groups, scene, err));
    groups.scorer = input->scorer;
    const tap_pixels *pixels = &scene->pixels;
    groups.key = tap_hash(0, pixels->values,
                          (size_t)pixels->n_tiles * 3 * (size_t)pixels->side_px *
                              (size_t)pixels->side_px * sizeof *pixels->values);
    for (int s = 0; s < TAP_N_STACKS && input->reg; s++)
        TAP_TRY_OUT(put_reg(&groups.stacks[s], input->reg->members[s], err));
    for (int s = 0; s < TAP_N_STACKS; s++)
        if (input->n_other_places[s] > 0)
            TAP_TRY_OUT(put_places(&groups.stacks[s], input->other_places[s],
                                   input->n_other_places[s], "other_part", err));
    TAP_TRY_OUT(
        tap_alloc(&slots, (size_t)layout->n_slots, sizeof *slots, "coverage", err));
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        if (!masks[i].cover)
            continue;
        tap_layout_cover(slots, layout, &scene->geometry, masks[i].cover);
        TAP_TRY_OUT(put_mask(&groups.stacks[TAP_VISION], masks[i].cover,
                             tap_scene_n_patches(scene), input->threshold,
                             masks[i].inside, masks[i].rest, err));
        if (scene->model->spec.perceiver.n_latents ==
            0) /* else it says nothing there */
            TAP_TRY_OUT(put_mask(&groups.stacks[TAP_LM], slots, layout->n_slots,
                                 input->threshold, masks[i].inside, masks[i].rest,
                                 err));
    }
out:
    tap_free(slots);
    if (status == TAP_OK)
        *out = groups;
    else
        tap_groups_clear(&groups);
    return status;
}

void tap_groups_clear(tap_groups *groups)
{
    for (int s = 0; s < TAP_N_STACKS; s++) {
        tap_group_set *set = &groups->stacks[s];
        for (int i = 0; i < set->n_names; i++)
            tap_free(set->members[i]);
        for (int64_t t = 0; set->pieces && t < set->n_tok; t++) {
            void *piece = NULL;
            memcpy(&piece, &set->pieces[t], sizeof piece);
            tap_free(piece);
        }
        tap_free(set->pieces);
        tap_free(set->names);
        tap_free(set->members);
    }
    /* the vision tokens are the groups' own, the decoder's belong to the scene */
    void *tokens = NULL;
    memcpy(&tokens, &groups->stacks[TAP_VISION].tokens, sizeof tokens);
    tap_free(tokens);
    tap_free(groups->projector_rows);
    *groups = (tap_groups){0};
}

const uint64_t *tap_groups_find(const tap_groups *groups, tap_stack stack,
                                const char *name)
{
    const tap_group_set *set = &groups->stacks[stack];
    for (int i = 0; i < set->n_names; i++)
        if (strcmp(set->names[i], name) == 0)
            return set->members[i];
    return NULL;
}
