/* Photographs, outlines, grids, ranks and words of every scored part, for the gallery. */
#include "report/data.h"

#include "image/preprocess.h"
#include "lab/store_sql.h"
#include "report/escape.h"

#include <math.h>
#include <string.h>

enum { MAX_GRID = 256, MAX_OUTLINE_POINTS = 4000, JPEG_QUALITY = 82 };

typedef struct gallery {
    tap_buffer *out;
    const tap_study *study;
    const char *path;
    tap_images images;
    bool exact;    /* a rank is half its code; else 2^(code log2 N / 65535) */
    int32_t *kept; /* [n_kept] indices of depths */
    int32_t n_kept;
    int64_t n_items, n_images;
    sqlite3_stmt *thumbnail, *patches, *items, *ranks, *outline, *words;
} gallery;

static tap_status put_string(tap_buffer *out, const char *text, tap_error *err)
{
    json_t *value = tap_page_string(text ? text : "");
    const tap_status status = tap_page_json(out, value, err);
    json_decref(value);
    return status;
}

/* Element i of a blob, which need not be aligned. */
static int32_t int_at(const void *blob, int64_t i)
{
    int32_t value = 0;
    memcpy(&value, (const char *)blob + i * (int64_t)sizeof value, sizeof value);
    return value;
}

static double float_at(const void *blob, int64_t i)
{
    float value = 0;
    memcpy(&value, (const char *)blob + i * (int64_t)sizeof value, sizeof value);
    return (double)value;
}

static const char *column_text(sqlite3_stmt *s, int column)
{
    return (const char *)sqlite3_column_text(s, column);
}

/* Starts a statement with its one parameter. */
static void bind(sqlite3_stmt *s, int64_t id)
{
    (void)sqlite3_reset(s);
    (void)sqlite3_bind_int64(s, 1, id);
}

/* ---- pictures ---- */

/* The JPEG as it is, or made smaller. */
static tap_status put_jpeg(const gallery *g, const void *jpeg, size_t n_bytes,
                           int64_t w, int64_t h, tap_error *err)
{
    const int64_t side = w > h ? w : h;
    tap_image image = {0}, small = {0};
    tap_buffer bytes = {0};
    if (g->images == TAP_IMAGES_FULL || side <= TAP_THUMB_PX)
        return tap_page_base64(g->out, jpeg, n_bytes, err);
    tap_status status = tap_image_decode(&image, jpeg, n_bytes, g->path, err);
    const double scale = (double)TAP_THUMB_PX / (double)side;
    if (status == TAP_OK)
        status = tap_image_resize(&small, &image, (int64_t)fmax(1.0, (double)w * scale),
                                  (int64_t)fmax(1.0, (double)h * scale), TAP_BILINEAR,
                                  TAP_ORDER_PILLOW_13, err);
    if (status == TAP_OK)
        status = tap_image_encode(&bytes, &small, JPEG_QUALITY, err);
    if (status == TAP_OK)
        status = tap_page_base64(g->out, bytes.text, bytes.n_bytes, err);
    tap_buffer_clear(&bytes);
    tap_image_clear(&image);
    tap_image_clear(&small);
    return status;
}

static tap_status put_thumbnail(gallery *g, int64_t image, tap_error *err)
{
    bool row = false;
    if (g->images == TAP_IMAGES_NONE)
        return TAP_OK;
    bind(g->thumbnail, image);
    TAP_TRY(tap_sql_step(&row, g->thumbnail, g->path, err));
    const void *jpeg = row ? sqlite3_column_blob(g->thumbnail, 2) : NULL;
    if (!jpeg)
        return TAP_OK;
    TAP_TRY(tap_buffer_print(g->out, err, ",\"thumb\":\""));
    TAP_TRY(put_jpeg(g, jpeg, (size_t)sqlite3_column_bytes(g->thumbnail, 2),
                     sqlite3_column_int64(g->thumbnail, 0),
                     sqlite3_column_int64(g->thumbnail, 1), err));
    return tap_buffer_print(g->out, err, "\"");
}

/* Edges of one tile's columns and rows in px of the photo. */
typedef struct edges {
    double x0[MAX_GRID], x1[MAX_GRID], y0[MAX_GRID], y1[MAX_GRID];
    int n_x, n_y;
} edges;

