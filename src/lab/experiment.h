/* What is asked: the experiment file as a struct, its defaults filled in and its words
 * checked.
 *
 * This room knows keys, words and paths. It does not know models, images or the grammar of
 * condition text: those are checked by their own rooms before anything is computed. */
#ifndef TAP_LAB_EXPERIMENT_H
#define TAP_LAB_EXPERIMENT_H

#include "base/hash.h"
#include "base/memory.h"
#include "read/source.h"

enum {
    TAP_DEPTH_LAST = -1, /* the last depth: what leaves the last block */
    TAP_N_CELLS = 4,     /* of the 2x2 design */
    TAP_MAX_CONDITIONS = 256,
    TAP_MAX_TOP_WORDS = 64
};

/* The four cells of the design, in the order clean, encoder off, decoder off, both off. */
typedef enum tap_cell { TAP_S11, TAP_S01, TAP_S10, TAP_S00 } tap_cell;

/* Forms of a label beside the word as it is written. */
enum { TAP_FORM_SPACE = 1, TAP_FORM_CASE = 2, TAP_FORM_PLURAL = 4 };

typedef enum tap_multi_token {
    TAP_MULTI_SKIP,
    TAP_MULTI_FIRST_PIECE,
    TAP_MULTI_BEST_PIECE,
    TAP_MULTI_SEQUENCE
} tap_multi_token;

typedef enum tap_fallback { TAP_FALLBACK_ARGMAX, TAP_FALLBACK_SKIP } tap_fallback;

typedef enum tap_control {
    TAP_CONTROL_SHIFTED_MASK,
    TAP_CONTROL_OTHER_PART,
    TAP_CONTROL_RANDOM_PATCHES,
    TAP_CONTROL_BLANK_IMAGE,
    TAP_CONTROL_MISMATCHED_IMAGE,
    TAP_CONTROL_PERMUTED_LABELS,        /* within the object class */
    TAP_CONTROL_PERMUTED_LABELS_GLOBAL, /* over all labels */
    TAP_CONTROL_OBJECT_NAME,            /* the object's name on the part's patches */
    TAP_CONTROL_WORDS,                  /* METHOD: ctl.words */
    TAP_N_CONTROLS
} tap_control;

typedef enum tap_candidates {
    TAP_CANDIDATES_VOCABULARY,
    TAP_CANDIDATES_PARTS,    /* all part names of the data */
    TAP_CANDIDATES_OWN_PARTS /* the parts of the item's own object class */
} tap_candidates;

/* Which rows of the model the words are compared with. */
typedef enum tap_word_matrix { TAP_MATRIX_OUTPUT, TAP_MATRIX_EMBED } tap_word_matrix;

/* What is measured over all patches, inside the part against outside. */
typedef enum tap_locate { TAP_LOCATE_AUC, TAP_LOCATE_GAP, TAP_N_LOCATES } tap_locate;

typedef enum tap_metric {
    TAP_METRIC_LOG_RANK, /* S = 1 - mean log2 r / log2 N */
    TAP_METRIC_MRR,
    TAP_METRIC_HIT1,
    TAP_METRIC_HIT5,
    TAP_METRIC_HIT10,
    TAP_METRIC_HIT100,
    TAP_METRIC_MEDIAN, /* of r: lower is better */
    TAP_N_METRICS
} tap_metric;

/* Words as the experiment file and the tables spell them. */
const char *tap_metric_name(tap_metric metric);
const char *tap_control_name(tap_control control);
const char *tap_cell_name(tap_cell cell); /* "clean", "encoder_off", ... */
const char *tap_candidates_name(tap_candidates candidates);
const char *tap_state_name(tap_readout state); /* "resid", ... */
const char *tap_multi_token_name(tap_multi_token policy);
const char *tap_locate_name(tap_locate locate);

/* Which parts of which images. */
typedef struct tap_data_spec {
    const char *format;      /* "pascal-part", ... */
    const char *images;      /* path */
    const char *annotations; /* path */
    const char *names;       /* "default" or the path of a TSV */
    const char **merge;      /* [n_merge] shipped merge tables or paths, in order */
    size_t n_merge;
    int64_t min_area_px;
    int64_t sample_images; /* 0: all */
    int64_t sample_seed;
    int64_t line; /* where format stands in the file: for messages of later rooms */
} tap_data_spec;

/* Which words stand for a part. */
typedef struct tap_label_spec {
    unsigned forms;       /* TAP_FORM_ bits */
    const char *synonyms; /* "default", "none" or the path of a TSV */
    tap_multi_token multi_token;
    const char **common; /* [n_common] models whose tokenizers must agree */
    size_t n_common;
} tap_label_spec;

