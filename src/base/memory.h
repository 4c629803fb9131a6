/* Where memory comes from: checked sizes, one counted allocator, arenas with marks.
 *
 * This is the only room that calls malloc, so a test can make the n-th allocation fail.
 * Sizes that come from files are multiplied here and nowhere else. */
#ifndef TAP_BASE_MEMORY_H
#define TAP_BASE_MEMORY_H

#include "base/error.h"

/* product of n numbers >= 0; TAP_ENOMEM if it does not fit into size_t. */
TAP_NODISCARD tap_status tap_size_mul(size_t *out, size_t a, size_t b, tap_error *err);

/* *out = zeroed memory for n items of item_bytes (never NULL on success, also for n = 0),
 * aligned to 64 bytes. Release with tap_free. `what` names it in the message. */
TAP_NODISCARD tap_status tap_alloc(void *out, size_t n, size_t item_bytes,
                                   const char *what, tap_error *err);

/* Grows *items so that it holds at least `need` items; *capacity doubles. *items may be
 * NULL with *capacity 0. New items are zero. */
TAP_NODISCARD tap_status tap_grow(void *items, size_t *capacity, size_t need,
                                  size_t item_bytes, const char *what, tap_error *err);

/* *out = a copy of the first `bytes` bytes of text plus NUL. */
TAP_NODISCARD tap_status tap_text_copy(char **out, const char *text, size_t bytes,
                                       tap_error *err);

/* *out = formatted text; release with tap_free. */
TAP_NODISCARD tap_status tap_text_format(char **out, tap_error *err, const char *format,
                                         ...) TAP_FORMAT(3, 4);

void tap_free(void *memory);

/* Text that grows. Zero-initialise; text is NULL until the first put, then always ends in
 * NUL. tap_buffer_clear releases it; take the text by copying the pointer and zeroing. */
typedef struct tap_buffer {
    char *text;
    size_t n_bytes; /* without the NUL */
    size_t capacity;
} tap_buffer;

TAP_NODISCARD tap_status tap_buffer_put(tap_buffer *buffer, const void *bytes, size_t n,
                                        tap_error *err);
TAP_NODISCARD tap_status tap_buffer_print(tap_buffer *buffer, tap_error *err,
                                          const char *format, ...) TAP_FORMAT(3, 4);
void tap_buffer_clear(tap_buffer *buffer);

/* An arena hands out memory that dies together. One block, reserved once; a mark taken
 * before a stage and released after it makes a sweep flat in memory. */
typedef struct tap_arena {
    unsigned char *base;
    size_t used_bytes, capacity_bytes, peak_bytes;
    size_t reserved_bytes; /* at base */
} tap_arena;

TAP_NODISCARD tap_status tap_arena_init(tap_arena *arena, size_t capacity_bytes,
                                        const char *what, tap_error *err);
/* Makes an arena of `capacity_bytes` with nothing in it: the one that is there, with its
 * pages, where it is large enough; pages beyond the capacity are given back. */
TAP_NODISCARD tap_status tap_arena_renew(tap_arena *arena, size_t capacity_bytes,
                                         const char *what, tap_error *err);
/* Memory for n items, aligned to 64 bytes, contents undefined. TAP_ENOMEM with need and
 * have when it does not fit. */
TAP_NODISCARD tap_status tap_arena_take(void *out, tap_arena *arena, size_t n,
                                        size_t item_bytes, tap_error *err);
size_t tap_arena_mark(const tap_arena *arena);
void tap_arena_release(tap_arena *arena, size_t mark);
void tap_arena_clear(tap_arena *arena);

/* Bytes of RAM that this process may use: the machine's, or less where a control group
 * says so (Linux). */
size_t tap_memory_installed(void);

/* For tests: the n-th allocation from now (1-based) fails; 0 switches it off. Returns how
 * many allocations happened since the last call. Not for use while threads run. */
int64_t tap_memory_fail_at(int64_t n);

#endif
