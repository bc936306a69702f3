/*
 * tree: everything below a directory, a line each, so that two listings can be compared.
 *
 *   tree DIR    kind, permissions, links, size and a sum of the content (FNV-1a), then the path below DIR
 *
 * The order is that of the directories. tests/src/listing.rs prints the same of an image on the host.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t sum;

static void fold(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 1099511628211u;
}

static void fail(const char *path)
{
    perror(path);
    exit(1);
}

static void fold_file(const char *path)
{
    static char bytes[1 << 16];
    ssize_t len;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        fail(path);
    while ((len = read(fd, bytes, sizeof bytes)) > 0)
        fold(bytes, len);
    if (len < 0 || close(fd) != 0)
        fail(path);
}

static void fold_link(const char *path)
{
    char target[4096];
    ssize_t len = readlink(path, target, sizeof target);
    if (len < 0)
        fail(path);
    fold(target, len);
}

/* `path` with what is below it; `top` characters of it belong to DIR. */
static void list(const char *path, size_t top)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        fail(path);
    char kind = S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f';
    sum = 14695981039346656037u;
    if (kind == 'f')
        fold_file(path);
    else if (kind == 'l')
        fold_link(path);
    /* The size of a directory is nobody's business. */
    printf("%c %04o %ju %ju %016" PRIx64 " %s\n", kind, st.st_mode & 07777, (uintmax_t)st.st_nlink,
           (uintmax_t)(kind == 'd' ? 0 : st.st_size), sum, path + top);
    if (kind != 'd')
        return;
    DIR *dir = opendir(path);
    if (!dir)
        fail(path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *below;
        if (asprintf(&below, "%s/%s", path, entry->d_name) < 0)
            fail(path);
        list(below, top);
        free(below);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: tree DIR\n");
        return 2;
    }
    list(argv[1], strlen(argv[1]));
    return 0;
}