static tap_status put_edges(tap_buffer *out, const char *name, const double *low,
                            const double *high, int n, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "\"%s\":[", name));
    for (int i = 0; i < n; i++)
        TAP_TRY(
            tap_buffer_print(out, err, "%s%.5g,%.5g", i ? "," : "", low[i], high[i]));
    return tap_buffer_print(out, err, "]");
}

static tap_status put_tile(tap_buffer *out, const edges *e, bool first, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "%s{", first ? "" : ","));
    TAP_TRY(put_edges(out, "x", e->x0, e->x1, e->n_x, err));
    TAP_TRY(tap_buffer_put(out, ",", 1, err));
    TAP_TRY(put_edges(out, "y", e->y0, e->y1, e->n_y, err));
    return tap_buffer_put(out, "}", 1, err);
}

/* "at": tile, row and column of each token, for images whose tokens are not in raster
 * order; the statement is read once more. */
static tap_status put_places(gallery *g, int64_t image, tap_error *err)
{
    bind(g->patches, image);
    TAP_TRY(tap_buffer_print(g->out, err, ",\"at\":{"));
    for (bool first = true, row = true;; first = false) {
        TAP_TRY(tap_sql_step(&row, g->patches, g->path, err));
        if (!row)
            return tap_buffer_print(g->out, err, "}");
        TAP_TRY(tap_buffer_print(
            g->out, err, "%s\"%d\":[%d,%d,%d]", first ? "" : ",",
            sqlite3_column_int(g->patches, 7), sqlite3_column_int(g->patches, 0),
            sqlite3_column_int(g->patches, 1), sqlite3_column_int(g->patches, 2)));
    }
}

/* "grid": per tile the edges of columns and rows, low and high in turn. */
static tap_status put_grid(gallery *g, int64_t image, int n_rows, int n_cols,
                           tap_error *err)
{
    edges e = {.n_x = 0};
    int tile = -1;
    bool first = true, row = true, raster = true;
    bind(g->patches, image);
    TAP_TRY(tap_buffer_print(g->out, err, ",\"grid\":["));
    for (;;) {
        TAP_TRY(tap_sql_step(&row, g->patches, g->path, err));
        const int next = row ? sqlite3_column_int(g->patches, 0) : -1;
        if (tile >= 0 && next != tile) {
            TAP_TRY(put_tile(g->out, &e, first, err));
            first = false;
            e.n_x = e.n_y = 0;
        }
        if (!row)
            break;
        tile = next;
        const int y = sqlite3_column_int(g->patches, 1);
        const int x = sqlite3_column_int(g->patches, 2);
        raster = raster &&
                 sqlite3_column_int(g->patches, 7) == (tile * n_rows + y) * n_cols + x;
        if (x < 0 || y < 0 || x >= MAX_GRID || y >= MAX_GRID)
            continue;
        if (x >= e.n_x)
            e.n_x = x + 1;
        if (y >= e.n_y)
            e.n_y = y + 1;
        e.x0[x] = sqlite3_column_double(g->patches, 3);
        e.y0[y] = sqlite3_column_double(g->patches, 4);
        e.x1[x] = sqlite3_column_double(g->patches, 5);
        e.y1[y] = sqlite3_column_double(g->patches, 6);
    }
    TAP_TRY(tap_buffer_print(g->out, err, "]"));
    return raster ? TAP_OK : put_places(g, image, err);
}

/* ---- parts ---- */

/* An SVG path in px of the photo; corners closer than 1/400 of the photo are left out. */
static tap_status put_outline(gallery *g, int64_t item, int64_t side_px, tap_error *err)
{
    bool row = false;
    bind(g->outline, item);
    TAP_TRY(tap_sql_step(&row, g->outline, g->path, err));
    const void *numbers = row ? sqlite3_column_blob(g->outline, 0) : NULL;
    const int64_t n =
        row ? sqlite3_column_bytes(g->outline, 0) / (int64_t)sizeof(int32_t) : 0;
    const double near = (double)side_px / 400.0;
    if (!numbers)
        return TAP_OK;
    TAP_TRY(tap_buffer_print(g->out, err, ",\"o\":\""));
    int64_t budget = MAX_OUTLINE_POINTS;
    for (int64_t at = 0; at < n && budget > 0;) {
        const int64_t corners = int_at(numbers, at++);
        if (corners < 1 || corners > (n - at) / 2)
            break; /* not an outline */
        double x = (double)NAN, y = (double)NAN;
        for (int64_t k = 0; k < corners && budget > 0; k++) {
            const double px = int_at(numbers, at + 2 * k);
            const double py = int_at(numbers, at + 2 * k + 1);
            if (k > 0 && hypot(px - x, py - y) < near)
                continue;
            TAP_TRY(tap_buffer_print(g->out, err, "%c%d,%d", k ? 'L' : 'M', (int)px,
                                     (int)py));
            x = px;
            y = py;
            budget--;
        }
        TAP_TRY(tap_buffer_put(g->out, "Z", 1, err));
        at += 2 * corners;
    }
    return tap_buffer_print(g->out, err, "\"");
}

