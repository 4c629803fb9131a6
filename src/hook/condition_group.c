/* Group expressions: names, functions, set algebra. */
#include "hook/condition_parse.h"

#include <ctype.h>
#include <string.h>

const char *const tap_group_names[] = {
    "all",    "background", "bos",        "cls",     "gen",      "image",
    "last",   "object",     "other_part", "outside", "pad",      "part",
    "prefix", "question",   "reg",        "row_end", "row_last", "thumb"};
const size_t tap_n_group_names = sizeof tap_group_names / sizeof *tap_group_names;

/* How the arguments of a function are read. */
typedef enum shape {
    SHAPE_RADIUS, /* ([group,] r) */
    SHAPE_GROUP,  /* (group, r) */
    SHAPE_SHIFT,  /* ([group,] dx, dy) */
    SHAPE_RANDOM, /* (n or group, seed) */
    SHAPE_TILE,   /* (k) */
    SHAPE_SPAN,   /* ("text") */
    SHAPE_WORD    /* (n, "word") */
} shape;

static const struct {
    const char *name;
    tap_group_op op;
    shape shape;
} functions[] = {{"ring", TAP_GROUP_RING, SHAPE_RADIUS},
                 {"dilate", TAP_GROUP_DILATE, SHAPE_GROUP},
                 {"erode", TAP_GROUP_ERODE, SHAPE_GROUP},
                 {"shift", TAP_GROUP_SHIFT, SHAPE_SHIFT},
                 {"random", TAP_GROUP_RANDOM, SHAPE_RANDOM},
                 {"tile", TAP_GROUP_TILE, SHAPE_TILE},
                 {"span", TAP_GROUP_SPAN, SHAPE_SPAN},
                 {"intgrad", TAP_GROUP_INTGRAD, SHAPE_WORD}};

enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

static tap_status put_node(tap_parser *p, int32_t *index, tap_group_node node)
{
    if (p->out->n_nodes >= TAP_MAX_NODES)
        return tap_parse_fail(p, "at most 4096 groups");
    TAP_TRY(tap_grow(&p->out->nodes, &p->out->node_capacity, p->out->n_nodes + 1,
                     sizeof node, "a condition", p->err));
    *index = (int32_t)p->out->n_nodes;
    p->out->nodes[p->out->n_nodes++] = node;
    return TAP_OK;
}

static bool at_number(tap_parser *p)
{
    tap_parse_space(p);
    return isdigit((unsigned char)*p->at) || *p->at == '-' || *p->at == '+';
}

static tap_status parse_radius(tap_parser *p, int64_t *out)
{
    int32_t r = 0;
    TAP_TRY(tap_parse_int(p, &r));
    *out = r;
    return TAP_OK;
}

/* The arguments of a function, the cursor behind "(". */
static tap_status parse_arguments(tap_parser *p, tap_group_node *node, shape kind)
{
    const bool number_first = at_number(p);
    if (kind == SHAPE_SPAN)
        return tap_parse_string(p, &node->text);
    if (kind == SHAPE_TILE)
        return parse_radius(p, &node->a);
    if (kind == SHAPE_WORD) {
        TAP_TRY(parse_radius(p, &node->a));
        TAP_TRY(tap_parse_expect(p, ","));
        return tap_parse_string(p, &node->text);
    }
    if (kind == SHAPE_RANDOM && number_first) {
        TAP_TRY(parse_radius(p, &node->a));
        TAP_TRY(tap_parse_expect(p, ","));
        return tap_parse_seed(p, &node->b);
    }
    if (kind == SHAPE_GROUP || !number_first) {
        TAP_TRY(tap_parse_group(p, &node->left));
        TAP_TRY(tap_parse_expect(p, ","));
    }
    if (kind == SHAPE_RANDOM)
        return tap_parse_seed(p, &node->b);
    if (kind != SHAPE_SHIFT)
        return parse_radius(p, &node->a);
    TAP_TRY(tap_parse_signed(p, &node->a));
    TAP_TRY(tap_parse_expect(p, ","));
    return tap_parse_signed(p, &node->b);
}

