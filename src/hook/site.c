#include "hook/site.h"

#include "base/memory.h"
#include "base/suggest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const tap_site_info sites[TAP_N_SITES] = {
#define X(word, text, vision, lm, block, kind, dims, about)                            \
    [TAP_SITE_##word] = {.name = text,                                                 \
                         .in = {vision, lm},                                           \
                         .per_block = block,                                           \
                         .use = TAP_SITE_##kind,                                       \
                         .shape = dims,                                                \
                         .meaning = about},
    TAP_SITES(X)
#undef X
};

static const char *const stack_names[TAP_N_STACKS] = {"vision", "lm"};

/* Longest site list, in bytes, and largest number of places it may stand for. */
enum { LIST_BYTES = 1 << 16, WORD_BYTES = 48, MAX_PLACES = 1 << 16 };

const tap_site_info *tap_site_about(tap_site site)
{
    assert((unsigned)site < TAP_N_SITES);
    return &sites[site];
}

const char *tap_stack_name(tap_stack stack)
{
    assert((unsigned)stack < TAP_N_STACKS);
    return stack_names[stack];
}

/* The word for a site behind "STACK." or "projector."; NULL if it is not one of those. */
static const char *word_of(tap_site site, tap_stack stack, bool projector)
{
    const tap_site_info *info = &sites[site];
    const char *dot = strchr(info->name, '.');
    if (!dot)
        return !projector && info->in[stack] ? info->name : NULL;
    const char *owner = projector ? "projector" : stack_names[stack];
    const size_t n = (size_t)(dot - info->name);
    return strlen(owner) == n && memcmp(owner, info->name, n) == 0 ? dot + 1 : NULL;
}

bool tap_site_find(tap_site *site, tap_stack stack, bool projector, const char *word)
{
    for (int i = 0; i < TAP_N_SITES; i++) {
        const char *known = word_of((tap_site)i, stack, projector);
        if (known && strcmp(known, word) == 0) {
            *site = (tap_site)i;
            return true;
        }
    }
    return false;
}

const char *tap_site_nearest(tap_stack stack, bool projector, const char *word)
{
    const char *known[TAP_N_SITES];
    size_t n = 0;
    for (int i = 0; i < TAP_N_SITES; i++) {
        known[n] = word_of((tap_site)i, stack, projector);
        n += known[n] != NULL;
    }
    return tap_suggest(word, known, n);
}

/* What is being read: one name of the list, cut at its dots. */
typedef struct reader {
    const char *text;
    const int *n_blocks;
    tap_place *places;
    size_t n_places, capacity;
    tap_error *err;
} reader;

typedef struct word {
    char text[WORD_BYTES];
    size_t column; /* 1-based */
} word;

/* "no site is called 'X' (column C); did you mean 'Y'?" */
static tap_status refuse(const reader *r, const char *kind, const word *w,
                         const char *nearest, const char *otherwise)
{
    if (nearest)
        return TAP_FAIL(r->err, TAP_EINVAL,
                        "site list, column %zu: '%s' is not %s; did you mean '%s'?",
                        w->column, w->text, kind, nearest);
    return TAP_FAIL(r->err, TAP_EINVAL, "site list, column %zu: '%s' is not %s; %s",
                    w->column, w->text, kind, otherwise);
}

static tap_status add(reader *r, const tap_place *place)
{
    for (size_t i = 0; i < r->n_places; i++)
        if (strcmp(r->places[i].name, place->name) == 0)
            return TAP_OK;
    if (r->n_places >= MAX_PLACES)
        return TAP_FAIL(r->err, TAP_EINVAL, "the site list names more than %d places",
                        MAX_PLACES);
    TAP_TRY(tap_grow(&r->places, &r->capacity, r->n_places + 1, sizeof *r->places,
                     "a list of sites", r->err));
    r->places[r->n_places++] = *place;
    return TAP_OK;
}

/* Digits of text[0..n) as a number below 10^6; false if it is not one. */
static bool read_number(int *out, const char *text, size_t n)
{
    int value = 0;
    if (n == 0 || n > 6)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *out = value;
    return true;
}

/* first and last of "3", "4-11", "4-", "-11", "last", "*", all at most `end`. */
static tap_status read_range(const reader *r, int *first, int *last, const word *w,
                             int end, const char *what)
{
    const char *dash = strchr(w->text, '-');
    const size_t n = strlen(w->text);
    *first = 0;
    *last = end;
    bool valid = true;
    if (strcmp(w->text, "last") == 0) {
        *first = end;
    } else if (dash) {
        const size_t before = (size_t)(dash - w->text), after = n - before - 1;
        valid = before + after > 0;
        if (before)
            valid = valid && read_number(first, w->text, before);
        if (after)
            valid = valid && read_number(last, dash + 1, after);
    } else if (strcmp(w->text, "*") != 0) {
        valid = read_number(first, w->text, n);
        *last = *first;
    }
    if (!valid) {
        static const char *const words[] = {"last", "depth"};
        return refuse(r, "a block", w, tap_suggest(w->text, words, 2),
                      "write a number, a range such as 4-11, 'last', '*' or 'depth'");
    }
    if (*first > end || *last > end || *first > *last)
        return TAP_FAIL(r->err, TAP_EINVAL,
                        "site list, column %zu: there is no %s '%s'; %ss go from 0 to "
                        "%d",
                        w->column, what, w->text, what, end);
    return TAP_OK;
}

