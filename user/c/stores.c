/*
 * stores: what Vitrine promises of files that programs share, beside what mmap(2) says: a peek never changes whoever stores, a
 * store finds a block or dies and nothing is lost, msync cleans what was stored and no more, and nothing is copied that need not be.
 *
 *   stores [DIR]      DIR is where files are made; /data when not given
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "check.h"
#include "touch.h"
#include "vitrine.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

static const char *dir;

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int file(const char *name, long size, char byte)
{
    static char bytes[4 << 20];
    int fd = open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC, 0644);
    memset(bytes, byte, size);
    /* One write, so that it lies in blocks of 2 MiB where it is as large. */
    if (pwrite(fd, bytes, size, 0) != size) {
        perror("stores: a file");
        exit(2);
    }
    return fd;
}

static char *share(int fd, long len)
{
    char *at = mmap(0, len, RW, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        perror("stores: mmap");
        exit(2);
    }
    return at;
}

/* A number of /proc/vitrine/counters. */
static long counted(const char *name)
{
    char text[4096];
    int fd = open("/proc/vitrine/counters", O_RDONLY);
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len > 0 ? len : 0] = 0;
    char *at = strstr(text, name);
    return at ? strtol(at + strlen(name), 0, 10) : -1;
}

static void peeks(void)
{
    int fd = file("peeked", 8 * PAGE, 'o'), pipes[2];
    char *at = share(fd, 8 * PAGE), byte;
    at[0] = 'o';
    long pinned = counted("pinned_blocks ");
    const char *look = peek(fd, 0, 8 * PAGE);
    check("a peek of a file that is stored to", look != MAP_FAILED && all(look, 8 * PAGE, 'o'));
    /* A child stores to all of it again and again, through mappings made before the peek and after it. */
    if (pipe(pipes) != 0)
        pipes[0] = pipes[1] = -1;
    pid_t pid = fork();
    if (pid == 0) {
        char *own = share(fd, 8 * PAGE);
        for (int round = 0; round < 20; round++)
            for (int n = 0; n < 8 * PAGE; n += 64)
                (round & 1 ? own : at)[n] = 's';
        memset(own, 'S', 8 * PAGE);
        _exit(all(at, 8 * PAGE, 'S') ? 0 : 1);
    }
    int same = 1, status = -1;
    while (waitpid(pid, &status, WNOHANG) == 0)
        same &= all(look, 8 * PAGE, 'o');
    check("never changes", same && all(look, 8 * PAGE, 'o'));
    check("and those who store see what they store", status == 0 && all(at, 8 * PAGE, 'S'));
    check("as the file does", pread(fd, &byte, 1, 7 * PAGE) == 1 && byte == 'S');
    check("at the price of its blocks", counted("pinned_blocks ") == pinned + 8);
    const char *again = peek(fd, 0, 8 * PAGE);
    at[9] = 't';
    check("the next peek is of what was stored", again != MAP_FAILED && all(again, 8 * PAGE, 'S') && look[9] == 'o');
    check("which end", unpeek(look) == 0 && unpeek(again) == 0 && counted("pinned_blocks ") == pinned);
    long copied = counted("bytes_copied "), lines = counted("lines_cleaned ");
    memset(at, 'u', 8 * PAGE);
    check("and then stores are in place", counted("lines_cleaned ") == lines && counted("bytes_copied ") - copied < PAGE);
    char *own = mmap(0, 8 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    memset(at, 'v', 8 * PAGE);
    check("a private mapping is of one instant too", all(own, 8 * PAGE, 'u') && all(at, 8 * PAGE, 'v'));
    munmap(own, 8 * PAGE);
    munmap(at, 8 * PAGE);
    close(fd);
}

static void behind_the_end(void)
{
    int fd = file("ragged", PAGE + 100, 'r');
    char *at = share(fd, 2 * PAGE);
    memset(at + PAGE + 50, 'x', 500);
    const char *look = peek(fd, 0, PAGE + 100);
    check("a peek shows what was stored", look[PAGE + 49] == 'r' && look[PAGE + 99] == 'x');
    check("and zeros behind the end", all(look + PAGE + 100, PAGE - 100, 0));
    check("where the mapping has what it stored", at[PAGE + 100] == 'x' && at[PAGE + 549] == 'x');
    at[PAGE + 60] = 'y';
    at[PAGE + 200] = 'z';
    check("and goes on", look[PAGE + 60] == 'x' && look[PAGE + 200] == 0 && at[PAGE + 60] == 'y');
    check("until", unpeek(look) == 0);
    munmap(at, 2 * PAGE);
    close(fd);
}

static void nothing_copied(void)
{
    enum { SIZE = 4 << 20 };
    int fd = file("copied", SIZE, 'n');
    long copied = counted("bytes_copied ");
    char *at = mmap(0, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    long faults = counted("faults ");
    check("a mapping is read", all(at, SIZE, 'n'));
    long served = counted("faults ") - faults;
    check_found("by a fault for 2 MiB", served <= 3, "%ld faults", served);
    /* But for the text of the counters. */
    check("and nothing is copied", counted("bytes_copied ") - copied < 2 * PAGE);
    munmap(at, SIZE);
    at = share(fd, SIZE);
    memset(at, 'm', SIZE);
    check("nor when it is stored to", counted("bytes_copied ") - copied < 3 * PAGE);
    faults = counted("faults ");
    long lines = counted("lines_cleaned ");
    check("msync", msync(at, SIZE, MS_SYNC) == 0);
    long cleaned = counted("lines_cleaned ") - lines;
    check_found("cleans what was stored", cleaned >= SIZE / 64, "%ld lines", cleaned);
    lines = counted("lines_cleaned ");
    check("and again", msync(at, SIZE, MS_SYNC) == 0);
    check("nothing where nothing was", counted("lines_cleaned ") == lines);
    int half = open(in_dir("copied"), O_RDWR);
    char *other = share(half, SIZE);
    at[5] = 'M';
    munmap(at, SIZE);
    check("fsync by another", fsync(half) == 0);
    cleaned = counted("lines_cleaned ") - lines;
    check_found("cleans what somebody stored and let go of", cleaned >= 1, "%ld lines", cleaned);
    munmap(other, SIZE);
    close(half);
    close(fd);
    unlink(in_dir("copied"));
}

static void no_room(void)
{
    struct statvfs space;
    int fd = file("room", 4 * PAGE, 'k');
    if (ftruncate(fd, 64 * PAGE) != 0 || posix_fallocate(fd, 8 * PAGE, PAGE) != 0 || fstatvfs(fd, &space) != 0)
        exit(2);
    char *at = share(fd, 64 * PAGE);
    int filler = open(in_dir("filler"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    long step = 1L << 30;
    for (long end = 0; step >= PAGE;)
        if (posix_fallocate(filler, end, step) == 0)
            end += step;
        else
            step /= 2;
    check("a store to a hole finds no block", store(at + 30 * PAGE, 'x') == BUS_ADRERR);
    check("again, and elsewhere", store(at + 30 * PAGE, 'x') == BUS_ADRERR && store(at + 5 * PAGE, 'x') == BUS_ADRERR);
    check("nothing is lost", at[30 * PAGE] == 0 && at[3 * PAGE] == 'k');
    check("a call into such a page says so", pread(fd, at + 30 * PAGE, 1, 0) == -1 && errno == EFAULT);
    check("a block there was is stored to", store(at + 2 * PAGE, 'y') == 0 && at[2 * PAGE] == 'y');
    check("and one that was promised", store(at + 8 * PAGE, 'z') == 0 && at[8 * PAGE] == 'z' && at[8 * PAGE + 1] == 0);
    const char *look = peek(fd, 0, 4 * PAGE);
    check("one that is peeked at is not", store(at + 2 * PAGE, 'w') == BUS_ADRERR && look[2 * PAGE] == 'y' && at[2 * PAGE] == 'y');
    check("until the peek ends", unpeek(look) == 0 && store(at + 2 * PAGE, 'w') == 0 && at[2 * PAGE] == 'w');
    check("or there is room", ftruncate(filler, 0) == 0 && store(at + 30 * PAGE, 'x') == 0 && at[30 * PAGE] == 'x');
    close(filler);
    unlink(in_dir("filler"));
    munmap(at, 64 * PAGE);
    close(fd);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = leap, .sa_flags = SA_SIGINFO};
    begin_checks();
    dir = argc > 1 ? argv[1] : "/data";
    sigaction(SIGBUS, &action, 0);
    peeks();
    behind_the_end();
    nothing_copied();
    no_room();
    return end_checks();
}
