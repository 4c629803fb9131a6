/* Reading a data set from end to end, with progress, for `items` and `labels`. */
#ifndef TAP_CLI_READING_H
#define TAP_CLI_READING_H

#include "cli/progress.h"
#include "lab/dataset.h"

/* Progress of a large annotation file in MB. Nothing is drawn for small ones. */
typedef struct tap_meter {
    const tap_cli *cli;
    tap_progress progress;
    bool begun;
} tap_meter;

/* What tap_dataset_open and a sweep take; the meter must outlive their opening. */
tap_dataset_progress tap_meter_begin(tap_meter *meter, const tap_cli *cli);
/* Ends the line. */
void tap_meter_end(tap_meter *meter);

/* Hands the items of each image to `put`, in order. An annotation that cannot be read is
 * warned about and does not hide the others; at the end it makes the call fail. Says on
 * stderr how many items there were. */
TAP_NODISCARD tap_status
tap_cli_read_items(const tap_cli *cli, const tap_data_spec *spec,
                   tap_status (*put)(void *owner, const char *image,
                                     const tap_items *items, tap_error *err),
                   void *owner, tap_error *err);

#endif
