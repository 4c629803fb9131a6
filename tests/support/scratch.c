#include "scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void demand(int good, const char *what, const char *path)
{
    if (good)
        return;
    (void)fprintf(stderr, "test scratch: cannot %s %s\n", what, path);
    abort();
}

void scratch_open(char directory[SCRATCH_BYTES])
{
    memcpy(directory, "/tmp/tapetum-XXXXXX", sizeof "/tmp/tapetum-XXXXXX");
    demand(mkdtemp(directory) != NULL, "make", directory);
}

void scratch_path(char path[SCRATCH_PATH_BYTES], const char *directory,
                  const char *name)
{
    const int n = snprintf(path, SCRATCH_PATH_BYTES, "%s/%s", directory, name);
    demand(n > 0 && n < SCRATCH_PATH_BYTES, "name a file in", directory);
}

void scratch_write(const char *directory, const char *name, const void *bytes,
                   size_t n_bytes)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_path(path, directory, name);
    FILE *file = fopen(path, "wb");
    demand(file != NULL, "write", path);
    demand(n_bytes == 0 || fwrite(bytes, 1, n_bytes, file) == n_bytes, "write", path);
    demand(fclose(file) == 0, "write", path);
}

void scratch_write_text(const char *directory, const char *name, const char *text)
{
    scratch_write(directory, name, text, strlen(text));
}

int scratch_count(const char *directory)
{
    DIR *listing = opendir(directory);
    demand(listing != NULL, "list", directory);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(listing));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(listing);
    return n;
}

void scratch_close(const char *directory)
{
    DIR *listing = opendir(directory);
    demand(listing != NULL, "list", directory);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char path[SCRATCH_PATH_BYTES];
        scratch_path(path, directory, entry->d_name);
        struct stat about;
        demand(lstat(path, &about) == 0, "examine", path);
        if (S_ISDIR(about.st_mode))
            scratch_close(path);
        else
            demand(unlink(path) == 0, "remove", path);
    }
    (void)closedir(listing);
    demand(rmdir(directory) == 0, "remove", directory);
}
