#include "format/torch_pickle.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 8, MAX_TENSORS = 1000000, MAX_NAME_BYTES = 1024 };

/* HOW IT WORKS
 * Values are small and copied; containers, storages and tensors are objects in tables and
 * a value holds their number. So a pickle of n bytes makes at most n values however it
 * refers to itself, and there is no recursion until the finished dictionary is read. */
typedef enum kind {
    KIND_MARK,
    KIND_OTHER, /* None, floats: carried and never looked at */
    KIND_INT,   /* also booleans */
    KIND_TEXT,
    KIND_TUPLE,
    KIND_LIST,
    KIND_DICT, /* items are key, value, key, value ... */
    KIND_GLOBAL,
    KIND_STORAGE,
    KIND_TENSOR
} kind;

typedef struct value {
    kind kind;
    int64_t number; /* integer; n bytes of a text; place of an object or a global */
    const unsigned char *text;
} value;

typedef struct object {
    value *items;
    size_t n, capacity;
} object;

typedef struct storage {
    const struct global *type;
    value key; /* text */
    int64_t n;
} storage;

typedef enum role { ROLE_STORAGE, ROLE_DICT, ROLE_TENSOR, ROLE_PARAMETER } role;

typedef struct global {
    const char *module, *name;
    role role;
    const char *word; /* of storages */
    tap_dtype dtype;
    size_t element_bytes;
} global;

static const global globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, NULL, TAP_OTHER, 0},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, NULL, TAP_OTHER, 0},
    {"torch._utils", "_rebuild_parameter", ROLE_PARAMETER, NULL, TAP_OTHER, 0},
    {"torch", "FloatStorage", ROLE_STORAGE, "F32", TAP_F32, 4},
    {"torch", "HalfStorage", ROLE_STORAGE, "F16", TAP_F16, 2},
    {"torch", "BFloat16Storage", ROLE_STORAGE, "BF16", TAP_BF16, 2},
    {"torch", "DoubleStorage", ROLE_STORAGE, "F64", TAP_F64, 8},
    {"torch", "LongStorage", ROLE_STORAGE, "I64", TAP_I64, 8},
    {"torch", "IntStorage", ROLE_STORAGE, "I32", TAP_I32, 4},
    {"torch", "ShortStorage", ROLE_STORAGE, "I16", TAP_OTHER, 2},
    {"torch", "CharStorage", ROLE_STORAGE, "I8", TAP_OTHER, 1},
    {"torch", "ByteStorage", ROLE_STORAGE, "U8", TAP_U8, 1},
    {"torch", "BoolStorage", ROLE_STORAGE, "BOOL", TAP_OTHER, 1},
};

enum { N_GLOBALS = sizeof globals / sizeof globals[0] };

typedef struct machine {
    const unsigned char *bytes;
    size_t n_bytes, at, begin; /* begin: of the instruction, for messages */
    const char *path;
    tap_error *err;
    value *stack, *memo;
    size_t n_stack, stack_capacity, n_memo, memo_capacity;
    object *objects;
    storage *storages;
    tap_torch_tensor *tensors; /* names still missing */
    size_t n_objects, objects_capacity, n_storages, storages_capacity, n_tensors,
        tensors_capacity;
} machine;

static tap_status fail_damaged(const machine *m, const char *what)
{
    return TAP_FAIL(m->err, TAP_EFORMAT,
                    "cannot read '%s': its data.pkl is damaged at byte %zu: %s",
                    m->path, m->begin, what);
}

/* ---- bytes ---- */

static tap_status take(const unsigned char **out, machine *m, size_t n)
{
    if (n > m->n_bytes - m->at)
        return fail_damaged(m, "it ends inside an instruction");
    *out = m->bytes + m->at;
    m->at += n;
    return TAP_OK;
}

/* An unsigned little-endian number of n <= 8 bytes. */
static tap_status take_number(uint64_t *out, machine *m, size_t n)
{
    const unsigned char *bytes = NULL;
    TAP_TRY(take(&bytes, m, n));
    uint64_t number = 0;
    for (size_t i = 0; i < n; i++)
        number |= (uint64_t)bytes[i] << (8 * i);
    *out = number;
    return TAP_OK;
}

