#ifdef __linux__
#    define _DEFAULT_SOURCE /* madvise */
#endif
#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#    include <sys/mman.h>
#endif

enum { ALIGN_BYTES = 64, HUGE_BYTES = 1 << 21 };

static int64_t allocations;
static int64_t fail_at;

int64_t tap_memory_fail_at(int64_t n)
{
    const int64_t done = allocations;
    allocations = 0;
    fail_at = n;
    return done;
}

tap_status tap_size_mul(size_t *out, size_t a, size_t b, tap_error *err)
{
    if (b != 0 && a > SIZE_MAX / b)
        return TAP_FAIL(err, TAP_ENOMEM,
                        "a size of %zu items of %zu bytes does not fit into memory", a,
                        b);
    *out = a * b;
    return TAP_OK;
}

static void *allocate(size_t bytes)
{
    int64_t now;
#pragma omp atomic capture
    now = ++allocations;
    if (fail_at != 0 && now == fail_at)
        return NULL;
    const size_t align = bytes < 2 * HUGE_BYTES ? ALIGN_BYTES : HUGE_BYTES;
    const size_t rounded = (bytes + align) & ~(align - 1);
    void *memory = rounded < bytes ? NULL : aligned_alloc(align, rounded);
#ifdef MADV_HUGEPAGE
    if (memory && align == HUGE_BYTES) /* fewer faults; products walk over many rows */
        (void)madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    return memory;
}

size_t tap_memory_installed(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    size_t bytes = pages > 0 && page_bytes > 0 ? (size_t)pages * (size_t)page_bytes
                                               : (size_t)4 << 30;
    unsigned long long limit = 0;
    FILE *group = fopen("/sys/fs/cgroup/memory.max", "r");
    if (group && fscanf(group, "%llu", &limit) == 1 && limit > 0 && limit < bytes)
        bytes = (size_t)limit;
    if (group)
        (void)fclose(group);
    return bytes;
}

tap_status tap_alloc(void *out, size_t n, size_t item_bytes, const char *what,
                     tap_error *err)
{
    size_t bytes = 0;
    TAP_TRY(tap_size_mul(&bytes, n, item_bytes, err));
    void *memory = allocate(bytes);
    if (!memory)
        return TAP_FAIL(err, TAP_ENOMEM, "cannot get %zu bytes of memory for %s", bytes,
                        what);
    memset(memory, 0, bytes);
    memcpy(out, &memory, sizeof memory);
    return TAP_OK;
}

tap_status tap_grow(void *items, size_t *capacity, size_t need, size_t item_bytes,
                    const char *what, tap_error *err)
{
    if (need <= *capacity)
        return TAP_OK;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < need)
        wanted = wanted > SIZE_MAX / 2 ? need : 2 * wanted;
    void *old = NULL, *new = NULL;
    memcpy(&old, items, sizeof old);
    TAP_TRY(tap_alloc(&new, wanted, item_bytes, what, err));
    if (old)
        memcpy(new, old, *capacity * item_bytes);
    free(old);
    memcpy(items, &new, sizeof new);
    *capacity = wanted;
    return TAP_OK;
}

tap_status tap_text_copy(char **out, const char *text, size_t bytes, tap_error *err)
{
    char *copy = NULL;
    TAP_TRY(tap_alloc(&copy, bytes + 1, 1, "text", err));
    if (bytes)
        memcpy(copy, text, bytes);
    *out = copy;
    return TAP_OK;
}

static tap_status print_text(char **out, size_t *n_bytes, const char *format,
                             va_list args, tap_error *err)
{
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    assert(n >= 0);
    char *text = NULL;
    const tap_status status = tap_alloc(&text, (size_t)n + 1, 1, "text", err);
    if (status == TAP_OK) {
        (void)vsnprintf(text, (size_t)n + 1, format, again);
        *out = text;
        *n_bytes = (size_t)n;
    }
    va_end(again);
    return status;
}