static uint16_t code_of(const gallery *g, double rank)
{
    const double code = g->exact
                            ? 2.0 * rank
                            : 65535.0 * log2(rank) / log2(g->study->data->n_candidates);
    /* also what is no number becomes 0, which no rank has */
    return (uint16_t)(!(code > 0.0)    ? 0.0
                      : code > 65535.0 ? 65535.0
                                       : floor(code + 0.5));
}

/* "r": per condition the codes [n_kept][n_patches], u16, low byte first, in base64. */
static tap_status put_ranks(gallery *g, int64_t item, int64_t n_patches, tap_error *err)
{
    const int32_t n_depths = g->study->data->n_depths;
    const size_t n = (size_t)(g->n_kept * n_patches);
    uint8_t *codes = NULL;
    int32_t condition = 0;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&codes, 2 * n, 1, "ranks", err));
    TAP_TRY_OUT(tap_buffer_print(g->out, err, ",\"r\":["));
    bind(g->ranks, item);
    for (bool row = true;; condition++) {
        TAP_TRY_OUT(tap_sql_step(&row, g->ranks, g->path, err));
        if (!row)
            break;
        const void *ranks = sqlite3_column_blob(g->ranks, 1);
        const int64_t there =
            sqlite3_column_bytes(g->ranks, 1) / (int64_t)sizeof(float);
        for (; condition < sqlite3_column_int(g->ranks, 0); condition++)
            TAP_TRY_OUT(tap_buffer_print(g->out, err, "\"\","));
        if (there != n_depths * n_patches)
            break;
        for (size_t k = 0; k < n; k++) {
            const int64_t depth = g->kept[k / (size_t)n_patches];
            const uint16_t code =
                code_of(g, float_at(ranks, depth * n_patches +
                                               (int64_t)(k % (size_t)n_patches)));
            codes[2 * k] = (uint8_t)(code & 255);
            codes[2 * k + 1] = (uint8_t)(code >> 8);
        }
        TAP_TRY_OUT(tap_buffer_put(g->out, "\"", 1, err));
        TAP_TRY_OUT(tap_page_base64(g->out, codes, 2 * n, err));
        TAP_TRY_OUT(tap_buffer_put(g->out, "\",", 2, err));
    }
    TAP_TRY_OUT(tap_buffer_print(g->out, err, "\"\"]"));
out:
    tap_free(codes);
    return status;
}

/* "w": {"condition,depth,patch":[ids]} */
static tap_status put_words(gallery *g, int64_t item, tap_error *err)
{
    int64_t before[3] = {-1, -1, -1};
    bool first = true;
    bind(g->words, item);
    TAP_TRY(tap_buffer_print(g->out, err, ",\"w\":{"));
    for (;;) {
        bool row = false;
        TAP_TRY(tap_sql_step(&row, g->words, g->path, err));
        if (!row)
            break;
        int64_t key[3];
        for (int i = 0; i < 3; i++)
            key[i] = sqlite3_column_int64(g->words, i);
        const bool same = memcmp(key, before, sizeof key) == 0;
        if (!same)
            TAP_TRY(tap_buffer_print(g->out, err, "%s\"%d,%d,%d\":[", first ? "" : "],",
                                     (int)key[0], (int)key[1], (int)key[2]));
        TAP_TRY(tap_buffer_print(g->out, err, "%s%d", same ? "," : "",
                                 sqlite3_column_int(g->words, 3)));
        memcpy(before, key, sizeof key);
        first = false;
    }
    return tap_buffer_print(g->out, err, "%s}", first ? "" : "]");
}

