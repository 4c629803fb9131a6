/* State edits in condition text: the kind with its arguments, the tokens, the site. */
#include "base/suggest.h"
#include "hook/condition_parse.h"

#include <string.h>

const char *const tap_edit_names[] = {
    "",     "mean",     "zero",  "noise",       "permute",
    "copy", "scramble", "steer", "project_out", "patch"};

enum { N_EDITS = sizeof tap_edit_names / sizeof *tap_edit_names };

static bool ends_in(const char *text, size_t n, const char *ending)
{
    const size_t m = strlen(ending);
    return n >= m && memcmp(text + n - m, ending, m) == 0;
}

/* A file or a run: quoted, or bare up to a "," or the ")" that closes the argument. */
static tap_status parse_source(tap_parser *p, size_t *offset, bool *is_file,
                               const char *what)
{
    tap_parse_space(p);
    *is_file = *p->at == '"';
    if (*is_file) {
        TAP_TRY(tap_parse_string(p, offset));
        if (p->out->strings.text[*offset] == '\0')
            return tap_parse_fail(p, what);
        return TAP_OK;
    }
    size_t n = 0;
    for (int depth = 0; p->at[n]; n++) {
        const char c = p->at[n];
        if (depth == 0 && (c == ')' || c == ',' || c == ';' || c == '"'))
            break;
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
    size_t end = n;
    while (end > 0 && p->at[end - 1] == ' ')
        end--;
    if (end == 0)
        return tap_parse_fail(p, what);
    *is_file = memchr(p->at, '/', end) || ends_in(p->at, end, ".safetensors");
    const char *text = p->at;
    p->at += n;
    return tap_parse_keep(p, offset, text, end);
}

static tap_status parse_vector(tap_parser *p, tap_atom *atom)
{
    static const char *const signs[] = {"both", "positive"}; /* ORDER */
    bool is_file = false;
    int sign = 0;
    TAP_TRY(parse_source(p, &atom->text, &is_file, "a safetensors file"));
    TAP_TRY(tap_parse_expect(p, ","));
    TAP_TRY(tap_parse_real(p, &atom->weight, -1e6, 1e6, "a weight"));
    if (atom->edit == TAP_EDIT_PROJECT_OUT && tap_parse_mark(p, ","))
        TAP_TRY(tap_parse_choice(p, &sign, "'positive' or 'both'", signs, 2));
    atom->positive = sign == 1;
    return TAP_OK;
}

/* patch("trace.safetensors"), patch(a_condition), patch(image "photo.png") */
static tap_status parse_patch(tap_parser *p, tap_atom *atom)
{
    const char *start = p->at;
    atom->from_image = tap_parse_word(p, "image");
    tap_parse_space(p);
    if (atom->from_image && *p->at == ')') { /* a condition that is called image */
        atom->from_image = false;
        p->at = start;
    }
    if (atom->from_image && *p->at != '"')
        return tap_parse_fail(p, "the file of a picture in quotes");
    TAP_TRY(parse_source(p, &atom->text, &atom->from_file,
                         "a trace file, the name of a condition, or image \"FILE\""));
    atom->from_file = atom->from_file && !atom->from_image;
    return tap_parse_expect(p, ")");
}

static tap_status parse_arguments(tap_parser *p, tap_atom *atom)
{
    static const char *const hows[] = {"added", "instead"}; /* ORDER */
    int how = 0;
    /* `mean (a|b)` edits a|b; `mean(a) b` gives b the mean of a */
    const bool bare = atom->edit == TAP_EDIT_MEAN && *p->at != '(';
    if (atom->edit == TAP_EDIT_ZERO || bare)
        return TAP_OK;
    TAP_TRY(tap_parse_expect(p, "("));
    switch (atom->edit) {
    case TAP_EDIT_NOISE:
        TAP_TRY(tap_parse_real(p, &atom->weight, 0.0, 1e6, "a standard deviation"));
        TAP_TRY(tap_parse_expect(p, ","));
        TAP_TRY(tap_parse_seed(p, &atom->seed));
        if (tap_parse_mark(p, ","))
            TAP_TRY(tap_parse_choice(p, &how, "'instead' or 'added'", hows, 2));
        atom->instead = how == 1;
        break;
    case TAP_EDIT_PERMUTE:
    case TAP_EDIT_SCRAMBLE:
        TAP_TRY(tap_parse_seed(p, &atom->seed));
        break;
    case TAP_EDIT_MEAN:
    case TAP_EDIT_COPY:
        TAP_TRY(tap_parse_group(p, &atom->keys));
        break;
    case TAP_EDIT_STEER:
    case TAP_EDIT_PROJECT_OUT:
        TAP_TRY(parse_vector(p, atom));
        break;
    case TAP_EDIT_PATCH:
        return parse_patch(p, atom);
    case TAP_EDIT_NONE:
    case TAP_EDIT_ZERO:
        break;
    }
    return tap_parse_expect(p, ")");
}

static tap_status parse_site(tap_parser *p, tap_atom *atom)
{
    char word[TAP_WORD_BYTES];
    tap_parse_space(p);
    tap_parse_peek(word, p);
    if (!word[0])
        return tap_parse_fail(p, "a site");
    if (!tap_site_find(&atom->site, atom->stack, atom->projector, word)) {
        for (int k = 0; k < 3; k++) { /* vision, lm, projector */
            static const char *const owners[] = {"a site of the encoder, 'vision'",
                                                 "a site of the decoder, 'lm'",
                                                 "a site of the projector"};
            if (tap_site_find(&atom->site, k == 1 ? TAP_LM : TAP_VISION, k == 2, word))
                return TAP_FAIL(p->err, TAP_EINVAL,
                                "condition '%.200s', column %d: '%s' is %s", p->text,
                                tap_parse_column(p), word, owners[k]);
        }
        const char *near = tap_site_nearest(atom->stack, atom->projector, word);
        return tap_parse_unknown(p, "site", word, &near, near ? 1 : 0);
    }
    const tap_site_info *about = tap_site_about(atom->site);
    if (about->use == TAP_SITE_READ)
        return tap_parse_fail(p, "a site whose states can be edited");
    if (!about->per_block && atom->n_blocks > 0)
        return tap_parse_fail(p, "a site inside blocks, since the atom names blocks");
    if (about->use != TAP_SITE_HEADS && atom->n_heads > 0)
        return tap_parse_fail(p, "q, k, v or z: elsewhere columns are not heads");
    p->at += strlen(word);
    atom->site_named = true;
    return TAP_OK;
}

static tap_site default_site(const tap_atom *atom)
{
    if (atom->projector)
        return TAP_SITE_PROJECTOR_OUT;
    if (atom->n_heads > 0)
        return TAP_SITE_Z;
    if (atom->n_blocks > 0)
        return TAP_SITE_RESID_PRE;
    return atom->stack == TAP_LM ? TAP_SITE_EMBED : TAP_SITE_PRE_NORM;
}

/* An action may begin with a group or an edit. A word that is neither, and nearer to an
 * edit than to a group, was meant as one. */
static tap_status refuse_misspelt(tap_parser *p)
{
    static const char *const functions[] = {"ring",   "dilate", "erode", "shift",
                                            "random", "tile",   "span",  "intgrad"};
    char word[TAP_WORD_BYTES];
    const char *known[64];
    size_t n = 0;
    tap_parse_space(p);
    tap_parse_peek(word, p);
    for (size_t i = 0; i < tap_n_group_names; i++)
        known[n++] = tap_group_names[i];
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        known[n++] = functions[i];
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, known[i]) == 0)
            return TAP_OK;
    const size_t n_groups = n;
    for (int kind = 1; kind < N_EDITS; kind++)
        known[n++] = tap_edit_names[kind];
    const char *near = word[0] ? tap_suggest(word, known, n) : NULL;
    for (size_t i = n_groups; near && i < n; i++)
        if (near == known[i])
            return tap_parse_unknown(p, "edit", word, known, n);
    return TAP_OK;
}

tap_status tap_parse_edit(tap_parser *p, tap_atom *atom, bool *is_edit)
{
    *is_edit = false;
    for (int kind = 1; kind < N_EDITS && !*is_edit; kind++)
        if (tap_parse_word(p, tap_edit_names[kind])) {
            atom->edit = (tap_edit_kind)kind;
            *is_edit = true;
        }
    if (!*is_edit)
        return refuse_misspelt(p);
    TAP_TRY(parse_arguments(p, atom));
    TAP_TRY(tap_parse_group(p, &atom->queries));
    atom->site = default_site(atom);
    return tap_parse_word(p, "at") ? parse_site(p, atom) : TAP_OK;
}
