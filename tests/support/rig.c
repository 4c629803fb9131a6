#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <png.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "scratch.h"

void rig_open(rig *r, const tiny_model *options)
{
    tap_error err;
    memset(r, 0, sizeof *r);
    scratch_open(r->directory);
    check(tiny_model_write(r->directory, options, &err), &err);
    check(tap_model_open(&r->model, r->directory, &err), &err);
}

static uint8_t pixel(uint64_t seed, int64_t i)
{
    uint64_t z = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)i;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint8_t)(z >> 40);
}

void rig_add_scene(rig *r, uint64_t seed, int changed_patch)
{
    tap_error err;
    assert_true(r->n_scenes < RIG_MAX_SCENES);
    const int side = r->model->spec.vision.side_px,
              patch = r->model->spec.vision.patch_px;
    const int n = side / patch;
    tap_image image = {.width = side, .height = side};
    check(tap_alloc(&image.rgb, (size_t)(side * side), 3, "a test", &err), &err);
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++)
            for (int64_t c = 0; c < 3; c++) {
                const int64_t at = (y * side + x) * 3 + c;
                const bool other = y / patch * n + x / patch == changed_patch;
                image.rgb[at] = pixel(other ? seed + 1000 : seed, at);
            }
    char path[160];
    (void)snprintf(path, sizeof path, "%s/scene%d.png", r->directory, r->n_scenes);
    check(tap_image_write(&image, path, &err), &err);
    tap_image_clear(&image);
    tap_scene *scene = &r->scenes[r->n_scenes];
    check(tap_scene_open(scene, r->model, path, NULL, &err), &err);
    float part[64] = {0}, object[64] = {0};
    assert_true(tap_scene_n_patches(scene) <= 64 && n * n > 10);
    part[5] = part[6] = part[9] = 1.0F;
    for (int i = 4; i < 11; i++)
        object[i] = 1.0F;
    const tap_group_input input = {
        .scene = scene, .part = part, .object = object, .threshold = 0.5};
    check(tap_group_compile(&r->groups[r->n_scenes], &input, &err), &err);
    r->n_scenes++;
}

/* Grey picture of the parts' numbers, patch by patch. */
static void write_mask(const rig *r, const char *name, const char *map)
{
    enum { SIDE = 4 };

    char file[SCRATCH_PATH_BYTES];
    uint8_t pixels[64 * 64];
    const int px = (int)r->model->spec.vision.patch_px, side = SIDE * px;
    assert_true(side <= 64);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            pixels[y * side + x] = (uint8_t)(map[y / px * SIDE + x / px] - '0');
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)side,
                       .height = (png_uint_32)side,
                       .format = PNG_FORMAT_GRAY};
    scratch_path(file, r->directory, name);
    assert_true(png_image_write_to_file(&image, file, 0, pixels, 0, NULL));
}

void rig_add_drawn(rig *r, const char *const *objects, const char *const (*parts)[4],
                   const char *const *maps, int n)
{
    tap_buffer table = {0};
    assert_int_equal(
        tap_buffer_print(&table, NULL, "image\tmask\tvalue\tobject\tobject_id\tpart\n"),
        TAP_OK);
    for (int i = 0; i < n; i++) {
        char name[32];
        rig_add_scene(r, (uint64_t)i + 1, -1);
        (void)snprintf(name, sizeof name, "mask%d.png", i);
        write_mask(r, name, maps[i]);
        for (int p = 0; p < 4; p++)
            assert_int_equal(tap_buffer_print(&table, NULL,
                                              "scene%d.png\t%s\t%d\t%s\t0\t%s\n", i,
                                              name, p + 1, objects[i], parts[i][p]),
                             TAP_OK);
    }
    scratch_write(r->directory, "items.tsv", table.text, table.n_bytes);
    tap_buffer_clear(&table);
}

void rig_close(rig *r)
{
    for (int i = 0; i < r->n_scenes; i++) {
        tap_groups_clear(&r->groups[i]);
        tap_scene_clear(&r->scenes[i]);
    }
    tap_model_close(r->model);
    scratch_close(r->directory);
}

tap_status rig_try_plan(const rig *r, int scene, const char *text, tap_error *err)
{
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, &r->model->spec);
    tap_condition *condition = NULL;
    tap_plan *plan = NULL;
    TAP_TRY(tap_condition_parse(&condition, text, err));
    const tap_status status =
        tap_plan_compile(&plan, condition, &r->groups[scene], &sizes, err);
    tap_condition_free(condition);
    if (status == TAP_OK)
        tap_plan_free(plan);
    return status;
}

tap_plan *rig_find_plan(const rig *r, int scene, const char *text, tap_error *err)
{
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, &r->model->spec);
    tap_condition *condition = NULL;
    tap_plan *plan = NULL;
    if (tap_condition_parse(&condition, text, err) != TAP_OK)
        return NULL;
    if (tap_plan_compile(&plan, condition, &r->groups[scene], &sizes, err) != TAP_OK)
        plan = NULL;
    tap_condition_free(condition);
    return plan;
}

tap_plan *rig_plan(const rig *r, int scene, const char *text)
{
    return rig_plan_among(r, scene, text, NULL);
}

tap_plan *rig_plan_among(const rig *r, int scene, const char *text,
                         const tap_plan_runs *runs)
{
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, &r->model->spec);
    sizes.runs = runs;
    tap_error err;
    tap_condition *condition = NULL;
    tap_plan *plan = NULL;
    check(tap_condition_parse(&condition, text, &err), &err);
    check(tap_plan_compile(&plan, condition, &r->groups[scene], &sizes, &err), &err);
    tap_condition_free(condition);
    return plan;
}

