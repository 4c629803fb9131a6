/* Data sets in COCO files: coco-parts, PartImageNet and PACO-LVIS. They differ in how an
 * annotation tells object and part. */
#include "lab/coco_file.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static tap_status open_file(void **reader, tap_image_list *images,
                            const tap_data_spec *spec,
                            const tap_dataset_progress *progress, tap_error *err)
{
    tap_coco_file *file = NULL;
    TAP_TRY(tap_coco_open(&file, spec->annotations, progress, err));
    tap_status status = TAP_OK;
    for (size_t i = 0; i < file->n_images && status == TAP_OK; i++)
        status = tap_image_list_put(images, file->images[i].name,
                                    strlen(file->images[i].name), err);
    if (status == TAP_OK)
        *reader = file;
    else
        tap_coco_close(file);
    return status;
}

static void close_file(void *reader)
{
    tap_coco_close(reader);
}

enum { REASON_BYTES = TAP_ERROR_MESSAGE_BYTES };

/* An annotation on its way to an item. */
typedef struct note {
    json_t *json;
    const tap_coco_category *category; /* NULL: unknown */
    int64_t id, object_id;
    tap_mask mask;             /* inside NULL: none could be made */
    char reason[REASON_BYTES]; /* empty: good so far */
} note;

static void clear_note(note *n)
{
    json_decref(n->json);
    tap_mask_clear(&n->mask);
}

/* Writes the first reason down. */
static void set_reason(note *n, const char *reason)
{
    if (n->reason[0] == '\0')
        (void)snprintf(n->reason, sizeof n->reason, "%s", reason);
}

/* PACO: an annotation is an object when it names itself as its object. */
static bool is_object(const note *n)
{
    return n->id >= 0 && n->id == n->object_id;
}

/* Without a photo masks must have the size that the file tells. */
static void set_size(tap_items *items, const tap_coco_image *image)
{
    if (items->width_px > 0 || image->width <= 0 || image->height <= 0)
        return;
    items->width_px = image->width;
    items->height_px = image->height;
}

static tap_status parse_note(note *out, const tap_coco_file *file,
                             const tap_coco_place *place, tap_error *err)
{
    note n = {0};
    TAP_TRY(tap_coco_annotation(&n.json, file, place, err));
    n.id = tap_coco_int(n.json, "id", -1);
    n.object_id = tap_coco_int(n.json, "obj_ann_id", -1);
    const int64_t category_id = tap_coco_int(n.json, "category_id", INT64_MIN);
    n.category = tap_coco_find_category(file, category_id);
    if (!file->images[place->image].known)
        set_reason(&n, "its image_id is not in the list of images");
    if (!n.category && category_id == INT64_MIN)
        set_reason(&n, "it has no category_id");
    if (!n.category && n.reason[0] == '\0')
        (void)snprintf(n.reason, sizeof n.reason, "unknown category_id %lld",
                       (long long)category_id);
    *out = n;
    return TAP_OK;
}

/* Fills the mask, or the reason why there is none. */
static tap_status fill_note(note *n, const tap_items *items,
                            const tap_coco_image *image, tap_error *err)
{
    tap_error fault;
    const bool told = image->width != 0 || image->height != 0;
    const int64_t w = told ? image->width : items->width_px;
    const int64_t h = told ? image->height : items->height_px;
    const tap_status status =
        tap_coco_mask(&n->mask, json_object_get(n->json, "segmentation"), w, h, &fault);
    if (status == TAP_ENOMEM)
        return TAP_FAIL(err, status, "%s", fault.message);
    if (status != TAP_OK)
        set_reason(n, fault.message);
    if (tap_coco_int(n->json, "iscrowd", 0) != 0)
        set_reason(n, "a crowd region: one mask for many");
    return TAP_OK;
}

/* ---- coco-parts, PartImageNet: the category's group is the object ---- */

static tap_status put_part(tap_items *items, note *n, tap_error *err)
{
    const char *group = n->category && *n->category->group ? n->category->group : NULL;
    const char *name = n->category ? n->category->name : "unknown";
    const size_t prefix = group ? strlen(group) : 0;
    int64_t object = 0;
    if (n->category && !group)
        set_reason(n, "its category has no supercategory, which names the object");
    /* "Quadruped Head" in the group "Quadruped" */
    if (group && strncmp(name, group, prefix) == 0 && name[prefix] == ' ' &&
        name[prefix + 1])
        name += prefix + 1;
    TAP_TRY(
        tap_items_need_object(&object, items, NULL, group ? group : "unknown", err));
    return tap_items_put_part(items, object, name, &n->mask,
                              n->reason[0] ? n->reason : NULL, err);
}

