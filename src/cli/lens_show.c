/* What `tapetum lens` shows: heat maps in the terminal, pictures, a page. */
#include "cli/heat.h"
#include "cli/lens_query.h"
#include "report/lens_view.h"

#include <math.h>
#include <string.h>

enum { MAPS = 3 }; /* states whose maps are printed */

static double n_candidates(const tap_lens_query *q)
{
    return q->closed ? (double)q->labels.n_labels
                     : (double)q->subject.model->spec.lm.d_vocab;
}

static double share_of(const tap_lens_query *q, double rank)
{
    return isfinite(rank) && rank > 0.0
               ? 1.0 - log2(rank) / log2(fmax(2.0, n_candidates(q)))
               : (double)NAN;
}

/* ---- the terminal ---- */

/* Rows and columns of the first tile's grid. */
static void grid_of(int *n_rows, int *n_cols, const tap_lens_query *q)
{
    const tap_scene *s = &q->subject.scene;
    *n_rows = *n_cols = 0;
    for (int64_t i = 0; i < s->sequence.n_image; i++) {
        const tap_token *t = &s->sequence.tokens[s->image_rows[i]];
        if (t->tile != s->sequence.tokens[s->image_rows[0]].tile)
            continue;
        *n_rows = t->row >= *n_rows ? t->row + 1 : *n_rows;
        *n_cols = t->col >= *n_cols ? t->col + 1 : *n_cols;
    }
}

static tap_status print_maps(const tap_lens_query *q, const tap_cli *cli, int64_t c,
                             int32_t label, tap_error *err)
{
    const tap_scene *s = &q->subject.scene;
    const int n_states = tap_lens_n_depths(q->lens);
    const int64_t n = s->sequence.n_image;
    int n_rows = 0, n_cols = 0, n_maps = 0;
    char titles[MAPS][32];
    tap_heat_map maps[MAPS];
    float *ranks = NULL;
    double *shares = NULL;
    grid_of(&n_rows, &n_cols, q);
    const size_t n_cells = (size_t)n_rows * (size_t)n_cols;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&ranks, (size_t)n, sizeof *ranks, "ranks", err));
    TAP_TRY_OUT(tap_alloc(&shares, MAPS * n_cells, sizeof *shares, "maps", err));
    for (int k = 0; k < MAPS; k++) {
        const int state = k * (n_states - 1) / (MAPS - 1);
        double *map = shares + (size_t)n_maps * n_cells;
        if (k > 0 && state == (k - 1) * (n_states - 1) / (MAPS - 1))
            continue; /* fewer states than maps */
        TAP_TRY_OUT(tap_lens_query_ranks(ranks, q, c, state, label, err));
        for (size_t i = 0; i < n_cells; i++)
            map[i] = (double)NAN;
        for (int64_t i = 0; i < n; i++) {
            const tap_token *t = &s->sequence.tokens[s->image_rows[i]];
            if (t->tile == s->sequence.tokens[s->image_rows[0]].tile)
                map[t->row * n_cols + t->col] = share_of(q, (double)ranks[i]);
        }
        (void)snprintf(titles[n_maps], sizeof titles[0], "%s %d", q->state_name,
                       tap_lens_depth(q->lens, state));
        maps[n_maps] = (tap_heat_map){.title = titles[n_maps], .shares = map};
        n_maps++;
    }
    printf("\n  '%s' at every patch%s, bright is rank 1\n",
           q->labels.labels[label].word,
           s->geometry.n_tiles > 1 ? " of the first tile" : "");
    tap_heat_print(cli, maps, n_maps, n_rows, n_cols);
out:
    tap_free(ranks);
    tap_free(shares);
    return status;
}

tap_status tap_lens_query_maps(const tap_lens_query *query, const tap_cli *cli,
                               int64_t condition, tap_error *err)
{
    const tap_scene *s = &query->subject.scene;
    if (!tap_heat_wanted(cli) || s->sequence.n_image == 0 ||
        s->sequence.layout.n_groups > 0) /* no patches to draw */
        return TAP_OK;
    for (int32_t l = 0; l < (int32_t)query->n_asked; l++)
        TAP_TRY(print_maps(query, cli, condition, l, err));
    return TAP_OK;
}

void tap_lens_query_bar(char out[64], const tap_lens_query *query, const tap_cli *cli,
                        double rank)
{
    out[0] = '\0';
    if (tap_heat_wanted(cli))
        tap_heat_bar(out, 64, share_of(query, rank), 20);
}

/* ---- files ---- */

/* What the view borrows. */
typedef struct store {
    tap_image image;
    double *boxes;
    bool *in_part;
    const char **labels;
    int *states;
    float *ranks;
} store;

static void clear_store(store *s)
{
    tap_image_clear(&s->image);
    tap_free(s->boxes);
    tap_free(s->in_part);
    tap_free(s->labels);
    tap_free(s->states);
    tap_free(s->ranks);
}

