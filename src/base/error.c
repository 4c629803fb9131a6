#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put_message(char *message, const char *format, va_list args)
{
    const int n = vsnprintf(message, TAP_ERROR_MESSAGE_BYTES, format, args);
    if (n >= TAP_ERROR_MESSAGE_BYTES)
        memcpy(message + TAP_ERROR_MESSAGE_BYTES - 4, "...", 4);
    /* names from files must not steer the terminal */
    for (char *at = message; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
}

tap_status tap_fail_at(tap_error *err, const char *room, int line, tap_status status,
                       const char *format, ...)
{
    if (!err)
        return status;
    char message[TAP_ERROR_MESSAGE_BYTES]; /* format may point into err->message */
    va_list args;
    va_start(args, format);
    put_message(message, format, args);
    va_end(args);
    *err = (tap_error){.status = status, .room = room, .line = line};
    memcpy(err->message, message, sizeof message);
    return status;
}

tap_status tap_wrap(tap_error *err, tap_status status, const char *format, ...)
{
    if (!err)
        return status;
    char front[TAP_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    put_message(front, format, args);
    va_end(args);
    char message[TAP_ERROR_MESSAGE_BYTES];
    const int n = snprintf(message, sizeof message, "%s: %s", front, err->message);
    if (n >= TAP_ERROR_MESSAGE_BYTES)
        memcpy(message + TAP_ERROR_MESSAGE_BYTES - 4, "...", 4);
    memcpy(err->message, message, sizeof message);
    return err->status == TAP_OK ? TAP_EBUG : err->status;
}

#ifndef TAP_VERSION
#    error "TAP_VERSION comes from the VERSION file through the Makefile"
#endif

const char *tap_version(void)
{
    return TAP_VERSION;
}
