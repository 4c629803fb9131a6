/* Does a MATLAB 5 file hold what its sizes claim? libmatio believes them: a few bytes can
 * make it reserve all memory. So every size is checked against the bytes that are there
 * before the file is handed to it. */
#ifndef TAP_LAB_MAT_CHECK_H
#define TAP_LAB_MAT_CHECK_H

#include "base/error.h"

/* TAP_EFORMAT unless the file is little-endian MATLAB 5, its top-level elements (compressed
 * or not) are matrices of classes struct, char or number, nested at most 8 deep, and no
 * dimension or length reaches beyond its bytes. At most 1 GiB is inflated.
 * Source: the MAT-file format, version 5.   Checked: fuzz_pascal. */
TAP_NODISCARD tap_status tap_mat_check(const char *path, tap_error *err);

#endif
