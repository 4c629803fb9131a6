#include "lab/dataset_masks.h"

#include "base/file.h"
#include "base/memory.h"
#include "image/image_formats.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGE, MASK, VALUE, OBJECT, OBJECT_ID, PART, LABEL, N_COLUMNS };

enum { LIMIT_BYTES = 1 << 28, MAX_CELLS = 64 };

static const char *const columns[N_COLUMNS] = {"image",     "mask", "value", "object",
                                               "object_id", "part", "label"};

/* One line: cells point into the text; NULL where the table has no such column. */
typedef struct line {
    const char *cells[N_COLUMNS];
    int64_t number;
} line;

struct tap_mask_table {
    char *path, *folder, *text;
    line *lines; /* [n_lines] in order */
    size_t n_lines, line_capacity;
    const char **images; /* [n_images] distinct */
    size_t n_images, image_capacity;
};

static tap_status fail_at(const tap_mask_table *t, int64_t number, const char *what,
                          tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s', line %lld: %s", t->path,
                    (long long)number, what);
}

/* Cuts a line at its tabs; returns how many cells. */
static int cut(char *cells[MAX_CELLS], char *text)
{
    int n = 0;
    for (char *at = text; n < MAX_CELLS; n++) {
        cells[n] = at;
        at = strchr(at, '\t');
        if (!at)
            return n + 1;
        *at++ = '\0';
    }
    return n;
}

static tap_status read_heading(int place[N_COLUMNS], int *n, const tap_mask_table *t,
                               char *text, tap_error *err)
{
    char *cells[MAX_CELLS];
    *n = cut(cells, text);
    for (int c = 0; c < N_COLUMNS; c++) {
        place[c] = -1;
        for (int i = 0; i < *n; i++)
            if (strcmp(cells[i], columns[c]) == 0)
                place[c] = i;
    }
    if (place[IMAGE] < 0 || place[MASK] < 0 || place[OBJECT] < 0 || place[PART] < 0)
        return fail_at(t, 1,
                       "expected a heading with the columns image, mask, object and "
                       "part, separated by tabs",
                       err);
    return TAP_OK;
}

static tap_status put_line(tap_mask_table *t, const line *l, tap_error *err)
{
    TAP_TRY(tap_grow(&t->lines, &t->line_capacity, t->n_lines + 1, sizeof *l, "a table",
                     err));
    t->lines[t->n_lines++] = *l;
    for (size_t i = t->n_images; i-- > 0;) /* lines of an image mostly stand together */
        if (strcmp(t->images[i], l->cells[IMAGE]) == 0)
            return TAP_OK;
    TAP_TRY(tap_grow(&t->images, &t->image_capacity, t->n_images + 1, sizeof *t->images,
                     "a table", err));
    t->images[t->n_images++] = l->cells[IMAGE];
    return TAP_OK;
}

static tap_status read_lines(tap_mask_table *t, tap_error *err)
{
    int place[N_COLUMNS], n_heading = 0;
    int64_t number = 0;
    for (char *at = t->text, *next; *at; at = next) {
        char *end = at + strcspn(at, "\n");
        next = *end ? end + 1 : end;
        if (end > at && end[-1] == '\r')
            end[-1] = '\0';
        *end = '\0';
        number++;
        if (number == 1) {
            TAP_TRY(read_heading(place, &n_heading, t, at, err));
            continue;
        }
        if (*at == '\0')
            continue;
        char *cells[MAX_CELLS];
        if (cut(cells, at) != n_heading)
            return fail_at(t, number, "it has not as many cells as the heading", err);
        line l = {.number = number};
        for (int c = 0; c < N_COLUMNS; c++)
            l.cells[c] = place[c] < 0 ? NULL : cells[place[c]];
        if (!*l.cells[IMAGE] || !*l.cells[MASK] || !*l.cells[OBJECT])
            return fail_at(t, number, "image, mask and object must not be empty", err);
        TAP_TRY(put_line(t, &l, err));
    }
    if (t->n_images == 0)
        return fail_at(t, number, "the table lists no image", err);
    return TAP_OK;
}

tap_status tap_mask_table_open(tap_mask_table **out, const char *path, tap_error *err)
{
    tap_mask_table *t = NULL;
    size_t n_bytes = 0;
    tap_status status = tap_alloc(&t, 1, sizeof *t, "a table", err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_text_copy(&t->path, path, strlen(path), err));
    TAP_TRY_OUT(tap_path_parent(&t->folder, path, err));
    TAP_TRY_OUT(tap_file_read(&t->text, &n_bytes, path, LIMIT_BYTES, err));
    if (strlen(t->text) != n_bytes)
        TAP_TRY_OUT(fail_at(t, 1, "the file holds a NUL byte", err));
    TAP_TRY_OUT(read_lines(t, err));
out:
    if (status == TAP_OK)
        *out = t;
    else
        tap_mask_table_close(t);
    return status;
}

