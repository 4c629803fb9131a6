/* The tables of share/tables, as text inside the library: it needs no file at run time.
 * Written by tools/embed when the library is built. */
#ifndef TAP_LAB_SHARED_TABLES_H
#define TAP_LAB_SHARED_TABLES_H

typedef struct tap_shared_table {
    const char *name; /* file name without ".tsv" */
    const char *text;
} tap_shared_table;

extern const tap_shared_table tap_shared_tables[]; /* ends with name NULL */

#endif
