/* tapetum: who does the seeing in a vision-language model?
 *
 * The one public header of libtapetum. It grows with the rooms of the library; what is
 * not declared here is not part of the interface.
 *
 * Every call that can fail returns a tap_status and takes a tap_error last (NULL is
 * allowed). Out-parameters come first. After a failure the outputs are untouched and
 * nothing is left to free. The library never prints, exits or reads the environment.
 */
#ifndef TAPETUM_H
#define TAPETUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define TAP_API       __attribute__((visibility("default")))
#    define TAP_NODISCARD __attribute__((warn_unused_result))
#    define TAP_FORMAT(string_at, first_at)                                            \
        __attribute__((format(printf, string_at, first_at)))
#else
#    define TAP_API
#    define TAP_NODISCARD
#    define TAP_FORMAT(string_at, first_at)
#endif

/* What went wrong, by what the caller can do about it. */
typedef enum tap_status {
    TAP_OK = 0,
    TAP_ENOMEM,       /* too little memory: a smaller shard or --memory */
    TAP_EIO,          /* path, rights or disk */
    TAP_EFORMAT,      /* a file is not what it claims to be */
    TAP_EINVAL,       /* an argument or a condition is wrong */
    TAP_EUNSUPPORTED, /* another model or option is needed */
    TAP_ENUMERIC,     /* a number went wrong: the message names block, head and row */
    TAP_EDEVICE,      /* a device is missing or refuses */
    TAP_ESTOPPED,     /* stopped on request; run again to resume */
    TAP_EBUG          /* a broken promise of tapetum itself: please report it */
} tap_status;

enum { TAP_ERROR_MESSAGE_BYTES = 480 };

/* An error lives on the caller's stack. The message is one complete sentence: what was
 * being done, on which object, expected against found, what to try. */
typedef struct tap_error {
    tap_status status;
    const char *room; /* source file that raised it, static string */
    int line;
    char message[TAP_ERROR_MESSAGE_BYTES];
} tap_error;

/* The library's version, "major.minor.patch". */
TAP_API const char *tap_version(void);

/* ---- a model ---- */

/* An open model: configuration, tokenizer, mapped weights. Immutable; threads may share it. */
typedef struct tap_model tap_model;

/* Opens a Hugging Face model directory, unmodified. Every tensor that will be used is found
 * and its shape checked; weights stay mapped in their stored type.
 * Errors: TAP_EIO, TAP_EFORMAT, TAP_EUNSUPPORTED, naming file, expected and found.
 * Memory: a few MB beside the mapping; where a vocabulary lies in two tables (xGen-MM), a
 *         copy of both. */
TAP_API TAP_NODISCARD tap_status tap_model_open(tap_model **out, const char *directory,
                                                tap_error *err);
/* NULL is allowed. */
TAP_API void tap_model_close(tap_model *model);

/* ---- one image: ranks of words at every patch and depth ---- */

/* What to ask of one image. Initialise with TAP_QUESTION_INIT; texts are borrowed during
 * the call. */
typedef struct tap_question {
    size_t struct_size;        /* set by TAP_QUESTION_INIT */
    const char *image;         /* path of a JPEG or PNG */
    const char *const *labels; /* [n_labels] words, e.g. "tail" */
    size_t n_labels;
    const char *const
        *conditions; /* [n_conditions] texts, "" is clean; NULL: clean alone */
    size_t n_conditions;
    const char *part_mask;   /* path of an 8-bit PNG, not 0 inside; NULL: none */
    const char *object_mask; /* the same of the whole object */
    const char *prompt;      /* with <image> once; NULL: the family's default */
    int n_threads;           /* 0: all processors */
} tap_question;

#define TAP_QUESTION_INIT                                                              \
    {                                                                                  \
        sizeof(tap_question), NULL, NULL, 0, NULL, 0, NULL, NULL, NULL, 0              \
    }

typedef struct tap_answer tap_answer;

/* Runs the image under all conditions (they share every state they can) and ranks each
 * label among all words by the logit lens, final norm applied once.
 * Errors: TAP_EINVAL for a condition or label (the message names word and place), those of
 *         reading, TAP_ENUMERIC if a receipt does not hold; TAP_EUNSUPPORTED for a part
 *         mask where the model's image tokens stand for no patch.
 * Threads: one call per thread; the model is shared. */
TAP_API TAP_NODISCARD tap_status tap_ask(tap_answer **out, const tap_model *model,
                                         const tap_question *question, tap_error *err);
TAP_API void tap_answer_free(tap_answer *answer);

/* Patches of the image in raster order, and depths: 0 is what enters the decoder. */
TAP_API int64_t tap_answer_n_patches(const tap_answer *answer);
TAP_API int tap_answer_n_depths(const tap_answer *answer);
/* Best rank over the label's single-token forms, [n_patches], 1 = best, ties count half.
 * Borrowed until tap_answer_free. */
TAP_API const float *tap_answer_ranks(const tap_answer *answer, size_t condition,
                                      int depth, size_t label);
/* Whether a patch belongs to the part mask (false without one). */
TAP_API bool tap_answer_in_part(const tap_answer *answer, int64_t patch);

/* ---- a whole experiment ---- */

/* Runs an experiment file into a results database, or goes on with one that was stopped.
 * *stop, checked between batches, ends the run with TAP_ESTOPPED and everything done so far
 * saved; NULL: never. n_threads 0: all processors; memory_bytes 0: a quarter of
 * the RAM, beside the mapped weights.
 * docs/schema.md describes the database. */
TAP_API TAP_NODISCARD tap_status tap_experiment_run(const char *experiment_path,
                                                    const char *database_path,
                                                    int n_threads, size_t memory_bytes,
                                                    const volatile bool *stop,
                                                    tap_error *err);

/* Writes one self-contained HTML page of one or more results databases, as 'tapetum report'
 * does. The page is written whole or not at all. */
TAP_API TAP_NODISCARD tap_status tap_report(const char *page_path,
                                            const char *const *database_paths,
                                            size_t n_databases, int n_threads,
                                            tap_error *err);

#ifdef __cplusplus
}
#endif

#endif