static tap_status put_item(gallery *g, int32_t image, int64_t side_px, tap_error *err)
{
    sqlite3_stmt *s = g->items;
    const int64_t id = sqlite3_column_int64(s, 0);
    const void *patches = sqlite3_column_blob(s, 4);
    const int64_t n =
        patches ? sqlite3_column_bytes(s, 4) / (int64_t)sizeof(int32_t) : 0;
    TAP_TRY(tap_buffer_print(g->out, err, "%s{\"id\":%lld,\"i\":%d,\"object\":",
                             g->n_items ? ",\n" : "", (long long)id, (int)image));
    TAP_TRY(put_string(g->out, column_text(s, 1), err));
    TAP_TRY(tap_buffer_print(g->out, err, ",\"part\":"));
    TAP_TRY(put_string(g->out, column_text(s, 2), err));
    TAP_TRY(tap_buffer_print(g->out, err, ",\"label\":"));
    TAP_TRY(put_string(g->out, column_text(s, 3), err));
    const int64_t at = tap_stats_data_item(g->study->data, id);
    if (at >= 0 && g->study->data->candidates == TAP_CANDIDATES_OWN_PARTS)
        TAP_TRY(tap_buffer_print(g->out, err, ",\"N\":%.0f",
                                 exp2(g->study->data->log2_n[at])));
    TAP_TRY(tap_buffer_print(g->out, err, ",\"p\":["));
    for (int64_t i = 0; i < n; i++)
        TAP_TRY(
            tap_buffer_print(g->out, err, "%s%d", i ? "," : "", int_at(patches, i)));
    TAP_TRY(tap_buffer_print(g->out, err, "]"));
    TAP_TRY(put_outline(g, id, side_px, err));
    TAP_TRY(put_ranks(g, id, n, err));
    TAP_TRY(put_words(g, id, err));
    g->n_items++;
    return tap_buffer_print(g->out, err, "}");
}

/* ---- the whole ---- */

static tap_status put_items(gallery *g, tap_error *err)
{
    int64_t image_id = -1;
    int32_t image = -1;
    TAP_TRY(tap_buffer_print(g->out, err, ",\"items\":["));
    while (g->n_items < TAP_GALLERY_ITEMS) {
        bool row = false;
        TAP_TRY(tap_sql_step(&row, g->items, g->path, err));
        if (!row)
            break;
        if (sqlite3_column_int64(g->items, 5) != image_id) {
            image_id = sqlite3_column_int64(g->items, 5);
            image++;
        }
        const int64_t w = sqlite3_column_int64(g->items, 6);
        const int64_t h = sqlite3_column_int64(g->items, 7);
        TAP_TRY(put_item(g, image, w > h ? w : h, err));
    }
    g->n_images = image + 1;
    return tap_buffer_print(g->out, err, "]");
}

/* The images whose parts are there, in the same order. */
static tap_status put_images(gallery *g, tap_error *err)
{
    sqlite3_stmt *s = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_sql_prepare(
        &s, tap_store_sqlite(g->study->store), g->path,
        "SELECT id, name, width_px, height_px, n_rows, n_cols, n_tiles FROM image WHERE "
        "excluded IS NULL AND EXISTS (SELECT 1 FROM item WHERE image_id = image.id AND "
        "item.excluded IS NULL) ORDER BY id",
        err));
    TAP_TRY_OUT(tap_buffer_print(g->out, err, ",\"images\":["));
    for (int64_t i = 0; i < g->n_images; i++) {
        bool row = false;
        TAP_TRY_OUT(tap_sql_step(&row, s, g->path, err));
        if (!row)
            break;
        TAP_TRY_OUT(tap_buffer_print(g->out, err, "%s{\"name\":", i ? ",\n" : ""));
        TAP_TRY_OUT(put_string(g->out, column_text(s, 1), err));
        TAP_TRY_OUT(tap_buffer_print(
            g->out, err, ",\"w\":%d,\"h\":%d,\"rows\":%d,\"cols\":%d,\"tiles\":%d",
            sqlite3_column_int(s, 2), sqlite3_column_int(s, 3),
            sqlite3_column_int(s, 4), sqlite3_column_int(s, 5),
            sqlite3_column_int(s, 6)));
        TAP_TRY_OUT(put_thumbnail(g, sqlite3_column_int64(s, 0), err));
        TAP_TRY_OUT(put_grid(g, sqlite3_column_int64(s, 0), sqlite3_column_int(s, 4),
                             sqlite3_column_int(s, 5), err));
        TAP_TRY_OUT(tap_buffer_print(g->out, err, "}"));
    }
    TAP_TRY_OUT(tap_buffer_print(g->out, err, "]"));
out:
    (void)sqlite3_finalize(s);
    return status;
}

