/*
 * sharemap: files that programs share (MAP_SHARED), as mmap(2) and POSIX have them: between processes and opens, together with
 * read, write, truncate, fallocate and unlink, past the end, durable by msync. Runs on Linux too, on a file system with DAX for
 * what is about MAP_SYNC.
 *
 *   sharemap [DIR]        the checks; files are made in DIR, /data when not given
 *   sharemap DIR store    stores to DIR/kept, msyncs, says "stored" and waits
 *   sharemap DIR look     whether what was stored is there
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/falloc.h>
#include <linux/futex.h>

#include "check.h"
#include "touch.h"

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGE = 4096, HUGE = 2 << 20, RW = PROT_READ | PROT_WRITE };

static const char *dir;
static char path[256];

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A file of `size` bytes, page n of which holds the letter 'a' + n % 26. */
static int letters(const char *name, long size)
{
    static char page[PAGE];
    int fd = open(in_dir(name), O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (long at = 0; fd >= 0 && at < size; at += PAGE) {
        long len = size - at < PAGE ? size - at : PAGE;
        memset(page, 'a' + at / PAGE % 26, PAGE);
        if (pwrite(fd, page, len, at) != len)
            fd = -1;
    }
    if (fd < 0) {
        perror("sharemap: a file");
        exit(2);
    }
    return fd;
}

static char *share(int fd, long len, int prot)
{
    char *at = mmap(0, len, prot, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        perror("sharemap: mmap");
        exit(2);
    }
    return at;
}

static int byte_at(int fd, long at)
{
    char byte;
    return pread(fd, &byte, 1, at) == 1 ? byte : -1;
}

/* Runs `act` in a child; its exit status. */
#define IN_CHILD(act)                                                                                                  \
    ({                                                                                                                 \
        int status_ = -1;                                                                                              \
        pid_t pid_ = fork();                                                                                           \
        if (pid_ == 0) {                                                                                               \
            act;                                                                                                       \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        waitpid(pid_, &status_, 0);                                                                                    \
        WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;                                                                \
    })

static void refusals(void)
{
    int fd = letters("refused", 2 * PAGE);
    int reads = open(in_dir("refused"), O_RDONLY), writes = open(in_dir("refused"), O_WRONLY);
    int zero = open("/dev/zero", O_RDWR), folder = open(dir, O_RDONLY | O_DIRECTORY);
    check_errno("a store to what was opened to be read", (long)mmap(0, PAGE, RW, MAP_SHARED, reads, 0), EACCES);
    check_errno("what cannot be read cannot be mapped", (long)mmap(0, PAGE, PROT_WRITE, MAP_SHARED, writes, 0), EACCES);
    check_errno("a directory is not mapped", (long)mmap(0, PAGE, PROT_READ, MAP_SHARED, folder, 0), ENODEV);
    check_errno("an offset inside a page", (long)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 100), EINVAL);
    check_errno("no length", (long)mmap(0, 0, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
    check_errno("MAP_SHARED_VALIDATE knows its flags",
                (long)mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | 0x400000, fd, 0), EOPNOTSUPP);
    check_errno("MAP_SYNC is for files that have it", (long)mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, zero, 0),
                EOPNOTSUPP);
    char *at = share(reads, 2 * PAGE, PROT_READ);
    check_errno("mprotect gives no right that open did not", mprotect(at, PAGE, RW), EACCES);
    check("what may be read is read", at[PAGE] == 'b');
    munmap(at, 2 * PAGE);
    at = mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    check_found("MAP_SYNC of a file", at != MAP_FAILED, "errno %d", errno);
    at[0] = 'S';
    check("a store with MAP_SYNC", byte_at(fd, 0) == 'S');
    munmap(at, PAGE);
    close(fd), close(reads), close(writes), close(zero), close(folder);
}

static void sharing(void)
{
    int fd = letters("shared", 4 * PAGE), other = open(in_dir("shared"), O_RDWR);
    char *one = share(fd, 4 * PAGE, RW), *two = share(other, 4 * PAGE, RW);
    one[5] = '1';
    check("a second open sees a store", two[5] == '1' && byte_at(other, 5) == '1');
    two[PAGE + 5] = '2';
    check("and the first sees its", one[PAGE + 5] == '2');
    int status = IN_CHILD({
        if (one[5] != '1' || two[PAGE + 5] != '2')
            _exit(1);
        one[6] = 'c';
        two[2 * PAGE] = 'C';
    });
    check("a child sees what its parent stored", status == 0);
    check("a parent sees what its child stored", one[6] == 'c' && one[2 * PAGE] == 'C' && two[6] == 'c');
    status = IN_CHILD({
        int third = open(in_dir("shared"), O_RDWR);
        char *at = share(third, 4 * PAGE, RW);
        munmap(one, 4 * PAGE);
        at[7] = at[6] == 'c' ? 'd' : 'e';
    });
    check("a mapping of a process's own", status == 0 && one[7] == 'd');
    close(fd), close(other);
    one[8] = 'f';
    check("the file may be closed", two[8] == 'f');
    munmap(two, 4 * PAGE);
    fd = open(in_dir("shared"), O_RDONLY);
    check("stores outlive a mapping", byte_at(fd, 8) == 'f' && byte_at(fd, 2 * PAGE) == 'C');
    munmap(one, 4 * PAGE);
    check("and the last one", byte_at(fd, 8) == 'f');
    close(fd);
}

static void with_calls(void)
{
    static char buffer[2 * PAGE];
    int fd = letters("calls", 4 * PAGE), other = open(in_dir("calls"), O_RDWR);
    char *at = share(fd, 4 * PAGE, RW), *twin = share(other, 4 * PAGE, PROT_READ);
    check("pages are there", at[0] == 'a' && twin[3 * PAGE] == 'd');
    at[1] = 'm';
    memset(buffer, 'w', sizeof buffer);
    check("a write", pwrite(other, buffer, PAGE, PAGE) == PAGE);
    check("is seen in the mapping", all(at + PAGE, PAGE, 'w') && twin[PAGE] == 'w');
    at[PAGE + 3] = 'm';
    check("and stored over", byte_at(fd, PAGE + 3) == 'm' && twin[PAGE + 3] == 'm');
    check("a write of some bytes", pwrite(other, "xyz", 3, PAGE + 2) == 3);
    check("keeps what was stored around them", memcmp(at + PAGE, "wwxyzw", 6) == 0 && at[1] == 'm');
    check("a write over two pages", pwrite(other, buffer, PAGE, 2 * PAGE + 100) == PAGE);
    check("is one", at[2 * PAGE + 99] == 'c' && at[3 * PAGE + 99] == 'w' && at[3 * PAGE + 100] == 'd');
    check("the mapping is written to the file", pwrite(fd, at + 3 * PAGE, PAGE, 0) == PAGE && at[99] == 'w' && at[100] == 'd');
    at[0] = 'q';
    check("the file is read into the mapping", pread(fd, at + PAGE, PAGE, 0) == PAGE && at[PAGE] == 'q' && at[PAGE + 100] == 'd');
    check("and onto itself", pread(fd, at, 2 * PAGE, 0) == 2 * PAGE && at[0] == 'q');

    check("a hole is punched", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE) == 0);
    check("and is zeros", all(at + PAGE, 2 * PAGE, 0) && twin[2 * PAGE] == 0 && at[3 * PAGE + 100] == 'd');
    struct stat before, after;
    fstat(fd, &before);
    at[PAGE + 9] = 'h';
    fstat(fd, &after);
    check("a store to a hole takes a block", after.st_blocks == before.st_blocks + PAGE / 512);
    check("which all see", twin[PAGE + 9] == 'h' && byte_at(other, PAGE + 9) == 'h' && byte_at(other, PAGE + 8) == 0);
    check("some bytes made zero", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * PAGE + 10, 200) == 0);
    check("leave the rest", at[3 * PAGE + 9] == 'w' && at[3 * PAGE + 10] == 0 && at[3 * PAGE + 210] == 'd');
    check("the file is made to zeros", fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE) == 0 && all(at, PAGE, 0));
    at[4] = 'z';
    check("and stored to", byte_at(other, 4) == 'z' && twin[4] == 'z' && twin[5] == 0);
    loff_t from = PAGE, to = 2 * PAGE;
    at[PAGE] = 'k';
    check("copy_file_range", copy_file_range(fd, &from, other, &to, PAGE, 0) == PAGE);
    check("takes what was stored", at[2 * PAGE] == 'k' && at[2 * PAGE + 9] == 'h');
    at[PAGE] = 'l';
    check("and is a copy", twin[2 * PAGE] == 'k' && byte_at(fd, PAGE) == 'l');
    munmap(at, 4 * PAGE), munmap(twin, 4 * PAGE);
    close(fd), close(other);
}

