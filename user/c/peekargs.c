/*
 * peekargs: every promise of peek and unpeek that a single program can see, one check each.
 *
 *   peekargs [DIR]     DIR is where files are made; /data when not given
 *
 * The order of the checks is that of the promises in docs/ABI.md. A store or a touch that must be fatal is done by this
 * program run again as a child: `peekargs -ACT FILE`.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <vitrine.h>

#include "check.h"

enum { PAGE = 4096, SIZE = 3 * PAGE + 100, BIG = 5 << 20 };

static const char *self;
static char path[PATH_MAX - 16], other[PATH_MAX];
static unsigned char content[SIZE];

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* Byte `i` of what a file of version `version` holds: never 0, different in every page and version. */
static unsigned char byte_of(int version, size_t i)
{
    return (unsigned char)(1 + (i * 7 + i / PAGE * 31 + (size_t)version * 101) % 255);
}

static void fill(unsigned char *to, int version, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = byte_of(version, from + i);
}

static int open_or_die(const char *name, int flags)
{
    int fd = open(name, flags, 0644);
    if (fd < 0)
        die(name);
    return fd;
}

/* The file as it is before each group of checks: SIZE bytes of version 0. */
static int fresh(int flags)
{
    int fd = open_or_die(path, O_RDWR | O_CREAT | O_TRUNC);
    fill(content, 0, 0, SIZE);
    if (write(fd, content, SIZE) != SIZE)
        die(path);
    close(fd);
    return open_or_die(path, flags);
}

static unsigned char *peek_or_die(int fd, off_t offset, size_t len)
{
    unsigned char *p = peek(fd, offset, len);
    if (p == MAP_FAILED)
        die("peek");
    return p;
}

/* Whether a system call can read the byte at `p`: the way to touch memory without dying of it. */
static int readable(const void *p)
{
    static int sink = -1;
    if (sink < 0)
        sink = open_or_die(other, O_RDWR | O_CREAT | O_TRUNC);
    return pwrite(sink, p, 1, 0) == 1;
}

static int same(const unsigned char *p, int version, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != byte_of(version, from + i))
            return 0;
    return 1;
}

#define REFUSED(name, want, call) (errno = 0, check_errno(name, (long)(call), want))

static void refusals(void)
{
    int fd = fresh(O_RDONLY), write_only = open_or_die(path, O_WRONLY),
        directory = open_or_die("/", O_RDONLY | O_DIRECTORY);
    int empty = open_or_die(other, O_RDWR | O_CREAT | O_TRUNC), closed = dup(fd);
    close(closed);

    REFUSED("peek of descriptor -1", EBADF, peek(-1, 0, PAGE));
    REFUSED("peek of a closed descriptor", EBADF, peek(closed, 0, PAGE));
    REFUSED("peek of a huge descriptor", EBADF, peek(INT_MAX, 0, PAGE));
    REFUSED("peek of a descriptor open only for writing", EBADF, peek(write_only, 0, PAGE));
    REFUSED("peek of a directory", ENODEV, peek(directory, 0, PAGE));
    REFUSED("peek of the terminal", ENODEV, peek(0, 0, PAGE));
    int proc = open("/proc/vitrine/counters", O_RDONLY);
    REFUSED("peek of a file of /proc", ENODEV, peek(proc, 0, PAGE));
    REFUSED("peek of no bytes", EINVAL, peek(fd, 0, 0));
    REFUSED("peek of a negative length", EINVAL, peek(fd, 0, (size_t)-1));
    REFUSED("peek of the smallest length", EINVAL, peek(fd, 0, (size_t)1 << 63));
    REFUSED("peek at a negative offset", EINVAL, peek(fd, -1, PAGE));
    REFUSED("peek at the smallest offset", EINVAL, peek(fd, LONG_MIN, PAGE));
    REFUSED("peek whose end overflows", EINVAL, peek(fd, LONG_MAX, PAGE));
    REFUSED("peek whose end overflows by its length", EINVAL, peek(fd, PAGE, (size_t)LONG_MAX));
    REFUSED("peek at the end of file", ENXIO, peek(fd, SIZE, 1));
    REFUSED("peek far behind the end of file", ENXIO, peek(fd, 1L << 40, PAGE));
    REFUSED("peek of an empty file", ENXIO, peek(empty, 0, 1));
    REFUSED("peek of more than there are addresses", ENOMEM, peek(fd, 0, (size_t)1 << 52));

    REFUSED("EBADF comes before EINVAL", EBADF, peek(-1, -1, 0));
    REFUSED("EBADF comes before ENXIO", EBADF, peek(write_only, SIZE, 1));
    REFUSED("ENODEV comes before EINVAL", ENODEV, peek(directory, -1, 0));
    REFUSED("EINVAL comes before ENXIO", EINVAL, peek(fd, SIZE, 0));
    REFUSED("ENXIO comes before ENOMEM", ENXIO, peek(fd, SIZE, (size_t)1 << 52));
    close(proc), close(empty), close(directory), close(write_only), close(fd);
}

