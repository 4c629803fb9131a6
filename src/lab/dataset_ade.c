/* ADE20K of 2021 with its parts: per image a JSON file with names, hierarchy and polygons,
 * NAME_seg.png with the objects and NAME_parts_1.png, NAME_parts_2.png ... with the parts
 * and the parts of parts.
 *
 * A label map says of each pixel class = (R div 10) * 256 + G and instance = B; the JSON
 * file numbers its entries otherwise, so the regions of a class are given to the entries of
 * that class by how well their polygons agree. The mask of an item is the region: what is
 * visible of it.
 * Source: the files themselves; class equals name_ndx in every sample. */
#include "lab/dataset_reader.h"

#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"
#include "image/image.h"
#include "image/mask_shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum {
    MAX_LEVEL = 9,
    MAX_ENTRIES = 20000,
    MAX_REGIONS = 20000,
    N_KEYS = 26 * 256 * 256, /* classes times instances */
    JSON_LIMIT_BYTES = 1 << 26,
    NO_ENTRY = -1
};

/* One object, part or part of a part, as the JSON file tells it. */
typedef struct entry {
    int64_t id, parent; /* parent -1: none */
    int64_t class_id;
    int level;        /* 0 an object, 1 a part, 2 a part of a part ... */
    const char *name; /* borrowed from the tree */
    const json_t *x, *y;
    int32_t region; /* of its level's map, -1 */
    bool has_items; /* an object with parts */
} entry;

/* Pixels of one class and instance. */
typedef struct region {
    uint32_t key; /* class * 256 + instance */
    int64_t area_px;
    int64_t entry; /* NO_ENTRY */
} region;

/* A label map taken apart. */
typedef struct level_map {
    int64_t width, height;
    int32_t *region_of; /* [height][width], -1: nothing */
    region *regions;    /* [n_regions] in the order of their first pixels */
    size_t n_regions, capacity;
} level_map;

static void clear_map(level_map *map)
{
    tap_free(map->region_of);
    tap_free(map->regions);
    *map = (level_map){0};
}

/* ---- the JSON file ---- */

/* Bytes that are not UTF-8 are taken as Latin-1, which the set's authors used. */
static tap_status to_utf8(tap_buffer *out, const char *text, size_t n_bytes,
                          tap_error *err)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    size_t good = 0; /* bytes from here on are not yet put */
    for (size_t at = 0; at < n_bytes;) {
        utf8proc_int32_t point = 0;
        const utf8proc_ssize_t n =
            utf8proc_iterate(bytes + at, (utf8proc_ssize_t)(n_bytes - at), &point);
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        const char pair[2] = {(char)(0xc0 | bytes[at] >> 6),
                              (char)(0x80 | (bytes[at] & 0x3f))};
        TAP_TRY(tap_buffer_put(out, text + good, at - good, err));
        TAP_TRY(tap_buffer_put(out, pair, 2, err));
        good = ++at;
    }
    return tap_buffer_put(out, text + good, n_bytes - good, err);
}

static int64_t whole(const json_t *value, int64_t absent)
{
    if (json_is_array(value)) /* "ispartof" is a number, a list or an empty list */
        value = json_array_get(value, 0);
    return json_is_integer(value) ? json_integer_value(value) : absent;
}

static entry read_entry(const json_t *json)
{
    const json_t *parts = json_object_get(json, "parts");
    const json_t *polygon = json_object_get(json, "polygon");
    const json_t *name = json_object_get(json, "name");
    const int64_t level = whole(json_object_get(parts, "part_level"), 0);
    return (entry){.id = whole(json_object_get(json, "id"), -1),
                   .parent = whole(json_object_get(parts, "ispartof"), -1),
                   .class_id = whole(json_object_get(json, "name_ndx"), -1),
                   .level =
                       level >= 0 && level <= MAX_LEVEL ? (int)level : MAX_LEVEL + 1,
                   .name = json_is_string(name) ? json_string_value(name) : "unknown",
                   .x = json_object_get(polygon, "x"),
                   .y = json_object_get(polygon, "y"),
                   .region = -1};
}

