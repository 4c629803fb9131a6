/* What do the short part names of a data set mean? */
#ifndef TAP_LAB_PART_NAMES_H
#define TAP_LAB_PART_NAMES_H

#include "base/memory.h"

/* How a part is called. */
typedef struct tap_part_name {
    const char *name;  /* in the file, counter dropped: "lfuleg" */
    const char *label; /* the word that is looked for: "leg" */
    const char *sides; /* name after the merge `sides`: "leg" */
} tap_part_name;

/* The Pascal-Part entry of a name ("wheel_2" counts as "wheel"); NULL if unknown. A prefix
 * rule would be wrong: "rear" is the right ear. */
const tap_part_name *tap_pascal_part(const char *name);

/* Length of a name without its counter "_12". */
size_t tap_name_without_counter(const char *name);

#endif
