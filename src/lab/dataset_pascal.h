/* Pascal-Part annotations, one MATLAB file per image. */
#ifndef TAP_LAB_DATASET_PASCAL_H
#define TAP_LAB_DATASET_PASCAL_H

#include "lab/dataset_reader.h"

/* Objects and parts of one file. On failure *items holds what was read before it. */
TAP_NODISCARD tap_status tap_pascal_read(tap_items *items, const char *path,
                                         tap_error *err);

#endif