static void contents(void)
{
    static unsigned char read_back[SIZE];
    int fd = fresh(O_RDONLY), zeros = 1;
    unsigned char *p = peek_or_die(fd, 0, SIZE);
    check("a peek begins where its page begins", ((uintptr_t)p & (PAGE - 1)) == 0);
    check("peek shows what was written", same(p, 0, 0, SIZE));
    check("peek shows what pread reads", pread(fd, read_back, SIZE, 0) == SIZE && memcmp(p, read_back, SIZE) == 0);
    for (size_t i = SIZE; i < 4 * PAGE; i++)
        zeros &= p[i] == 0;
    check("bytes after the end of file in its page read 0", zeros);
    check("the page after a peek is not mapped", !readable(p + 4 * PAGE));
    check("unpeek", unpeek(p) == 0);
    check("what was peeked is gone", !readable(p) && !readable(p + 3 * PAGE));

    p = peek_or_die(fd, PAGE + 123, 10);
    check("the pointer has the offset's place in its page", ((uintptr_t)p & (PAGE - 1)) == 123);
    check("an offset inside a page", same(p, 0, PAGE + 123, 10));
    check("other bytes of the same page can be seen", same(p - 123, 0, PAGE, PAGE));
    check("the page after a peek inside a page is not mapped", !readable(p - 123 + PAGE));
    check("unpeek of a pointer inside a page", unpeek(p) == 0);

    p = peek_or_die(fd, PAGE - 1, 2);
    check("a peek of two bytes in two pages", same(p, 0, PAGE - 1, 2));
    check("it shows both pages", same(p - (PAGE - 1), 0, 0, 2 * PAGE));
    unpeek(p);

    p = peek_or_die(fd, SIZE - 1, 1);
    check("the last byte of a file", same(p, 0, SIZE - 1, 1));
    unpeek(p);

    p = peek_or_die(fd, 0, 16 * PAGE);
    check("a peek past the end shows the file", same(p, 0, 0, SIZE));
    check("a system call cannot read a page after the end", !readable(p + 4 * PAGE));
    unpeek(p);
    close(fd);

    fd = fresh(O_RDWR);
    p = peek_or_die(fd, 0, PAGE);
    check("a descriptor open for both can be peeked", same(p, 0, 0, PAGE));
    unpeek(p);
    close(fd);
}

static void holes(void)
{
    int fd = open_or_die(path, O_RDWR | O_CREAT | O_TRUNC), zeros = 1;
    if (pwrite(fd, "end", 3, 8 * PAGE) != 3)
        die("pwrite behind the end");
    unsigned char *p = peek_or_die(fd, 0, 8 * PAGE + 3);
    for (size_t i = 0; i < 8 * PAGE; i++)
        zeros &= p[i] == 0;
    check("a hole reads zeros", zeros);
    check("data behind a hole", memcmp(p + 8 * PAGE, "end", 3) == 0);
    check("writing into a hole", pwrite(fd, "hole", 4, PAGE) == 4);
    check("a hole that was peeked stays one", p[PAGE] == 0);
    unpeek(p);
    p = peek_or_die(fd, PAGE, 4);
    check("a new peek shows what is in the hole now", memcmp(p, "hole", 4) == 0);
    unpeek(p);
    close(fd);
}

