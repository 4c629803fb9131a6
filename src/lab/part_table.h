/* What are parts called, and which are joined? Tables of lines, each with a pattern.
 *
 * Tab-separated text with a heading; '#' begins a comment line. Columns, in any order:
 *   object  class names separated by commas, or *
 *   part    a part's name; may hold one * (any text) and end in # (a number)
 *   name    merges only: the name after it; * and # stand for what they matched
 *   label   the word that is looked for; * as in name. Merges: an empty cell leaves it as
 *           it is, without the column it is the name
 * The first line that fits counts. A name or label of "-" leaves the part out. */
#ifndef TAP_LAB_PART_TABLE_H
#define TAP_LAB_PART_TABLE_H

#include "base/memory.h"

typedef struct tap_part_table tap_part_table;

/* Opens the shipped table KIND-NAME ("merge", "sides"), or a file if there is none of that
 * name. kind "merge" needs the column name, "names" the column label.
 * Errors: TAP_EINVAL for a name that is neither, with the nearest known; TAP_EFORMAT with
 *         the line. */
TAP_NODISCARD tap_status tap_part_table_open(tap_part_table **out, const char *kind,
                                             const char *name, tap_error *err);
/* The same from text that the caller keeps unchanged until close. */
TAP_NODISCARD tap_status tap_part_table_parse(tap_part_table **out, const char *kind,
                                              const char *text, size_t n_bytes,
                                              const char *path, tap_error *err);
void tap_part_table_close(tap_part_table *table);

/* What the table makes of a part: *found = a line fits; *left_out = it says "-"; else *name
 * (kind merge) and *label
 * (NULL: it stays) are set; tap_free them. Where a names table has no line for a
 * name that ends in a counter ("wheel_2"), the name without it is looked up. */
typedef struct tap_part_naming {
    bool found, left_out;
    char *name, *label;
} tap_part_naming;

TAP_NODISCARD tap_status tap_part_table_find(tap_part_naming *out,
                                             const tap_part_table *table,
                                             const char *object, const char *part,
                                             tap_error *err);

enum { TAP_MAX_PART_TABLES = 16 };

/* Names of the shipped tables of a kind, without the kind; returns how many. */
size_t tap_part_tables(const char *names[TAP_MAX_PART_TABLES], const char *kind);

bool tap_part_table_is_shipped(const char *kind, const char *name);

/* A name as a person would write it: lower case, '_' as space, without what stands in
 * brackets or behind a comma. tap_free it. */
TAP_NODISCARD tap_status tap_readable_name(char **out, const char *name,
                                           tap_error *err);

#endif
