/* A condition's canonical spelling. */
#include "hook/condition.h"

#include <inttypes.h>

static tap_status print_string(tap_buffer *out, const char *text, tap_error *err)
{
    TAP_TRY(tap_buffer_put(out, "\"", 1, err));
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            TAP_TRY(tap_buffer_put(out, "\\", 1, err));
        TAP_TRY(tap_buffer_put(out, text, 1, err));
    }
    return tap_buffer_put(out, "\"", 1, err);
}

static tap_status print_node(tap_buffer *out, const tap_condition *c, int32_t node,
                             int level, tap_error *err);

/* "name([group,] ...": the group where there is one. */
static tap_status print_function(tap_buffer *out, const tap_condition *c,
                                 const tap_group_node *n, const char *name,
                                 tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "%s(", name));
    if (n->left < 0)
        return TAP_OK;
    TAP_TRY(print_node(out, c, n->left, 0, err));
    return tap_buffer_put(out, ",", 1, err);
}

static tap_status print_node(tap_buffer *out, const tap_condition *c, int32_t node,
                             int level, tap_error *err)
{
    const tap_group_node *n = &c->nodes[node];
    static const char *const marks[] = {
        [TAP_GROUP_AND] = "&", [TAP_GROUP_OR] = "|", [TAP_GROUP_MINUS] = "-"};
    switch (n->op) {
    case TAP_GROUP_NAME:
        return tap_buffer_print(out, err, "%s", tap_group_names[n->name]);
    case TAP_GROUP_NOT:
        TAP_TRY(tap_buffer_put(out, "~", 1, err));
        return print_node(out, c, n->left, 3, err);
    case TAP_GROUP_RING:
        TAP_TRY(print_function(out, c, n, "ring", err));
        return tap_buffer_print(out, err, "%" PRId64 ")", n->a);
    case TAP_GROUP_DILATE:
        TAP_TRY(print_function(out, c, n, "dilate", err));
        return tap_buffer_print(out, err, "%" PRId64 ")", n->a);
    case TAP_GROUP_ERODE:
        TAP_TRY(print_function(out, c, n, "erode", err));
        return tap_buffer_print(out, err, "%" PRId64 ")", n->a);
    case TAP_GROUP_SHIFT:
        TAP_TRY(print_function(out, c, n, "shift", err));
        return tap_buffer_print(out, err, "%" PRId64 ",%" PRId64 ")", n->a, n->b);
    case TAP_GROUP_RANDOM:
        TAP_TRY(print_function(out, c, n, "random", err));
        if (n->left < 0)
            TAP_TRY(tap_buffer_print(out, err, "%" PRId64 ",", n->a));
        return tap_buffer_print(out, err, "%" PRId64 ")", n->b);
    case TAP_GROUP_TILE:
        return tap_buffer_print(out, err, "tile(%" PRId64 ")", n->a);
    case TAP_GROUP_INTGRAD:
        TAP_TRY(tap_buffer_print(out, err, "intgrad(%" PRId64 ",", n->a));
        TAP_TRY(print_string(out, c->strings.text + n->text, err));
        return tap_buffer_put(out, ")", 1, err);
    case TAP_GROUP_SPAN:
        TAP_TRY(tap_buffer_put(out, "span(", 5, err));
        TAP_TRY(print_string(out, c->strings.text + n->text, err));
        return tap_buffer_put(out, ")", 1, err);
    case TAP_GROUP_AND:
    case TAP_GROUP_OR:
    case TAP_GROUP_MINUS:
        break;
    }
    const int own = n->op == TAP_GROUP_AND ? 2 : 1; /* the right side binds tighter */
    if (own < level)
        TAP_TRY(tap_buffer_put(out, "(", 1, err));
    TAP_TRY(print_node(out, c, n->left, own, err));
    TAP_TRY(tap_buffer_print(out, err, "%s", marks[n->op]));
    TAP_TRY(print_node(out, c, n->right, own + 1, err));
    return own < level ? tap_buffer_put(out, ")", 1, err) : TAP_OK;
}

static tap_status print_ranges(tap_buffer *out, const tap_range *ranges, int n,
                               tap_error *err)
{
    for (int i = 0; i < n; i++) {
        const tap_range *r = &ranges[i];
        const char *comma = i ? "," : "";
        switch (r->kind) {
        case TAP_RANGE_LAST:
            TAP_TRY(tap_buffer_print(out, err, "%slast", comma));
            break;
        case TAP_RANGE_WINDOW:
            TAP_TRY(tap_buffer_print(out, err, "%swindow(%d,%d)", comma, r->first,
                                     r->last));
            break;
        case TAP_RANGE_PREFIX:
            TAP_TRY(tap_buffer_print(out, err, "%sprefix(%d)", comma, r->first));
            break;
        case TAP_RANGE_SUFFIX:
            TAP_TRY(tap_buffer_print(out, err, "%ssuffix(%d)", comma, r->first));
            break;
        case TAP_RANGE_PLAIN:
            if (r->last == r->first)
                TAP_TRY(tap_buffer_print(out, err, "%s%d", comma, r->first));
            else if (r->last < 0)
                TAP_TRY(tap_buffer_print(out, err, "%s%d-", comma, r->first));
            else
                TAP_TRY(
                    tap_buffer_print(out, err, "%s%d-%d", comma, r->first, r->last));
        }
    }
    return TAP_OK;
}

