/* How large is a picture? The first bytes of the file say so; nothing is decoded. */
#include "image/image.h"

#include "base/file.h"

#include <string.h>

static int64_t big_endian(const unsigned char *bytes, int n)
{
    int64_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Walks over the segments of a JPEG file to its frame header (ITU T.81, B.1 and B.2.2). */
static bool find_frame(int64_t *width, int64_t *height, const unsigned char *bytes,
                       size_t n)
{
    for (size_t at = 2; at + 4 <= n;) {
        if (bytes[at] != 0xff)
            return false;
        const unsigned marker = bytes[at + 1];
        if (marker == 0xff) { /* fill byte */
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { /* no length */
            at += 2;
            continue;
        }
        const bool is_frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 &&
                              marker != 0xc8 && marker != 0xcc;
        if (is_frame && at + 9 <= n) {
            *height = big_endian(bytes + at + 5, 2);
            *width = big_endian(bytes + at + 7, 2);
            return true;
        }
        if (is_frame || marker == 0xda || marker == 0xd9)
            return false;
        at += 2 + (size_t)big_endian(bytes + at + 2, 2);
    }
    return false;
}

tap_status tap_image_size(int64_t *width, int64_t *height, const char *path,
                          tap_error *err)
{
    static const unsigned char png[16] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
                                          0,    0,   0,   13,  'I',  'H',  'D',  'R'};
    tap_mapping mapping;
    int64_t w = 0, h = 0;
    TAP_TRY(tap_file_map(&mapping, path, err));
    const unsigned char *bytes = mapping.bytes;
    bool found = false;
    if (mapping.n_bytes >= 24 && memcmp(bytes, png, sizeof png) == 0) {
        w = big_endian(bytes + 16, 4);
        h = big_endian(bytes + 20, 4);
        found = true;
    } else if (mapping.n_bytes >= 4 && bytes[0] == 0xff && bytes[1] == 0xd8) {
        found = find_frame(&w, &h, bytes, mapping.n_bytes);
    }
    tap_file_unmap(&mapping);
    if (!found || w < 1 || h < 1)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read image '%s': it does not begin like a JPEG or PNG "
                        "file that tells its size",
                        path);
    *width = w;
    *height = h;
    return TAP_OK;
}