static void large(void)
{
    unsigned char *bytes = malloc(BIG);
    int fd = open_or_die(path, O_RDWR | O_CREAT | O_TRUNC);
    fill(bytes, 1, 0, BIG);
    if (write(fd, bytes, BIG) != BIG)
        die("a large write");
    unsigned char *p = peek_or_die(fd, 0, BIG);
    check("a file of 5 MiB", memcmp(p, bytes, BIG) == 0);
    unsigned char *q = peek_or_die(fd, 2 * BIG / 5 - 7, BIG / 2);
    check("2 MiB and a half of it, across blocks", memcmp(q, bytes + 2 * BIG / 5 - 7, BIG / 2) == 0);
    check("overwriting the middle", pwrite(fd, content, SIZE, BIG / 2) == SIZE);
    check("both peeks are as they were",
          memcmp(p, bytes, BIG) == 0 && memcmp(q, bytes + 2 * BIG / 5 - 7, BIG / 2) == 0);
    check("unpeek of one leaves the other", unpeek(p) == 0 && q[0] == bytes[2 * BIG / 5 - 7] && unpeek(q) == 0);
    free(bytes);
    close(fd);
}

static void immutability(void)
{
    static unsigned char other_bytes[SIZE];
    int fd = fresh(O_RDWR);
    unsigned char *p = peek_or_die(fd, 0, SIZE), *q;
    fill(other_bytes, 2, 0, SIZE);

    check("pwrite over what is peeked", pwrite(fd, other_bytes, PAGE + 10, 0) == PAGE + 10);
    check("the peek does not see pwrite", same(p, 0, 0, SIZE));
    q = peek_or_die(fd, 0, SIZE);
    check("a new peek sees pwrite", same(q, 2, 0, PAGE + 10) && same(q + PAGE + 10, 0, PAGE + 10, SIZE - PAGE - 10));
    check("the two peeks lie apart", q >= p + 5 * PAGE || p >= q + 5 * PAGE);
    check("one byte, once more", pwrite(fd, "x", 1, 5) == 1 && same(p, 0, 0, SIZE) && same(q, 2, 0, PAGE + 10));
    check("unpeek of the newer", unpeek(q) == 0 && same(p, 0, 0, SIZE));
    unpeek(p);
    close(fd);

    fd = fresh(O_RDWR | O_APPEND);
    p = peek_or_die(fd, 3 * PAGE, 100);
    check("appending", write(fd, other_bytes, PAGE) == PAGE);
    check("the peek does not see what was appended", same(p, 0, 3 * PAGE, 100) && p[100] == 0 && p[PAGE - 1] == 0);
    check("nor is there a page more", !readable(p + PAGE));
    unpeek(p);
    close(fd);

    fd = fresh(O_RDONLY);
    p = peek_or_die(fd, 0, SIZE);
    close(open_or_die(path, O_WRONLY | O_TRUNC));
    check("the peek does not see O_TRUNC", same(p, 0, 0, SIZE));
    REFUSED("the file is empty for a new peek", ENXIO, peek(fd, 0, 1));
    check("closing the descriptor", close(fd) == 0);
    check("the peek outlives the descriptor", same(p, 0, 0, SIZE));
    unpeek(p);

    fd = fresh(O_RDONLY);
    p = peek_or_die(fd, 0, SIZE);
    check("unlink", unlink(path) == 0);
    check("the peek outlives the name", same(p, 0, 0, SIZE));
    check("and the last descriptor", close(fd) == 0 && same(p, 0, 0, SIZE));
    check("new files do not disturb it",
          (fd = fresh(O_RDWR)) >= 0 && write(fd, other_bytes, SIZE) == SIZE && same(p, 0, 0, SIZE));
    check("unpeek of what has no name", unpeek(p) == 0);
    close(fd);
}

