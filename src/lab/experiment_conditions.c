/* Which conditions are run, and which four of them are the design? */
#include "base/suggest.h"
#include "lab/experiment_own.h"

#include <assert.h>
#include <string.h>

enum { NAME_LIMIT_BYTES = 64, TEXT_LIMIT_BYTES = 16384 };

/* Names while the section is read: a condition may be used above where it stands. */
typedef struct section {
    tap_experiment *e;
    tap_yaml_at at;
    tap_yaml_at values[TAP_MAX_CONDITIONS];
    const char *names[TAP_MAX_CONDITIONS];
    bool done[TAP_MAX_CONDITIONS], open[TAP_MAX_CONDITIONS];
} section;

static int64_t find_name(const section *s, const char *name)
{
    for (size_t i = 0; i < s->e->n_conditions; i++)
        if (strcmp(s->names[i], name) == 0)
            return (int64_t)i;
    return -1;
}

/* Appends text with single spaces and "; " between atoms: the spelling is not the meaning.
 * What stands in double quotes stays as it is. */
static tap_status put_text(tap_buffer *out, const char *text, tap_error *err)
{
    const char *gap = out->n_bytes ? "; " : "";
    bool quoted = false, begun = false;
    for (; *text; text++) {
        if (!quoted && *text == ';') {
            gap = out->n_bytes ? "; " : "";
        } else if (!quoted && strchr(" \t\n", *text)) {
            if (begun && gap[0] == '\0')
                gap = " ";
        } else {
            TAP_TRY(tap_buffer_print(out, err, "%s%c", gap, *text));
            gap = "";
            begun = true;
            quoted = quoted != (*text == '"');
        }
    }
    return TAP_OK;
}

static tap_status expand(section *s, size_t i, tap_error *err);

static tap_status put_value(tap_buffer *out, section *s, const tap_yaml_at *value,
                            tap_error *err)
{
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, value, NULL, err));
    const int64_t other = find_name(s, text);
    if (other >= 0) {
        if (s->open[other])
            return tap_yaml_fail(value, err,
                                 "leads back to itself through '%s'; write out one of "
                                 "the texts",
                                 text);
        TAP_TRY(expand(s, (size_t)other, err));
        return put_text(out, s->e->conditions[other].text, err);
    }
    /* Condition text always has a colon, shipped names a dot: anything else is a slip. */
    if (text[0] != '\0' && !strpbrk(text, ":.")) {
        const char *nearest = tap_suggest(text, s->names, s->e->n_conditions);
        if (nearest)
            return tap_yaml_fail(value, err,
                                 "uses the condition '%.60s', which is not in this "
                                 "file; did you mean '%s'?",
                                 text, nearest);
        return tap_yaml_fail(value, err,
                             "is neither the name of a condition in this file nor "
                             "condition text: '%.60s'; text looks like "
                             "'vision: image <- image|cls'",
                             text);
    }
    return put_text(out, text, err);
}

/* Depth is bounded by the number of conditions: an open one is never entered again. */
static tap_status expand(section *s, size_t i, tap_error *err)
{
    if (s->done[i])
        return TAP_OK;
    s->open[i] = true;
    tap_buffer text = {0};
    tap_status status = tap_buffer_put(&text, "", 0, err);
    const tap_yaml_at *value = &s->values[i];
    if (status == TAP_OK && !value->node)
        status = tap_yaml_fail(
            &s->at, err, "has no text for '%s'; write \"\" for the clean condition",
            s->names[i]);
    for (size_t k = 0; status == TAP_OK && k < tap_yaml_count(value); k++) {
        const tap_yaml_at item = tap_yaml_item(value, k);
        status = put_value(&text, s, &item, err);
        if (status == TAP_OK && text.n_bytes > TEXT_LIMIT_BYTES)
            status =
                tap_yaml_fail(value, err, "is longer than %d bytes", TEXT_LIMIT_BYTES);
    }
    if (status == TAP_OK)
        status = tap_experiment_own_text(&s->e->conditions[i].text, s->e, text.text,
                                         text.n_bytes, err);
    tap_buffer_clear(&text);
    s->open[i] = false;
    s->done[i] = status == TAP_OK;
    return status;
}

static tap_status check_name(const tap_yaml_at *at, const char *name, tap_error *err)
{
    const size_t n = strlen(name);
    if (n == 0 || n > NAME_LIMIT_BYTES || strpbrk(name, " \t\n;:,\"'"))
        return tap_yaml_fail(at, err,
                             "has the name '%.80s'; names have 1 to %d bytes without "
                             "spaces, quotes, colons, commas and semicolons",
                             name, NAME_LIMIT_BYTES);
    return TAP_OK;
}

static tap_status read_design(section *s, const tap_yaml_at *top, tap_error *err)
{
    tap_experiment *e = s->e;
    const tap_yaml_at at = tap_yaml_find(top, "design", "design");
    const char *cells[TAP_N_CELLS];
    for (int c = 0; c < TAP_N_CELLS; c++)
        cells[c] = tap_cell_name((tap_cell)c);
    TAP_TRY(tap_yaml_check(&at, cells, TAP_N_CELLS, err));
    e->has_design = true;
    for (int c = 0; c < TAP_N_CELLS; c++) {
        const tap_yaml_at member = tap_yaml_find(&at, cells[c], "design");
        const char *name = NULL;
        TAP_TRY(tap_yaml_text(&name, &member, cells[c], err));
        const int64_t i = find_name(s, name);
        if (i < 0 && at.node) {
            const tap_yaml_at *where = member.node ? &member : &at;
            const char *nearest = tap_suggest(name, s->names, e->n_conditions);
            if (nearest)
                return tap_yaml_fail(where, err,
                                     "needs the condition '%.60s' for its cell '%s', "
                                     "which is not in 'conditions'; did you mean '%s'?",
                                     name, cells[c], nearest);
            return tap_yaml_fail(where, err,
                                 "needs the condition '%.60s' for its cell '%s', which "
                                 "is not in 'conditions'",
                                 name, cells[c]);
        }
        e->design[c] = (int32_t)i;
        e->has_design = e->has_design && i >= 0;
    }
    for (int c = 0; c < TAP_N_CELLS && !e->has_design; c++)
        e->design[c] = -1;
    for (int c = 0; c < TAP_N_CELLS && e->has_design; c++)
        for (int other = 0; other < c; other++)
            if (e->design[c] == e->design[other])
                return tap_yaml_fail(&at, err,
                                     "uses the condition '%s' for two cells; the four "
                                     "cells are four conditions",
                                     s->names[e->design[c]]);
    return TAP_OK;
}

