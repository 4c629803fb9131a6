/* Tensors as NumPy reads them: one array as .npy, several as .npz.
 *
 * An .npy file is a magic word, a header in Python's spelling and the elements; an .npz is
 * a zip archive, nothing packed, of such files. f32, f64, f16 and i32; others,
 * which NumPy spells differently or does not know, are refused.
 *
 * Source: NumPy's format description (numpy.lib.format), version 1.0. */
#ifndef TAP_FORMAT_NPY_H
#define TAP_FORMAT_NPY_H

#include "format/safetensors.h"

/* Writes one tensor of the file. Errors: TAP_EIO; TAP_EINVAL for a type that is never
 * computed with. The file appears complete or not at all. */
TAP_NODISCARD tap_status tap_npy_write(const char *path, const tap_safetensors *from,
                                       int64_t i, tap_error *err);
/* Writes all tensors as NAME.npy, and the metadata (may be NULL) as manifest.json. The
 * archive's bytes come from the mapping: memory for names only. */
TAP_NODISCARD tap_status tap_npz_write(const char *path, const tap_safetensors *from,
                                       const char *manifest, tap_error *err);

#endif
