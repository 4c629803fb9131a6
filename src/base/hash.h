/* Provenance (SHA-256 of what was read) and identity (64-bit xxHash of what was asked). */
#ifndef TAP_BASE_HASH_H
#define TAP_BASE_HASH_H

#include "base/error.h"

enum { TAP_SHA256_TEXT_BYTES = 65 };

/* SHA-256 of bytes as 64 lower-case hex digits and NUL. */
TAP_NODISCARD tap_status tap_sha256(char text[TAP_SHA256_TEXT_BYTES], const void *bytes,
                                    size_t n_bytes, tap_error *err);
/* The same of a whole file. */
TAP_NODISCARD tap_status tap_sha256_file(char text[TAP_SHA256_TEXT_BYTES],
                                         const char *path, tap_error *err);

/* Chainable 64-bit hash: seed is the hash of what came before. The same on every machine. */
uint64_t tap_hash(uint64_t seed, const void *bytes, size_t n_bytes);

#endif
