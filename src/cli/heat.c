#include "cli/heat.h"

#include "report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TERMINAL_COLUMNS = 80, GAP = 3 };

static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strstr(value, "UTF-8") || strstr(value, "utf8") ||
                   strstr(value, "UTF8") || strstr(value, "utf-8");
    }
    return false;
}

bool tap_heat_wanted(const tap_cli *cli)
{
    return cli->color || isatty(STDOUT_FILENO);
}

/* The nearest of the 216 colours that every terminal with colours has; 0: none. */
static int color_of(double share)
{
    if (isnan(share))
        return 0;
    const uint32_t rgb = tap_heat_rgb(share);
    int index = 16;
    for (int c = 0; c < 3; c++) {
        const int value = (int)(rgb >> (16 - 8 * c) & 255);
        const int step = value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40;
        index += step * (c == 0 ? 36 : c == 1 ? 6 : 1);
    }
    return index;
}

static double share_at(const tap_heat_map *map, int row, int col, int n_rows,
                       int n_cols)
{
    return row < n_rows ? map->shares[row * n_cols + col] : (double)NAN;
}

/* Two rows as upper half blocks: the foreground is the upper one. */
static void print_halves(const tap_heat_map *map, int row, int n_rows, int n_cols)
{
    for (int col = 0; col < n_cols; col++) {
        const int upper = color_of(share_at(map, row, col, n_rows, n_cols));
        const int lower = color_of(share_at(map, row + 1, col, n_rows, n_cols));
        if (upper && lower)
            printf("\033[38;5;%d;48;5;%dm\u2580", upper, lower);
        else if (upper)
            printf("\033[0;38;5;%dm\u2580", upper);
        else if (lower)
            printf("\033[0;38;5;%dm\u2584", lower);
        else
            fputs("\033[0m ", stdout);
    }
    fputs("\033[0m", stdout);
}

static void print_shades(const tap_heat_map *map, int row, int n_rows, int n_cols,
                         bool utf8)
{
    static const char *const shades[] = {" ", "\u2591", "\u2592", "\u2593", "\u2588"};
    static const char letters[] = " .:-=+*#%@";
    for (int col = 0; col < n_cols; col++) {
        const double share = share_at(map, row, col, n_rows, n_cols);
        const double s = isnan(share) ? 0.0 : fmin(fmax(share, 0.0), 1.0);
        if (utf8)
            fputs(shades[(int)(s * 4.0 + 0.5)], stdout);
        else
            putchar(letters[(int)(s * 9.0 + 0.5)]);
    }
}

static void print_line(const tap_cli *cli, const tap_heat_map *maps, int n, int row,
                       int n_rows, int n_cols, bool utf8)
{
    fputs("  ", stdout);
    for (int m = 0; m < n; m++) {
        if (m > 0)
            printf("%*s", GAP, "");
        if (cli->color && utf8)
            print_halves(&maps[m], row, n_rows, n_cols);
        else
            print_shades(&maps[m], row, n_rows, n_cols, utf8);
    }
    putchar('\n');
}

void tap_heat_print(const tap_cli *cli, const tap_heat_map *maps, int n_maps,
                    int n_rows, int n_cols)
{
    const bool utf8 = is_utf8();
    const int cell = n_cols < 8 ? 8 : n_cols; /* room for a title */
    int per_line = (TERMINAL_COLUMNS - 2 + GAP) / (cell + GAP);
    per_line = per_line < 1 ? 1 : per_line;
    for (int first = 0; first < n_maps; first += per_line) {
        const int n = n_maps - first < per_line ? n_maps - first : per_line;
        fputs("  ", stdout);
        for (int m = 0; m < n; m++)
            printf("%-*.*s", m + 1 < n ? n_cols + GAP : n_cols, n_cols + GAP - 1,
                   maps[first + m].title);
        putchar('\n');
        for (int row = 0; row < n_rows; row += cli->color && utf8 ? 2 : 1)
            print_line(cli, maps + first, n, row, n_rows, n_cols, utf8);
    }
}

void tap_heat_bar(char *out, size_t n_bytes, double share, int width)
{
    static const char *const eighths[] = {"",       "\u258F", "\u258E", "\u258D",
                                          "\u258C", "\u258B", "\u258A", "\u2589"};
    size_t at = 0;
    out[0] = '\0';
    if (!is_utf8() || isnan(share))
        return;
    const int n = (int)(fmin(fmax(share, 0.0), 1.0) * width * 8.0 + 0.5);
    for (int i = 0; i < n / 8 && at + 4 < n_bytes; i++, at += 3)
        memcpy(out + at, "\u2588", 4);
    if (at + 4 < n_bytes)
        memcpy(out + at, eighths[n % 8], strlen(eighths[n % 8]) + 1);
}
