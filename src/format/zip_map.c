#include "format/zip_map.h"

#include "base/memory.h"

#include <string.h>

/* Lengths of the fixed parts and the signatures that begin them. */
enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    MAX_COMMENT_BYTES = 65535,
    MAX_ENTRIES = 1000000
};

#define END_MARK     0x06054b50U
#define END64_MARK   0x06064b50U
#define LOCATOR_MARK 0x07064b50U
#define CENTRAL_MARK 0x02014b50U
#define LOCAL_MARK   0x04034b50U

typedef struct archive {
    const unsigned char *bytes;
    size_t n_bytes;
    const char *path;
    tap_error *err;
} archive;

static uint64_t number(const unsigned char *at, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static tap_status fail(const archive *a, const char *what)
{
    return TAP_FAIL(a->err, TAP_EFORMAT,
                    "cannot read '%s' as a zip archive: %s; the file is cut off or "
                    "damaged",
                    a->path, what);
}

/* NULL if n bytes at offset do not lie in the archive. */
static const unsigned char *window(const archive *a, uint64_t offset, uint64_t n)
{
    if (offset > a->n_bytes || n > a->n_bytes - offset)
        return NULL;
    return a->bytes + offset;
}

typedef struct directory {
    uint64_t offset, n_bytes, n_entries;
} directory;

/* The record at the end, searched backwards over a comment. */
static const unsigned char *find_end(const archive *a)
{
    for (size_t back = END_BYTES;
         back <= a->n_bytes && back <= END_BYTES + MAX_COMMENT_BYTES; back++) {
        const unsigned char *at = a->bytes + a->n_bytes - back;
        if (number(at, 4) == END_MARK && number(at + 20, 2) == back - END_BYTES)
            return at;
    }
    return NULL;
}

static tap_status find_directory(directory *out, const archive *a)
{
    const unsigned char *end = find_end(a);
    if (!end)
        return fail(a, "it has no directory at its end");
    *out = (directory){.n_entries = number(end + 10, 2),
                       .n_bytes = number(end + 12, 4),
                       .offset = number(end + 16, 4)};
    if (out->n_entries != 0xffff && out->n_bytes != 0xffffffff &&
        out->offset != 0xffffffff)
        return TAP_OK;
    if (end - a->bytes < LOCATOR_BYTES ||
        number(end - LOCATOR_BYTES, 4) != LOCATOR_MARK)
        return TAP_OK; /* the numbers just happen to be so large */
    const unsigned char *end64 =
        window(a, number(end - LOCATOR_BYTES + 8, 8), END64_BYTES);
    if (!end64 || number(end64, 4) != END64_MARK)
        return fail(a, "its 64-bit directory is not where it should be");
    *out = (directory){.n_entries = number(end64 + 32, 8),
                       .n_bytes = number(end64 + 40, 8),
                       .offset = number(end64 + 48, 8)};
    return TAP_OK;
}

/* Sizes and offset of 64 bits stand in an extra field, in this order, each only if its
 * 32-bit form is all ones. */
static bool read_extra64(tap_zip_entry *e, const unsigned char *central)
{
    const size_t n_extra = (size_t)number(central + 30, 2);
    const unsigned char *extra = central + CENTRAL_BYTES + number(central + 28, 2);
    const bool full_wide = number(central + 24, 4) == 0xffffffff;
    const bool here_wide = e->n_bytes == 0xffffffff;
    const bool offset_wide = e->header_offset == 0xffffffff;
    if (!full_wide && !here_wide && !offset_wide)
        return true;
    for (size_t at = 0; at + 4 <= n_extra;) {
        const size_t n = (size_t)number(extra + at + 2, 2);
        if (n > n_extra - at - 4)
            return false;
        if (number(extra + at, 2) == 1) {
            const unsigned char *field = extra + at + 4, *end = field + n;
            if (full_wide)
                field += 8;
            if (end - field < 8 * (here_wide + offset_wide))
                return false;
            if (here_wide)
                e->n_bytes = number(field, 8);
            if (offset_wide)
                e->header_offset = number(field + 8 * here_wide, 8);
            return true;
        }
        at += 4 + n;
    }
    return false;
}

tap_status tap_zip_list(tap_zip_entry **entries, size_t *n, const void *bytes,
                        size_t n_bytes, const char *path, tap_error *err)
{
    const archive a = {.bytes = bytes, .n_bytes = n_bytes, .path = path, .err = err};
    directory d = {0};
    TAP_TRY(find_directory(&d, &a));
    const unsigned char *at = window(&a, d.offset, d.n_bytes);
    if (!at || d.n_entries > d.n_bytes / CENTRAL_BYTES || d.n_entries > MAX_ENTRIES)
        return fail(&a, "its directory is not where it should be");
    const unsigned char *end = at + d.n_bytes;
    tap_zip_entry *list = NULL;
    TAP_TRY(tap_alloc(&list, (size_t)d.n_entries, sizeof *list, "an archive", err));
    for (size_t i = 0; i < d.n_entries; i++) {
        size_t n_all = CENTRAL_BYTES;
        if (end - at >= CENTRAL_BYTES)
            n_all +=
                (size_t)(number(at + 28, 2) + number(at + 30, 2) + number(at + 32, 2));
        if ((size_t)(end - at) < n_all || number(at, 4) != CENTRAL_MARK) {
            tap_free(list);
            return fail(&a, "its directory ends too early");
        }
        list[i] = (tap_zip_entry){
            .name = at + CENTRAL_BYTES,
            .n_name = (size_t)number(at + 28, 2),
            .is_stored = number(at + 10, 2) == 0 && (number(at + 8, 2) & 1) == 0,
            .n_bytes = number(at + 20, 4),
            .header_offset = number(at + 42, 4),
        };
        if (!read_extra64(&list[i], at)) {
            tap_free(list);
            return fail(&a, "an entry of its directory lacks its 64-bit sizes");
        }
        at += n_all;
    }
    *entries = list;
    *n = (size_t)d.n_entries;
    return TAP_OK;
}

tap_status tap_zip_find(const unsigned char **out, const tap_zip_entry *entry,
                        const void *bytes, size_t n_bytes, const char *path,
                        tap_error *err)
{
    const archive a = {.bytes = bytes, .n_bytes = n_bytes, .path = path, .err = err};
    const unsigned char *local = window(&a, entry->header_offset, LOCAL_BYTES);
    if (!local || number(local, 4) != LOCAL_MARK)
        return fail(&a, "an entry is not where its directory says");
    const uint64_t n_name = number(local + 26, 2), n_extra = number(local + 28, 2);
    const unsigned char *name =
        window(&a, entry->header_offset + LOCAL_BYTES, n_name + n_extra);
    if (!name || n_name != entry->n_name || memcmp(name, entry->name, n_name) != 0)
        return fail(&a, "an entry has another name than its directory says");
    const unsigned char *found = window(
        &a, entry->header_offset + LOCAL_BYTES + n_name + n_extra, entry->n_bytes);
    if (!found)
        return fail(&a, "an entry reaches beyond the end");
    *out = found;
    return TAP_OK;
}
