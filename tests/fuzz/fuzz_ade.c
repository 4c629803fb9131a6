/* ADE20K: a JSON file beside small label maps: read, or refused with a message. */
#define _DEFAULT_SOURCE 1 /* mkdtemp */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "image/image.h"
#include "lab/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void put_map(const char *path)
{
    uint8_t rgb[3 * 12] = {0, 7, 128, 0, 7, 128, 0, 7, 255, 10, 1, 9};
    const tap_image image = {.width = 4, .height = 3, .rgb = rgb};
    if (tap_image_write(&image, path, NULL) != TAP_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char folder[] = "/tmp/tapetum-fuzz-XXXXXX", paths[3][64];
    static const char *const names[3] = {"a_seg.png", "a_parts_1.png", "a.json"};
    tap_error err;
    if (!mkdtemp(folder))
        abort();
    for (int i = 0; i < 3; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
        if (i < 2)
            put_map(paths[i]);
    }
    FILE *file = fopen(paths[2], "wb");
    if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0)
        abort();
    const tap_data_spec spec = {
        .format = "ade20k-parts", .images = folder, .annotations = folder};
    tap_dataset *dataset = NULL;
    tap_items items;
    if (tap_dataset_open(&dataset, &spec, NULL, &err) == TAP_OK) {
        if (tap_dataset_read(&items, dataset, 0, &err) == TAP_OK)
            tap_items_clear(&items);
        tap_dataset_close(dataset);
    }
    for (int i = 0; i < 3; i++)
        (void)unlink(paths[i]);
    (void)rmdir(folder);
    return 0;
}
