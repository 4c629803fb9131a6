/* Places of entries in an archive, with 32 and 64-bit sizes; directories that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "format/zip_map.h"

#include <string.h>

enum { MAX_BYTES = 1024 };

typedef struct archive {
    unsigned char bytes[MAX_BYTES];
    size_t n;
    size_t central, end64, locator, end; /* where these records begin */
} archive;

static void put(archive *a, uint64_t number, size_t n)
{
    assert_true(a->n + n <= MAX_BYTES);
    for (size_t i = 0; i < n; i++)
        a->bytes[a->n++] = (unsigned char)(i < 8 ? number >> (8 * i) : 0);
}

static void put_text(archive *a, const char *text)
{
    for (; *text; text++)
        put(a, (unsigned char)*text, 1);
}

/* One stored entry "a/b" of the bytes "hello", and a comment. wide: all sizes in 64 bits. */
static void make(archive *a, bool wide)
{
    memset(a, 0, sizeof *a);
    put(a, 0x04034b50, 4); /* local header */
    put(a, 0, 22);
    put(a, 3, 2); /* name */
    put(a, 2, 2); /* extra */
    put_text(a, "a/bxxhello");
    a->central = a->n;
    put(a, 0x02014b50, 4);
    put(a, 0, 16);
    put(a, wide ? 0xffffffff : 5, 4);
    put(a, wide ? 0xffffffff : 5, 4);
    put(a, 3, 2);
    put(a, wide ? 6 + 28 : 0, 2);
    put(a, 0, 10);
    put(a, wide ? 0xffffffff : 0, 4);
    put_text(a, "a/b");
    if (wide) {
        put(a, 9, 2); /* another field first */
        put(a, 2, 2);
        put(a, 0, 2);
        put(a, 1, 2);
        put(a, 24, 2);
        put(a, 5, 8);
        put(a, 5, 8);
        put(a, 0, 8);
    }
    const size_t n_central = a->n - a->central;
    if (wide) {
        a->end64 = a->n;
        put(a, 0x06064b50, 4);
        put(a, 44, 8);
        put(a, 0, 12);
        put(a, 1, 8);
        put(a, 1, 8);
        put(a, n_central, 8);
        put(a, a->central, 8);
        a->locator = a->n;
        put(a, 0x07064b50, 4);
        put(a, 0, 4);
        put(a, a->end64, 8);
        put(a, 1, 4);
    }
    a->end = a->n;
    put(a, 0x06054b50, 4);
    put(a, 0, 4);
    put(a, wide ? 0xffff : 1, 2);
    put(a, wide ? 0xffff : 1, 2);
    put(a, wide ? 0xffffffff : n_central, 4);
    put(a, wide ? 0xffffffff : a->central, 4);
    put(a, 4, 2);
    put_text(a, "note");
}

/* The message of listing and then finding the first entry; "" if both go well. */
static void try_all(char message[TAP_ERROR_MESSAGE_BYTES], const archive *a)
{
    tap_zip_entry *entries = NULL;
    size_t n = 0;
    const unsigned char *found = NULL;
    tap_error err = {0};
    tap_status status = tap_zip_list(&entries, &n, a->bytes, a->n, "x", &err);
    if (status == TAP_OK) {
        assert_int_equal(n, 1);
        status = tap_zip_find(&found, &entries[0], a->bytes, a->n, "x", &err);
    }
    if (status == TAP_OK) {
        assert_true(entries[0].is_stored);
        assert_int_equal(entries[0].n_bytes, 5);
        assert_memory_equal(entries[0].name, "a/b", 3);
        assert_memory_equal(found, "hello", 5);
    } else {
        assert_int_equal(status, TAP_EFORMAT);
    }
    memcpy(message, err.message, TAP_ERROR_MESSAGE_BYTES);
    tap_free(entries);
}

static void entries_are_found_in_both_widths(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        archive a;
        char message[TAP_ERROR_MESSAGE_BYTES];
        make(&a, wide);
        try_all(message, &a);
        assert_string_equal(message, "");
    }
}

