/* Objects and parts of one image: put together by readers, finished by the data set. */
#include "lab/dataset_reader.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

void tap_items_clear(tap_items *items)
{
    for (size_t i = 0; i < items->n_objects; i++) {
        tap_free(items->objects[i].id);
        tap_free(items->objects[i].name);
        tap_free(items->objects[i].label);
        tap_free(items->objects[i].fault);
        tap_mask_clear(&items->objects[i].mask);
    }
    for (size_t i = 0; i < items->n_parts; i++) {
        tap_free(items->parts[i].name);
        tap_free(items->parts[i].label);
        tap_free(items->parts[i].excluded);
        tap_mask_clear(&items->parts[i].mask);
    }
    tap_free(items->objects);
    tap_free(items->parts);
    *items = (tap_items){0};
}

tap_status tap_text_set(char **text, const char *value, tap_error *err)
{
    char *copy = NULL;
    TAP_TRY(tap_text_copy(&copy, value, strlen(value), err));
    tap_free(*text);
    *text = copy;
    return TAP_OK;
}

enum { FAULT_BYTES = 128 };

/* All masks of an image have the photo's size, or without a photo one size: else `fault`
 * tells what is wrong and the mask is let go. */
static bool has_fault(char fault[FAULT_BYTES], tap_items *items, tap_mask *mask,
                      const char *what)
{
    if (!mask || !mask->inside)
        return false;
    if (items->width_px == 0) {
        items->width_px = mask->width;
        items->height_px = mask->height;
    }
    if (items->width_px == mask->width && items->height_px == mask->height)
        return false;
    (void)snprintf(fault, FAULT_BYTES,
                   "%s has a mask of %lld x %lld px in an image of %lld x %lld px",
                   what, (long long)mask->width, (long long)mask->height,
                   (long long)items->width_px, (long long)items->height_px);
    tap_mask_clear(mask);
    return true;
}

static void put_union(tap_mask *into, const tap_mask *mask)
{
    for (int64_t p = 0; p < into->width * into->height; p++)
        into->inside[p] |= mask->inside[p];
}

tap_status tap_items_put_object_mask(tap_items *items, int64_t o, tap_mask *mask,
                                     tap_error *err)
{
    tap_object *object = &items->objects[o];
    char fault[FAULT_BYTES];
    if (has_fault(fault, items, mask, "the object"))
        return tap_text_set(&object->fault, fault, err);
    if (object->mask.inside) {
        put_union(&object->mask, mask);
        tap_mask_clear(mask);
        return TAP_OK;
    }
    object->mask = *mask;
    *mask = (tap_mask){0};
    return TAP_OK;
}

tap_status tap_items_put_object(tap_items *items, const char *id, const char *name,
                                tap_mask *mask, tap_error *err)
{
    tap_object object = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_grow(&items->objects, &items->object_capacity, items->n_objects + 1,
                         sizeof object, "annotations", err));
    if (id)
        TAP_TRY_OUT(tap_text_copy(&object.id, id, strlen(id), err));
    TAP_TRY_OUT(tap_text_copy(&object.name, name, strlen(name), err));
    items->objects[items->n_objects++] = object;
    object = (tap_object){0};
    if (mask)
        status =
            tap_items_put_object_mask(items, (int64_t)items->n_objects - 1, mask, err);
out:
    tap_free(object.id);
    tap_free(object.name);
    return status;
}

tap_status tap_items_put_part(tap_items *items, int64_t object, const char *name,
                              tap_mask *mask, const char *excluded, tap_error *err)
{
    tap_part part = {.object = object};
    char fault[FAULT_BYTES];
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_grow(&items->parts, &items->part_capacity, items->n_parts + 1,
                         sizeof part, "annotations", err));
    TAP_TRY_OUT(tap_text_copy(&part.name, name, strlen(name), err));
    TAP_TRY_OUT(tap_text_copy(&part.label, name, strlen(name), err));
    if (mask && mask->inside)
        part.area_px = tap_mask_area(mask);
    if (has_fault(fault, items, mask, "the part"))
        excluded = excluded ? excluded : fault;
    if (excluded)
        TAP_TRY_OUT(tap_text_copy(&part.excluded, excluded, strlen(excluded), err));
    if (mask) {
        part.mask = *mask;
        *mask = (tap_mask){0};
    }
    items->parts[items->n_parts++] = part;
    items->n_annotated++;
out:
    if (status != TAP_OK) {
        tap_free(part.name);
        tap_free(part.label);
        tap_free(part.excluded);
    }
    return status;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

tap_status tap_items_need_object(int64_t *object, tap_items *items, const char *id,
                                 const char *name, tap_error *err)
{
    size_t o = 0;
    while (o < items->n_objects && !(same_text(items->objects[o].id, id) &&
                                     same_text(items->objects[o].name, name)))
        o++;
    if (o == items->n_objects)
        TAP_TRY(tap_items_put_object(items, id, name, NULL, err));
    *object = (int64_t)o;
    return TAP_OK;
}

/* Good parts of one object that have one name become one, at the place of the first. An
 * excluded part stays by itself: it keeps its reason and spoils no other. */
static void join_equal(tap_items *items)
{
    size_t kept = 0;
    for (size_t i = 0; i < items->n_parts; i++) {
        tap_part *part = &items->parts[i], *first = NULL;
        for (size_t j = 0; j < kept && !first && !part->excluded; j++)
            if (items->parts[j].object == part->object && !items->parts[j].excluded &&
                strcmp(items->parts[j].name, part->name) == 0)
                first = &items->parts[j];
        if (!first) {
            items->parts[kept++] = *part;
            continue;
        }
        put_union(&first->mask, &part->mask);
        first->area_px = tap_mask_area(&first->mask);
        items->n_joined++;
        tap_free(part->name);
        tap_free(part->label);
        tap_mask_clear(&part->mask);
    }
    items->n_parts = kept;
}

static tap_status complete_object(tap_items *items, const tap_part *part,
                                  tap_error *err)
{
    tap_object *object = &items->objects[part->object];
    if (!object->mask.inside)
        TAP_TRY(tap_mask_new(&object->mask, part->mask.width, part->mask.height, err));
    put_union(&object->mask, &part->mask);
    return TAP_OK;
}

tap_status tap_items_finish(tap_items *items, bool join, tap_error *err)
{
    bool *lacks = NULL; /* the object has no mask of its own */
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&lacks, items->n_objects, sizeof *lacks, "annotations", err));
    for (size_t o = 0; o < items->n_objects; o++)
        lacks[o] = !items->objects[o].mask.inside && !items->objects[o].fault;
    for (size_t p = 0; p < items->n_parts; p++) {
        tap_part *part = &items->parts[p];
        const char *fault = items->objects[part->object].fault;
        if (fault && !part->excluded)
            TAP_TRY_OUT(tap_text_copy(&part->excluded, fault, strlen(fault), err));
        if (part->mask.inside && !part->excluded && lacks[part->object])
            TAP_TRY_OUT(complete_object(items, part, err));
    }
    if (join)
        join_equal(items);
out:
    tap_free(lacks);
    return status;
}