static void past_the_end(void)
{
    int fd = letters("end", 4 * PAGE);
    char *at = share(fd, 6 * PAGE, RW), *twin = share(fd, 6 * PAGE, RW);
    check("behind the end of the file", load(at + 4 * PAGE) == BUS_ADRERR && seen.si_addr == at + 4 * PAGE);
    check("no store either", store(at + 5 * PAGE + 1, 'x') == BUS_ADRERR && seen.si_addr == at + 5 * PAGE + 1);
    check("a call says so", pread(fd, at + 4 * PAGE, 1, 0) == -1 && errno == EFAULT);
    check("pages to be lost", at[3 * PAGE] == 'd' && at[2 * PAGE] == 'c' && store(twin + 3 * PAGE, 'D') == 0);
    check("the file is cut", ftruncate(fd, 2 * PAGE + 100) == 0);
    check("behind the cut", load(at + 3 * PAGE) == BUS_ADRERR && load(twin + 3 * PAGE) == BUS_ADRERR);
    check("before it", at[2 * PAGE + 99] == 'c' && twin[2 * PAGE + 99] == 'c');
    check("and in the last page", all(at + 2 * PAGE + 100, PAGE - 100, 0));
    check("a store behind the end of it", store(at + 2 * PAGE + 200, 'T') == 0 && byte_at(fd, 2 * PAGE + 200) == -1);
    check("the file grows", ftruncate(fd, 5 * PAGE) == 0);
    check("and that is no part of it", byte_at(fd, 2 * PAGE + 200) == 0 && at[2 * PAGE + 200] == 0);
    check("pages that were lost are zeros", at[3 * PAGE] == 0 && twin[4 * PAGE] == 0);
    check("and can be stored to", store(at + 4 * PAGE, 'g') == 0 && twin[4 * PAGE] == 'g' && byte_at(fd, 4 * PAGE) == 'g');
    check("to nothing", ftruncate(fd, 0) == 0 && load(at) == BUS_ADRERR && store(twin, 1) == BUS_ADRERR);
    check("and back by a write", pwrite(fd, "back", 4, PAGE) == 4 && at[0] == 0 && memcmp(twin + PAGE, "back", 5) == 0);
    munmap(at, 6 * PAGE), munmap(twin, 6 * PAGE);
    close(fd);
}