static tap_status print_edges(tap_buffer *out, const tap_condition *c,
                              const tap_atom *atom, tap_error *err)
{
    static const char *const modes[] = {"", "", " zero", " uniform", " freeze"};
    static const char *const rules[] = {"", " empty self", " empty zero"};
    static const char *const phases[] = {"", " phase prefill", " phase decode"};
    TAP_TRY(print_node(out, c, atom->queries, 0, err));
    TAP_TRY(tap_buffer_put(out, " <- ", 4, err));
    TAP_TRY(print_node(out, c, atom->keys, 0, err));
    if (atom->mode == TAP_MODE_SCALE)
        TAP_TRY(tap_buffer_print(out, err, " scale %.17g", atom->scale));
    TAP_TRY(tap_buffer_print(out, err, "%s", modes[atom->mode]));
    if (atom->drop_self)
        TAP_TRY(tap_buffer_put(out, " drop self", 10, err));
    if (atom->fraction < 1.0)
        TAP_TRY(tap_buffer_print(out, err, " fraction %.17g seed %" PRId64,
                                 atom->fraction, atom->seed));
    if (atom->beyond >= 0)
        TAP_TRY(tap_buffer_print(out, err, " beyond %" PRId64, atom->beyond));
    return tap_buffer_print(out, err, "%s%s", rules[atom->empty], phases[atom->phase]);
}

static tap_status print_edit(tap_buffer *out, const tap_condition *c,
                             const tap_atom *atom, tap_error *err)
{
    const char *text = c->strings.text + atom->text;
    TAP_TRY(tap_buffer_print(out, err, "%s", tap_edit_names[atom->edit]));
    switch (atom->edit) {
    case TAP_EDIT_NOISE:
        TAP_TRY(tap_buffer_print(out, err, "(%.17g,%" PRId64 "%s)", atom->weight,
                                 atom->seed, atom->instead ? ",instead" : ""));
        break;
    case TAP_EDIT_PERMUTE:
    case TAP_EDIT_SCRAMBLE:
        TAP_TRY(tap_buffer_print(out, err, "(%" PRId64 ")", atom->seed));
        break;
    case TAP_EDIT_MEAN:
    case TAP_EDIT_COPY:
        if (atom->keys >= 0) {
            TAP_TRY(tap_buffer_put(out, "(", 1, err));
            TAP_TRY(print_node(out, c, atom->keys, 0, err));
            TAP_TRY(tap_buffer_put(out, ")", 1, err));
        }
        break;
    case TAP_EDIT_STEER:
    case TAP_EDIT_PROJECT_OUT:
        TAP_TRY(tap_buffer_put(out, "(", 1, err));
        TAP_TRY(print_string(out, text, err));
        TAP_TRY(tap_buffer_print(out, err, ",%.17g%s)", atom->weight,
                                 atom->positive ? ",positive" : ""));
        break;
    case TAP_EDIT_PATCH:
        TAP_TRY(tap_buffer_print(out, err, "(%s", atom->from_image ? "image " : ""));
        if (atom->from_file || atom->from_image)
            TAP_TRY(print_string(out, text, err));
        else
            TAP_TRY(tap_buffer_print(out, err, "%s", text));
        TAP_TRY(tap_buffer_put(out, ")", 1, err));
        break;
    case TAP_EDIT_NONE:
    case TAP_EDIT_ZERO:
        break;
    }
    TAP_TRY(tap_buffer_put(out, " ", 1, err));
    TAP_TRY(print_node(out, c, atom->queries, 0, err));
    if (!atom->site_named)
        return TAP_OK;
    const char *site = tap_site_about(atom->site)->name, *dot = site;
    for (const char *at = site; *at; at++)
        dot = *at == '.' ? at + 1 : dot;
    return tap_buffer_print(out, err, " at %s", dot);
}

static tap_status print_atom(tap_buffer *out, const tap_condition *c,
                             const tap_atom *atom, tap_error *err)
{
    TAP_TRY(
        tap_buffer_print(out, err, "%s%s", out->n_bytes ? "; " : "",
                         atom->projector ? "projector" : tap_stack_name(atom->stack)));
    if (atom->n_blocks) {
        TAP_TRY(tap_buffer_put(out, "[", 1, err));
        TAP_TRY(print_ranges(out, atom->blocks, atom->n_blocks, err));
        TAP_TRY(tap_buffer_put(out, "]", 1, err));
    }
    if (atom->n_heads) {
        TAP_TRY(tap_buffer_put(out, ".h[", 3, err));
        TAP_TRY(print_ranges(out, atom->heads, atom->n_heads, err));
        TAP_TRY(tap_buffer_put(out, "]", 1, err));
    }
    TAP_TRY(tap_buffer_put(out, ": ", 2, err));
    return atom->edit ? print_edit(out, c, atom, err) : print_edges(out, c, atom, err);
}

tap_status tap_condition_print(char **text, const tap_condition *condition,
                               tap_error *err)
{
    tap_buffer out = {0};
    tap_status status = tap_buffer_put(&out, "", 0, err);
    for (size_t a = 0; a < condition->n_atoms && status == TAP_OK; a++)
        status = print_atom(&out, condition, &condition->atoms[a], err);
    if (status != TAP_OK) {
        tap_buffer_clear(&out);
        return status;
    }
    *text = out.text;
    return TAP_OK;
}