/* A run of rows of a map joins what is there of it: values [n_heads][n_rows][n_tok], all
 * rows of which come one run after the other. */
static tap_status keep_map(capture *c, const tap_state *state, tap_error *err)
{
    const int64_t n_heads = c->n_heads[state->stack], n_k = state->d / n_heads;
    for (int64_t i = 0; i < state->n_conditions; i++) {
        kept *k =
            (kept *)(uintptr_t)capture_find(c, state->site, state->stack, state->block,
                                            (int)state->item, state->conditions[i]);
        if (!k) {
            TAP_TRY(
                tap_grow(&c->states, &c->capacity, c->n + 1, sizeof *k, "a test", err));
            k = &c->states[c->n++];
            *k = (kept){.site = state->site,
                        .stack = state->stack,
                        .block = state->block,
                        .item = (int)state->item,
                        .condition = state->conditions[i],
                        .n_rows = n_k,
                        .d = state->d};
            TAP_TRY(tap_alloc(&k->values, (size_t)(n_k * state->d), sizeof *k->values,
                              "a test", err));
        }
        for (int64_t h = 0; h < n_heads; h++)
            memcpy(k->values + (h * n_k + state->first_row) * n_k,
                   state->values + h * state->n_rows * n_k,
                   (size_t)(state->n_rows * n_k) * sizeof *k->values);
    }
    return TAP_OK;
}

static tap_status keep(void *owner, const tap_state *state, tap_error *err)
{
    capture *c = owner;
    if (state->site == TAP_SITE_PATTERN || state->site == TAP_SITE_SCORES)
        return keep_map(c, state, err);
    for (int64_t i = 0; i < state->n_conditions; i++) {
        kept k = {.site = state->site,
                  .stack = state->stack,
                  .block = state->block,
                  .item = (int)state->item,
                  .condition = state->conditions[i],
                  .n_rows = state->n_rows,
                  .d = state->d};
        const size_t n = (size_t)(state->n_rows * state->d);
        TAP_TRY(tap_alloc(&k.values, n, sizeof *k.values, "a test", err));
        memcpy(k.values, state->values, n * sizeof *k.values);
        TAP_TRY(tap_grow(&c->states, &c->capacity, c->n + 1, sizeof k, "a test", err));
        c->states[c->n++] = k;
    }
    return TAP_OK;
}

capture rig_run_wanted(const rig *r, int first, int n, tap_plan *const *plans,
                       int n_conditions, const tap_run_options *options,
                       const tap_wanted *wanted)
{
    tap_item items[RIG_MAX_SCENES];
    tap_error err;
    assert_true(n_conditions <= RIG_MAX_CONDITIONS && first + n <= r->n_scenes);
    for (int i = 0; i < n; i++)
        items[i] =
            (tap_item){.pixels = &r->scenes[first + i].pixels,
                       .sequence = &r->scenes[first + i].sequence,
                       .plans = (const tap_plan *const *)plans + i * n_conditions};
    capture c = {.n_heads = {r->model->spec.vision.stack.n_heads,
                             r->model->spec.lm.stack.n_heads}};
    const tap_sink sink = {.owner = &c, .wanted = wanted, .put = keep};
    check(tap_run(&c.receipts, r->model, items, n, n_conditions, options, &sink, &err),
          &err);
    return c;
}

capture rig_run_plans(const rig *r, int first, int n, tap_plan *const *plans,
                      int n_conditions, const tap_run_options *options)
{
    static tap_wanted wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.once[TAP_SITE_PROJECTOR_OUT] = wanted.once[TAP_SITE_LOGITS] = true;
    const int blocks[] = {r->model->spec.vision.n_blocks_read,
                          r->model->spec.lm.stack.n_blocks};
    for (int s = 0; s < TAP_N_STACKS; s++)
        for (int b = 0; b < blocks[s]; b++) {
            tap_bits_set(wanted.blocks[s][TAP_SITE_RESID_PRE], b);
            tap_bits_set(wanted.blocks[s][TAP_SITE_RESID_POST], b);
            tap_bits_set(wanted.blocks[s][TAP_SITE_PATTERN], b);
            tap_bits_set(wanted.blocks[s][TAP_SITE_ATTN_OUT], b);
        }
    return rig_run_wanted(r, first, n, plans, n_conditions, options, &wanted);
}

capture rig_run(const rig *r, int first, int n, const char *const *texts,
                int n_conditions, const tap_run_options *options)
{
    tap_plan *plans[RIG_MAX_SCENES * RIG_MAX_CONDITIONS];
    for (int i = 0; i < n; i++)
        for (int c = 0; c < n_conditions; c++)
            plans[i * n_conditions + c] = rig_plan(r, first + i, texts[c]);
    const capture c = rig_run_plans(r, first, n, plans, n_conditions, options);
    for (int i = 0; i < n * n_conditions; i++)
        tap_plan_free(plans[i]);
    return c;
}

void capture_clear(capture *c)
{
    for (size_t i = 0; i < c->n; i++)
        tap_free(c->states[i].values);
    tap_free(c->states);
    tap_receipts_clear(&c->receipts);
    *c = (capture){0};
}

const kept *capture_find(const capture *c, tap_site site, tap_stack stack, int block,
                         int item, int condition)
{
    for (size_t i = 0; i < c->n; i++) {
        const kept *k = &c->states[i];
        if (k->site == site && (block < 0 || k->stack == stack) && k->block == block &&
            k->item == item && k->condition == condition)
            return k;
    }
    return NULL;
}

bool kept_equal(const kept *a, const kept *b)
{
    return a && b && a->n_rows == b->n_rows && a->d == b->d &&
           memcmp(a->values, b->values, (size_t)(a->n_rows * a->d) * sizeof(float)) ==
               0;
}