static void gone(void)
{
    int fd = letters("gone", 3 * PAGE);
    char *at = share(fd, 3 * PAGE, RW);
    at[0] = 'g';
    check("unlinked and closed", unlink(in_dir("gone")) == 0 && close(fd) == 0);
    int next = letters("next", 8 * PAGE);
    check("what is mapped stays", at[0] == 'g' && at[PAGE] == 'b' && all(at + 2 * PAGE, PAGE, 'c'));
    at[PAGE] = 'G';
    int status = IN_CHILD(if (at[PAGE] != 'G') _exit(1); at[2 * PAGE] = 'H');
    check("and is shared", status == 0 && at[2 * PAGE] == 'H' && byte_at(next, PAGE) == 'b');
    check("msync of it", msync(at, 3 * PAGE, MS_SYNC) == 0);
    munmap(at, 3 * PAGE);
    int over = letters("over", PAGE);
    at = share(next, 2 * PAGE, RW);
    char name[256];
    snprintf(name, sizeof name, "%s", in_dir("over"));
    check("another takes its name", rename(name, in_dir("next")) == 0);
    at[PAGE] = 'N';
    check("the mapping stays with the old", at[PAGE] == 'N' && byte_at(next, PAGE) == 'N' && byte_at(over, 0) == 'a');
    munmap(at, 2 * PAGE);
    close(next), close(over);
}