/* *tree owns what the entries point to. */
static tap_status read_entries(entry **entries, size_t *n, json_t **tree,
                               const char *path, tap_error *err)
{
    char *raw = NULL;
    size_t n_raw = 0;
    tap_buffer text = {0};
    tap_status status = TAP_OK;
    TAP_TRY(tap_file_read(&raw, &n_raw, path, JSON_LIMIT_BYTES, err));
    TAP_TRY_OUT(to_utf8(&text, raw, n_raw, err));
    TAP_TRY_OUT(tap_json_parse(tree, text.text, text.n_bytes, path, err));
    const json_t *list =
        json_object_get(json_object_get(*tree, "annotation"), "object");
    if (!json_is_array(list) || json_array_size(list) > MAX_ENTRIES)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EFORMAT,
                     "cannot read '%s': expected a list annotation.object of at "
                     "most %d entries",
                     path, MAX_ENTRIES));
    *n = json_array_size(list);
    TAP_TRY_OUT(tap_alloc(entries, *n, sizeof **entries, "annotations", err));
    for (size_t i = 0; i < *n; i++)
        (*entries)[i] = read_entry(json_array_get(list, i));
out:
    tap_free(raw);
    tap_buffer_clear(&text);
    return status;
}

/* The object that an entry is a part of, however deep; NULL if the chain breaks. */
static entry *find_root(entry *entries, size_t n, const entry *e)
{
    for (int step = 0; step <= MAX_LEVEL; step++) {
        entry *parent = NULL;
        for (size_t i = 0; i < n && !parent; i++)
            if (entries[i].id == e->parent && e->parent >= 0)
                parent = &entries[i];
        if (!parent || parent->level == 0)
            return parent;
        e = parent;
    }
    return NULL;
}

/* ---- label maps ---- */

static tap_status take_apart(level_map *map, const tap_image *image, const char *path,
                             tap_error *err)
{
    const int64_t n_px = image->width * image->height;
    int32_t *place = NULL; /* [N_KEYS] region + 1 */
    tap_status status = TAP_OK;
    map->width = image->width;
    map->height = image->height;
    TAP_TRY(tap_alloc(&place, N_KEYS, sizeof *place, "labels", err));
    TAP_TRY_OUT(tap_alloc(&map->region_of, (size_t)n_px, sizeof *map->region_of,
                          "labels", err));
    for (int64_t p = 0; p < n_px; p++) {
        const uint8_t *rgb = image->rgb + 3 * p;
        const uint32_t class_id = rgb[0] / 10U * 256U + rgb[1];
        const uint32_t key = class_id * 256U + rgb[2];
        map->region_of[p] = -1;
        if (class_id == 0)
            continue;
        if (place[key] == 0) {
            if (map->n_regions == MAX_REGIONS)
                TAP_TRY_OUT(TAP_FAIL(err, TAP_EFORMAT,
                                     "cannot read labels '%s': more than %d regions",
                                     path, MAX_REGIONS));
            TAP_TRY_OUT(tap_grow(&map->regions, &map->capacity, map->n_regions + 1,
                                 sizeof *map->regions, "labels", err));
            map->regions[map->n_regions++] = (region){.key = key, .entry = NO_ENTRY};
            place[key] = (int32_t)map->n_regions;
        }
        map->region_of[p] = place[key] - 1;
        map->regions[place[key] - 1].area_px++;
    }
out:
    tap_free(place);
    return status;
}

static tap_status read_map(level_map *map, const char *path, tap_error *err)
{
    tap_image image;
    TAP_TRY(tap_image_read(&image, path, err));
    const tap_status status = take_apart(map, &image, path, err);
    tap_image_clear(&image);
    return status;
}

/* ---- which region is which entry's ---- */

