#include "format/weights_file.h"

#include "base/file.h"
#include "base/memory.h"

#include <string.h>

static bool is_torch_name(const char *path)
{
    static const char *const ends[] = {".bin", ".pt", ".pth"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const size_t n = strlen(path), n_end = strlen(ends[i]);
        if (n > n_end && strcmp(path + n - n_end, ends[i]) == 0)
            return true;
    }
    return false;
}

/* What a clone without Git LFS leaves in the place of a large file. */
static tap_status refuse_pointer(const char *path, tap_error *err)
{
    static const char mark[] = "version https://git-lfs";
    tap_mapping file;
    TAP_TRY(tap_file_map(&file, path, err));
    const bool pointer = file.n_bytes >= sizeof mark - 1 &&
                         memcmp(file.bytes, mark, sizeof mark - 1) == 0;
    tap_file_unmap(&file);
    if (!pointer)
        return TAP_OK;
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot read '%s': it is a pointer of Git LFS and not the weights; "
                    "fetch them with 'git lfs pull'",
                    path);
}

tap_status tap_weights_file_open(tap_weights_file *out, const char *path,
                                 tap_error *err)
{
    tap_weights_file file = {0};
    TAP_TRY(refuse_pointer(path, err));
    TAP_TRY(tap_text_copy(&file.path, path, strlen(path), err));
    const tap_status status = is_torch_name(path)
                                  ? tap_torch_zip_open(&file.torch, path, err)
                                  : tap_safetensors_open(&file.safetensors, path, err);
    if (status == TAP_OK)
        *out = file;
    else
        tap_free(file.path);
    return status;
}

void tap_weights_file_close(tap_weights_file *file)
{
    tap_safetensors_close(file->safetensors);
    tap_torch_zip_close(file->torch);
    tap_free(file->path);
    *file = (tap_weights_file){0};
}

int64_t tap_weights_file_count(const tap_weights_file *file)
{
    return file->torch ? tap_torch_zip_count(file->torch)
                       : tap_safetensors_count(file->safetensors);
}

const char *tap_weights_file_name(const tap_weights_file *file, int64_t i)
{
    return file->torch ? tap_torch_zip_name(file->torch, i)
                       : tap_safetensors_name(file->safetensors, i);
}

const tap_tensor *tap_weights_file_tensor(const tap_weights_file *file, int64_t i)
{
    return file->torch ? tap_torch_zip_tensor(file->torch, i)
                       : tap_safetensors_tensor(file->safetensors, i);
}

const char *tap_weights_file_dtype(const tap_weights_file *file, int64_t i)
{
    return file->torch ? tap_torch_zip_dtype(file->torch, i)
                       : tap_safetensors_dtype(file->safetensors, i);
}

size_t tap_weights_file_bytes(const tap_weights_file *file, int64_t i)
{
    return file->torch ? tap_torch_zip_bytes(file->torch, i)
                       : tap_safetensors_bytes(file->safetensors, i);
}

int64_t tap_weights_file_find(const tap_weights_file *file, const char *name)
{
    return file->torch ? tap_torch_zip_find(file->torch, name)
                       : tap_safetensors_find(file->safetensors, name);
}
