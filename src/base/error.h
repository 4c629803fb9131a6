/* What went wrong, said so that a user can act.
 *
 * TAP_FAIL fills the caller's error and yields the status; TAP_TRY forwards a failure;
 * tap_wrap puts "while doing ..." in front of a message on its way up. Nothing here
 * allocates or keeps global state. */
#ifndef TAP_BASE_ERROR_H
#define TAP_BASE_ERROR_H

#include <tapetum.h>

/* Writes status and message into err (may be NULL) and returns the status. A message
 * longer than the buffer is cut and ends in "...". */
tap_status tap_fail_at(tap_error *err, const char *room, int line, tap_status status,
                       const char *format, ...) TAP_FORMAT(5, 6);

/* Puts the formatted text and ": " in front of err's message. Returns err's status
 * (TAP_EBUG if err holds none), or `status` when err is NULL. */
tap_status tap_wrap(tap_error *err, tap_status status, const char *format, ...)
    TAP_FORMAT(3, 4);

#define TAP_FAIL(err, status, ...)                                                     \
    tap_fail_at((err), __FILE__, __LINE__, (status), __VA_ARGS__)

#define TAP_TRY(call)                                                                  \
    do {                                                                               \
        const tap_status tap_try_status_ = (call);                                     \
        if (tap_try_status_ != TAP_OK)                                                 \
            return tap_try_status_;                                                    \
    } while (0)

/* Like TAP_TRY inside a function that owns something: sets `status` and jumps to out. */
#define TAP_TRY_OUT(call)                                                              \
    do {                                                                               \
        status = (call);                                                               \
        if (status != TAP_OK)                                                          \
            goto out;                                                                  \
    } while (0)

#endif
