/*
 * example3 [FILE]        one thread peeks FILE and prints it; another opens FILE as well and writes 4096 bytes of 0xab
 *                        over it; the first still prints the original, and whoever opens FILE now reads 0xab.
 * example3 FILE check    says whether FILE is what a run leaves behind, for after a reboot.
 *
 * FILE is made with its original content first, so that the program can be run again and again.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vitrine.h>

enum { SIZE = 4096, NEW = 0xab };

static const char *path = "/data/example3";
static char original[SIZE];
static pthread_barrier_t peeked, overwritten;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_or_fail(int flags)
{
    int fd = open(path, flags, 0644);
    if (fd < 0)
        fail(path);
    return fd;
}

static void write_all(int flags, const char *bytes)
{
    int fd = open_or_fail(flags);
    if (write(fd, bytes, SIZE) != SIZE)
        fail("write");
    close(fd);
}

/* Whether a fresh open of the file reads SIZE bytes of NEW and nothing more. */
static int reads_new(void)
{
    char bytes[SIZE + 1];
    int fd = open_or_fail(O_RDONLY);
    ssize_t got = read(fd, bytes, sizeof bytes);
    close(fd);
    for (ssize_t i = 0; i < got; i++)
        if (bytes[i] != (char)NEW)
            return 0;
    return got == SIZE;
}

static void *writer(void *unused)
{
    char bytes[SIZE];
    pthread_barrier_wait(&peeked);
    memset(bytes, NEW, SIZE);
    write_all(O_WRONLY, bytes);
    printf("writer: wrote %d bytes of 0x%x\n", SIZE, NEW);
    pthread_barrier_wait(&overwritten);
    return unused;
}

static void *reader(void *wrong)
{
    int fd = open_or_fail(O_RDONLY);
    const char *text = peek(fd, 0, SIZE);
    if (text == MAP_FAILED)
        fail("peek");
    printf("reader: %s", text);
    pthread_barrier_wait(&peeked);
    pthread_barrier_wait(&overwritten);
    printf("reader: %s", text);
    if (memcmp(text, original, SIZE) != 0) {
        printf("reader: what was peeked has changed\n");
        *(int *)wrong = 1;
    }
    if (unpeek(text) != 0)
        fail("unpeek");
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    int wrong = 0;
    pthread_t threads[2];

    if (argc > 1)
        path = argv[1];
    if (argc > 2 && strcmp(argv[2], "check") == 0) {
        int new = reads_new();
        printf("%s: %s\n", path, new ? "4096 bytes of 0xab" : "not what example3 wrote");
        return !new;
    }
    snprintf(original, SIZE, "I was here first, and what you look at never changes under you.\n");
    write_all(O_WRONLY | O_CREAT | O_TRUNC, original);

    pthread_barrier_init(&peeked, 0, 2);
    pthread_barrier_init(&overwritten, 0, 2);
    if (pthread_create(&threads[0], 0, reader, &wrong) != 0 || pthread_create(&threads[1], 0, writer, 0) != 0) {
        fprintf(stderr, "example3: no thread\n");
        return 1;
    }
    pthread_join(threads[0], 0);
    pthread_join(threads[1], 0);

    int new = reads_new();
    printf("a second open reads %s\n", new ? "4096 bytes of 0xab" : "something else");
    return wrong || !new;
}