void tap_mask_table_close(tap_mask_table *table)
{
    if (!table)
        return;
    tap_free(table->path);
    tap_free(table->folder);
    tap_free(table->text);
    tap_free(table->lines);
    tap_free(table->images);
    tap_free(table);
}

size_t tap_mask_table_count(const tap_mask_table *table)
{
    return table->n_images;
}

const char *tap_mask_table_image(const tap_mask_table *table, size_t i)
{
    return table->images[i];
}

/* ---- masks ---- */

/* A label map that is in memory, so that its parts are cut from one decoding. */
typedef struct label_map {
    const char *name;
    uint8_t *samples;
    int64_t width, height;
} label_map;

static tap_status load(label_map *map, const tap_mask_table *t, const char *name,
                       tap_error *err)
{
    char *path = NULL;
    tap_mapping mapping = {0};
    if (map->name && strcmp(map->name, name) == 0)
        return TAP_OK;
    tap_free(map->samples);
    *map = (label_map){0};
    TAP_TRY(tap_path_join(&path, t->folder, name, err));
    tap_status status = tap_file_map(&mapping, path, err);
    if (status == TAP_OK)
        status = tap_png_decode_samples(&map->samples, &map->width, &map->height,
                                        mapping.bytes, mapping.n_bytes, path, err);
    tap_file_unmap(&mapping);
    tap_free(path);
    if (status == TAP_OK)
        map->name = name;
    return status;
}

static tap_status mask_of(tap_mask *out, label_map *map, const tap_mask_table *t,
                          const line *l, tap_error *err)
{
    long value = -1;
    if (l->cells[VALUE] && *l->cells[VALUE]) {
        char *end = NULL;
        value = strtol(l->cells[VALUE], &end, 10);
        if (*end || value < 0 || value > 255)
            return fail_at(t, l->number, "'value' is not a whole number from 0 to 255",
                           err);
    }
    TAP_TRY(load(map, t, l->cells[MASK], err));
    tap_mask mask;
    TAP_TRY(tap_mask_new(&mask, map->width, map->height, err));
    for (int64_t i = 0; i < mask.width * mask.height; i++)
        mask.inside[i] = value < 0 ? map->samples[i] != 0 : map->samples[i] == value;
    *out = mask;
    return TAP_OK;
}

static bool same_object(const line *a, const line *b)
{
    const char *x = a->cells[OBJECT_ID], *y = b->cells[OBJECT_ID];
    return strcmp(a->cells[OBJECT], b->cells[OBJECT]) == 0 &&
           (!x || !y || strcmp(x, y) == 0);
}

static tap_status read_line(tap_items *items, const line **first, label_map *map,
                            const tap_mask_table *t, const line *l, tap_error *err)
{
    tap_mask mask = {0};
    TAP_TRY(mask_of(&mask, map, t, l, err));
    size_t o = 0;
    while (o < items->n_objects && !same_object(first[o], l))
        o++;
    tap_status status = TAP_OK;
    if (o == items->n_objects) {
        tap_mask copy;
        TAP_TRY_OUT(tap_mask_new(&copy, mask.width, mask.height, err));
        memcpy(copy.inside, mask.inside, (size_t)(mask.width * mask.height));
        status = tap_items_put_object(items, l->cells[OBJECT_ID], l->cells[OBJECT],
                                      &copy, err);
        tap_mask_clear(&copy);
        if (status != TAP_OK)
            goto out;
        first[o] = l;
    } else {
        tap_mask *whole = &items->objects[o].mask;
        for (int64_t i = 0; i < mask.width * mask.height &&
                            mask.width == whole->width && mask.height == whole->height;
             i++)
            whole->inside[i] |= mask.inside[i];
    }
    if (*l->cells[PART]) {
        TAP_TRY_OUT(tap_items_put_part(items, (int64_t)o, l->cells[PART], &mask, err));
        const char *label = l->cells[LABEL];
        if (label && *label) {
            char **place = &items->parts[items->n_parts - 1].label;
            tap_free(*place);
            *place = NULL;
            TAP_TRY_OUT(tap_text_copy(place, label, strlen(label), err));
        }
    }
out:
    tap_mask_clear(&mask);
    return status;
}

tap_status tap_mask_table_read(tap_items *out, const tap_mask_table *table,
                               const char *image, tap_error *err)
{
    tap_items items = {0};
    label_map map = {0};
    const line **first = NULL; /* of each object */
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&first, table->n_lines, sizeof *first, "a table", err));
    for (size_t i = 0; i < table->n_lines; i++)
        if (strcmp(table->lines[i].cells[IMAGE], image) == 0)
            TAP_TRY_OUT(read_line(&items, first, &map, table, &table->lines[i], err));
out:
    tap_free(map.samples);
    tap_free(first);
    if (status == TAP_OK)
        *out = items;
    else
        tap_items_clear(&items);
    return status;
}