static tap_status read_parts(tap_items *items, const void *reader, size_t i,
                             const char *name, tap_error *err)
{
    const tap_coco_file *file = reader;
    (void)name;
    set_size(items, &file->images[i]);
    for (size_t p = file->first[i]; p < file->first[i + 1]; p++) {
        note n;
        TAP_TRY(parse_note(&n, file, &file->places[p], err));
        tap_status status = fill_note(&n, items, &file->images[i], err);
        if (status == TAP_OK)
            status = put_part(items, &n, err);
        clear_note(&n);
        TAP_TRY(status);
    }
    return TAP_OK;
}

/* ---- PACO: objects and parts are annotations, obj_ann_id ties them ---- */

static tap_status put_paco_object(tap_items *items, note *n, tap_error *err)
{
    char id[24];
    (void)snprintf(id, sizeof id, "%lld", (long long)n->id);
    TAP_TRY(tap_items_put_object(items, id, n->category ? n->category->name : "unknown",
                                 n->mask.inside ? &n->mask : NULL, err));
    char *fault = NULL;
    if (n->reason[0] == '\0')
        return TAP_OK;
    TAP_TRY(tap_text_format(&fault, err, "of its object: %s", n->reason));
    tap_free(items->objects[items->n_objects - 1].fault);
    items->objects[items->n_objects - 1].fault = fault;
    return TAP_OK;
}

/* *object = the object that the part names; one without mask if there is none. */
static tap_status find_paco_object(int64_t *object, tap_items *items, note *n,
                                   const char *class, size_t n_class, tap_error *err)
{
    char id[24];
    (void)snprintf(id, sizeof id, "%lld", (long long)n->object_id);
    for (size_t o = 0; o < items->n_objects; o++)
        if (strcmp(items->objects[o].id, id) == 0) {
            *object = (int64_t)o;
            return TAP_OK;
        }
    char *name = NULL;
    set_reason(n, n->object_id < 0 ? "it has no obj_ann_id"
                                   : "its object is not annotated in this image");
    TAP_TRY(tap_text_copy(&name, class, n_class, err));
    const tap_status status = tap_items_put_object(items, id, name, NULL, err);
    tap_free(name);
    *object = (int64_t)items->n_objects - 1;
    return status;
}

static tap_status put_paco_part(tap_items *items, note *n, tap_error *err)
{
    const char *name = n->category ? n->category->name : "unknown";
    const char *colon = strchr(name, ':');
    const size_t n_class = colon ? (size_t)(colon - name) : strlen(name);
    int64_t object = 0;
    if (n->category && (!colon || !colon[1]))
        set_reason(n, "its category is not of the form object:part");
    TAP_TRY(find_paco_object(&object, items, n, name, n_class, err));
    const char *class = items->objects[object].name;
    if (n->reason[0] == '\0' && !items->objects[object].fault &&
        (strlen(class) != n_class || memcmp(class, name, n_class) != 0))
        (void)snprintf(n->reason, sizeof n->reason,
                       "its category '%.60s' is not of its object '%.60s'", name,
                       class);
    return tap_items_put_part(items, object, colon && colon[1] ? colon + 1 : name,
                              &n->mask, n->reason[0] ? n->reason : NULL, err);
}

static tap_status read_paco(tap_items *items, const void *reader, size_t i,
                            const char *name, tap_error *err)
{
    const tap_coco_file *file = reader;
    (void)name;
    set_size(items, &file->images[i]);
    for (int parts = 0; parts < 2; parts++) /* objects first, wherever they stand */
        for (size_t p = file->first[i]; p < file->first[i + 1]; p++) {
            note n;
            tap_status status = parse_note(&n, file, &file->places[p], err);
            TAP_TRY(status);
            if (is_object(&n) == !parts) {
                status = fill_note(&n, items, &file->images[i], err);
                if (status == TAP_OK)
                    status = parts ? put_paco_part(items, &n, err)
                                   : put_paco_object(items, &n, err);
            }
            clear_note(&n);
            TAP_TRY(status);
        }
    return TAP_OK;
}

const tap_reader tap_reader_coco = {.format = "coco-parts",
                                    .file_names = true,
                                    .open = open_file,
                                    .read = read_parts,
                                    .close = close_file};
const tap_reader tap_reader_partimagenet = {.format = "partimagenet",
                                            .names = "partimagenet",
                                            .file_names = true,
                                            .open = open_file,
                                            .read = read_parts,
                                            .close = close_file};
const tap_reader tap_reader_paco = {.format = "paco",
                                    .file_names = true,
                                    .open = open_file,
                                    .read = read_paco,
                                    .close = close_file};