/* What commands that name their words themselves use. */
#define TAP_LABELS_AS_NAMED                                                            \
    {                                                                                  \
        .forms = TAP_FORM_SPACE | TAP_FORM_CASE | TAP_FORM_PLURAL, .synonyms = "none"  \
    }

typedef struct tap_condition_spec {
    const char *name;
    const char *text; /* names of other conditions replaced, atoms joined by "; " */
    int64_t line;
} tap_condition_spec;

/* One point of a dose curve (key `doses`). */
typedef struct tap_dose_point {
    double dose;
    int32_t condition; /* index */
} tap_dose_point;

typedef struct tap_dose_curve {
    const char *name;
    tap_dose_point *points; /* [n_points], doses rising */
    size_t n_points;
} tap_dose_curve;

typedef struct tap_experiment {
    const char *path;
    const char *model;  /* NULL if the file names none */
    const char *prompt; /* "default" or a template with <image> */
    tap_data_spec data;

    tap_label_spec labels;

    struct {
        double threshold; /* 0: any coverage above 0 */
        tap_fallback fallback;
    } patches;

    tap_condition_spec *conditions; /* [n_conditions] in the order of the file */
    size_t n_conditions;
    bool has_design;
    int32_t design[TAP_N_CELLS]; /* indices of conditions; -1 without a design */
    tap_dose_curve *doses;       /* [n_doses] */
    size_t n_doses;
    bool controls[TAP_N_CONTROLS];

    struct {
        const char *depths; /* "all" or canonical "0,4-8,last" */
        tap_readout state;
        tap_word_matrix matrix;
        const char *translator; /* path, or NULL */
        bool no_norm;
        tap_candidates candidates;
        bool locate[TAP_N_LOCATES];
        int64_t top_words;      /* kept per patch of a part; 0: none */
        const char *top_depths; /* where, as depths */
        int64_t thumbnail_px;   /* longest side of the stored picture; 0: none */
    } readout;

    struct {
        bool metrics[TAP_N_METRICS];
        int64_t bootstrap; /* resamples */
        int64_t seed;
        int64_t depth; /* that words and tests speak about; TAP_DEPTH_LAST */
    } stats;

    char identity[TAP_SHA256_TEXT_BYTES]; /* of the facts with identity */

    void **owned; /* [n_owned] everything above that needs to be released */
    size_t n_owned, capacity_owned;
} tap_experiment;

/* Reads an experiment file; relative paths are resolved against its directory.
 *
 * A list of conditions joins their texts; an item that names another condition of the file
 * stands for its text.
 *
 * Errors: TAP_EIO; TAP_EFORMAT naming path, line, key and the nearest known word.
 * Memory: tap_experiment_clear releases everything.   Threads: no shared state. */
TAP_NODISCARD tap_status tap_experiment_read(tap_experiment *out, const char *path,
                                             tap_error *err);
/* The same from n_bytes of text; `path` names it and resolves relative paths. */
TAP_NODISCARD tap_status tap_experiment_parse(tap_experiment *out, const char *text,
                                              size_t n_bytes, const char *path,
                                              tap_error *err);
/* Reads an experiment, or a file with the keys of `data:` at its top: then only `path`, `data`
 * and the defaults of `labels` are meaningful in *out. */
TAP_NODISCARD tap_status tap_experiment_read_data(tap_experiment *out, const char *path,
                                                  tap_error *err);
void tap_experiment_clear(tap_experiment *experiment);

/* One line of the manifest. Facts with identity decide whether two runs are the same
 * experiment: what is asked, not how the file spells it, nor paths, nor what stats does
 * with the ranks afterwards. */
typedef struct tap_fact {
    const char *key, *value;
    bool identity;
} tap_fact;

/* *facts = [*n_facts] the experiment as facts, in a fixed order; borrowed from the
 * experiment, which keeps them until it is cleared. Files of names and synonyms count by
 * content. Also fills experiment->identity. */
TAP_NODISCARD tap_status tap_experiment_facts(const tap_fact **facts, size_t *n_facts,
                                              tap_experiment *experiment,
                                              tap_error *err);

/* Sets the bits [(n_states + 63) / 64] of the depths (or, of values and keys, blocks) asked
 * for, of the n_states that the model has. TAP_EINVAL for one that it does not have. */
TAP_NODISCARD tap_status tap_experiment_depths(uint64_t *bits,
                                               const tap_experiment *experiment,
                                               int n_states, tap_error *err);
/* The same for the depths whose top words are kept; none when no words are. */
TAP_NODISCARD tap_status tap_experiment_top_depths(uint64_t *bits,
                                                   const tap_experiment *experiment,
                                                   int n_states, tap_error *err);

#endif