/* Up to a newline, which is skipped. */
static tap_status take_line(value *out, machine *m)
{
    const unsigned char *first = m->bytes + m->at;
    const unsigned char *end = memchr(first, '\n', m->n_bytes - m->at);
    if (!end)
        return fail_damaged(m, "it ends inside an instruction");
    *out = (value){.kind = KIND_TEXT, .number = end - first, .text = first};
    m->at += (size_t)(end - first) + 1;
    return TAP_OK;
}

/* ---- stack ---- */

static tap_status push(machine *m, value v)
{
    TAP_TRY(tap_grow(&m->stack, &m->stack_capacity, m->n_stack + 1, sizeof *m->stack,
                     "a pickle", m->err));
    m->stack[m->n_stack++] = v;
    return TAP_OK;
}

static tap_status pop(value *out, machine *m)
{
    if (m->n_stack == 0 || m->stack[m->n_stack - 1].kind == KIND_MARK)
        return fail_damaged(m, "a value is missing");
    *out = m->stack[--m->n_stack];
    return TAP_OK;
}

static bool is_text(const value *v, const char *text)
{
    return v->kind == KIND_TEXT && (size_t)v->number == strlen(text) &&
           memcmp(v->text, text, strlen(text)) == 0;
}

static tap_status append(machine *m, object *to, value v)
{
    TAP_TRY(tap_grow(&to->items, &to->capacity, to->n + 1, sizeof *to->items,
                     "a pickle", m->err));
    to->items[to->n++] = v;
    return TAP_OK;
}

/* A new container of the top n values of the stack, pushed in their place. */
static tap_status push_object(machine *m, kind what, size_t n)
{
    TAP_TRY(tap_grow(&m->objects, &m->objects_capacity, m->n_objects + 1,
                     sizeof *m->objects, "a pickle", m->err));
    object *made = &m->objects[m->n_objects++];
    if (n > m->n_stack)
        return fail_damaged(m, "a value is missing");
    for (size_t i = m->n_stack - n; i < m->n_stack; i++) {
        if (m->stack[i].kind == KIND_MARK)
            return fail_damaged(m, "a value is missing");
        TAP_TRY(append(m, made, m->stack[i]));
    }
    m->n_stack -= n;
    return push(m, (value){.kind = what, .number = (int64_t)m->n_objects - 1});
}

/* How many values stand above the last mark. */
static tap_status count_to_mark(size_t *out, const machine *m)
{
    for (size_t n = 0; n < m->n_stack; n++)
        if (m->stack[m->n_stack - 1 - n].kind == KIND_MARK) {
            *out = n;
            return TAP_OK;
        }
    return fail_damaged(m, "a mark is missing");
}

static tap_status push_marked_tuple(machine *m)
{
    size_t n = 0;
    TAP_TRY(count_to_mark(&n, m));
    TAP_TRY(push_object(m, KIND_TUPLE, n));
    m->stack[m->n_stack - 2] = m->stack[m->n_stack - 1]; /* over the mark */
    m->n_stack--;
    return TAP_OK;
}

/* Moves the top n values into the container below them (and below a mark, if marked). */
static tap_status add_items(machine *m, kind expected, size_t n, bool marked)
{
    if (n + marked + 1 > m->n_stack ||
        m->stack[m->n_stack - n - marked - 1].kind != expected ||
        (expected == KIND_DICT && n % 2 != 0))
        return fail_damaged(m, "values have no place to go");
    object *to = &m->objects[m->stack[m->n_stack - n - marked - 1].number];
    for (size_t i = m->n_stack - n; i < m->n_stack; i++)
        TAP_TRY(append(m, to, m->stack[i]));
    m->n_stack -= n + marked;
    return TAP_OK;
}

static tap_status add_marked_items(machine *m, kind expected)
{
    size_t n = 0;
    TAP_TRY(count_to_mark(&n, m));
    return add_items(m, expected, n, true);
}

/* ---- memo ---- */

static tap_status put_memo(machine *m, uint64_t place)
{
    if (m->n_stack == 0 || m->stack[m->n_stack - 1].kind == KIND_MARK)
        return fail_damaged(m, "a value is missing");
    if (place > m->n_memo) /* writers count up */
        return fail_damaged(m, "a memo has an impossible number");
    TAP_TRY(tap_grow(&m->memo, &m->memo_capacity, (size_t)place + 1, sizeof *m->memo,
                     "a pickle", m->err));
    if (place == m->n_memo)
        m->n_memo++;
    m->memo[place] = m->stack[m->n_stack - 1];
    return TAP_OK;
}