static tap_status put_tokens(gallery *g, tap_error *err)
{
    sqlite3_stmt *s = NULL;
    tap_status status = TAP_OK;
    bool row = true;
    TAP_TRY(tap_sql_prepare(&s, tap_store_sqlite(g->study->store), g->path,
                            "SELECT id, text FROM token ORDER BY id", err));
    TAP_TRY_OUT(tap_buffer_print(g->out, err, ",\"tokens\":{"));
    for (bool first = true;; first = false) {
        TAP_TRY_OUT(tap_sql_step(&row, s, g->path, err));
        if (!row)
            break;
        TAP_TRY_OUT(tap_buffer_print(g->out, err, "%s\"%d\":", first ? "" : ",",
                                     sqlite3_column_int(s, 0)));
        TAP_TRY_OUT(put_string(g->out, column_text(s, 1), err));
    }
    TAP_TRY_OUT(tap_buffer_print(g->out, err, "}"));
out:
    (void)sqlite3_finalize(s);
    return status;
}

/* Which depths are kept: all, or every n-th and the last when ranks would be too large. */
static tap_status choose_depths(gallery *g, tap_error *err)
{
    const tap_stats_data *d = g->study->data;
    int64_t n_patches = 0;
    TAP_TRY(
        tap_sql_int(&n_patches, tap_store_sqlite(g->study->store), g->path,
                    "SELECT coalesce(sum(n_patches), 0) FROM item WHERE excluded IS "
                    "NULL",
                    err));
    const double bytes = (double)n_patches * d->n_conditions * d->n_depths * 2 * 4 / 3;
    const int32_t step = 1 + (int32_t)fmin(1e6, bytes / TAP_GALLERY_BYTES);
    TAP_TRY(tap_alloc(&g->kept, (size_t)d->n_depths, sizeof *g->kept, "depths", err));
    for (int32_t k = d->n_depths - 1; k >= 0; k -= step)
        g->n_kept++;
    for (int32_t i = g->n_kept, k = d->n_depths - 1; i-- > 0; k -= step)
        g->kept[i] = k;
    TAP_TRY(tap_buffer_print(g->out, err, "\"exact\":%s,\"kept\":[",
                             g->exact ? "true" : "false"));
    for (int32_t i = 0; i < g->n_kept; i++)
        TAP_TRY(tap_buffer_print(g->out, err, "%s%d", i ? "," : "", (int)g->kept[i]));
    return tap_buffer_print(g->out, err, "]");
}

tap_status tap_page_gallery(tap_buffer *out, const tap_study *study, tap_images images,
                            tap_error *err)
{
    static const char *const sql[] = {
        "SELECT width_px, height_px, jpeg FROM thumbnail WHERE image_id = ?",
        "SELECT tile, row, col, x0, y0, x1, y1, patch FROM patch WHERE image_id = ? ORDER BY "
        "tile, patch",
        "SELECT item.id, object, part, label, patches, image_id, width_px, height_px FROM "
        "item JOIN image ON image.id = image_id WHERE item.excluded IS NULL AND "
        "image.excluded IS NULL ORDER BY item.id",
        "SELECT condition_id, ranks FROM rank WHERE item_id = ? ORDER BY condition_id",
        "SELECT rings FROM outline WHERE item_id = ?",
        "SELECT condition_id, depth, patch, token_id FROM top_word WHERE item_id = ? "
        "ORDER BY condition_id, depth, patch, place"};
    gallery g = {.out = out,
                 .study = study,
                 .path = tap_store_path(study->store),
                 .images = images,
                 .exact = 2.0 * study->data->n_candidates <= 65535.0};
    sqlite3_stmt **statements[] = {&g.thumbnail, &g.patches, &g.items,
                                   &g.ranks,     &g.outline, &g.words};
    tap_status status = TAP_OK;
    for (size_t i = 0; i < sizeof sql / sizeof *sql; i++)
        TAP_TRY_OUT(tap_sql_prepare(statements[i], tap_store_sqlite(study->store),
                                    g.path, sql[i], err));
    TAP_TRY_OUT(choose_depths(&g, err));
    TAP_TRY_OUT(put_items(&g, err));
    TAP_TRY_OUT(put_images(&g, err));
    TAP_TRY_OUT(put_tokens(&g, err));
out:
    for (size_t i = 0; i < sizeof sql / sizeof *sql; i++)
        (void)sqlite3_finalize(*statements[i]);
    tap_free(g.kept);
    return status;
}