static void sizes_and_names(void)
{
    static unsigned char zero[SIZE];
    int fd = fresh(O_RDWR);
    unsigned char *p = peek_or_die(fd, 0, SIZE), *q;
    check("ftruncate inside what is peeked", ftruncate(fd, PAGE + 50) == 0);
    check("the peek does not see ftruncate", same(p, 0, 0, SIZE));
    check("growing again", ftruncate(fd, SIZE) == 0);
    q = peek_or_die(fd, 0, SIZE);
    check("a new peek sees what is left, then zeros",
          same(q, 0, 0, PAGE + 50) && memcmp(q + PAGE + 50, zero, SIZE - PAGE - 50) == 0);
    check("the old one has it all", same(p, 0, 0, SIZE));
    unpeek(p), unpeek(q);

    p = peek_or_die(fd, 0, 8 * PAGE);
    check("growing behind a peek", ftruncate(fd, 8 * PAGE) == 0 && pwrite(fd, "x", 1, 6 * PAGE) == 1);
    check("a page that was behind the end stays so", !readable(p + 6 * PAGE));
    unpeek(p);
    close(fd);

    fd = fresh(O_RDONLY);
    p = peek_or_die(fd, 0, SIZE);
    int to = open_or_die(other, O_RDWR | O_CREAT | O_TRUNC);
    check("renaming another file over it", write(to, "other", 5) == 5 && rename(other, path) == 0);
    check("the peek outlives being replaced by a rename", same(p, 0, 0, SIZE));
    q = peek_or_die(to, 0, 5);
    check("the other file is at the old name now", memcmp(q, "other", 5) == 0);
    unpeek(p), unpeek(q);
    close(to), close(fd);
}

/* The log takes blocks from the same space when it needs a new segment: then the count is taken again. */
static void space(void)
{
    struct statfs before, held, after;
    int good = 0;
    for (int attempt = 0; attempt < 3 && !good; attempt++) {
        int fd = fresh(O_RDWR);
        unsigned char *p = peek_or_die(fd, 0, 2 * PAGE);
        fstatfs(fd, &before);
        int written = pwrite(fd, content, 2 * PAGE, 0) == 2 * PAGE;
        fstatfs(fd, &held);
        unpeek(p);
        fstatfs(fd, &after);
        good = written && held.f_bfree + 2 == before.f_bfree && after.f_bfree == before.f_bfree;
        close(fd);
    }
    check_found("replaced blocks are in use until unpeek and free from then on", good, "%lu free, then %lu, then %lu",
                (unsigned long)before.f_bfree, (unsigned long)held.f_bfree, (unsigned long)after.f_bfree);
}