static tap_status get_memo(machine *m, uint64_t place)
{
    if (place >= m->n_memo)
        return fail_damaged(m, "a memo was never made");
    return push(m, m->memo[place]);
}

/* ---- names, storages, tensors ---- */

static tap_status push_global(machine *m, const value *module, const value *name)
{
    if (module->kind != KIND_TEXT || name->kind != KIND_TEXT)
        return fail_damaged(m, "a name is not text");
    for (int i = 0; i < N_GLOBALS; i++)
        if (is_text(module, globals[i].module) && is_text(name, globals[i].name))
            return push(m, (value){.kind = KIND_GLOBAL, .number = i});
    return TAP_FAIL(m->err, TAP_EUNSUPPORTED,
                    "cannot read '%s': its data.pkl asks for '%.*s.%.*s', which is no "
                    "part of a dictionary of tensors; nothing was executed. Save the "
                    "state dictionary alone, or as safetensors",
                    m->path, (int)(module->number < 60 ? module->number : 60),
                    (const char *)module->text,
                    (int)(name->number < 60 ? name->number : 60),
                    (const char *)name->text);
}

/* ("storage", class, key, location, count) */
static tap_status push_storage(machine *m)
{
    value id = {0};
    TAP_TRY(pop(&id, m));
    const object *o = id.kind == KIND_TUPLE ? &m->objects[id.number] : NULL;
    if (!o || o->n != 5 || !is_text(&o->items[0], "storage") ||
        o->items[1].kind != KIND_GLOBAL ||
        globals[o->items[1].number].role != ROLE_STORAGE ||
        o->items[2].kind != KIND_TEXT || o->items[4].kind != KIND_INT ||
        o->items[4].number < 0)
        return fail_damaged(m, "a storage is not described as torch does");
    TAP_TRY(tap_grow(&m->storages, &m->storages_capacity, m->n_storages + 1,
                     sizeof *m->storages, "a pickle", m->err));
    m->storages[m->n_storages] = (storage){.type = &globals[o->items[1].number],
                                           .key = o->items[2],
                                           .n = o->items[4].number};
    return push(m, (value){.kind = KIND_STORAGE, .number = (int64_t)m->n_storages++});
}

/* Sizes and strides; false if an element would lie outside the storage. */
static bool read_window(tap_torch_tensor *t, const object *sizes, const object *strides)
{
    int64_t last = t->first, count = 1, expected = 1;
    for (size_t d = 0; d < sizes->n; d++) {
        const value *size = &sizes->items[d], *stride = &strides->items[d];
        if (size->kind != KIND_INT || stride->kind != KIND_INT || size->number < 0 ||
            stride->number < 0 || __builtin_mul_overflow(count, size->number, &count))
            return false;
        t->shape.shape[d] = size->number;
        t->strides[d] = stride->number;
        int64_t way = 0;
        if (size->number > 0 &&
            (__builtin_mul_overflow(size->number - 1, stride->number, &way) ||
             __builtin_add_overflow(last, way, &last)))
            return false;
    }
    t->is_contiguous = true;
    if (count == 0)
        return t->first <= t->n_storage;
    for (size_t d = sizes->n; d-- > 0;) {
        if (t->shape.shape[d] != 1 && t->strides[d] != expected)
            t->is_contiguous = false;
        expected *= t->shape.shape[d];
    }
    return last < t->n_storage && count <= t->n_storage;
}