static tap_status add_depths(reader *r, tap_stack stack, const word *w)
{
    const int n = r->n_blocks[stack];
    int first = 0, last = 0;
    TAP_TRY(read_range(r, &first, &last, w, n, "depth"));
    for (int d = first; d <= last; d++) {
        const bool end = d == n && n > 0;
        tap_place place = {.site = end ? TAP_SITE_RESID_POST : TAP_SITE_RESID_PRE,
                           .stack = stack,
                           .block = end ? n - 1 : d};
        snprintf(place.name, sizeof place.name, "%s.depth.%d", stack_names[stack], d);
        TAP_TRY(add(r, &place));
    }
    return TAP_OK;
}

static tap_status add_blocks(reader *r, tap_stack stack, const word *block,
                             const word *name)
{
    tap_site site = TAP_SITE_RESID_PRE;
    int first = 0, last = 0;
    TAP_TRY(read_range(r, &first, &last, block, r->n_blocks[stack] - 1, "block"));
    if (!tap_site_find(&site, stack, false, name->text))
        return refuse(r, "a site", name, tap_site_nearest(stack, false, name->text),
                      "'tapetum inspect' lists the sites of a model");
    if (!sites[site].per_block)
        return TAP_FAIL(r->err, TAP_EINVAL,
                        "site list, column %zu: '%s' stands outside the blocks; write "
                        "'%s'",
                        name->column, name->text, sites[site].name);
    for (int b = first; b <= last; b++) {
        tap_place place = {.site = site, .stack = stack, .block = b};
        snprintf(place.name, sizeof place.name, "%s.%d.%s", stack_names[stack], b,
                 sites[site].name);
        TAP_TRY(add(r, &place));
    }
    return TAP_OK;
}

static tap_status add_once(reader *r, tap_stack stack, bool projector, const word *name)
{
    tap_site site = TAP_SITE_RESID_PRE;
    if (!tap_site_find(&site, stack, projector, name->text))
        return refuse(r, "a site", name, tap_site_nearest(stack, projector, name->text),
                      "'tapetum inspect' lists the sites of a model");
    if (sites[site].per_block)
        return TAP_FAIL(r->err, TAP_EINVAL,
                        "site list, column %zu: '%s' needs a block; write '%s.*.%s' or "
                        "a block number",
                        name->column, name->text, stack_names[stack], name->text);
    tap_place place = {.site = site, .stack = stack, .block = -1};
    snprintf(place.name, sizeof place.name, "%s", sites[site].name);
    return add(r, &place);
}

/* One name: up to three words between dots, text[at..end). */
static tap_status read_name(reader *r, size_t at, size_t end)
{
    word words[3] = {{.column = at + 1}};
    size_t n_words = 1, n = 0;
    for (size_t i = at; i < end; i++) {
        if (r->text[i] == '.') {
            if (n_words == 3)
                return TAP_FAIL(r->err, TAP_EINVAL,
                                "site list, column %zu: a name has at most three "
                                "parts, STACK.BLOCK.SITE",
                                i + 1);
            words[n_words++].column = i + 2;
            n = 0;
        } else if (n + 1 < WORD_BYTES) {
            words[n_words - 1].text[n++] = r->text[i];
        } else {
            return TAP_FAIL(r->err, TAP_EINVAL,
                            "site list, column %zu: the word is too long",
                            words[n_words - 1].column);
        }
    }
    const bool projector = strcmp(words[0].text, "projector") == 0;
    const tap_stack stack =
        strcmp(words[0].text, stack_names[TAP_LM]) == 0 ? TAP_LM : TAP_VISION;
    if (!projector && strcmp(words[0].text, stack_names[stack]) != 0) {
        static const char *const known[] = {"vision", "projector", "lm"};
        return refuse(r, "a stack", &words[0], tap_suggest(words[0].text, known, 3),
                      "write vision, projector or lm");
    }
    if (n_words == 1)
        return TAP_FAIL(r->err, TAP_EINVAL,
                        "site list, column %zu: '%s' alone is not a site; write for "
                        "example 'lm.*.resid_post'",
                        words[0].column, words[0].text);
    if (n_words == 2)
        return add_once(r, stack, projector, &words[1]);
    if (projector)
        return refuse(r, "a site", &words[2], NULL, "the projector has no blocks");
    if (strcmp(words[1].text, "depth") == 0)
        return add_depths(r, stack, &words[2]);
    return add_blocks(r, stack, &words[1], &words[2]);
}

tap_status tap_site_parse(tap_place **places, int64_t *n_places, const char *text,
                          const int *n_blocks, tap_error *err)
{
    reader r = {.text = text, .n_blocks = n_blocks, .err = err};
    tap_status status = TAP_OK;
    const size_t n = strlen(text);
    if (n > LIST_BYTES)
        return TAP_FAIL(err, TAP_EINVAL, "the site list is longer than %d bytes",
                        LIST_BYTES);
    for (size_t at = 0; at <= n;) {
        size_t end = at + strcspn(text + at, ",");
        const size_t next = end + 1;
        while (at < end && text[at] == ' ')
            at++;
        while (end > at && text[end - 1] == ' ')
            end--;
        if (at == end) {
            status = TAP_FAIL(err, TAP_EINVAL,
                              "site list, column %zu: a site name is missing", at + 1);
            goto out;
        }
        TAP_TRY_OUT(read_name(&r, at, end));
        at = next;
    }
out:
    if (status != TAP_OK) {
        tap_free(r.places);
        return status;
    }
    *places = r.places;
    *n_places = (int64_t)r.n_places;
    return TAP_OK;
}
