/* What the files that compile state edits share. */
#ifndef TAP_HOOK_PLAN_EDIT_H
#define TAP_HOOK_PLAN_EDIT_H

#include "format/safetensors.h"
#include "hook/plan_own.h"

/* A row of a site and the token it stands for. */
typedef struct tap_row_place {
    int32_t row;
    int64_t token;
} tap_row_place;

/* An edit on its way into the plan. */
typedef struct tap_edit_entry {
    tap_edit edit;
    const tap_atom *atom;
    tap_stage stage; /* of a site outside blocks */
    int block;       /* -1: outside blocks */
} tap_edit_entry;

/* What is compiled: the edits so far, and the atom in hand. */
typedef struct tap_editor {
    tap_compiler *c;
    tap_edit_entry *entries;
    size_t n, capacity;
    const tap_ready_atom *a;
    const tap_atom *atom;
    const tap_group_set *set;
    tap_safetensors *file; /* of the atom */
    const char *path;      /* of that file or picture; NULL: it names none */
} tap_editor;

/* The path of the atom's file, or its run as written. */
static inline const char *tap_edit_text(const tap_editor *e)
{
    return e->path ? e->path : e->c->condition->strings.text + e->atom->text;
}

/* "lm.3.resid_pre", "projector.out" */
void tap_edit_site(char out[TAP_SITE_NAME_BYTES], const tap_atom *atom, int block);
/* The row of a token at the atom's site; -1: it has none there. */
int32_t tap_edit_row(const tap_editor *e, int64_t token);

/* *out [*n], of the plan's memory: the rows of the members at the atom's site, sorted. */
TAP_NODISCARD tap_status tap_edit_places(tap_row_place **out, int64_t *n,
                                         const tap_editor *e, const uint64_t *members);

/* plan_edit_read.c. The rows that mean, permute and copy read, from those they edit; the
 * columns of scramble; and a note of the former in the plan. */
TAP_NODISCARD tap_status tap_edit_rows_read(tap_edit *edit, const tap_editor *e,
                                            const tap_row_place *places);
TAP_NODISCARD tap_status tap_edit_scramble(tap_edit *edit, const tap_editor *e);
TAP_NODISCARD tap_status tap_edit_note_reads(const tap_editor *e, const tap_edit *edit);

/* plan_edit_file.c. The one vector of the file: [d], or [n_blocks][d] of which row `block`
 * counts; the rows of a trace that the places name. */
TAP_NODISCARD tap_status tap_edit_read_vector(tap_edit *edit, tap_editor *e, int block);
TAP_NODISCARD tap_status tap_edit_read_trace(tap_edit *edit, tap_editor *e,
                                             const tap_row_place *places, int block);
void tap_edit_close_file(tap_editor *e);

#endif
