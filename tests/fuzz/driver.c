/* Feeds files to a fuzz target without a fuzzer: those named, and all in directories named.
 * Prints how many; fails when there was none. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void die(const char *what, const char *path)
{
    fprintf(stderr, "%s '%s'\n", what, path);
    exit(1);
}

static void feed_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die("cannot read", path);
    const long n = ftell(file);
    rewind(file);
    /* exactly n bytes, so that a sanitizer sees a read behind the last */
    uint8_t *bytes = n >= 0 ? malloc((size_t)n + !n) : NULL;
    if (!bytes || fread(bytes, 1, (size_t)n, file) != (size_t)n)
        die("cannot read", path);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, (size_t)n);
    free(bytes);
}

static int feed(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) {
        feed_file(path);
        return 1;
    }
    int n = 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char name[1024];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >=
            (int)sizeof name)
            die("too long a name in", path);
        feed_file(name);
        n++;
    }
    closedir(directory);
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++)
        n += feed(argv[i]);
    printf("%d inputs\n", n);
    return n == 0;
}
