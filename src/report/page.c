#include "report/page.h"

#include "base/file.h"
#include "report/assets.h"
#include "report/escape.h"

#include <string.h>

static tap_status put(tap_buffer *out, const char *text, tap_error *err)
{
    return tap_buffer_put(out, text, strlen(text), err);
}

/* The template with its marks replaced: @NAME@. */
static tap_status fill(tap_buffer *out, const char *body, const char *title,
                       const char *library, const char *script, tap_error *err)
{
    static const char *const names[] = {"CSS", "D3", "JS", "BODY"};
    const char *const texts[] = {(const char *)tap_asset_page_css,
                                 library ? library : "", script, body};
    const char *at = (const char *)tap_asset_page_html;
    for (const char *mark = strchr(at, '@'); mark; mark = strchr(at, '@')) {
        TAP_TRY(tap_buffer_put(out, at, (size_t)(mark - at), err));
        const size_t n = strcspn(mark + 1, "@");
        if (strncmp(mark + 1, "TITLE", n) == 0)
            TAP_TRY(tap_page_text(out, title, err));
        else if (strncmp(mark + 1, "VERSION", n) == 0)
            TAP_TRY(put(out, TAP_VERSION, err));
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (strlen(names[i]) == n && strncmp(mark + 1, names[i], n) == 0)
                TAP_TRY(put(out, texts[i], err));
        at = mark + n + 2;
    }
    return put(out, at, err);
}

tap_status tap_page_write(const char *path, const char *body, const char *title,
                          const char *library, const char *script, tap_error *err)
{
    tap_buffer page = {0};
    tap_file_out *file = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(fill(&page, body, title, library, script, err));
    TAP_TRY_OUT(tap_file_create(&file, path, err));
    TAP_TRY_OUT(tap_file_put(file, page.text, page.n_bytes, err));
    status = tap_file_commit(file, err);
out:
    tap_file_close(file);
    tap_buffer_clear(&page);
    return status;
}
