/* Small pictures in a terminal: shares on a grid of patches as block characters. */
#ifndef TAP_CLI_HEAT_H
#define TAP_CLI_HEAT_H

#include "cli/cli.h"

typedef struct tap_heat_map {
    const char *title;
    const double *shares; /* [n_rows][n_cols] 0 .. 1, bright is 1; NaN: nothing there */
} tap_heat_map;

/* Pictures are for eyes: stdout is a terminal, or --color=always. */
bool tap_heat_wanted(const tap_cli *cli);

/* Prints maps side by side, as many as 80 columns hold, then the next ones below. With
 * colour two rows of patches share a line of half blocks; without it a patch is a shade, or
 * a letter of " .:-=+*#%@" where the locale is not UTF-8. */
void tap_heat_print(const tap_cli *cli, const tap_heat_map *maps, int n_maps,
                    int n_rows, int n_cols);

/* A bar of at most `width` cells; "" where characters of the locale cannot draw it. */
void tap_heat_bar(char *out, size_t n_bytes, double share, int width);

#endif
