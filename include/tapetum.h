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

#ifdef __cplusplus
}
#endif

#endif
