#include "base/file.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static tap_status fail_io(tap_error *err, const char *verb, const char *path)
{
    return TAP_FAIL(err, TAP_EIO, "cannot %s '%s': %s", verb, path, strerror(errno));
}

tap_status tap_file_map(tap_mapping *out, const char *path, tap_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(err, "open", path);
    tap_status status = TAP_OK;
    struct stat about;
    void *bytes = NULL;
    if (fstat(fd, &about) != 0) {
        status = fail_io(err, "examine", path);
    } else if (!S_ISREG(about.st_mode)) {
        status =
            TAP_FAIL(err, TAP_EIO, "cannot read '%s': it is not a regular file", path);
    } else if (about.st_size > 0) {
        bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = fail_io(err, "map", path);
    }
    (void)close(fd);
    if (status == TAP_OK)
        *out = (tap_mapping){.bytes = bytes, .n_bytes = (size_t)about.st_size};
    return status;
}

void tap_file_unmap(tap_mapping *mapping)
{
    if (mapping->bytes) {
        void *bytes = NULL;
        memcpy(&bytes, &mapping->bytes, sizeof bytes); /* munmap takes no const */
        (void)munmap(bytes, mapping->n_bytes);
    }
    *mapping = (tap_mapping){0};
}

void tap_file_advise(const void *bytes, size_t n_bytes, bool willneed)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)bytes + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)bytes + n_bytes) / page * page;
    if (begin < end)
        (void)posix_madvise((void *)begin, end - begin,
                            willneed ? POSIX_MADV_WILLNEED : POSIX_MADV_DONTNEED);
}

tap_status tap_file_read(char **text, size_t *n_bytes, const char *path,
                         size_t limit_bytes, tap_error *err)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    const int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(err, "open", path);
    tap_buffer buffer = {0};
    tap_status status = tap_buffer_put(&buffer, "", 0, err);
    char chunk[65536];
    while (status == TAP_OK) {
        const ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = fail_io(err, "read", path);
        if (n <= 0)
            break;
        if (buffer.n_bytes + (size_t)n > limit_bytes)
            status = TAP_FAIL(err, TAP_EFORMAT,
                              "cannot read '%s': it is larger than the %zu bytes that "
                              "such a file may have",
                              path, limit_bytes);
        else
            status = tap_buffer_put(&buffer, chunk, (size_t)n, err);
    }
    if (!is_stdin)
        (void)close(fd);
    if (status != TAP_OK) {
        tap_buffer_clear(&buffer);
        return status;
    }
    *text = buffer.text;
    *n_bytes = buffer.n_bytes;
    return TAP_OK;
}

struct tap_file_out {
    FILE *stream;
    char *path, *temporary; /* temporary is NULL for standard output */
};

tap_status tap_file_create(tap_file_out **out, const char *path, tap_error *err)
{
    tap_file_out *file = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&file, 1, sizeof *file, "an output file", err));
    TAP_TRY_OUT(tap_text_copy(&file->path, path, strlen(path), err));
    if (strcmp(path, "-") == 0) {
        file->stream = stdout;
    } else {
        TAP_TRY_OUT(tap_text_format(&file->temporary, err, "%s.XXXXXX", path));
        const int fd = mkstemp(file->temporary);
        if (fd < 0) {
            status = fail_io(err, "write", path);
            tap_free(file->temporary);
            file->temporary = NULL;
            goto out;
        }
        (void)fchmod(fd, 0644);
        file->stream = fdopen(fd, "wb");
        if (!file->stream) {
            status = fail_io(err, "write", path);
            (void)close(fd);
            goto out;
        }
    }
out:
    if (status == TAP_OK)
        *out = file;
    else
        tap_file_close(file);
    return status;
}

tap_status tap_file_put(tap_file_out *file, const void *bytes, size_t n, tap_error *err)
{
    if (n && fwrite(bytes, 1, n, file->stream) != n)
        return fail_io(err, "write", file->path);
    return TAP_OK;
}

tap_status tap_file_put_at(tap_file_out *file, size_t offset, const void *bytes,
                           size_t n, tap_error *err)
{
    if (fseeko(file->stream, (off_t)offset, SEEK_SET) != 0 ||
        fwrite(bytes, 1, n, file->stream) != n ||
        fseeko(file->stream, 0, SEEK_END) != 0)
        return fail_io(err, "write", file->path);
    return TAP_OK;
}

tap_status tap_file_commit(tap_file_out *file, tap_error *err)
{
    if (fflush(file->stream) != 0 || ferror(file->stream))
        return fail_io(err, "write", file->path);
    if (!file->temporary)
        return TAP_OK;
    if (fsync(fileno(file->stream)) != 0 || fclose(file->stream) != 0) {
        file->stream = NULL;
        return fail_io(err, "write", file->path);
    }
    file->stream = NULL;
    if (rename(file->temporary, file->path) != 0)
        return fail_io(err, "write", file->path);
    tap_free(file->temporary);
    file->temporary = NULL;
    return TAP_OK;
}

void tap_file_close(tap_file_out *file)
{
    if (!file)
        return;
    if (file->stream && file->stream != stdout)
        (void)fclose(file->stream);
    if (file->temporary)
        (void)unlink(file->temporary);
    tap_free(file->temporary);
    tap_free(file->path);
    tap_free(file);
}

void tap_file_remove(const char *path)
{
    (void)unlink(path);
}

bool tap_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool tap_file_is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

tap_status tap_path_join(char **out, const char *directory, const char *name,
                         tap_error *err)
{
    if (name[0] == '/')
        return tap_text_copy(out, name, strlen(name), err);
    return tap_text_format(out, err, "%s/%s", directory, name);
}

tap_status tap_path_parent(char **out, const char *path, tap_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return tap_text_copy(out, ".", 1, err);
    return tap_text_copy(out, path, slash == path ? 1 : (size_t)(slash - path), err);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

tap_status tap_file_list(char ***names, size_t *n_names, const char *path,
                         const char *suffix, tap_error *err)
{
    DIR *directory = opendir(path);
    if (!directory)
        return fail_io(err, "list", path);
    char **list = NULL;
    size_t n = 0, capacity = 0;
    tap_status status = tap_grow(&list, &capacity, 1, sizeof *list, "a listing", err);
    for (struct dirent *entry; status == TAP_OK && (entry = readdir(directory));) {
        const char *name = entry->d_name;
        const size_t bytes = strlen(name), end = suffix ? strlen(suffix) : 0;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || bytes < end ||
            (suffix && strcmp(name + bytes - end, suffix) != 0))
            continue;
        status = tap_grow(&list, &capacity, n + 1, sizeof *list, "a listing", err);
        if (status == TAP_OK)
            status = tap_text_copy(&list[n], name, bytes, err);
        if (status == TAP_OK)
            n++;
    }
    (void)closedir(directory);
    if (status != TAP_OK) {
        for (size_t i = 0; i < n; i++)
            tap_free(list[i]);
        tap_free(list);
        return status;
    }
    qsort(list, n, sizeof *list, compare_names);
    *names = list;
    *n_names = n;
    return TAP_OK;
}