static void private(void)
{
    int fd = letters("private", 3 * PAGE);
    char *at = share(fd, 3 * PAGE, RW), *own = mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
    own[5] = 'p';
    own[2 * PAGE] = 'P';
    check("a private store is seen by nobody", at[5] == 'a' && byte_at(fd, 5) == 'a' && at[2 * PAGE] == 'c');
    at[6] = 's';
    at[2 * PAGE] = 'S';
    check("nor is it lost", own[5] == 'p' && own[2 * PAGE] == 'P' && own[PAGE] == 'b');
    check("and the file goes on", byte_at(fd, 6) == 's' && byte_at(fd, 2 * PAGE) == 'S');
    munmap(own, 3 * PAGE);
    at[7] = 't';
    check("after it too", byte_at(fd, 7) == 't');
    munmap(at, 3 * PAGE);
    close(fd);
}

static void calls_on_memory(void)
{
    int fd = letters("memory", 8 * PAGE);
    char *at = share(fd, 4 * PAGE, RW);
    unsigned char there[4];
    at[0] = 'x';
    check("MADV_DONTNEED", madvise(at, 4 * PAGE, MADV_DONTNEED) == 0 && at[0] == 'x' && byte_at(fd, 0) == 'x');
    check("what lies in memory is", mincore(at, 4 * PAGE, there) == 0 && there[0] & 1);
    check("mprotect to read", mprotect(at, PAGE, PROT_READ) == 0 && store(at, 'y') == -SEGV_ACCERR && at[0] == 'x');
    check("and back", mprotect(at, PAGE, RW) == 0 && store(at, 'y') == 0 && byte_at(fd, 0) == 'y');
    check("to nothing", mprotect(at, PAGE, PROT_NONE) == 0 && load(at) == -SEGV_ACCERR && byte_at(fd, 0) == 'y');
    check("and back from there", mprotect(at, PAGE, RW) == 0 && at[0] == 'y');
    char *moved = mremap(at, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    check("a mapping grows", moved != MAP_FAILED && moved[0] == 'y' && moved[7 * PAGE] == 'h');
    moved[7 * PAGE] = 'M';
    check("with the file", byte_at(fd, 7 * PAGE) == 'M');
    check("after a write", pwrite(fd, "W", 1, 0) == 1 && moved[0] == 'W');
    char *room = mmap(0, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    moved[1] = '1';
    char *there_now = mremap(moved, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    check("and moves", there_now == room && room[1] == '1');
    check("written after that", pwrite(fd, "V", 1, 1) == 1 && room[1] == 'V');
    check("MADV_REMOVE", madvise(room + PAGE, 2 * PAGE, MADV_REMOVE) == 0 && byte_at(fd, PAGE) == 0 && room[2 * PAGE] == 0);
    check("MADV_POPULATE_WRITE", madvise(room, 4 * PAGE, MADV_POPULATE_WRITE) == 0 && room[PAGE] == 0 && room[3 * PAGE] == 'd');
    check("a hole in the mapping", munmap(room + PAGE, PAGE) == 0 && load(room + PAGE) == -SEGV_MAPERR);
    check("does not concern the rest", pwrite(fd, "UU", 2, PAGE - 1) == 2 && room[PAGE - 1] == 'U' && byte_at(fd, PAGE) == 'U');
    munmap(room, 8 * PAGE);
    close(fd);
}

static void times_and_msync(void)
{
    struct stat before, after;
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    int fd = letters("times", 4 * PAGE);
    char *at = share(fd, 4 * PAGE, RW);
    futimens(fd, old);
    check("a load changes nothing", at[0] == 'a' && fstat(fd, &before) == 0 && before.st_mtime == 1000);
    at[0] = 't';
    check("msync", msync(at, 4 * PAGE, MS_SYNC) == 0 && fstat(fd, &after) == 0);
    check("mtime is set by a store and msync", after.st_mtime > 1000 && after.st_ctime >= before.st_ctime);
    check("MS_ASYNC", msync(at, PAGE, MS_ASYNC) == 0);
    check_errno("not both", msync(at, PAGE, MS_ASYNC | MS_SYNC), EINVAL);
    check_errno("inside a page", msync(at + 1, PAGE, MS_SYNC), EINVAL);
    munmap(at + 2 * PAGE, PAGE);
    at[3 * PAGE] = 'u';
    check_errno("a hole", msync(at, 4 * PAGE, MS_SYNC), ENOMEM);
    check("fsync, fdatasync, sync", fsync(fd) == 0 && fdatasync(fd) == 0 && (sync(), syncfs(fd)) == 0);
    munmap(at, 4 * PAGE);
    close(fd);
}

static void in_blocks(void)
{
    int fd = open(in_dir("large"), O_RDWR | O_CREAT | O_TRUNC, 0644);
    static char page[PAGE];
    check("blocks are promised", posix_fallocate(fd, 0, 3 * HUGE) == 0);
    for (long at = 0; at < 2 * HUGE; at += PAGE) {
        memset(page, 'A' + at / PAGE % 26, PAGE);
        if (pwrite(fd, page, PAGE, at) != PAGE)
            break;
    }
    char *at = share(fd, 3 * HUGE, RW), *twin = share(fd, 3 * HUGE, RW);
    check("2 MiB are read", at[HUGE + 7 * PAGE] == 'A' + (512 + 7) % 26 && twin[PAGE] == 'B');
    at[HUGE] = '1', at[2 * HUGE + 5] = '2', at[PAGE] = '3';
    check("and stored to", twin[HUGE] == '1' && twin[2 * HUGE + 5] == '2' && byte_at(fd, PAGE) == '3');
    check("a page of them is written", pwrite(fd, "4", 1, HUGE + PAGE) == 1 && at[HUGE + PAGE] == '4' && at[HUGE] == '1');
    at[HUGE + PAGE + 1] = '5';
    twin[HUGE + 2 * PAGE] = '6';
    check("and the rest stays", byte_at(fd, HUGE + PAGE + 1) == '5' && at[HUGE + 2 * PAGE] == '6' && twin[HUGE + PAGE] == '4');
    check("cut in one", ftruncate(fd, HUGE + 3 * PAGE) == 0 && load(at + HUGE + 3 * PAGE) == BUS_ADRERR && at[HUGE + 2 * PAGE] == '6');
    check("msync of all", msync(at, HUGE + 3 * PAGE, MS_SYNC) == 0);
    munmap(at, 3 * HUGE), munmap(twin, 3 * HUGE);
    close(fd);
    unlink(in_dir("large"));
}

/* A word in the file that two processes wait on, each by a mapping of its own. */
static void waiting(void)
{
    int fd = letters("word", PAGE);
    _Atomic uint32_t *word = (void *)share(fd, PAGE, RW);
    *word = 0;
    pid_t pid = fork();
    if (pid == 0) {
        int other = open(in_dir("word"), O_RDWR);
        _Atomic uint32_t *own = (void *)share(other, PAGE, RW);
        munmap((void *)word, PAGE);
        own[1] = 1;
        while (*own == 0)
            syscall(SYS_futex, own, FUTEX_WAIT, 0, 0, 0, 0);
        _exit(*own == 7 ? 0 : 1);
    }
    while (word[1] == 0)
        usleep(1000);
    usleep(20000);
    *word = 7;
    syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0);
    int status = -1;
    waitpid(pid, &status, 0);
    check("a waiter in another mapping is woken", status == 0);
    munmap((void *)word, PAGE);
    close(fd);
}

static void running(void)
{
    char name[256];
    char *argv[] = {name, 0};
    int status;
    pid_t pid;
    int fd = letters("program", PAGE);
    snprintf(name, sizeof name, "%s", in_dir("program"));
    fchmod(fd, 0755);
    char *at = share(fd, PAGE, RW);
    close(fd);
    check("what is shared to be written is not run", posix_spawn(&pid, name, 0, 0, argv, environ) == ETXTBSY);
    munmap(at, PAGE);
    int said = posix_spawn(&pid, name, 0, 0, argv, environ);
    if (said == 0)
        waitpid(pid, &status, 0);
    check("and then tried", said != ETXTBSY);
}

/* Two processes and a peek of neither store to one counter, page by page. */
static void together(void)
{
    enum { ROUNDS = 400 };
    int fd = letters("together", 4 * PAGE);
    char *at = share(fd, 4 * PAGE, RW);
    _Atomic uint32_t *count = (void *)(at + PAGE);
    *count = 0;
    pid_t pid = fork();
    for (int n = 0; n < ROUNDS; n++) {
        ++*count;
        if (n % 16 == 0)
            pwrite(fd, "w", 1, pid ? 0 : 3 * PAGE);
        if (n % 64 == 7)
            madvise(at, 4 * PAGE, MADV_DONTNEED);
        if (n % 32 == 3)
            sched_yield();
    }
    if (pid == 0)
        _exit(0);
    int status = -1;
    waitpid(pid, &status, 0);
    check_found("two processes count", status == 0 && *count == 2 * ROUNDS, "counted %u", *count);
    munmap(at, 4 * PAGE);
    close(fd);
}

static int store_and_wait(void)
{
    int fd = letters("kept", 6 * PAGE);
    char *at = share(fd, 6 * PAGE, RW);
    ftruncate(fd, 8 * PAGE);
    at[1] = 'm';
    at[3 * PAGE] = 'M';
    pwrite(fd, "w", 1, 2);
    at[4] = 'n';
    char *sync = mmap(0, 8 * PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    if (sync == MAP_FAILED || msync(at, 6 * PAGE, MS_SYNC) != 0)
        return 1;
    sync[7 * PAGE + 64] = 's';
#ifdef __aarch64__
    __asm__ volatile("dc cvac, %0; dsb sy" : : "r"(sync + 7 * PAGE + 64) : "memory");
#endif
    printf("stored\n");
    fflush(stdout);
    for (;;)
        pause();
}

static int look(void)
{
    int fd = open(in_dir("kept"), O_RDONLY);
    check("msync kept it", byte_at(fd, 1) == 'm' && byte_at(fd, 3 * PAGE) == 'M' && byte_at(fd, 4) == 'n');
    check("beside a write", byte_at(fd, 2) == 'w' && byte_at(fd, 0) == 'a' && byte_at(fd, 3 * PAGE + 1) == 'd');
    check("and MAP_SYNC what the program cleaned", byte_at(fd, 7 * PAGE + 64) == 's' && byte_at(fd, 7 * PAGE) == 0);
    return end_checks();
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = leap, .sa_flags = SA_SIGINFO};
    begin_checks();
    dir = argc > 1 ? argv[1] : "/data";
    if (argc > 2)
        return strcmp(argv[2], "store") == 0 ? store_and_wait() : look();
    sigaction(SIGBUS, &action, 0);
    sigaction(SIGSEGV, &action, 0);
    refusals();
    sharing();
    with_calls();
    past_the_end();
    gone();
    private();
    calls_on_memory();
    times_and_msync();
    in_blocks();
    waiting();
    running();
    together();
    return end_checks();
}
