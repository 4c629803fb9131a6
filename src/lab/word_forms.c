#include "lab/word_forms.h"

#include <string.h>

static const char *const plural_columns[] = {"singular", "plural"};
static const char *const synonym_columns[] = {"label", "synonym"};

static tap_status open_synonyms(tap_tsv *out, const char *synonyms, tap_error *err)
{
    if (strcmp(synonyms, "none") == 0)
        return TAP_OK;
    if (strcmp(synonyms, "default") == 0)
        return tap_shared_table_open(out, "synonyms", synonym_columns, 2, err);
    tap_tsv table;
    TAP_TRY(tap_tsv_read(&table, synonyms, synonym_columns, 2, 2, true, err));
    for (size_t r = 0; r < table.n_rows; r++)
        if (!*tap_tsv_cell(&table, r, 0) || !*tap_tsv_cell(&table, r, 1)) {
            const tap_status status = tap_tsv_fail(&table, r, "an empty cell", err);
            tap_tsv_clear(&table);
            return status;
        }
    *out = table;
    return TAP_OK;
}

tap_status tap_word_forms_open(tap_word_forms *out, const char *synonyms,
                               tap_error *err)
{
    tap_word_forms forms = {0};
    TAP_TRY(tap_shared_table_open(&forms.plurals, "plurals", plural_columns, 2, err));
    const tap_status status = open_synonyms(&forms.synonyms, synonyms, err);
    if (status == TAP_OK)
        *out = forms;
    else
        tap_word_forms_clear(&forms);
    return status;
}

void tap_word_forms_clear(tap_word_forms *forms)
{
    tap_tsv_clear(&forms->plurals);
    tap_tsv_clear(&forms->synonyms);
}

static bool ends_with(const char *word, const char *end)
{
    const size_t n = strlen(word), m = strlen(end);
    return n >= m && strcmp(word + n - m, end) == 0;
}

tap_status tap_word_plural(char **out, const tap_word_forms *forms, const char *word,
                           tap_error *err)
{
    static const char *const hisses[] = {"s", "x", "z", "ch", "sh"};
    const char *space = strrchr(word, ' '), *last = space ? space + 1 : word;
    const int n_before = (int)(last - word), n = (int)strlen(word);
    for (size_t r = 0; r < forms->plurals.n_rows; r++)
        if (strcmp(last, tap_tsv_cell(&forms->plurals, r, 0)) == 0)
            return tap_text_format(out, err, "%.*s%s", n_before, word,
                                   tap_tsv_cell(&forms->plurals, r, 1));
    for (size_t i = 0; i < sizeof hisses / sizeof *hisses; i++)
        if (ends_with(last, hisses[i]))
            return tap_text_format(out, err, "%ses", word);
    if (n - n_before > 1 && word[n - 1] == 'y' && !strchr("aeiou", word[n - 2]))
        return tap_text_format(out, err, "%.*sies", n - 1, word);
    return tap_text_format(out, err, "%ss", word);
}

const char *tap_word_synonym(const tap_word_forms *forms, const char *label, size_t k)
{
    for (size_t r = 0; r < forms->synonyms.n_rows; r++)
        if (strcmp(label, tap_tsv_cell(&forms->synonyms, r, 0)) == 0 && k-- == 0)
            return tap_tsv_cell(&forms->synonyms, r, 1);
    return NULL;
}