/* _rebuild_tensor_v2(storage, offset, sizes, strides, ...) */
static tap_status push_tensor(machine *m, const object *args)
{
    if (args->n < 4 || args->items[0].kind != KIND_STORAGE ||
        args->items[1].kind != KIND_INT || args->items[1].number < 0 ||
        args->items[2].kind != KIND_TUPLE || args->items[3].kind != KIND_TUPLE)
        return fail_damaged(m, "a tensor is not described as torch does");
    const object *sizes = &m->objects[args->items[2].number];
    const object *strides = &m->objects[args->items[3].number];
    if (sizes->n != strides->n || sizes->n > TAP_MAX_DIMS)
        return fail_damaged(m,
                            "a tensor has too many dimensions, or not one stride for "
                            "each");
    const storage *s = &m->storages[args->items[0].number];
    tap_torch_tensor t = {
        .dtype = s->type->word,
        .shape = {.dtype = s->type->dtype, .n_dims = (int)sizes->n},
        .element_bytes = s->type->element_bytes,
        .first = args->items[1].number,
        .n_storage = s->n,
    };
    if (!read_window(&t, sizes, strides))
        return fail_damaged(m, "a tensor reaches beyond its storage");
    TAP_TRY(tap_grow(&m->tensors, &m->tensors_capacity, m->n_tensors + 1,
                     sizeof *m->tensors, "a pickle", m->err));
    TAP_TRY(tap_text_copy(&t.key, (const char *)s->key.text, (size_t)s->key.number,
                          m->err));
    m->tensors[m->n_tensors] = t;
    return push(m, (value){.kind = KIND_TENSOR, .number = (int64_t)m->n_tensors++});
}

static tap_status reduce(machine *m)
{
    value args = {0}, callee = {0};
    TAP_TRY(pop(&args, m));
    TAP_TRY(pop(&callee, m));
    if (args.kind != KIND_TUPLE || callee.kind != KIND_GLOBAL)
        return fail_damaged(m, "a call is not made of a name and its arguments");
    const object *o = &m->objects[args.number];
    switch (globals[callee.number].role) {
    case ROLE_DICT:
        if (o->n != 0)
            return fail_damaged(m, "an OrderedDict is made from arguments");
        return push_object(m, KIND_DICT, 0);
    case ROLE_TENSOR:
        return push_tensor(m, o);
    case ROLE_PARAMETER:
        if (o->n < 1 || o->items[0].kind != KIND_TENSOR)
            return fail_damaged(m, "a parameter holds no tensor");
        return push(m, o->items[0]);
    case ROLE_STORAGE:
        break;
    }
    return fail_damaged(m, "a storage class is called");
}

/* The attributes of an OrderedDict (torch keeps versions there) are dropped. */
static tap_status build(machine *m)
{
    value attributes = {0};
    TAP_TRY(pop(&attributes, m));
    if (m->n_stack == 0 || m->stack[m->n_stack - 1].kind != KIND_DICT)
        return fail_damaged(m,
                            "attributes are given to something that is no dictionary");
    return TAP_OK;
}

/* ---- instructions ---- */

static tap_status push_int(machine *m, size_t n, bool is_signed)
{
    uint64_t number = 0;
    if (n > 8)
        return fail_damaged(m, "a number has more than 64 bits");
    TAP_TRY(take_number(&number, m, n));
    if (is_signed && n > 0 && n < 8 && number >> (8 * n - 1))
        number |= ~UINT64_C(0) << (8 * n);
    return push(m, (value){.kind = KIND_INT, .number = (int64_t)number});
}

static tap_status push_text(machine *m, size_t length_bytes)
{
    uint64_t n = 0;
    const unsigned char *text = NULL;
    TAP_TRY(take_number(&n, m, length_bytes));
    if (n > m->n_bytes)
        return fail_damaged(m, "it ends inside an instruction");
    TAP_TRY(take(&text, m, (size_t)n));
    return push(m, (value){.kind = KIND_TEXT, .number = (int64_t)n, .text = text});
}

static tap_status push_named_global(machine *m, bool from_stack)
{
    value module = {0}, name = {0};
    if (from_stack) {
        TAP_TRY(pop(&name, m));
        TAP_TRY(pop(&module, m));
    } else {
        TAP_TRY(take_line(&module, m));
        TAP_TRY(take_line(&name, m));
    }
    return push_global(m, &module, &name);
}

static tap_status skip(machine *m, size_t n)
{
    const unsigned char *skipped = NULL;
    return take(&skipped, m, n);
}

static tap_status use_memo(machine *m, size_t n, bool is_put)
{
    uint64_t place = 0;
    TAP_TRY(take_number(&place, m, n));
    return is_put ? put_memo(m, place) : get_memo(m, place);
}

static tap_status push_long(machine *m)
{
    uint64_t n = 0;
    TAP_TRY(take_number(&n, m, 1));
    return push_int(m, (size_t)n, true);
}

static tap_status push_float(machine *m)
{
    TAP_TRY(skip(m, 8));
    return push(m, (value){.kind = KIND_OTHER});
}

