#include "report/gallery_static.h"

#include "lab/store_sql.h"
#include "report/escape.h"
#include "report/figure.h"

#include <math.h>
#include <string.h>

/* One part as the query gives it. ORDER columns */
enum { ITEM, IMAGE, OBJECT, LABEL, NAME, WIDTH, HEIGHT, PATCHES, RINGS, JPEG };

static const char SQL[] =
    "SELECT item.id, image.id, object, label, image.name, image.width_px, "
    "image.height_px, patches, (SELECT rings FROM outline WHERE item_id = item.id), "
    "(SELECT jpeg FROM thumbnail WHERE image_id = image.id) FROM item JOIN image ON "
    "image.id = item.image_id WHERE item.excluded IS NULL AND image.excluded IS NULL "
    "GROUP BY image.id HAVING item.n_patches = max(item.n_patches) ORDER BY image.id "
    "LIMIT ?";

static tap_status put_text(tap_buffer *out, sqlite3_stmt *s, int column, tap_error *err)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return tap_page_text(out, text ? text : "", err);
}

static int32_t int_at(const void *blob, int64_t i)
{
    int32_t value = 0;
    memcpy(&value, (const char *)blob + i * (int64_t)sizeof value, sizeof value);
    return value;
}

/* The part's corners as one path. */
static tap_status put_outline(tap_buffer *out, sqlite3_stmt *s, tap_error *err)
{
    const void *rings = sqlite3_column_blob(s, RINGS);
    const int64_t n = rings ? sqlite3_column_bytes(s, RINGS) / 4 : 0;
    if (n == 0)
        return TAP_OK;
    TAP_TRY(tap_buffer_print(out, err, "<path class=\"outline\" d=\""));
    for (int64_t at = 0; at < n;) {
        const int64_t corners = int_at(rings, at++);
        if (corners < 1 || corners > (n - at) / 2)
            break;
        for (int64_t k = 0; k < corners; k++)
            TAP_TRY(tap_buffer_print(out, err, "%c%d,%d", k ? 'L' : 'M',
                                     int_at(rings, at + 2 * k),
                                     int_at(rings, at + 2 * k + 1)));
        TAP_TRY(tap_buffer_put(out, "Z", 1, err));
        at += 2 * corners;
    }
    return tap_buffer_print(out, err, "\"/>");
}

/* The patches of the part, coloured by rank; *best the smallest. */
static tap_status put_patches(tap_buffer *out, double *best, const tap_study *study,
                              sqlite3_stmt *s, int32_t condition, tap_error *err)
{
    static const char sql[] =
        "SELECT ranks, patch, x0, y0, x1, y1 FROM rank, patch WHERE item_id = ?1 AND "
        "condition_id = ?2 AND image_id = ?3 ORDER BY patch";
    const tap_stats_data *d = study->data;
    const char *path = tap_store_path(study->store);
    const int64_t item = tap_stats_data_item(d, sqlite3_column_int64(s, ITEM));
    const double log2_n = item < 0 ? log2(d->n_candidates) : d->log2_n[item];
    const void *patches = sqlite3_column_blob(s, PATCHES);
    const int64_t n = patches ? sqlite3_column_bytes(s, PATCHES) / 4 : 0;
    sqlite3_stmt *query = NULL;
    *best = (double)INFINITY;
    TAP_TRY(tap_sql_prepare(&query, tap_store_sqlite(study->store), path, sql, err));
    (void)sqlite3_bind_int64(query, 1, sqlite3_column_int64(s, ITEM));
    (void)sqlite3_bind_int(query, 2, condition);
    (void)sqlite3_bind_int64(query, 3, sqlite3_column_int64(s, IMAGE));
    tap_status status = TAP_OK;
    int64_t k = 0; /* patches of an item rise, as the rows do */
    for (bool row = true; k < n;) {
        TAP_TRY_OUT(tap_sql_step(&row, query, path, err));
        if (!row)
            break;
        if (sqlite3_column_int(query, 1) != int_at(patches, k))
            continue;
        const void *ranks = sqlite3_column_blob(query, 0);
        float rank = 0.0F;
        if (!ranks || sqlite3_column_bytes(query, 0) != 4 * n * d->n_depths)
            break;
        memcpy(&rank, (const char *)ranks + 4 * (d->depth * n + k), sizeof rank);
        k++;
        *best = fmin(*best, (double)rank);
        const double x = sqlite3_column_double(query, 2);
        const double y = sqlite3_column_double(query, 3);
        TAP_TRY_OUT(tap_buffer_print(
            out, err,
            "<rect x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"%.5g\" "
            "style=\"fill:#%06x\"><title>rank %.6g</title></rect>",
            x, y, sqlite3_column_double(query, 4) - x,
            sqlite3_column_double(query, 5) - y,
            (unsigned)tap_heat_rgb(1.0 - log2((double)rank) / log2_n), (double)rank));
    }
out:
    (void)sqlite3_finalize(query);
    return status;
}

