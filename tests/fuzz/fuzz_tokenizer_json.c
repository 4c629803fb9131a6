/* tokenizer.json: opened and used, or refused with a message. */
#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    return fuzz_tokenizer(".json", bytes, n);
}