static void compressed_and_encrypted_entries_are_told(void **state)
{
    (void)state;

    static const struct {
        size_t at;
        unsigned char value;
    } changes[] = {{10, 8}, {8, 1}};

    for (size_t i = 0; i < 2; i++) {
        archive a;
        make(&a, false);
        a.bytes[a.central + changes[i].at] = changes[i].value;
        tap_zip_entry *entries = NULL;
        size_t n = 0;
        tap_error err;
        assert_int_equal(tap_zip_list(&entries, &n, a.bytes, a.n, "x", &err), TAP_OK);
        assert_false(entries[0].is_stored);
        tap_free(entries);
    }
}

#define REFUSAL(what)                                                                  \
    "cannot read 'x' as a zip archive: " what "; the file is cut off or damaged"

static void directories_that_lie_are_refused(void **state)
{
    (void)state;
    archive a;
    char message[TAP_ERROR_MESSAGE_BYTES];

    const struct {
        bool wide;
        int record; /* 0 local, 1 central, 2 end64, 3 locator, 4 end */
        size_t at;
        unsigned char value;
        const char *message;
    } cases[] = {
        {false, 4, 0, 'X', REFUSAL("it has no directory at its end")},
        {false, 4, 20, 3, REFUSAL("it has no directory at its end")},
        {false, 4, 18, 1, REFUSAL("its directory is not where it should be")},
        {false, 4, 10, 2, REFUSAL("its directory is not where it should be")},
        {true, 2, 0, 'X', REFUSAL("its 64-bit directory is not where it should be")},
        {true, 3, 12, 1, REFUSAL("its 64-bit directory is not where it should be")},
        {true, 3, 0, 'X', REFUSAL("its directory is not where it should be")},
        {false, 1, 0, 'X', REFUSAL("its directory ends too early")},
        {false, 1, 28, 9, REFUSAL("its directory ends too early")},
        {true, 1, 55, 7, REFUSAL("an entry of its directory lacks its 64-bit sizes")},
        {true, 1, 57, 23, REFUSAL("an entry of its directory lacks its 64-bit sizes")},
        {true, 1, 57, 25, REFUSAL("an entry of its directory lacks its 64-bit sizes")},
        {false, 0, 0, 'X', REFUSAL("an entry is not where its directory says")},
        {false, 1, 43, 1, REFUSAL("an entry is not where its directory says")},
        {false, 0, 30, 'X',
         REFUSAL("an entry has another name than its directory says")},
        {false, 0, 26, 2, REFUSAL("an entry has another name than its directory says")},
        {false, 0, 29, 9, REFUSAL("an entry has another name than its directory says")},
        {false, 1, 21, 1, REFUSAL("an entry reaches beyond the end")},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make(&a, cases[i].wide);
        const size_t records[] = {0, a.central, a.end64, a.locator, a.end};
        a.bytes[records[cases[i].record] + cases[i].at] = cases[i].value;
        try_all(message, &a);
        assert_string_equal(message, cases[i].message);
    }
}

/* Every prefix and every changed byte: a refusal or an entry, never a read outside. */
static void damage_anywhere_is_survived(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        archive a;
        make(&a, wide);
        for (size_t i = 0; i < a.n; i++)
            for (int change = 0; change < 3; change++) {
                unsigned char *exact = NULL;
                tap_zip_entry *entries = NULL;
                const unsigned char *found = NULL;
                size_t n = 0;
                tap_error err;
                const size_t n_bytes = change == 0 ? i : a.n;
                assert_int_equal(tap_alloc(&exact, n_bytes, 1, "a test", &err), TAP_OK);
                memcpy(exact, a.bytes, n_bytes);
                if (change > 0)
                    exact[i] ^= change == 1 ? 0xff : 0x01;
                if (tap_zip_list(&entries, &n, exact, n_bytes, "x", &err) == TAP_OK) {
                    for (size_t k = 0; k < n; k++)
                        if (tap_zip_find(&found, &entries[k], exact, n_bytes, "x",
                                         &err) == TAP_OK)
                            assert_true(found >= exact &&
                                        found + entries[k].n_bytes <= exact + n_bytes);
                    tap_free(entries);
                }
                tap_free(exact);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_in_both_widths),
        cmocka_unit_test(compressed_and_encrypted_entries_are_told),
        cmocka_unit_test(directories_that_lie_are_refused),
        cmocka_unit_test(damage_anywhere_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