static tap_status put_view(tap_buffer *out, double *best, const tap_study *study,
                           sqlite3_stmt *s, tap_images images, int32_t condition,
                           tap_error *err)
{
    const void *jpeg = images == TAP_IMAGES_NONE ? NULL : sqlite3_column_blob(s, JPEG);
    const double w = fmax(1.0, sqlite3_column_double(s, WIDTH));
    const double h = fmax(1.0, sqlite3_column_double(s, HEIGHT));
    TAP_TRY(tap_buffer_print(out, err,
                             "<svg class=\"view\" viewBox=\"0 0 %.6g %.6g\" "
                             "role=\"img\" aria-label=\"ranks at the part's patches\">",
                             w, h));
    TAP_TRY(tap_buffer_print(
        out, err, "<rect class=\"ground\" width=\"%.6g\" height=\"%.6g\"/>", w, h));
    if (jpeg) {
        TAP_TRY(tap_buffer_print(out, err,
                                 "<image width=\"%.6g\" height=\"%.6g\" "
                                 "preserveAspectRatio=\"none\" "
                                 "href=\"data:image/jpeg;base64,",
                                 w, h));
        TAP_TRY(tap_page_base64(out, jpeg, (size_t)sqlite3_column_bytes(s, JPEG), err));
        TAP_TRY(tap_buffer_print(out, err, "\"/>"));
    }
    if (condition >= 0)
        TAP_TRY(put_patches(out, best, study, s, condition, err));
    TAP_TRY(put_outline(out, s, err));
    return tap_buffer_print(out, err, "</svg>\n");
}

static tap_status put_card(tap_buffer *out, const tap_study *study, sqlite3_stmt *s,
                           tap_images images, tap_error *err)
{
    const tap_stats_data *d = study->data;
    const int32_t clean = d->has_design ? d->design[TAP_S11] : 0;
    const int32_t cut = d->has_design ? d->design[TAP_S00] : -1;
    double best[2] = {(double)NAN, (double)NAN}, none = 0.0;
    TAP_TRY(tap_buffer_print(out, err, "<div class=\"card\"><p class=\"name\"><b>"));
    TAP_TRY(put_text(out, s, LABEL, err));
    TAP_TRY(tap_buffer_print(out, err, "</b> of "));
    TAP_TRY(put_text(out, s, OBJECT, err));
    TAP_TRY(tap_buffer_print(out, err, " <span>"));
    TAP_TRY(put_text(out, s, NAME, err));
    TAP_TRY(tap_buffer_print(out, err, "</span></p><div class=\"views\">"));
    TAP_TRY(put_view(out, &none, study, s, images, -1, err));
    TAP_TRY(put_view(out, &best[0], study, s, images, clean, err));
    if (cut >= 0)
        TAP_TRY(put_view(out, &best[1], study, s, images, cut, err));
    TAP_TRY(tap_buffer_print(
        out, err,
        "</div><p class=\"ranks\">best rank at depth %d: ", d->depths[d->depth]));
    for (int k = 0; k < (cut >= 0 ? 2 : 1); k++) {
        TAP_TRY(tap_buffer_print(out, err, "%s", k ? ", " : ""));
        TAP_TRY(tap_page_text(out, tap_study_condition(study, k ? cut : clean), err));
        TAP_TRY(tap_buffer_print(out, err, " <b>%.6g</b>", best[k]));
    }
    return tap_buffer_print(out, err, "</p></div>\n");
}

tap_status tap_gallery_static(tap_buffer *out, const tap_study *study,
                              tap_images images, int n, tap_error *err)
{
    const char *path = tap_store_path(study->store);
    sqlite3_stmt *s = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_sql_prepare(&s, tap_store_sqlite(study->store), path, SQL, err));
    (void)sqlite3_bind_int(s, 1, n);
    for (bool row = true;;) {
        TAP_TRY_OUT(tap_sql_step(&row, s, path, err));
        if (!row)
            break;
        TAP_TRY_OUT(put_card(out, study, s, images, err));
    }
out:
    (void)sqlite3_finalize(s);
    return status;
}
