/* Where in a mapped zip archive do the bytes of its entries stand?
 *
 * libzip reads archives but does not tell places, which a reader that maps needs. This room
 * walks the central directory for them and checks each against the entry's own header. */
#ifndef TAP_FORMAT_ZIP_MAP_H
#define TAP_FORMAT_ZIP_MAP_H

#include "base/error.h"

typedef struct tap_zip_entry {
    const unsigned char *name; /* [n_name], inside the archive, no NUL */
    size_t n_name;
    bool is_stored;         /* neither compressed nor encrypted */
    uint64_t n_bytes;       /* as they stand in the archive */
    uint64_t header_offset; /* of the entry's own header */
} tap_zip_entry;

/* *entries = all of an archive (tap_free), in the order of the central directory, which is
 * libzip's order too. Reads zip64.
 *
 * Errors:  TAP_EFORMAT if the directory is not where it should be or is cut.
 * Source:  PKWARE's APPNOTE.TXT 4.3.6 to 4.3.16, 4.5.3.
 * Checked: test_torch_zip.c, fuzz_torch_zip.c. */
TAP_NODISCARD tap_status tap_zip_list(tap_zip_entry **entries, size_t *n,
                                      const void *bytes, size_t n_bytes,
                                      const char *path, tap_error *err);

/* *out = the entry's bytes in the archive, n_bytes of them, inside it for certain. */
TAP_NODISCARD tap_status tap_zip_find(const unsigned char **out,
                                      const tap_zip_entry *entry, const void *bytes,
                                      size_t n_bytes, const char *path, tap_error *err);

#endif