tap_status tap_text_format(char **out, tap_error *err, const char *format, ...)
{
    size_t n_bytes = 0;
    va_list args;
    va_start(args, format);
    const tap_status status = print_text(out, &n_bytes, format, args, err);
    va_end(args);
    return status;
}

void tap_free(void *memory)
{
    free(memory);
}

tap_status tap_buffer_put(tap_buffer *buffer, const void *bytes, size_t n,
                          tap_error *err)
{
    TAP_TRY(tap_grow(&buffer->text, &buffer->capacity, buffer->n_bytes + n + 1, 1,
                     "text", err));
    if (n)
        memcpy(buffer->text + buffer->n_bytes, bytes, n);
    buffer->n_bytes += n;
    buffer->text[buffer->n_bytes] = '\0';
    return TAP_OK;
}

tap_status tap_buffer_print(tap_buffer *buffer, tap_error *err, const char *format, ...)
{
    char *text = NULL;
    size_t n_bytes = 0;
    va_list args;
    va_start(args, format);
    tap_status status = print_text(&text, &n_bytes, format, args, err);
    va_end(args);
    if (status == TAP_OK)
        status = tap_buffer_put(buffer, text, n_bytes, err);
    tap_free(text);
    return status;
}

void tap_buffer_clear(tap_buffer *buffer)
{
    tap_free(buffer->text);
    *buffer = (tap_buffer){0};
}

tap_status tap_arena_init(tap_arena *arena, size_t capacity_bytes, const char *what,
                          tap_error *err)
{
    unsigned char *base = allocate(capacity_bytes); /* not zeroed: pages come on use */
    if (!base)
        return TAP_FAIL(err, TAP_ENOMEM, "cannot get %zu bytes of memory for %s",
                        capacity_bytes, what);
    *arena = (tap_arena){.base = base,
                         .capacity_bytes = capacity_bytes,
                         .reserved_bytes = capacity_bytes};
    return TAP_OK;
}

tap_status tap_arena_renew(tap_arena *arena, size_t capacity_bytes, const char *what,
                           tap_error *err)
{
    if (arena->reserved_bytes < capacity_bytes) {
        tap_arena_clear(arena);
        return tap_arena_init(arena, capacity_bytes, what, err);
    }
#ifdef MADV_HUGEPAGE
    const size_t kept = (capacity_bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    if (arena->reserved_bytes >= 2 * HUGE_BYTES && kept < arena->reserved_bytes)
        (void)madvise(arena->base + kept, arena->reserved_bytes - kept, MADV_DONTNEED);
#endif
    arena->used_bytes = 0;
    arena->capacity_bytes = capacity_bytes;
    return TAP_OK;
}

tap_status tap_arena_take(void *out, tap_arena *arena, size_t n, size_t item_bytes,
                          tap_error *err)
{
    size_t bytes = 0;
    TAP_TRY(tap_size_mul(&bytes, n, item_bytes, err));
    const size_t left = arena->capacity_bytes - arena->used_bytes;
    const size_t rounded = (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if (rounded < bytes || rounded > left)
        return TAP_FAIL(err, TAP_ENOMEM,
                        "a run needs %zu more bytes and its arena has %zu left of %zu",
                        bytes, left, arena->capacity_bytes);
    void *memory = arena->base + arena->used_bytes;
    arena->used_bytes += rounded;
    if (arena->used_bytes > arena->peak_bytes)
        arena->peak_bytes = arena->used_bytes;
    memcpy(out, &memory, sizeof memory);
    return TAP_OK;
}

size_t tap_arena_mark(const tap_arena *arena)
{
    return arena->used_bytes;
}

void tap_arena_release(tap_arena *arena, size_t mark)
{
    assert(mark <= arena->used_bytes);
    arena->used_bytes = mark;
}

void tap_arena_clear(tap_arena *arena)
{
    free(arena->base);
    *arena = (tap_arena){0};
}