/* One instruction, STOP apart; names in capitals are those of pickletools. */
static tap_status step(machine *m, unsigned op)
{
    switch (op) {
    case 0x80: /* PROTO */
        return skip(m, 1);
    case 0x95: /* FRAME */
        return skip(m, 8);
    case '(': /* MARK */
        return push(m, (value){.kind = KIND_MARK});
    case 'N': /* NONE */
        return push(m, (value){.kind = KIND_OTHER});
    case 0x88: /* NEWTRUE */
        return push(m, (value){.kind = KIND_INT, .number = 1});
    case 0x89: /* NEWFALSE */
        return push(m, (value){.kind = KIND_INT, .number = 0});
    case 'K': /* BININT1 */
        return push_int(m, 1, false);
    case 'M': /* BININT2 */
        return push_int(m, 2, false);
    case 'J': /* BININT */
        return push_int(m, 4, true);
    case 0x8a: /* LONG1 */
        return push_long(m);
    case 'G': /* BINFLOAT */
        return push_float(m);
    case 0x8c: /* SHORT_BINUNICODE */
        return push_text(m, 1);
    case 'X': /* BINUNICODE */
        return push_text(m, 4);
    case 0x8d: /* BINUNICODE8 */
        return push_text(m, 8);
    case ')': /* EMPTY_TUPLE */
        return push_object(m, KIND_TUPLE, 0);
    case 0x85: /* TUPLE1 */
        return push_object(m, KIND_TUPLE, 1);
    case 0x86: /* TUPLE2 */
        return push_object(m, KIND_TUPLE, 2);
    case 0x87: /* TUPLE3 */
        return push_object(m, KIND_TUPLE, 3);
    case 't': /* TUPLE */
        return push_marked_tuple(m);
    case ']': /* EMPTY_LIST */
        return push_object(m, KIND_LIST, 0);
    case 'a': /* APPEND */
        return add_items(m, KIND_LIST, 1, false);
    case 'e': /* APPENDS */
        return add_marked_items(m, KIND_LIST);
    case '}': /* EMPTY_DICT */
        return push_object(m, KIND_DICT, 0);
    case 's': /* SETITEM */
        return add_items(m, KIND_DICT, 2, false);
    case 'u': /* SETITEMS */
        return add_marked_items(m, KIND_DICT);
    case 'q': /* BINPUT */
        return use_memo(m, 1, true);
    case 'r': /* LONG_BINPUT */
        return use_memo(m, 4, true);
    case 0x94: /* MEMOIZE */
        return put_memo(m, m->n_memo);
    case 'h': /* BINGET */
        return use_memo(m, 1, false);
    case 'j': /* LONG_BINGET */
        return use_memo(m, 4, false);
    case 'c': /* GLOBAL */
        return push_named_global(m, false);
    case 0x93: /* STACK_GLOBAL */
        return push_named_global(m, true);
    case 'Q': /* BINPERSID */
        return push_storage(m);
    case 'R': /* REDUCE */
        return reduce(m);
    case 'b': /* BUILD */
        return build(m);
    default:
        return TAP_FAIL(
            m->err, TAP_EUNSUPPORTED,
            "cannot read '%s': its data.pkl uses the instruction 0x%02x at "
            "byte %zu, which dictionaries of tensors do not need; nothing "
            "was executed. Save the state dictionary alone, or as safetensors",
            m->path, op, m->begin);
    }
}

static tap_status run(value *out, machine *m)
{
    for (;;) {
        uint64_t op = 0;
        m->begin = m->at;
        TAP_TRY(take_number(&op, m, 1));
        if (op == '.') /* STOP */
            return pop(out, m);
        TAP_TRY(step(m, (unsigned)op));
    }
}

/* ---- the finished dictionary ---- */

static tap_status print_key(char *text, size_t n_text, const machine *m,
                            const char *front, const value *key)
{
    int n = -1;
    if (key->kind == KIND_INT)
        n = snprintf(text, n_text, "%s%lld", front, (long long)key->number);
    else if (key->kind == KIND_TEXT && key->number < MAX_NAME_BYTES &&
             !memchr(key->text, '\0', (size_t)key->number))
        n = snprintf(text, n_text, "%s%.*s", front, (int)key->number,
                     (const char *)key->text);
    if (n < 0 || (size_t)n >= n_text)
        return fail_damaged(m, "the name of a tensor is too long or not text");
    return TAP_OK;
}