/* A name or a function. */
static tap_status parse_named(tap_parser *p, int32_t *node)
{
    char word[TAP_WORD_BYTES];
    const char *known[32];
    size_t n_known = 0;
    tap_group_node out = {.op = TAP_GROUP_NAME,
                          .left = -1,
                          .right = -1,
                          .name = -1,
                          .column = tap_parse_column(p)};
    tap_parse_peek(word, p);
    if (!word[0])
        return tap_parse_fail(p, "a group");
    for (size_t i = 0; i < tap_n_group_names; i++) {
        known[n_known++] = tap_group_names[i];
        if (strcmp(tap_group_names[i], word) == 0)
            out.name = (int32_t)i;
    }
    if (out.name >= 0) {
        p->at += strlen(word);
        return put_node(p, node, out);
    }
    for (size_t i = 0; i < N_FUNCTIONS; i++) {
        known[n_known++] = functions[i].name;
        if (strcmp(functions[i].name, word) != 0)
            continue;
        p->at += strlen(word);
        out.op = functions[i].op;
        TAP_TRY(tap_parse_expect(p, "("));
        TAP_TRY(parse_arguments(p, &out, functions[i].shape));
        TAP_TRY(tap_parse_expect(p, ")"));
        return put_node(p, node, out);
    }
    return tap_parse_unknown(p, "group", word, known, n_known);
}

static tap_status parse_factor(tap_parser *p, int32_t *node)
{
    tap_parse_space(p);
    if (++p->depth > TAP_MAX_NESTING)
        return tap_parse_fail(p, "fewer nested groups");
    tap_status status = TAP_OK;
    const int column = tap_parse_column(p);
    if (tap_parse_mark(p, "~")) {
        int32_t inner = -1;
        status = parse_factor(p, &inner);
        if (status == TAP_OK)
            status = put_node(
                p, node,
                (tap_group_node){
                    .op = TAP_GROUP_NOT, .left = inner, .right = -1, .column = column});
    } else if (tap_parse_mark(p, "(")) {
        status = tap_parse_group(p, node);
        if (status == TAP_OK)
            status = tap_parse_expect(p, ")");
    } else {
        status = parse_named(p, node);
    }
    p->depth--;
    return status;
}

static tap_status put_pair(tap_parser *p, int32_t *node, tap_group_op op, int32_t right)
{
    const int column = p->out->nodes[*node].column;
    return put_node(
        p, node,
        (tap_group_node){.op = op, .left = *node, .right = right, .column = column});
}

static tap_status parse_term(tap_parser *p, int32_t *node)
{
    TAP_TRY(parse_factor(p, node));
    while (tap_parse_mark(p, "&")) {
        int32_t right = -1;
        TAP_TRY(parse_factor(p, &right));
        TAP_TRY(put_pair(p, node, TAP_GROUP_AND, right));
    }
    return TAP_OK;
}

/* "~" binds first, then "&", then "|" and "-" from left to right. */
tap_status tap_parse_group(tap_parser *p, int32_t *node)
{
    TAP_TRY(parse_term(p, node));
    for (;;) {
        tap_parse_space(p);
        if (strncmp(p->at, "->", 2) == 0)
            return tap_parse_fail(p, "'<-': queries <- keys");
        const bool minus = tap_parse_mark(p, "-");
        if (!minus && !tap_parse_mark(p, "|"))
            return TAP_OK;
        int32_t right = -1;
        TAP_TRY(parse_term(p, &right));
        TAP_TRY(put_pair(p, node, minus ? TAP_GROUP_MINUS : TAP_GROUP_OR, right));
    }
}

bool tap_condition_has_picture(const tap_condition *condition)
{
    for (size_t a = 0; a < condition->n_atoms; a++)
        if (condition->atoms[a].from_image)
            return true;
    return false;
}

bool tap_condition_names(const tap_condition *condition, const char *group)
{
    for (size_t i = 0; i < condition->n_nodes; i++) {
        const tap_group_node *n = &condition->nodes[i];
        const bool part =
            n->left < 0 && (n->op == TAP_GROUP_RING || n->op == TAP_GROUP_SHIFT);
        if (n->op == TAP_GROUP_NAME ? strcmp(tap_group_names[n->name], group) == 0
                                    : part && strcmp(group, "part") == 0)
            return true;
    }
    return false;
}

bool tap_condition_is_of_encoder(const tap_condition *condition)
{
    for (size_t i = 0; i < condition->n_atoms; i++) {
        const tap_atom *a = &condition->atoms[i];
        if (a->stack != TAP_VISION || a->projector)
            return false;
    }
    return true;
}
