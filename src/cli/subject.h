/* What `lens`, `trace` and `generate` have in common: one model, one image, masks and the
 * conditions asked about. */
#ifndef TAP_CLI_SUBJECT_H
#define TAP_CLI_SUBJECT_H

#include "cli/cli.h"
#include "hook/plan.h"
#include "model/template.h"
#include "read/group.h"
#include "read/intgrad.h"
#include "read/pictures.h"

typedef struct tap_subject {
    char *path; /* of the model */
    tap_model *model;
    tap_scene scene;
    float *part, *object, *other_part; /* coverages, NULL without such a mask */
    tap_groups groups;
    const char *const *texts; /* [n_conditions] as typed; one empty text by default */
    char **canonical;         /* [n_conditions] */
    tap_plan **plans;         /* [n_conditions] */
    char *prompt;             /* as it went to the tokenizer; NULL: the model's own */
    tap_pictures *pictures;   /* that conditions take states from */
    tap_intgrad *intgrad;     /* of groups that ask for it */
    int64_t n_conditions;
} tap_subject;

/* Opens MODEL and IMAGE (arguments 0 and 1) with --prompt, --mask and --condition. */
TAP_NODISCARD tap_status tap_subject_open(tap_subject *out, const tap_cli *cli,
                                          tap_error *err);

/* The same for a question that is answered: --prompt is text with "<image>" or a question
 * that is put into the template (NULL: the model's own). IMAGE may be missing; then --prompt
 * is taken as it stands unless a template is given.
 * The sequence gets room for up to *n_new tokens; *n_new = how many fit. */
TAP_NODISCARD tap_status tap_subject_ask(tap_subject *out, int64_t *n_new,
                                         const tap_cli *cli, const tap_template *chat,
                                         tap_error *err);
/* Says so when conditions with a text change nothing; of one, by this plan. */
void tap_subject_notes(const tap_subject *subject, const tap_cli *cli);
void tap_subject_note(const tap_subject *subject, const tap_cli *cli, int64_t condition,
                      const tap_plan *plan);
void tap_subject_clear(tap_subject *subject);

#endif