/* How well an entry's polygon and a region agree. */
typedef struct agreement {
    double overlap; /* intersection over union */
    int64_t entry;
    int32_t region;
} agreement;

typedef struct agreements {
    agreement *list;
    size_t n, capacity;
} agreements;

static int by_overlap(const void *a, const void *b)
{
    const agreement *x = a, *y = b;
    if (x->overlap != y->overlap)
        return x->overlap < y->overlap ? 1 : -1;
    return x->entry != y->entry ? (x->entry > y->entry) - (x->entry < y->entry)
                                : (x->region > y->region) - (x->region < y->region);
}

/* Whether an entry takes part: of the objects only classes in which one has parts. */
static bool competes(const entry *entries, size_t n, const entry *e, int level)
{
    bool wanted = level > 0;
    for (size_t i = 0; i < n && !wanted; i++)
        wanted = entries[i].has_items && entries[i].class_id == e->class_id;
    return wanted && e->level == level;
}

/* Fills the polygon; no pixel if it is no polygon. */
static tap_status fill_polygon(tap_mask *mask, const entry *e, tap_error *err)
{
    const size_t n = json_array_size(e->x);
    double *xy = NULL;
    tap_error fault;
    if (n < 3 || json_array_size(e->y) != n)
        return TAP_OK;
    TAP_TRY(tap_alloc(&xy, 2 * n, sizeof *xy, "a polygon", err));
    for (size_t i = 0; i < n; i++) {
        xy[2 * i] = json_number_value(json_array_get(e->x, i));
        xy[2 * i + 1] = json_number_value(json_array_get(e->y, i));
    }
    const tap_status status = tap_mask_put_polygon(mask, xy, n, &fault);
    tap_free(xy);
    return status == TAP_ENOMEM ? TAP_FAIL(err, status, "%s", fault.message) : TAP_OK;
}

static tap_status compare(agreements *out, const level_map *map, const entry *e,
                          int64_t number, int64_t *inside, tap_error *err)
{
    tap_mask mask;
    int64_t area = 0;
    TAP_TRY(tap_mask_new(&mask, map->width, map->height, err));
    tap_status status = fill_polygon(&mask, e, err);
    memset(inside, 0, map->n_regions * sizeof *inside);
    for (int64_t p = 0; p < map->width * map->height; p++)
        if (mask.inside[p]) {
            area++;
            if (map->region_of[p] >= 0)
                inside[map->region_of[p]]++;
        }
    tap_mask_clear(&mask);
    for (size_t r = 0; r < map->n_regions && status == TAP_OK; r++) {
        if (map->regions[r].key / 256 != (uint64_t)e->class_id || inside[r] == 0)
            continue;
        status = tap_grow(&out->list, &out->capacity, out->n + 1, sizeof *out->list,
                          "labels", err);
        if (status == TAP_OK)
            out->list[out->n++] =
                (agreement){(double)inside[r] /
                                (double)(area + map->regions[r].area_px - inside[r]),
                            number, (int32_t)r};
    }
    return status;
}

/* An entry and a region that are left alone in their class belong together: an entry may
 * have no polygon. */
static void pair_lonely(level_map *map, entry *entries, size_t n, int level)
{
    for (size_t r = 0; r < map->n_regions; r++) {
        if (map->regions[r].entry != NO_ENTRY)
            continue;
        const int64_t class_id = map->regions[r].key / 256;
        int64_t n_regions = 0, n_entries = 0, lonely = 0;
        for (size_t k = 0; k < map->n_regions; k++)
            n_regions += map->regions[k].entry == NO_ENTRY &&
                         map->regions[k].key / 256 == (uint64_t)class_id;
        for (size_t e = 0; e < n; e++)
            if (entries[e].level == level && entries[e].class_id == class_id &&
                entries[e].region < 0) {
                n_entries++;
                lonely = (int64_t)e;
            }
        if (n_regions == 1 && n_entries == 1) {
            map->regions[r].entry = lonely;
            entries[lonely].region = (int32_t)r;
        }
    }
}

