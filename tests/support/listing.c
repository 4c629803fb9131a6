#include "listing.h"

#include "base/memory.h"
#include "image/image.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"

static void need(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void put_items(tap_buffer *text, const char *image, const tap_items *items)
{
    need(items->n_annotated == items->n_parts + items->n_joined, "an item is lost");
    for (size_t p = 0; p < items->n_parts; p++) {
        const tap_part *part = &items->parts[p];
        const tap_object *object = &items->objects[part->object];
        if (!part->excluded) {
            need(part->mask.inside && object->mask.inside, "a good part lacks a mask");
            need(part->mask.width == items->width_px &&
                     part->mask.height == items->height_px &&
                     object->mask.width == items->width_px &&
                     object->mask.height == items->height_px,
                 "a mask has not the size of its image");
            need(tap_mask_area(&part->mask) == part->area_px, "an area is wrong");
        }
        need(tap_buffer_print(text, NULL, "%s|%s|%s|%s|%s|%lld|%s\n", image,
                              object->id ? object->id : "", object->name, part->name,
                              part->label, (long long)part->area_px,
                              part->excluded ? part->excluded : "") == TAP_OK,
             "no memory");
    }
}

char *listing(const tap_data_spec *spec, tap_error *err)
{
    tap_dataset *dataset = NULL;
    tap_buffer text = {0};
    if (tap_dataset_open(&dataset, spec, NULL, err) != TAP_OK)
        return NULL;
    need(tap_buffer_put(&text, "", 0, NULL) == TAP_OK, "no memory");
    for (int64_t i = 0; i < tap_dataset_count(dataset); i++) {
        tap_items items;
        tap_error fault;
        const char *image = tap_dataset_name(dataset, i);
        if (tap_dataset_read(&items, dataset, i, &fault) != TAP_OK) {
            need(tap_buffer_print(&text, NULL, "%s: %s\n", image, fault.message) ==
                     TAP_OK,
                 "no memory");
            continue;
        }
        put_items(&text, image, &items);
        tap_items_clear(&items);
    }
    tap_dataset_close(dataset);
    return text.text;
}

void listing_png(const char *path, const uint8_t *samples, int64_t width,
                 int64_t height)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = PNG_FORMAT_GRAY};
    need(png_image_write_to_file(&image, path, 0, samples, 0, NULL) != 0,
         "cannot write a PNG file");
}

void listing_photo(const char *folder, const char *name, int64_t width, int64_t height)
{
    char path[SCRATCH_PATH_BYTES];
    tap_image image = {.width = width, .height = height};
    scratch_path(path, folder, name);
    need(tap_alloc(&image.rgb, (size_t)(width * height), 3, "an image", NULL) ==
                 TAP_OK &&
             tap_image_write(&image, path, NULL) == TAP_OK,
         "cannot write a photo");
    tap_image_clear(&image);
}
