/*
 * stretch.c - how long the kernel keeps the CPU to itself: of each kind of long work the longest stretch without a moment
 * at which others could run, as /proc/vitrine/stretch measures it. Under --icount a nanosecond is an instruction.
 *
 *   stretch DIR
 *
 * Prints, as bench does: stretch_CASE <tab> size <tab> times <tab> longest. All of it is work of one task.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 4096, MIB = 1 << 20 };

static int watch;
static char *buffer;

static void must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static void begin(void)
{
    must(write(watch, "watch\n", 6) == 6, "watch");
}

static void end(const char *name, const char *size, int times)
{
    char text[32];
    int fd = open("/proc/vitrine/stretch", O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    must(len > 0, "/proc/vitrine/stretch");
    close(fd);
    text[len] = 0;
    printf("stretch_%s\t%s\t%d\t%ld\n", name, size, times, atol(text));
    fflush(stdout);
}

static int made(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    must(fd >= 0, name);
    return fd;
}

/* A file of so many blocks with a hole behind each, so that each is an extent of its own. */
static int broken(const char *name, int blocks)
{
    int fd = made(name);
    for (int at = 0; at < blocks; at++)
        must(pwrite(fd, buffer, BLOCK, (off_t)at * 2 * BLOCK) == BLOCK, name);
    return fd;
}

static void transfers(void)
{
    int fd = made("large");
    begin();
    must(pwrite(fd, buffer, 2 * MIB, 0) == 2 * MIB, "pwrite");
    end("pwrite", "2M", 1);
    begin();
    must(pwrite(fd, buffer, 32 * MIB, 0) == 32 * MIB, "pwrite");
    end("pwrite", "32M", 1);
    begin();
    must(pread(fd, buffer, 32 * MIB, 0) == 32 * MIB, "pread");
    end("pread", "32M", 1);
    begin();
    must(ftruncate(fd, 0) == 0, "ftruncate");
    end("truncate", "32M", 1);
    close(fd);
    unlink("large");
}

static void extents(void)
{
    enum { BLOCKS = 8192 };
    int fd = broken("broken", BLOCKS);
    begin();
    must(ftruncate(fd, 0) == 0, "ftruncate");
    end("truncate_extents", "8K", 1);
    close(fd);
    close(broken("broken", BLOCKS));
    begin();
    must(unlink("broken") == 0, "unlink");
    end("unlink_extents", "8K", 1);
}

static void names(int files)
{
    char name[32];
    begin();
    for (int at = 0; at < files; at++) {
        snprintf(name, sizeof name, "many/%d", at);
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
        must(fd >= 0, name);
        close(fd);
    }
    end("create", "0", files);
    /* The log is written anew meanwhile, with all of them. */
    begin();
    for (int at = 0; at < files; at++) {
        snprintf(name, sizeof name, "many/%d", at);
        must(rename(name, "many/x") == 0 && rename("many/x", name) == 0, name);
    }
    end("rename_checkpoint", "0", 2 * files);
    for (int at = 0; at < files; at++) {
        snprintf(name, sizeof name, "many/%d", at);
        unlink(name);
    }
}

/* What a program stored to a hole it shares is made durable. */
static void stores(void)
{
    int fd = made("stored");
    must(ftruncate(fd, 32 * MIB) == 0, "ftruncate");
    char *memory = mmap(0, 32 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(memory != MAP_FAILED, "mmap");
    begin();
    for (long at = 0; at < 32 * MIB; at += BLOCK)
        memory[at] = 1;
    end("fill_hole", "32M", 32 * MIB / BLOCK);
    begin();
    must(fsync(fd) == 0, "fsync");
    end("fsync_stores", "32M", 1);
    munmap(memory, 32 * MIB);
    close(fd);
    unlink("stored");
}

/* 64 MiB of pages, by pages. */
static char *much(void)
{
    char *memory = mmap(0, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "mmap");
    madvise(memory, 64 * MIB, MADV_NOHUGEPAGE);
    for (long at = 0; at < 64 * MIB; at += BLOCK)
        memory[at] = 1;
    return memory;
}

static void teardown(void)
{
    char *memory = much();
    begin();
    must(madvise(memory, 64 * MIB, MADV_DONTNEED) == 0, "madvise");
    end("dontneed_pages", "64M", 1);
    begin();
    must(mlock(memory, 64 * MIB) == 0, "mlock");
    end("mlock_pages", "64M", 1);
    begin();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    must(child > 0, "fork");
    end("fork_pages", "64M", 1);
    waitpid(child, 0, 0);
    begin();
    must(munmap(memory, 64 * MIB) == 0, "munmap");
    end("munmap_pages", "64M", 1);
}

int main(int count, char **arguments)
{
    must(count == 2 && chdir(arguments[1]) == 0, "stretch DIR");
    watch = open("/proc/vitrine/stretch", O_WRONLY);
    must(watch >= 0, "/proc/vitrine/stretch");
    buffer = malloc(32 * MIB);
    must(buffer != 0, "memory");
    memset(buffer, 7, 32 * MIB);
    mkdir("many", 0755);
    transfers();
    extents();
    names(10000);
    stores();
    teardown();
    return 0;
}