static tap_status pair(level_map *map, entry *entries, size_t n, int level,
                       tap_error *err)
{
    agreements found = {0};
    int64_t *inside = NULL;
    tap_status status =
        tap_alloc(&inside, map->n_regions, sizeof *inside, "labels", err);
    for (size_t e = 0; e < n && status == TAP_OK; e++)
        if (competes(entries, n, &entries[e], level))
            status = compare(&found, map, &entries[e], (int64_t)e, inside, err);
    if (found.n > 0)
        qsort(found.list, found.n, sizeof *found.list, by_overlap);
    for (size_t a = 0; a < found.n; a++) {
        entry *e = &entries[found.list[a].entry];
        region *r = &map->regions[found.list[a].region];
        if (e->region >= 0 || r->entry != NO_ENTRY)
            continue;
        e->region = found.list[a].region;
        r->entry = found.list[a].entry;
    }
    pair_lonely(map, entries, n, level);
    tap_free(inside);
    tap_free(found.list);
    return status;
}

/* ---- items ---- */

static tap_status cut(tap_mask *out, const level_map *map, int32_t number,
                      tap_error *err)
{
    tap_mask mask;
    TAP_TRY(tap_mask_new(&mask, map->width, map->height, err));
    for (int64_t p = 0; p < map->width * map->height; p++)
        mask.inside[p] = map->region_of[p] == number;
    *out = mask;
    return TAP_OK;
}

/* *object = the entry's place among the items, -1 if it has none yet. */
static tap_status need_object(int64_t *object, tap_items *items, const entry *root,
                              tap_error *err)
{
    char id[24];
    if (!root)
        return tap_items_need_object(object, items, NULL, "unknown", err);
    (void)snprintf(id, sizeof id, "%lld", (long long)root->id);
    return tap_items_need_object(object, items, id, root->name, err);
}

static tap_status put_part(tap_items *items, const level_map *map, const char *fault,
                           entry *entries, size_t n, const entry *e, tap_error *err)
{
    entry *root = find_root(entries, n, e);
    tap_mask mask = {0};
    int64_t object = 0;
    const char *reason = !root           ? "it is part of no object of the file"
                         : fault         ? fault
                         : e->region < 0 ? "the label map shows nothing of it"
                                         : NULL;
    TAP_TRY(need_object(&object, items, root, err));
    if (root)
        root->has_items = true;
    if (e->region >= 0)
        TAP_TRY(cut(&mask, map, e->region, err));
    const tap_status status =
        tap_items_put_part(items, object, e->name, &mask, reason, err);
    tap_mask_clear(&mask);
    return status;
}

/* Regions that no entry claims are items too. */
static tap_status put_unclaimed(tap_items *items, const level_map *map, tap_error *err)
{
    for (size_t r = 0; r < map->n_regions; r++) {
        char name[32];
        tap_mask mask;
        int64_t object = 0;
        if (map->regions[r].entry != NO_ENTRY)
            continue;
        (void)snprintf(name, sizeof name, "class %lu",
                       (unsigned long)(map->regions[r].key / 256));
        TAP_TRY(need_object(&object, items, NULL, err));
        TAP_TRY(cut(&mask, map, (int32_t)r, err));
        const tap_status status =
            tap_items_put_part(items, object, name, &mask,
                               "the JSON file has no entry for these pixels", err);
        tap_mask_clear(&mask);
        TAP_TRY(status);
    }
    return TAP_OK;
}

