#include "report/escape.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* One character of text as it may stand in a page: *size its bytes, and *shown what stands
 * there (NULL: itself). */
static const char *character(char spare[4], const char *text, size_t n, size_t *size)
{
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t bytes =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &code);
    *size = bytes > 0 ? (size_t)bytes : 1;
    if (bytes <= 0 || (code >= 0x80 && code < 0xA0) || code == 0xFFFE ||
        code == 0xFFFF || (code >= 0x202A && code <= 0x202E) ||
        (code >= 0x2066 && code <= 0x2069))
        return "\xEF\xBF\xBD"; /* not a character, or one that reorders its line */
    if ((code < 0x20 && code != '\n') || code == 0x7F) {
        const int sign = code == 0x7F ? 0x2421 : 0x2400 + code;
        spare[0] = (char)0xE2;
        spare[1] = (char)(0x80 | (sign >> 6 & 0x3F));
        spare[2] = (char)(0x80 | (sign & 0x3F));
        spare[3] = '\0';
        return spare;
    }
    return NULL;
}

static tap_status put_text(tap_buffer *out, const char *text, bool markup,
                           tap_error *err)
{
    const size_t n = strlen(text);
    for (size_t i = 0, size = 0; i < n; i += size) {
        char spare[4];
        const char *shown = character(spare, text + i, n - i, &size);
        if (!shown && markup)
            shown = text[i] == '&'    ? "&amp;"
                    : text[i] == '<'  ? "&lt;"
                    : text[i] == '>'  ? "&gt;"
                    : text[i] == '"'  ? "&quot;"
                    : text[i] == '\'' ? "&#39;"
                                      : NULL;
        TAP_TRY(shown ? tap_buffer_put(out, shown, strlen(shown), err)
                      : tap_buffer_put(out, text + i, size, err));
    }
    return TAP_OK;
}

tap_status tap_page_text(tap_buffer *out, const char *text, tap_error *err)
{
    return put_text(out, text, true, err);
}

json_t *tap_page_string(const char *text)
{
    tap_buffer shown = {0};
    json_t *value = NULL;
    if (put_text(&shown, text, false, NULL) == TAP_OK)
        value = json_string(shown.text ? shown.text : "");
    tap_buffer_clear(&shown);
    return value;
}

static int put_json(const char *text, size_t n, void *owner)
{
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        const tap_status status =
            c == '<' || c == '>' || c == '&'
                ? tap_buffer_print(owner, NULL, "\\u%04x", (unsigned)c)
                : tap_buffer_put(owner, &c, 1, NULL);
        if (status != TAP_OK)
            return -1;
    }
    return 0;
}

tap_status tap_page_json(tap_buffer *out, const json_t *value, tap_error *err)
{
    if (!value || json_dump_callback(value, put_json, out,
                                     JSON_COMPACT | JSON_ENSURE_ASCII |
                                         JSON_ENCODE_ANY | JSON_REAL_PRECISION(7)) != 0)
        return TAP_FAIL(err, TAP_ENOMEM, "no memory left for the data of a page");
    return TAP_OK;
}

tap_status tap_page_base64(tap_buffer *out, const void *bytes, size_t n, tap_error *err)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t three = (uint32_t)b[i] << 16 |
                               (uint32_t)(i + 1 < n ? b[i + 1] : 0) << 8 |
                               (uint32_t)(i + 2 < n ? b[i + 2] : 0);
        const char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                              i + 1 < n ? digits[three >> 6 & 63] : '=',
                              i + 2 < n ? digits[three & 63] : '='};
        TAP_TRY(tap_buffer_put(out, four, 4, err));
    }
    return TAP_OK;
}