static void protection(void)
{
    struct stat st;
    int fd = fresh(O_RDONLY), source = open_or_die(path, O_RDONLY);
    unsigned char *p = peek_or_die(fd, 0, SIZE);
    check_died("a store through the pointer dies of SIGSEGV", run_child(self, "-store", path), SIGSEGV);
    check_died("a call into what is peeked dies of SIGSEGV", run_child(self, "-call", path), SIGSEGV);
    check_died("a page after the end dies of SIGBUS", run_child(self, "-behind", path), SIGBUS);
    check_died("the page after a peek dies of SIGSEGV", run_child(self, "-beyond", path), SIGSEGV);
    check_died("reading after unpeek dies of SIGSEGV", run_child(self, "-after", path), SIGSEGV);
    check("a child that ends without unpeek", run_child(self, "-leave", path) == 0);
    check("nothing of this changed the file", same(p, 0, 0, SIZE));
    REFUSED("mprotect to write", EACCES, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
    REFUSED("mprotect to write only", EACCES, mprotect(p, PAGE, PROT_WRITE));
    REFUSED("mprotect to execute", EACCES, mprotect(p, PAGE, PROT_READ | PROT_EXEC));
    check("mprotect to nothing", mprotect(p + PAGE, PAGE, PROT_NONE) == 0 && !readable(p + PAGE) && readable(p));
    check("mprotect to read again", mprotect(p + PAGE, PAGE, PROT_READ) == 0 && same(p, 0, 0, SIZE));
    REFUSED("read into what is peeked", EFAULT, pread(source, p, 10, 100));
    REFUSED("fstat into what is peeked", EFAULT, syscall(SYS_fstat, source, p));
    check("fstat elsewhere", fstat(source, &st) == 0 && st.st_size == SIZE);
    REFUSED("madvise DONTNEED", EINVAL, madvise(p, PAGE, MADV_DONTNEED));
    REFUSED("madvise FREE", EINVAL, madvise(p, PAGE, MADV_FREE));
    REFUSED("madvise REMOVE", EINVAL, madvise(p, PAGE, MADV_REMOVE));
    check("it is as it was", same(p, 0, 0, SIZE));
    int to = open_or_die(other, O_RDWR | O_CREAT | O_TRUNC);
    static unsigned char copy[SIZE];
    check("write from what is peeked copies the file",
          write(to, p, SIZE) == SIZE && pread(to, copy, SIZE, 0) == SIZE && same(copy, 0, 0, SIZE));
    unpeek(p);
    close(to), close(source), close(fd);
}

static void ends(void)
{
    int fd = fresh(O_RDONLY), local = 0;
    unsigned char *p = peek_or_die(fd, 0, SIZE), *q;
    void *memory = mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *mapped = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    REFUSED("unpeek of the next byte", EINVAL, unpeek(p + 1));
    REFUSED("unpeek of the next page", EINVAL, unpeek(p + PAGE));
    REFUSED("unpeek of the byte before", EINVAL, unpeek(p - 1));
    REFUSED("unpeek of null", EINVAL, unpeek(0));
    REFUSED("unpeek of the stack", EINVAL, unpeek(&local));
    REFUSED("unpeek of ordinary memory", EINVAL, unpeek(memory));
    if (mapped != MAP_FAILED)
        REFUSED("unpeek of a mapped file", EINVAL, unpeek(mapped));
    REFUSED("unpeek of a kernel address", EINVAL, unpeek((void *)0xffff000040000000));
    REFUSED("unpeek of no address", EINVAL, unpeek((void *)0x00f0000000000000));
    check("all of this ended nothing", same(p, 0, 0, SIZE));
    check("unpeek, once", unpeek(p) == 0);
    REFUSED("unpeek, twice", EINVAL, unpeek(p));

    p = peek_or_die(fd, 0, SIZE);
    check("munmap of a page in the middle", munmap(p + PAGE, PAGE) == 0);
    check("the rest stays",
          same(p, 0, 0, PAGE) && !readable(p + PAGE) && same(p + 2 * PAGE, 0, 2 * PAGE, SIZE - 2 * PAGE));
    check("unpeek ends all that is left", unpeek(p) == 0 && !readable(p) && !readable(p + 2 * PAGE));

    p = peek_or_die(fd, 0, SIZE);
    check("munmap of the first page", munmap(p, PAGE) == 0);
    REFUSED("unpeek without its first page", EINVAL, unpeek(p));
    check("the rest still stays", same(p + PAGE, 0, PAGE, SIZE - PAGE));
    check("munmap of the rest", munmap(p + PAGE, 3 * PAGE) == 0 && !readable(p + PAGE));

    p = peek_or_die(fd, 0, SIZE);
    check("munmap of all of it", munmap(p, 4 * PAGE) == 0);
    REFUSED("unpeek after munmap", EINVAL, unpeek(p));

    p = peek_or_die(fd, 0, SIZE);
    void *over = mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    check("mmap over its first page", over == p && p[0] == 0 && same(p + PAGE, 0, PAGE, SIZE - PAGE));
    REFUSED("unpeek of a page that is something else now", EINVAL, unpeek(p));
    munmap(p, 4 * PAGE);

    p = peek_or_die(fd, 0, PAGE), q = peek_or_die(fd, 0, PAGE);
    check("two peeks of the same page", p != q && same(p, 0, 0, PAGE) && same(q, 0, 0, PAGE));
    check("ending the first leaves the second", unpeek(p) == 0 && same(q, 0, 0, PAGE));
    REFUSED("the first is over", EINVAL, unpeek(p));
    check("ending the second", unpeek(q) == 0);

    int good = 1;
    for (int i = 0; i < 2000 && good; i++) {
        p = peek(fd, i % SIZE, 1 + i % PAGE);
        good = p != MAP_FAILED && p[0] == byte_of(0, (size_t)(i % SIZE)) && unpeek(p) == 0;
    }
    check("2000 peeks and unpeeks", good);
    munmap(memory, PAGE);
    close(fd);
}

static void many(void)
{
    enum { COUNT = 500 };
    static unsigned char *peeks[COUNT];
    int fd = fresh(O_RDWR), good = 1, ended = 1;
    for (int i = 0; i < COUNT; i++) {
        unsigned char now = byte_of(3, (size_t)i);
        good &= pwrite(fd, &now, 1, 7) == 1 && (peeks[i] = peek(fd, 0, PAGE)) != MAP_FAILED;
    }
    for (int i = 0; i < COUNT && good; i++)
        good &= peeks[i][7] == byte_of(3, (size_t)i);
    check("500 versions of a page, all seen at once", good);
    for (int i = 0; i < COUNT; i++)
        ended &= unpeek(peeks[i * 7 % COUNT]) == 0;
    check("all of them ended, in another order", ended);
    close(fd);
}

/* One act in a child; what must be fatal does not return. */
static int act(const char *how, const char *file)
{
    int fd = open_or_die(file, O_RDONLY);
    volatile unsigned char *p = peek_or_die(fd, 0, 16 * PAGE);
    if (strcmp(how, "-store") == 0)
        p[5] = 'x';
    else if (strcmp(how, "-call") == 0)
        ((void (*)(void))p)();
    else if (strcmp(how, "-behind") == 0)
        (void)p[SIZE + PAGE];
    else if (strcmp(how, "-beyond") == 0)
        (void)p[16 * PAGE];
    else if (strcmp(how, "-after") == 0)
        unpeek((const void *)p), (void)p[0];
    else if (strcmp(how, "-leave") == 0)
        return 0;
    fprintf(stderr, "peekargs: %s: lived on\n", how);
    return 1;
}

/* What the other calls on memory make of a peek. */
static void memory_calls(void)
{
    unsigned char there[4] = {0};
    int fd = fresh(O_RDONLY);
    unsigned char *p = peek_or_die(fd, 0, SIZE), *q;
    int wrong[] = {MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_POPULATE_WRITE, MADV_WIPEONFORK};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char name[48];
        snprintf(name, sizeof name, "advice %d about a peek", wrong[i]);
        REFUSED(name, EINVAL, madvise(p, 4 * PAGE, wrong[i]));
    }
    check("other advice about a peek",
          madvise(p, 4 * PAGE, MADV_WILLNEED) == 0 && madvise(p, 4 * PAGE, MADV_POPULATE_READ) == 0);
    check("a peek is in memory", mincore(p, 4 * PAGE, there) == 0 && there[0] & there[1] & there[2] & there[3] & 1);
    check("a peek can be locked", mlock(p, 4 * PAGE) == 0 && munlock(p, 4 * PAGE) == 0);
    check("and synced", msync(p, 4 * PAGE, MS_SYNC) == 0);
    REFUSED("remap_file_pages of a peek", EINVAL, syscall(SYS_remap_file_pages, p, PAGE, 0, 1, 0));
    REFUSED("a peek does not grow", EFAULT, mremap(p, 4 * PAGE, 5 * PAGE, 0));
    REFUSED("nor where it may move", EFAULT, mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
    check("and is as it was", same(p, 0, 0, SIZE));
    check("a peek shrinks", mremap(p, 4 * PAGE, 3 * PAGE, 0) == p && same(p, 0, 0, 3 * PAGE) && !readable(p + 3 * PAGE));
    void *room = mmap(0, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    q = mremap(p + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    check("a part of a peek moves", q == room && same(q, 0, PAGE, 2 * PAGE) && !readable(p + PAGE));
    check("what stays is still the peek", unpeek(p) == 0 && !readable(p) && same(q, 0, PAGE, 2 * PAGE));
    check("what has moved is one of its own", unpeek(q) == 0 && !readable(q));
    munmap(room, 4 * PAGE);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc > 2 && argv[1][0] == '-')
        return act(argv[1], argv[2]);
    self = argv[0];
    snprintf(path, sizeof path, "%s/peekargs-file", argc > 1 ? argv[1] : "/data");
    snprintf(other, sizeof other, "%s.other", path);
    begin_checks();
    refusals();
    contents();
    holes();
    large();
    immutability();
    sizes_and_names();
    space();
    protection();
    memory_calls();
    ends();
    many();
    unlink(path), unlink(other);
    return end_checks();
}