tap_status tap_experiment_read_conditions(tap_experiment *e, const tap_yaml_at *top,
                                          tap_error *err)
{
    section *s = NULL;
    TAP_TRY(tap_alloc(&s, 1, sizeof *s, "conditions", err));
    tap_status status = TAP_OK;
    s->e = e;
    s->at = tap_yaml_find(top, "conditions", "conditions");
    const size_t n = tap_yaml_pairs(&s->at);
    if (n == 0) {
        status = tap_yaml_fail(&s->at, err,
                               "must hold at least one condition as 'name: text', for "
                               "example 'clean: \"\"'");
        goto out;
    }
    if (n > TAP_MAX_CONDITIONS) {
        status = tap_yaml_fail(&s->at, err, "has %zu conditions, at most %d are run", n,
                               TAP_MAX_CONDITIONS);
        goto out;
    }
    TAP_TRY_OUT(tap_experiment_own(&e->conditions, e, n, sizeof *e->conditions, err));
    e->n_conditions = n;
    for (size_t i = 0; i < n; i++) {
        const char *name = NULL;
        TAP_TRY_OUT(tap_yaml_pair(&name, &s->values[i], &s->at, i, err));
        TAP_TRY_OUT(check_name(&s->at, name, err));
        TAP_TRY_OUT(tap_experiment_own_text(&e->conditions[i].name, e, name,
                                            strlen(name), err));
        s->names[i] = e->conditions[i].name;
        e->conditions[i].line = (int64_t)tap_yaml_line(&s->values[i]);
    }
    for (size_t i = 0; i < n; i++)
        TAP_TRY_OUT(expand(s, i, err));
    TAP_TRY_OUT(read_design(s, top, err));
out:
    tap_free(s);
    return status;
}

static tap_status read_point(tap_dose_point *point, const tap_experiment *e,
                             const tap_yaml_at *at, tap_error *err)
{
    static const char *const KEYS[] = {"dose", "condition"};
    TAP_TRY(tap_yaml_check(at, KEYS, 2, err));
    const tap_yaml_at dose = tap_yaml_find(at, "dose", "dose");
    if (!dose.node)
        return tap_yaml_fail(at, err, "has a point without 'dose'");
    TAP_TRY(tap_yaml_real(&point->dose, &dose, 0.0, -1000000.0, 1000000.0, err));
    const tap_yaml_at condition = tap_yaml_find(at, "condition", "condition");
    const char *names[TAP_MAX_CONDITIONS];
    for (size_t i = 0; i < e->n_conditions; i++)
        names[i] = e->conditions[i].name;
    if (!condition.node)
        return tap_yaml_fail(at, err, "has a point without 'condition'");
    int index = 0;
    TAP_TRY(tap_yaml_word(&index, &condition, 0, names, e->n_conditions, err));
    point->condition = index;
    return TAP_OK;
}

tap_status tap_experiment_read_doses(tap_experiment *e, const tap_yaml_at *top,
                                     tap_error *err)
{
    const tap_yaml_at at = tap_yaml_find(top, "doses", "doses");
    const size_t n = tap_yaml_pairs(&at);
    if (at.node && n == 0)
        return tap_yaml_fail(&at, err,
                             "must hold curves as 'name: [{dose: 0, condition: clean}, "
                             "...]'");
    TAP_TRY(tap_experiment_own(&e->doses, e, n, sizeof *e->doses, err));
    for (size_t i = 0; i < n; i++) {
        const char *name = NULL;
        tap_yaml_at list = {0};
        TAP_TRY(tap_yaml_pair(&name, &list, &at, i, err));
        tap_dose_curve *curve = &e->doses[i];
        TAP_TRY(tap_experiment_own_text(&curve->name, e, name, strlen(name), err));
        list.place = curve->name;
        curve->n_points = tap_yaml_count(&list);
        if (curve->n_points < 2 || curve->n_points > TAP_MAX_CONDITIONS)
            return tap_yaml_fail(&list, err, "needs 2 to %d points, found %zu",
                                 TAP_MAX_CONDITIONS, curve->n_points);
        TAP_TRY(tap_experiment_own(&curve->points, e, curve->n_points,
                                   sizeof *curve->points, err));
        for (size_t k = 0; k < curve->n_points; k++) {
            const tap_yaml_at item = tap_yaml_item(&list, k);
            TAP_TRY(read_point(&curve->points[k], e, &item, err));
            if (k && curve->points[k].dose <= curve->points[k - 1].dose)
                return tap_yaml_fail(&item, err,
                                     "must have rising doses, found %g after %g",
                                     curve->points[k].dose, curve->points[k - 1].dose);
        }
    }
    e->n_doses = n;
    return TAP_OK;
}
