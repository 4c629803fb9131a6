/* What kind of character is this? Answers of the Unicode tables that tokenizers ask. */
#include "format/tokenizer_own.h"

#include <utf8proc.h>

size_t tap_char_read(int32_t *point, const char *text, size_t n_bytes)
{
    const unsigned char first = n_bytes ? (unsigned char)text[0] : 0xff;
    if (first < 0x80) {
        *point = first;
        return 1;
    }
    utf8proc_int32_t found;
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text,
                         n_bytes < 4 ? (utf8proc_ssize_t)n_bytes : 4, &found);
    *point = n > 0 ? found : -1;
    return n > 0 ? (size_t)n : 0;
}

size_t tap_char_write(char text[4], int32_t point)
{
    return (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)text);
}

size_t tap_utf8_check(const char *text, size_t n_bytes)
{
    int32_t point;
    for (size_t at = 0; at < n_bytes;) {
        const size_t n = tap_char_read(&point, text + at, n_bytes - at);
        if (n == 0)
            return at;
        at += n;
    }
    return n_bytes;
}

bool tap_char_is_space(int32_t point)
{
    return (point >= 0x09 && point <= 0x0d) || point == 0x20 || point == 0x85 ||
           point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f ||
           point == 0x3000;
}

bool tap_char_is_word(int32_t point)
{
    switch ((int)utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* Join_Control, and symbols that are Other_Alphabetic */
        return point == 0x200c || point == 0x200d ||
               (point >= 0x24b6 && point <= 0x24e9) ||
               (point >= 0x1f130 && point <= 0x1f149) ||
               (point >= 0x1f150 && point <= 0x1f169) ||
               (point >= 0x1f170 && point <= 0x1f189);
    }
}

bool tap_char_is_number(int32_t point)
{
    const utf8proc_category_t category = utf8proc_category(point);
    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
           category == UTF8PROC_CATEGORY_NO;
}

int32_t tap_byte_char(int byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
        return byte;
    /* the others in ascending order: 0 to 32, 127 to 160, 173 */
    return 0x100 + (byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67);
}

int tap_char_byte(int32_t point)
{
    if (point < 0x100)
        return point >= 0 && tap_byte_char(point) == point ? point : -1;
    if (point <= 0x100 + 32)
        return point - 0x100;
    if (point <= 0x100 + 66)
        return point - 0x100 - 33 + 127;
    return point == 0x100 + 67 ? 173 : -1;
}