static tap_status collect_tensor(tap_torch_dictionary *out, const machine *m,
                                 const char *name, const tap_torch_tensor *from)
{
    if (out->n >= MAX_TENSORS)
        return fail_damaged(m, "it holds more than 1000000 tensors");
    TAP_TRY(tap_grow(&out->tensors, &out->capacity, out->n + 1, sizeof *out->tensors,
                     "a list of tensors", m->err));
    tap_torch_tensor *t = &out->tensors[out->n];
    *t = *from;
    t->name = t->key = NULL;
    out->n++;
    TAP_TRY(tap_text_copy(&t->name, name, strlen(name), m->err));
    return tap_text_copy(&t->key, from->key, strlen(from->key), m->err);
}

/* Dictionaries may hold each other more than once or in a ring: depth and the number of
 * entries looked at are limited. */
static tap_status collect(tap_torch_dictionary *out, const machine *m, int64_t dict,
                          const char *front, int depth, size_t *n_seen)
{
    if (depth > MAX_NESTING)
        return fail_damaged(m, "dictionaries are nested too deep");
    const object *o = &m->objects[dict];
    for (size_t i = 0; i + 1 < o->n; i += 2) {
        const value *v = &o->items[i + 1];
        if (++*n_seen > MAX_TENSORS)
            return fail_damaged(m, "it holds more than 1000000 tensors");
        if (v->kind != KIND_TENSOR && v->kind != KIND_DICT)
            continue;
        char name[MAX_NAME_BYTES];
        TAP_TRY(print_key(name, sizeof name - 1, m, front, &o->items[i]));
        if (v->kind == KIND_TENSOR) {
            TAP_TRY(collect_tensor(out, m, name, &m->tensors[v->number]));
        } else {
            memcpy(name + strlen(name), ".", 2);
            TAP_TRY(collect(out, m, v->number, name, depth + 1, n_seen));
        }
    }
    return TAP_OK;
}

static int compare_names(const void *a, const void *b)
{
    const tap_torch_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static tap_status sort_names(tap_torch_dictionary *out, const machine *m)
{
    qsort(out->tensors, out->n, sizeof *out->tensors, compare_names);
    for (size_t i = 1; i < out->n; i++)
        if (strcmp(out->tensors[i - 1].name, out->tensors[i].name) == 0)
            return TAP_FAIL(
                m->err, TAP_EFORMAT,
                "cannot read '%s': its data.pkl names tensor '%.150s' twice", m->path,
                out->tensors[i].name);
    return TAP_OK;
}

static void clear_machine(machine *m)
{
    for (size_t i = 0; i < m->n_objects; i++)
        tap_free(m->objects[i].items);
    for (size_t i = 0; i < m->n_tensors; i++)
        tap_free(m->tensors[i].key);
    tap_free(m->objects);
    tap_free(m->storages);
    tap_free(m->tensors);
    tap_free(m->stack);
    tap_free(m->memo);
}

tap_status tap_torch_pickle_parse(tap_torch_dictionary *out, const void *bytes,
                                  size_t n_bytes, const char *path, tap_error *err)
{
    machine m = {.bytes = bytes, .n_bytes = n_bytes, .path = path, .err = err};
    tap_torch_dictionary found = {0};
    value top = {0};
    size_t n_seen = 0;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(run(&top, &m));
    if (top.kind == KIND_DICT)
        TAP_TRY_OUT(collect(&found, &m, top.number, "", 0, &n_seen));
    if (found.n > 0)
        status = sort_names(&found, &m);
    else
        status = TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': its data.pkl holds no dictionary of tensors", path);
out:
    clear_machine(&m);
    if (status == TAP_OK)
        *out = found;
    else
        tap_torch_dictionary_clear(&found);
    return status;
}

void tap_torch_dictionary_clear(tap_torch_dictionary *dictionary)
{
    for (size_t i = 0; i < dictionary->n; i++) {
        tap_free(dictionary->tensors[i].name);
        tap_free(dictionary->tensors[i].key);
    }
    tap_free(dictionary->tensors);
    *dictionary = (tap_torch_dictionary){0};
}
