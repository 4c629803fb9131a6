/* Files: read-only mappings, whole reads with a limit, and writes that appear complete or
 * not at all. Messages name the path. */
#ifndef TAP_BASE_FILE_H
#define TAP_BASE_FILE_H

#include "base/error.h"

/* A whole file, mapped read-only. bytes is NULL for an empty file. */
typedef struct tap_mapping {
    const unsigned char *bytes;
    size_t n_bytes;
} tap_mapping;

TAP_NODISCARD tap_status tap_file_map(tap_mapping *out, const char *path,
                                      tap_error *err);
void tap_file_unmap(tap_mapping *mapping);

/* Asks the system to load (willneed) or let go (!willneed) part of a mapping. A hint. */
void tap_file_advise(const void *bytes, size_t n_bytes, bool willneed);

/* *text = the file plus a NUL, *n_bytes without it; TAP_EFORMAT above limit_bytes.
 * Release with tap_free. Path "-" reads standard input. */
TAP_NODISCARD tap_status tap_file_read(char **text, size_t *n_bytes, const char *path,
                                       size_t limit_bytes, tap_error *err);

/* Writing goes to a new file beside `path`; commit syncs and renames it into place, close
 * without commit removes it. Path "-" is standard output. Parts may be put in pieces. */
typedef struct tap_file_out tap_file_out;
TAP_NODISCARD tap_status tap_file_create(tap_file_out **out, const char *path,
                                         tap_error *err);
TAP_NODISCARD tap_status tap_file_put(tap_file_out *file, const void *bytes, size_t n,
                                      tap_error *err);
/* Overwrites n bytes at an offset already written (headers known only at the end). */
TAP_NODISCARD tap_status tap_file_put_at(tap_file_out *file, size_t offset,
                                         const void *bytes, size_t n, tap_error *err);
TAP_NODISCARD tap_status tap_file_commit(tap_file_out *file, tap_error *err);
void tap_file_close(tap_file_out *file);

/* Removes a file; nothing happens if there is none. */
void tap_file_remove(const char *path);

bool tap_file_exists(const char *path);
bool tap_file_is_directory(const char *path);

/* *out = directory + "/" + name, or name alone when it is absolute. tap_free it. */
TAP_NODISCARD tap_status tap_path_join(char **out, const char *directory,
                                       const char *name, tap_error *err);
/* *out = the part of path before its last '/', "." if there is none. tap_free it. */
TAP_NODISCARD tap_status tap_path_parent(char **out, const char *path, tap_error *err);

/* Names in a directory that end in `suffix` (NULL: all), sorted by bytes, without "." and
 * "..". Release each and the list with tap_free. */
TAP_NODISCARD tap_status tap_file_list(char ***names, size_t *n_names, const char *path,
                                       const char *suffix, tap_error *err);

#endif
