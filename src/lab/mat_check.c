#include "lab/mat_check.h"

#include "base/file.h"
#include "base/memory.h"

#include <string.h>
#include <zlib.h>

enum { HEADER_BYTES = 128, MAX_DEPTH = 8, MAX_FIELDS = 64 };

enum { TYPE_INT32 = 5, TYPE_UINT32 = 6, TYPE_MATRIX = 14, TYPE_COMPRESSED = 15 };

enum {
    CLASS_STRUCT = 2,
    CLASS_CHAR = 4,
    CLASS_FIRST_NUMBER = 6,
    CLASS_LAST_NUMBER = 15
};

static const size_t INFLATED_LIMIT = (size_t)1 << 30;

/* A stretch of elements. */
typedef struct stretch {
    const unsigned char *bytes;
    size_t n;
} stretch;

static uint32_t word(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* Takes the next element: its type and data. Small elements hold up to 4 bytes in the tag. */
static bool next_element(uint32_t *type, stretch *data, stretch *rest)
{
    if (rest->n < 8)
        return false;
    const uint32_t first = word(rest->bytes);
    if (first >> 16) {
        *type = first & 0xffffU;
        *data = (stretch){rest->bytes + 4, first >> 16};
        rest->bytes += 8;
        rest->n -= 8;
        return data->n <= 4;
    }
    const size_t n = word(rest->bytes + 4);
    *type = first;
    if (n > rest->n - 8)
        return false;
    *data = (stretch){rest->bytes + 8, n};
    const size_t padded = *type == TYPE_COMPRESSED ? n : (n + 7) / 8 * 8;
    const size_t step = padded > rest->n - 8 ? rest->n - 8 : padded;
    rest->bytes += 8 + step;
    rest->n -= 8 + step;
    return true;
}

/* Bytes of one stored value; 0 for types that hold none. */
static size_t value_bytes(uint32_t type)
{
    static const unsigned char sizes[] = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8,
                                          0, 0, 8, 8, 0, 0, 1, 2, 4};
    return type < sizeof sizes ? sizes[type] : 0;
}

/* How many values the dimensions ask for. */
static bool count_values(size_t *count, const stretch *dims)
{
    *count = 1;
    if (dims->n < 8 || dims->n % 4 != 0 || dims->n > 32)
        return false;
    for (size_t i = 0; i < dims->n; i += 4) {
        const uint32_t d = word(dims->bytes + i);
        if (d > INT32_MAX || (d != 0 && *count > INFLATED_LIMIT / d))
            return false;
        *count *= d;
    }
    return true;
}

static bool is_matrix(stretch content, int depth);

static bool is_struct(stretch rest, size_t count, int depth)
{
    uint32_t type = 0;
    stretch width, names, member;
    if (!next_element(&type, &width, &rest) || type != TYPE_INT32 || width.n != 4 ||
        !next_element(&type, &names, &rest))
        return false;
    const uint32_t name_bytes = word(width.bytes);
    if (name_bytes == 0 || name_bytes > 64 || names.n % name_bytes != 0)
        return false;
    const size_t n_fields = names.n / name_bytes;
    if (n_fields == 0)
        return count == 0;
    if (n_fields > MAX_FIELDS || count > rest.n / 8 / n_fields)
        return false;
    for (size_t i = 0; i < names.n;
         i += name_bytes) /* each name ends inside its place */
        if (!memchr(names.bytes + i, '\0', name_bytes))
            return false;
    for (size_t i = 0; i < count * n_fields; i++)
        if (!next_element(&type, &member, &rest) || type != TYPE_MATRIX ||
            (member.n > 0 && !is_matrix(member, depth + 1)))
            return false;
    return true;
}

static bool is_matrix(stretch content, int depth)
{
    uint32_t type = 0;
    stretch flags, dims, name, data;
    size_t count = 0;
    if (depth > MAX_DEPTH || !next_element(&type, &flags, &content) ||
        type != TYPE_UINT32 || flags.n != 8 || !next_element(&type, &dims, &content) ||
        type != TYPE_INT32 || !count_values(&count, &dims) ||
        !next_element(&type, &name, &content) || value_bytes(type) != 1)
        return false;
    const uint32_t class = word(flags.bytes) & 0xffU;
    const bool complex = word(flags.bytes) & 0x800U;
    if (class == CLASS_STRUCT)
        return is_struct(content, count, depth);
    if (complex || (class != CLASS_CHAR &&
                    (class < CLASS_FIRST_NUMBER || class > CLASS_LAST_NUMBER)))
        return false;
    if (!next_element(&type, &data, &content))
        return count == 0;
    const size_t bytes = value_bytes(type);
    return bytes > 0 && data.n / bytes >= count;
}

static bool inflate_all(tap_buffer *out, stretch packed, tap_status *status,
                        tap_error *err)
{
    unsigned char piece[65536];
    z_stream z = {.avail_in = (uInt)packed.n};
    memcpy(&z.next_in, &packed.bytes, sizeof z.next_in); /* zlib takes no const */
    if (packed.n > UINT32_MAX || inflateInit(&z) != Z_OK)
        return false;
    int result = Z_OK;
    while (result == Z_OK && out->n_bytes < INFLATED_LIMIT && *status == TAP_OK) {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        result = inflate(&z, Z_NO_FLUSH);
        if (result == Z_OK || result == Z_STREAM_END)
            *status = tap_buffer_put(out, piece, sizeof piece - z.avail_out, err);
    }
    (void)inflateEnd(&z);
    return result == Z_STREAM_END;
}

static bool is_file(stretch rest, tap_status *status, tap_error *err)
{
    if (rest.n < HEADER_BYTES || rest.bytes[126] != 'I' || rest.bytes[127] != 'M')
        return false;
    rest.bytes += HEADER_BYTES;
    rest.n -= HEADER_BYTES;
    bool good = rest.n > 0;
    while (good && rest.n > 0 && *status == TAP_OK) {
        uint32_t type = 0;
        stretch data;
        if (!next_element(&type, &data, &rest))
            return false;
        if (type == TYPE_MATRIX) {
            good = is_matrix(data, 0);
        } else if (type == TYPE_COMPRESSED) {
            tap_buffer inner = {0};
            good = inflate_all(&inner, data, status, err);
            stretch all = {(const unsigned char *)inner.text, inner.n_bytes};
            good = good && next_element(&type, &data, &all) && type == TYPE_MATRIX &&
                   is_matrix(data, 0);
            tap_buffer_clear(&inner);
        } else {
            good = false;
        }
    }
    return good;
}

tap_status tap_mat_check(const char *path, tap_error *err)
{
    tap_mapping file;
    tap_status status = TAP_OK;
    TAP_TRY(tap_file_map(&file, path, err));
    const bool good = is_file((stretch){file.bytes, file.n_bytes}, &status, err);
    tap_file_unmap(&file);
    if (status == TAP_OK && !good)
        status =
            TAP_FAIL(err, TAP_EFORMAT,
                     "'%s' is not a whole MATLAB 5 file: a size in it does not agree "
                     "with its bytes",
                     path);
    return status;
}