static tap_status fill_places(store *to, const tap_lens_query *q, tap_error *err)
{
    const tap_scene *s = &q->subject.scene;
    const size_t n = (size_t)s->sequence.n_image;
    const uint64_t *part = tap_groups_find(&q->subject.groups, TAP_LM, "part");
    TAP_TRY(tap_alloc(&to->boxes, n, 4 * sizeof *to->boxes, "a picture", err));
    for (size_t i = 0; i < n; i++) {
        const tap_box box = tap_scene_box(s, (int64_t)i);
        to->boxes[4 * i] = box.x0;
        to->boxes[4 * i + 1] = box.y0;
        to->boxes[4 * i + 2] = box.x1;
        to->boxes[4 * i + 3] = box.y1;
    }
    if (!q->subject.part || !part)
        return TAP_OK;
    TAP_TRY(tap_alloc(&to->in_part, n, sizeof *to->in_part, "a picture", err));
    for (size_t i = 0; i < n; i++)
        to->in_part[i] = tap_bits_get(part, s->image_rows[i]);
    return TAP_OK;
}

static tap_status fill_ranks(store *to, const tap_lens_query *q, tap_error *err)
{
    const int64_t n = q->subject.scene.sequence.n_image;
    const int n_states = tap_lens_n_depths(q->lens);
    TAP_TRY(tap_alloc(&to->labels, q->n_asked, sizeof *to->labels, "labels", err));
    TAP_TRY(
        tap_alloc(&to->states, (size_t)n_states, sizeof *to->states, "depths", err));
    const size_t n_maps =
        (size_t)q->subject.n_conditions * (size_t)n_states * q->n_asked;
    TAP_TRY(tap_alloc(&to->ranks, n_maps * (size_t)n, sizeof *to->ranks, "ranks", err));
    for (size_t l = 0; l < q->n_asked; l++)
        to->labels[l] = q->labels.labels[l].word;
    for (int d = 0; d < n_states; d++)
        to->states[d] = tap_lens_depth(q->lens, d);
    float *at = to->ranks;
    for (int64_t c = 0; c < q->subject.n_conditions; c++)
        for (int d = 0; d < n_states; d++)
            for (size_t l = 0; l < q->n_asked; l++, at += n) {
                TAP_TRY(tap_lens_query_ranks(at, q, c, d, (int32_t)l, err));
                for (int64_t i = 0; i < n; i++)
                    at[i] = isfinite(at[i]) ? at[i] : 0.0F;
            }
    return TAP_OK;
}

static bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && strcmp(path + n - m, end) == 0;
}

tap_status tap_lens_output_check(const char *path, size_t n_labels, tap_error *err)
{
    if (!ends_in(path, ".html") && !ends_in(path, ".png") && !ends_in(path, ".svg") &&
        !ends_in(path, ".pdf"))
        return TAP_FAIL(err, TAP_EINVAL,
                        "'%s' does not say what is wanted; let it end in .html for a "
                        "page, or in .png, .svg or .pdf for a picture",
                        path);
    if (n_labels == 0)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a page or picture shows ranks of words; add --label WORD");
    return TAP_OK;
}

tap_status tap_lens_query_write(const tap_lens_query *query, const tap_cli *cli,
                                const char *path, tap_error *err)
{
    const tap_lens_query *q = query;
    const char *photo = tap_args_argument(cli->args, 1);
    const char *model = strrchr(q->subject.path, '/');
    tap_figure figure = {0};
    store held = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_image_read(&held.image, photo, err));
    TAP_TRY_OUT(fill_places(&held, q, err));
    TAP_TRY_OUT(fill_ranks(&held, q, err));
    const tap_lens_view view = {.model =
                                    model && model[1] ? model + 1 : q->subject.path,
                                .photo = photo,
                                .image = &held.image,
                                .boxes = held.boxes,
                                .in_part = held.in_part,
                                .n_patches = q->subject.scene.sequence.n_image,
                                .n_conditions = (int)q->subject.n_conditions,
                                .n_states = tap_lens_n_depths(q->lens),
                                .n_labels = (int)q->n_asked,
                                .conditions = q->subject.texts,
                                .labels = held.labels,
                                .states = held.states,
                                .state_name = q->state_name,
                                .ranks = held.ranks,
                                .n_candidates = n_candidates(q)};
    if (ends_in(path, ".html")) {
        status = tap_lens_page(path, &view, err);
        goto out;
    }
    TAP_TRY_OUT(tap_lens_figure(&figure, &view, view.n_states - 1, err));
    status = tap_figure_write(&figure, path,
                              ends_in(path, ".png")   ? TAP_PICTURE_PNG
                              : ends_in(path, ".pdf") ? TAP_PICTURE_PDF
                                                      : TAP_PICTURE_SVG,
                              192.0, err);
out:
    tap_figure_clear(&figure);
    clear_store(&held);
    return status;
}
