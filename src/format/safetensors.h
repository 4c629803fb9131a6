/* Which tensors does a safetensors file hold, and where do their bytes stand?
 *
 * A file is a header length (8 bytes, little-endian), a JSON header, and the tensors' bytes
 * without gap or overlap. The reader checks all of that before it hands out a view; the
 * writer fixes the layout first and then takes rows in any order.
 *
 * This room knows nothing of models: names are raw.
 *
 * Source:  safetensors' README and the checks of its reference reader (tensor.rs), in
 *          their order. */
#ifndef TAP_FORMAT_SAFETENSORS_H
#define TAP_FORMAT_SAFETENSORS_H

#include "tensor/tensor.h"

typedef struct tap_safetensors tap_safetensors;

/* Opens and maps a file. Types that are never computed with (BOOL, I8, F8 ...) are listed
 * as TAP_OTHER, with their bytes checked like all others.
 *
 * Errors:  TAP_EFORMAT when the file breaks its format (the message names file, tensor,
 *          expected and found), TAP_EIO, TAP_ENOMEM.
 * Memory:  the mapping, and the names. Views die with tap_safetensors_close.
 * Threads: immutable after opening.
 * Checked: test_safetensors.c, every check; fuzz_safetensors.c. */
TAP_NODISCARD tap_status tap_safetensors_open(tap_safetensors **out, const char *path,
                                              tap_error *err);
/* The same over bytes that the caller keeps alive; `path` is for messages. */
TAP_NODISCARD tap_status tap_safetensors_parse(tap_safetensors **out, const void *bytes,
                                               size_t n_bytes, const char *path,
                                               tap_error *err);
void tap_safetensors_close(tap_safetensors *file);

/* Tensors in the order of their bytes, 0 <= i < count. */
int64_t tap_safetensors_count(const tap_safetensors *file);
const char *tap_safetensors_name(const tap_safetensors *file, int64_t i);
const tap_tensor *tap_safetensors_tensor(const tap_safetensors *file, int64_t i);
/* The type as the file spells it: "BF16". */
const char *tap_safetensors_dtype(const tap_safetensors *file, int64_t i);
/* Bytes of tensor i, also for types that are never computed with. */
size_t tap_safetensors_bytes(const tap_safetensors *file, int64_t i);
/* -1 if there is no tensor of that name. */
int64_t tap_safetensors_find(const tap_safetensors *file, const char *name);
/* The text under a key of __metadata__, NULL if there is none. */
const char *tap_safetensors_metadata(const tap_safetensors *file, const char *key);

/* ---- writing ---- */

typedef struct tap_safetensors_out tap_safetensors_out;

/* Starts a file of n tensors whose names, types and shapes are known (the bytes of
 * `tensors` are not looked at), with n_metadata pairs of text. Tensors of wider elements
 * stand first, so that all are aligned.
 *
 * Errors:  TAP_EINVAL for a name twice or not UTF-8, or a type that cannot be written;
 *          TAP_EIO, TAP_ENOMEM. */
TAP_NODISCARD tap_status tap_safetensors_create(
    tap_safetensors_out **out, const char *path, int64_t n, const char *const *names,
    const tap_tensor *tensors, int64_t n_metadata, const char *const *keys,
    const char *const *values, tap_error *err);

/* Puts n elements of tensor i, starting at element `first`. values holds them in the
 * tensor's own type, little-endian. Any order; in the order of the file it streams, also
 * into a pipe. Every element once: TAP_EBUG at commit if the counts do not agree. */
TAP_NODISCARD tap_status tap_safetensors_put(tap_safetensors_out *file, int64_t i,
                                             int64_t first, const void *values,
                                             int64_t n, tap_error *err);
/* Puts the file in place; still to be closed. */
TAP_NODISCARD tap_status tap_safetensors_commit(tap_safetensors_out *file,
                                                tap_error *err);
/* Without commit nothing remains. */
void tap_safetensors_out_close(tap_safetensors_out *file);

#endif
