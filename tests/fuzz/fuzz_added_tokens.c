/* added_tokens.json, and the same bytes as tokenizer_config.json, beside a tokenizer.model:
 * read and used, or refused with a message. */
#define _DEFAULT_SOURCE 1 /* mkdtemp */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* A SentencePiece model of the BPE kind: <unk>, <s>, "a", "b", "ab". */
static const uint8_t model[] = {
    0x0a, 9, 0x0a, 5, '<', 'u',  'n', 'k',  '>', 0x18, 2,   /* unknown */
    0x0a, 7, 0x0a, 3, '<', 's',  '>', 0x18, 3,              /* control */
    0x0a, 3, 0x0a, 1, 'a',                                  /* pieces */
    0x0a, 3, 0x0a, 1, 'b', 0x0a, 4,   0x0a, 2,   'a',  'b', /* and their pair */
    0x12, 2, 0x18, 2};                                      /* model type BPE */

static void put(const char *folder, const char *name, const uint8_t *bytes, size_t n,
                char path[64])
{
    (void)snprintf(path, 64, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0)
        abort();
}

static void try_as(const char *name, const uint8_t *bytes, size_t n)
{
    static const char text[] = "ab <image>a <pad>b<s>";
    char folder[] = "/tmp/tapetum-fuzz-XXXXXX", paths[2][64];
    tap_tokenizer *t = NULL;
    tap_error err;
    if (!mkdtemp(folder))
        abort();
    put(folder, "tokenizer.model", model, sizeof model, paths[0]);
    put(folder, name, bytes, n, paths[1]);
    if (tap_tokenizer_open(&t, folder, &err) == TAP_OK) {
        fuzz_encode(t, text, sizeof text - 1);
        tap_tokenizer_close(t);
    } else if (!strstr(err.message, paths[1]) && err.status != TAP_ENOMEM) {
        abort(); /* the model is good, so the message is about the other file */
    }
    for (int i = 0; i < 2; i++)
        (void)unlink(paths[i]);
    (void)rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    try_as("added_tokens.json", bytes, n);
    try_as("tokenizer_config.json", bytes, n);
    return 0;
}
