#include "base/hash.h"

#include "base/file.h"

#include <openssl/sha.h>
#include <xxhash.h>

tap_status tap_sha256(char text[TAP_SHA256_TEXT_BYTES], const void *bytes,
                      size_t n_bytes, tap_error *err)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (!SHA256(bytes ? bytes : "", n_bytes, digest))
        return TAP_FAIL(err, TAP_EBUG, "the SHA-256 of %zu bytes could not be taken",
                        n_bytes);
    for (size_t i = 0; i < sizeof digest; i++) {
        text[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    text[2 * sizeof digest] = '\0';
    return TAP_OK;
}

tap_status tap_sha256_file(char text[TAP_SHA256_TEXT_BYTES], const char *path,
                           tap_error *err)
{
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    const tap_status status = tap_sha256(text, mapping.bytes, mapping.n_bytes, err);
    tap_file_unmap(&mapping);
    return status;
}

uint64_t tap_hash(uint64_t seed, const void *bytes, size_t n_bytes)
{
    return XXH64(bytes, n_bytes, seed);
}
