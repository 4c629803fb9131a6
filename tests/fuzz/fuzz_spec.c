/* Any text as config.json, and what follows a NUL as the processor's settings: a refusal, or
 * numbers that the engine may multiply. */
#include "model/spec.h"

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
    for (int i = 0; i < 2; i++) {
        assert(stacks[i]->n_blocks > 0 && stacks[i]->d_model > 0);
        assert(stacks[i]->d_head > 0 && stacks[i]->d_mlp > 0);
        assert(stacks[i]->n_heads % stacks[i]->n_kv_heads == 0);
    }
    assert(s.vision.side_px % s.vision.patch_px == 0);
    assert(s.vision.n_blocks_read >= 0);
    assert(s.vision.n_blocks_read <= s.vision.stack.n_blocks);
    assert(s.preprocess.side_px == s.vision.side_px);
    assert(s.image_token_id >= 0 && s.image_token_id < s.lm.d_vocab);
    assert(strstr(s.prompt, "<image>"));
    return 0;
}
