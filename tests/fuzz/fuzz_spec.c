/* Any text as config.json, and what follows a NUL as the processor's settings: a refusal, or
 * numbers that the engine may multiply. */
#include "model/layout.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const uint8_t *nul = n_bytes ? memchr(bytes, 0, n_bytes) : NULL;
    const size_t n_config = nul ? (size_t)(nul - bytes) : n_bytes;
    const char *config = (const char *)bytes;
    const char *processor = nul ? (const char *)nul + 1 : "{}";
    const size_t n_processor = nul ? n_bytes - n_config - 1 : 2;
    tap_spec s;
    tap_error err;
    if (tap_spec_parse(&s, config, n_config, processor, n_processor, &err) != TAP_OK)
        return 0;
    const tap_stack_spec *stacks[] = {&s.vision.stack, &s.lm.stack};
    for (int i = 0; i < 2 && stacks[i]->n_blocks > 0;
         i++) { /* an encoder alone has one */
        assert(stacks[i]->d_model > 0);
        assert(stacks[i]->d_head > 0 && stacks[i]->d_mlp > 0);
        assert(stacks[i]->n_heads % stacks[i]->n_kv_heads == 0);
    }
    assert(s.vision.stack.n_blocks > 0 && s.vision.side_px >= s.vision.patch_px);
    assert(s.d_projector_in > 0 && s.d_projector_out > 0 && s.lay_out);
    assert(s.vision.n_blocks_read >= 0);
    assert(s.vision.n_blocks_read <= s.vision.stack.n_blocks);
    assert(s.preprocess.side_px == s.vision.side_px);
    assert(s.image_token_id >= 0);
    assert(s.lm.stack.n_blocks == 0 || s.image_token_id < s.lm.d_vocab);
    assert(strstr(s.prompt, "<image>"));
    /* pictures of three shapes have a place on both grids, or are refused */
    static const int64_t sizes[][2] = {{640, 480}, {3, 700}, {1, 1}};
    for (int i = 0; i < 3; i++) {
        tap_geometry g;
        tap_layout layout;
        if (tap_preprocess_geometry(&g, sizes[i][0], sizes[i][1], &s.preprocess,
                                    &err) != TAP_OK ||
            s.vision.side_px / s.vision.patch_px > 64 ||
            tap_layout_compile(&layout, &s, &g, &err) != TAP_OK)
            continue;
        for (int64_t k = 0; k < layout.n_slots; k++) {
            const tap_slot *slot = &layout.slots[k];
            tap_box box;
            assert(slot->from[0] < layout.n_merged);
            (void)tap_layout_box(&box, slot, &g);
        }
        tap_layout_clear(&layout);
    }
    return 0;
}