/* Objects that have parts get the mask of the object map, or the fault. */
static tap_status put_masks(tap_items *items, const level_map *map, const char *fault,
                            const entry *entries, size_t n, tap_error *err)
{
    for (size_t o = 0; o < items->n_objects; o++) {
        tap_object *object = &items->objects[o];
        const entry *e = NULL;
        for (size_t i = 0; i < n && !e && object->id; i++)
            if (entries[i].level == 0 && entries[i].id == strtoll(object->id, NULL, 10))
                e = &entries[i];
        if (!e)
            continue;
        const char *why = fault ? fault : "the label map shows nothing of its object";
        if (fault || e->region < 0) {
            TAP_TRY(tap_text_set(&object->fault, why, err));
            continue;
        }
        tap_mask mask;
        TAP_TRY(cut(&mask, map, e->region, err));
        const tap_status status =
            tap_items_put_object_mask(items, (int64_t)o, &mask, err);
        tap_mask_clear(&mask);
        TAP_TRY(status);
    }
    return TAP_OK;
}

/* Entries of one level, read against its map. */
static tap_status read_level(tap_items *items, const char *base, int level,
                             entry *entries, size_t n, tap_error *err)
{
    level_map map = {0};
    char *path = NULL;
    tap_error found;
    const char *fault = NULL;
    tap_status status = TAP_OK;
    if (level == 0)
        TAP_TRY(tap_text_format(&path, err, "%s_seg.png", base));
    else
        TAP_TRY(tap_text_format(&path, err, "%s_parts_%d.png", base, level));
    bool any = level == 0 || tap_file_exists(path);
    for (size_t e = 0; e < n; e++)
        any |= entries[e].level == level;
    if (!any)
        goto out;
    status = read_map(&map, path, &found);
    if (status == TAP_ENOMEM)
        TAP_TRY_OUT(TAP_FAIL(err, status, "%s", found.message));
    if (status == TAP_OK)
        TAP_TRY_OUT(pair(&map, entries, n, level, err));
    else
        fault = found.message;
    status = TAP_OK;
    if (level == 0)
        TAP_TRY_OUT(put_masks(items, &map, fault, entries, n, err));
    for (size_t e = 0; e < n && level > 0; e++)
        if (entries[e].level == level)
            TAP_TRY_OUT(put_part(items, &map, fault, entries, n, &entries[e], err));
    if (level > 0)
        TAP_TRY_OUT(put_unclaimed(items, &map, err));
out:
    clear_map(&map);
    tap_free(path);
    return status;
}

/* ---- the reader ---- */

static tap_status open_folder(void **reader, tap_image_list *images,
                              const tap_data_spec *spec,
                              const tap_dataset_progress *progress, tap_error *err)
{
    char *folder = NULL;
    (void)progress;
    TAP_TRY(tap_image_list_folder(images, spec->annotations, ".json", true, err));
    TAP_TRY(tap_text_copy(&folder, spec->annotations, strlen(spec->annotations), err));
    *reader = folder;
    return TAP_OK;
}

static tap_status read_image(tap_items *items, const void *reader, size_t i,
                             const char *name, tap_error *err)
{
    const char *folder = reader;
    char *base = NULL, *path = NULL;
    json_t *tree = NULL;
    entry *entries = NULL;
    size_t n = 0;
    tap_status status = TAP_OK;
    (void)i;
    TAP_TRY_OUT(tap_path_join(&base, folder, name, err));
    TAP_TRY_OUT(tap_text_format(&path, err, "%s.json", base));
    TAP_TRY_OUT(read_entries(&entries, &n, &tree, path, err));
    for (int level = 1; level <= MAX_LEVEL; level++)
        TAP_TRY_OUT(read_level(items, base, level, entries, n, err));
    const level_map none = {0};
    for (size_t e = 0; e < n; e++)
        if (entries[e].level > MAX_LEVEL)
            TAP_TRY_OUT(put_part(items, &none, "its part_level is not 0 to 9", entries,
                                 n, &entries[e], err));
    if (items->n_parts > 0)
        status = read_level(items, base, 0, entries, n, err);
out:
    json_decref(tree);
    tap_free(entries);
    tap_free(base);
    tap_free(path);
    return status;
}

const tap_reader tap_reader_ade = {.format = "ade20k-parts",
                                   .open = open_folder,
                                   .read = read_image,
                                   .close = tap_free};
