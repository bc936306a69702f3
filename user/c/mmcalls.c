/*
 * mmcalls: the calls on an address space, each as its man page has it: what it does, what it refuses, and which refusal
 * comes first.
 *
 *   mmcalls [DIR]     DIR is where a file may be made; /data when not given
 *   mmcalls DIR HOW   does one thing that ends it by a signal
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "check.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS, SHARED = MAP_SHARED | MAP_ANONYMOUS };

static int file; /* four pages: 'a', 'b', 'c', 'd' */

/* One refusal. */
#define REFUSED(what, want, CALL) (errno = 0, check_errno(what, (long)(CALL), want))

/* Fresh memory; the program ends without it. */
static char *pages(int count)
{
    char *at = mmap(0, count * PAGE, RW, ANON, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmcalls: memory");
        exit(2);
    }
    return at;
}

/* `count` pages with nothing in the page before and the page behind. */
static char *island(int count)
{
    char *at = pages(count + 2);
    munmap(at, PAGE);
    munmap(at + (count + 1) * PAGE, PAGE);
    return at + PAGE;
}

/* What the kernel may do there for the program is what the program may. */
static int readable(const void *at) { return pwrite(file, at, 1, 4 * PAGE) == 1; }
static int writable(void *at) { return pread(file, at, 1, 4 * PAGE) == 1; }

static int resident(const void *at)
{
    unsigned char page = 0;
    return mincore((void *)at, PAGE, &page) == 0 ? page & 1 : -1;
}

/* A number of a file of /proc, behind a label: in the VMA that begins at `start`, or anywhere where that is 0. */
static long number_in(const char *path, const char *label, uintptr_t start)
{
    char line[512], begins[32];
    long found = -1;
    int here = start == 0;
    FILE *text = fopen(path, "r");
    snprintf(begins, sizeof begins, "%08lx-", start);
    while (text && fgets(line, sizeof line, text)) {
        if (start && strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
            here = strncmp(line, begins, strlen(begins)) == 0;
        if (here && strncmp(line, label, strlen(label)) == 0 && line[strlen(label)] == ':')
            found = strtol(line + strlen(label) + 1, 0, 10);
    }
    if (text)
        fclose(text);
    return found;
}

/* The line of /proc/self/maps for the VMA that begins at `start`, or "". */
static const char *maps_line(const void *start)
{
    static char line[512];
    char begins[32];
    FILE *maps = fopen("/proc/self/maps", "r");
    snprintf(begins, sizeof begins, "%08lx-", (uintptr_t)start);
    while (maps && fgets(line, sizeof line, maps))
        if (strncmp(line, begins, strlen(begins)) == 0) {
            fclose(maps);
            return line;
        }
    if (maps)
        fclose(maps);
    return "";
}

static void prepare(const char *dir)
{
    char path[PATH_MAX], page[PAGE];
    snprintf(path, sizeof path, "%s/mmcalls-file", dir);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (int i = 0; i < 4; i++) {
        memset(page, 'a' + i, sizeof page);
        if (file < 0 || write(file, page, PAGE) != PAGE) {
            perror(path);
            exit(2);
        }
    }
}

static void mapping(const char *dir)
{
    char path[PATH_MAX];
    struct stat status;
    char *at = pages(3), *there;
    check("mmap gives zeros", at[0] == 0 && at[3 * PAGE - 1] == 0);
    at[PAGE] = 'x';
    there = mmap(at + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    check("MAP_FIXED replaces what is there", there == at + PAGE && at[PAGE] == 0);
    REFUSED("MAP_FIXED_NOREPLACE where something is", EEXIST,
            mmap(at, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    munmap(at + PAGE, PAGE);
    check("MAP_FIXED_NOREPLACE where nothing is",
          mmap(at + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == at + PAGE);
    munmap(at + PAGE, PAGE);
    check("a hint is followed where there is room", mmap(at + PAGE, PAGE, RW, ANON, -1, 0) == at + PAGE);
    there = mmap(at, PAGE, RW, ANON, -1, 0);
    check("and not where there is none", there != MAP_FAILED && there != at);
    munmap(there, PAGE);
    there = mmap(0, 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);
    check("MAP_POPULATE makes the pages", resident(there) == 1 && resident(there + 3 * PAGE) == 1);
    munmap(there, 4 * PAGE);
    there = mmap(0, 2 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);
    check("MAP_LOCKED makes the pages", resident(there) == 1 && resident(there + PAGE) == 1);
    REFUSED("and they are not given away", EINVAL, madvise(there, PAGE, MADV_DONTNEED));
    munmap(there, 2 * PAGE);
    there = mmap(0, 1UL << 36, RW, ANON | MAP_NORESERVE, -1, 0);
    check("MAP_NORESERVE maps what no memory could hold", there != MAP_FAILED);
    munmap(there, 1UL << 36);
    check("MAP_STACK is no different", mmap(at, PAGE, RW, ANON | MAP_STACK | MAP_FIXED, -1, 0) == at);
    munmap(at, 3 * PAGE);
    check("munmap takes what is there away", !readable(at) && errno == EFAULT);
    check("munmap of nothing is no error", munmap(at, 3 * PAGE) == 0);

    REFUSED("mmap of no bytes", EINVAL, mmap(0, 0, RW, ANON, -1, 0));
    REFUSED("mmap of no kind", EINVAL, mmap(0, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    REFUSED("mmap of both kinds' third, without a file", EINVAL,
            mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
    REFUSED("mmap at an offset inside a page, before the descriptor", EINVAL,
            syscall(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, -1, 1));
    REFUSED("mmap of a bad descriptor, before the length", EBADF, mmap(0, 0, PROT_READ, MAP_PRIVATE, -1, 0));
    REFUSED("mmap of more than there are addresses", ENOMEM, mmap(0, 1UL << 52, RW, ANON, -1, 0));
    REFUSED("the length comes before the kind", ENOMEM, mmap(0, -1UL, RW, MAP_ANONYMOUS, -1, 0));
    REFUSED("an offset past the end of 64 bits", EOVERFLOW,
            syscall(SYS_mmap, 0, 1UL << 40, PROT_READ, MAP_PRIVATE, file, -1UL << 12));
    REFUSED("MAP_FIXED inside a page", EINVAL, mmap(at + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    REFUSED("shared memory that grows", EINVAL, mmap(0, PAGE, RW, SHARED | MAP_GROWSDOWN, -1, 0));

    snprintf(path, sizeof path, "%s/mmcalls-file", dir);
    int write_only = open(path, O_WRONLY);
    REFUSED("mmap of a file opened for writing", EACCES, mmap(0, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0));
    REFUSED("the kind comes before the rights", EINVAL, mmap(0, PAGE, PROT_READ, 0, write_only, 0));
    close(write_only);
    int read_only = open(path, O_RDONLY);
    REFUSED("a shared store needs a file open for writing", EACCES, mmap(0, PAGE, RW, MAP_SHARED, read_only, 0));
    REFUSED("MAP_SHARED_VALIDATE refuses what it does not know", EOPNOTSUPP,
            mmap(0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 1 << 22, read_only, 0));
    close(read_only);
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    REFUSED("mmap of a directory", ENODEV, mmap(0, PAGE, PROT_READ, MAP_PRIVATE, directory, 0));
    close(directory);

    at = mmap(0, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
    check("a private mapping shows the file", at[0] == 'a' && at[PAGE] == 'b' && at[4 * PAGE - 1] == 'd');
    at[PAGE] = 'X';
    char byte = 0;
    check("and keeps its stores to itself", pread(file, &byte, 1, PAGE) == 1 && byte == 'b' && at[PAGE] == 'X');
    check("MADV_DONTNEED gives the file back", madvise(at, 4 * PAGE, MADV_DONTNEED) == 0 && at[PAGE] == 'b');
    fstat(file, &status);
    check("maps names its inode", strtoul(strchr(maps_line(at), ':') + 3, 0, 10) == status.st_ino);
    munmap(at, 4 * PAGE);
}

static void protection(void)
{
    char *at = island(3);
    at[0] = at[PAGE] = at[2 * PAGE] = 'x';
    check("mprotect to read", mprotect(at + PAGE, PAGE, PROT_READ) == 0 && readable(at + PAGE));
    check("takes stores away there, and nowhere else",
          !writable(at + PAGE) && errno == EFAULT && writable(at) && writable(at + 2 * PAGE));
    check("mprotect to nothing", mprotect(at + PAGE, PAGE, PROT_NONE) == 0 && !readable(at + PAGE));
    check("and back: what was there is there", mprotect(at + PAGE, PAGE, RW) == 0 && at[PAGE] == 'x');
    check("mprotect of no bytes", mprotect(at, 0, PROT_READ) == 0 && writable(at));
    REFUSED("mprotect inside a page", EINVAL, mprotect(at + 1, PAGE, PROT_READ));
    REFUSED("mprotect to rights that are none", EINVAL, mprotect(at, PAGE, 0x40000));
    REFUSED("but past the end first", ENOMEM, mprotect(at, -1UL, 0x40000));
    REFUSED("mprotect both ways", EINVAL, mprotect(at + 1, PAGE, PROT_GROWSUP | PROT_GROWSDOWN));
    REFUSED("mprotect downwards of what does not grow", EINVAL, mprotect(at, PAGE, PROT_READ | PROT_GROWSDOWN));
    REFUSED("mprotect upwards of what does not grow", EINVAL, mprotect(at, PAGE, PROT_READ | PROT_GROWSUP));
    REFUSED("mprotect of what is not mapped", ENOMEM, mprotect(at - PAGE, PAGE, PROT_READ));
    REFUSED("mprotect into what is not mapped", ENOMEM, mprotect(at, 4 * PAGE, PROT_READ));
    check("what comes before that has changed", !writable(at) && !writable(at + 2 * PAGE));
    munmap(at, 3 * PAGE);
}

static void remapping(void)
{
    char *at = island(8), *to, *end;
    for (int i = 0; i < 8; i++)
        at[i * PAGE] = 'a' + i;
    check("mremap shrinks in place", mremap(at, 8 * PAGE, 4 * PAGE, 0) == at);
    check("and what is behind is gone", readable(at + 3 * PAGE) && !readable(at + 4 * PAGE));
    check("mremap grows in place", mremap(at, 4 * PAGE, 6 * PAGE, 0) == at && at[3 * PAGE] == 'd' && at[5 * PAGE] == 0);
    end = mmap(at + 6 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    REFUSED("mremap that may not move and cannot grow", ENOMEM, mremap(at, 6 * PAGE, 7 * PAGE, 0));
    to = mremap(at, 6 * PAGE, 12 * PAGE, MREMAP_MAYMOVE);
    check("mremap moves with its pages", to != at && to != MAP_FAILED && to[0] == 'a' && to[3 * PAGE] == 'd' &&
                                             to[11 * PAGE] == 0 && !readable(at));
    munmap(end, PAGE);
    at = mremap(to, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);
    check("mremap to an address", at[0] == 'a' && at[3 * PAGE] == 'd' && !readable(to) && readable(to + 4 * PAGE));
    at[PAGE] = 'q';
    REFUSED("mremap onto itself", EINVAL,
            mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE));
    munmap(to, 12 * PAGE);
    to = mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    check("MREMAP_DONTUNMAP moves the pages and leaves the place",
          to != MAP_FAILED && to[PAGE] == 'q' && at[PAGE] == 0 && writable(at));
    munmap(to, 4 * PAGE);
    REFUSED("mremap with flags that are none", EINVAL, mremap(at, PAGE, PAGE, 8));
    REFUSED("mremap to an address that may not move", EINVAL, mremap(at, PAGE, PAGE, MREMAP_FIXED, to));
    REFUSED("MREMAP_DONTUNMAP of another length", EINVAL,
            mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    REFUSED("mremap inside a page", EINVAL, mremap(at + 1, PAGE, PAGE, 0));
    REFUSED("mremap to no bytes", EINVAL, mremap(at, PAGE, 0, 0));
    REFUSED("mremap of what is not mapped", EFAULT, mremap(at - PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    REFUSED("mremap of more than is mapped", EFAULT, mremap(at, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE));
    REFUSED("mremap of private memory a second time", EINVAL, mremap(at, 0, PAGE, MREMAP_MAYMOVE));
    munmap(at, 4 * PAGE);

    at = mmap(0, 2 * PAGE, RW, SHARED, -1, 0);
    at[PAGE] = 's';
    to = mremap(at, 0, 2 * PAGE, MREMAP_MAYMOVE);
    check("mremap of shared memory a second time", to != MAP_FAILED && to != at && to[PAGE] == 's');
    to[0] = 't';
    check("both show the same", at[0] == 't');
    check("remap_file_pages", syscall(SYS_remap_file_pages, to, PAGE, 0, 1, 0) == 0 && to[0] == 's' && at[0] == 't');
    to[0] = 'u';
    check("shows one page twice", at[PAGE] == 'u' && to[PAGE] == 'u');
    REFUSED("remap_file_pages with rights", EINVAL, syscall(SYS_remap_file_pages, to, PAGE, PROT_READ, 1, 0));
    REFUSED("remap_file_pages of no bytes", EINVAL, syscall(SYS_remap_file_pages, to, 0, 0, 1, 0));
    munmap(at, 2 * PAGE);
    check("what is shared stays with its last mapping", to[PAGE] == 'u');
    munmap(to, 2 * PAGE);
    at = pages(1);
    REFUSED("remap_file_pages of private memory", EINVAL, syscall(SYS_remap_file_pages, at, PAGE, 0, 0, 0));
    munmap(at, PAGE);
}

static void heap(void)
{
    char *end = sbrk(0);
    check("brk gives zeros", brk(end + 3 * PAGE) == 0 && end[0] == 0 && end[3 * PAGE - 1] == 0);
    end[2 * PAGE] = 'x';
    check("maps names the heap", number_in("/proc/self/smaps", "Size", 0) > 0);
    check("brk gives memory back", brk(end) == 0 && sbrk(0) == end);
    check("and what comes then is zero again", brk(end + 3 * PAGE) == 0 && end[2 * PAGE] == 0);
    brk(end);
    REFUSED("brk into what no program has", ENOMEM, brk((void *)(1UL << 60)));
}

static void advice(void)
{
    char *at = island(4);
    memset(at, 'x', 4 * PAGE);
    check("MADV_DONTNEED gives zeros", madvise(at + PAGE, PAGE, MADV_DONTNEED) == 0 && at[PAGE] == 0 && at[0] == 'x');
    check("MADV_FREE of what is written anew keeps it",
          madvise(at, PAGE, MADV_FREE) == 0 && (at[0] = 'y') == 'y' && at[0] == 'y');
    int hints[] = {MADV_NORMAL,   MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTFORK,
                   MADV_DOFORK,   MADV_DONTDUMP, MADV_DODUMP,   MADV_HUGEPAGE, MADV_NOHUGEPAGE,
                   MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT};
    for (unsigned i = 0; i < sizeof hints / sizeof *hints; i++) {
        char name[48];
        snprintf(name, sizeof name, "advice %d is taken", hints[i]);
        check(name, madvise(at, 4 * PAGE, hints[i]) == 0 && at[3 * PAGE] == 'x');
    }
    madvise(at, 4 * PAGE, MADV_DONTNEED);
    check("MADV_POPULATE_READ makes pages", madvise(at, 2 * PAGE, MADV_POPULATE_READ) == 0 && resident(at + PAGE) == 1);
    check("MADV_POPULATE_WRITE makes pages",
          madvise(at, 4 * PAGE, MADV_POPULATE_WRITE) == 0 && resident(at + 3 * PAGE) == 1 && at[0] == 0);
    check("advice about no bytes", madvise(at, 0, MADV_DONTNEED) == 0);
    REFUSED("advice that is none, before the address", EINVAL, madvise(at + 1, PAGE, 777));
    REFUSED("advice inside a page", EINVAL, madvise(at + 1, PAGE, MADV_NORMAL));
    REFUSED("advice past the end of 64 bits", EINVAL, madvise(at, -1UL, MADV_NORMAL));
    REFUSED("advice about what is not mapped", ENOMEM, madvise(at - PAGE, 2 * PAGE, MADV_DONTNEED));
    REFUSED("MADV_POPULATE_WRITE of what is not mapped", ENOMEM, madvise(at, 5 * PAGE, MADV_POPULATE_WRITE));
    REFUSED("MADV_REMOVE of private memory", EINVAL, madvise(at, PAGE, MADV_REMOVE));
    mprotect(at, PAGE, PROT_READ);
    REFUSED("MADV_POPULATE_WRITE of what is not written", EINVAL, madvise(at, PAGE, MADV_POPULATE_WRITE));
    munmap(at, 4 * PAGE);
    at = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    REFUSED("MADV_FREE of a file", EINVAL, madvise(at, PAGE, MADV_FREE));
    REFUSED("MADV_WIPEONFORK of a file", EINVAL, madvise(at, PAGE, MADV_WIPEONFORK));
    munmap(at, PAGE);
}

static void residence(void)
{
    unsigned char told[4] = {9, 9, 9, 9};
    char *at = island(3);
    at[PAGE] = 'x';
    check("mincore tells page by page",
          mincore(at, 3 * PAGE, told) == 0 && !(told[0] & 1) && (told[1] & 1) && !(told[2] & 1) && told[3] == 9);
    REFUSED("mincore inside a page", EINVAL, mincore(at + 1, PAGE, (void *)8));
    REFUSED("mincore of addresses that no program has, before the vector", ENOMEM, mincore(at, 1UL << 60, (void *)8));
    REFUSED("mincore into nothing", EFAULT, mincore(at, PAGE, (void *)8));
    REFUSED("mincore of what is not mapped", ENOMEM, mincore(at, 4 * PAGE, told));
    check("mincore of no bytes", mincore(at, 0, told) == 0);

    check("msync of memory", msync(at, 3 * PAGE, MS_SYNC) == 0 && msync(at, 3 * PAGE, MS_ASYNC) == 0);
    check("msync of a part of a page's length", msync(at, 1, MS_SYNC | MS_INVALIDATE) == 0);
    REFUSED("msync with flags that are none", EINVAL, msync(at, PAGE, 8));
    REFUSED("msync both ways", EINVAL, msync(at, PAGE, MS_ASYNC | MS_SYNC));
    REFUSED("msync inside a page", EINVAL, msync(at + 1, PAGE, MS_SYNC));
    REFUSED("msync into what is not mapped", ENOMEM, msync(at, 4 * PAGE, MS_SYNC));
    REFUSED("msync past the end of 64 bits", ENOMEM, msync(at, -2UL * PAGE, MS_SYNC));
    mlock(at, PAGE);
    REFUSED("msync that forgets locked memory", EBUSY, msync(at, PAGE, MS_INVALIDATE));
    munmap(at, 3 * PAGE);
}

static void locking(void)
{
    char *at = island(4);
    long before = number_in("/proc/self/status", "VmLck", 0);
    check("mlock makes the pages", mlock(at + 1, PAGE) == 0 && resident(at) == 1 && resident(at + PAGE) == 1 &&
                                       resident(at + 2 * PAGE) == 0);
    check("status counts them", number_in("/proc/self/status", "VmLck", 0) == before + 8);
    check("munlock", munlock(at, 2 * PAGE) == 0 && number_in("/proc/self/status", "VmLck", 0) == before);
    check("mlock2 leaves them to the first touch",
          mlock2(at + 2 * PAGE, PAGE, MLOCK_ONFAULT) == 0 && resident(at + 2 * PAGE) == 0);
    REFUSED("mlock2 with flags that are none", EINVAL, mlock2(at - PAGE, PAGE, 2));
    REFUSED("mlock of what is not mapped", ENOMEM, mlock(at - PAGE, PAGE));
    REFUSED("munlock of what is not mapped", ENOMEM, munlock(at + 3 * PAGE, 2 * PAGE));
    check("mlock of no bytes", mlock(at, 0) == 0);
    REFUSED("mlockall of nothing", EINVAL, mlockall(0));
    REFUSED("mlockall on faults, of nothing", EINVAL, mlockall(MCL_ONFAULT));
    REFUSED("mlockall of what is none", EINVAL, mlockall(8));
    check("mlockall of what comes", mlockall(MCL_FUTURE) == 0);
    char *later = pages(2);
    check("then memory is there when it is mapped", resident(later) == 1 && resident(later + PAGE) == 1);
    check("mlockall of what is there", mlockall(MCL_CURRENT) == 0 && resident(at + 3 * PAGE) == 1);
    check("munlockall", munlockall() == 0 && number_in("/proc/self/status", "VmLck", 0) == 0);
    munmap(later, 2 * PAGE);
    munmap(at, 4 * PAGE);
}

static void limits(void)
{
    struct rlimit limit, now;
    check("RLIMIT_STACK is 8 MiB", getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur == 8 << 20);
    getrlimit(RLIMIT_AS, &limit);
    now = limit;
    now.rlim_cur = (number_in("/proc/self/status", "VmSize", 0) + 64) << 10;
    check("RLIMIT_AS can be set", setrlimit(RLIMIT_AS, &now) == 0);
    char *at = mmap(0, 8 * PAGE, RW, ANON, -1, 0);
    check("mmap below it", at != MAP_FAILED);
    REFUSED("mmap above it", ENOMEM, mmap(0, 1 << 20, RW, ANON, -1, 0));
    REFUSED("mremap above it", ENOMEM, mremap(at, PAGE, 1 << 20, MREMAP_MAYMOVE));
    check("what is replaced does not count", mmap(at, 8 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == at);
    setrlimit(RLIMIT_AS, &limit);
    munmap(at, 8 * PAGE);
    now.rlim_cur = 2, now.rlim_max = 1;
    REFUSED("a limit above its own limit", EINVAL, setrlimit(RLIMIT_AS, &now));
    REFUSED("a limit of nothing", EINVAL, getrlimit(99, &now));
}

static void persona(void)
{
    struct utsname name;
    int before = personality(0xffffffff);
    check("personality tells", before >= 0);
    check("personality sets and tells what was", personality(before | ADDR_LIMIT_32BIT) == before);
    check("and tells what is", personality(0xffffffff) == (before | ADDR_LIMIT_32BIT));
    char *at = mmap(0, PAGE, RW, ANON, -1, 0);
    uname(&name);
    /* Linux/arm64 keeps the bit and does nothing else. */
    check("addresses of 32 bits", at != MAP_FAILED && ((uintptr_t)at < 1UL << 32 || !strstr(name.release, "vitrine")));
    personality(before);
    munmap(at, PAGE);
    at = mmap(0, PAGE, RW, ANON, -1, 0);
    check("and of all bits again", at != MAP_FAILED && (uintptr_t)at >= 1UL << 32);
    munmap(at, PAGE);
}

static void to_look_at(void)
{
    char *at = island(4), want[128];
    at[0] = at[PAGE] = 'x';
    mprotect(at + 3 * PAGE, PAGE, PROT_READ);
    snprintf(want, sizeof want, "%08lx-%08lx rw-p 00000000 00:00 0 \n", (uintptr_t)at, (uintptr_t)at + 3 * PAGE);
    check_found("a line of maps", strcmp(maps_line(at), want) == 0, "%s", maps_line(at));
    snprintf(want, sizeof want, "%08lx-%08lx r--p 00000000 00:00 0 \n", (uintptr_t)at + 3 * PAGE,
             (uintptr_t)at + 4 * PAGE);
    check_found("the line behind it", strcmp(maps_line(at + 3 * PAGE), want) == 0, "%s", maps_line(at + 3 * PAGE));
    check("smaps: what is mapped", number_in("/proc/self/smaps", "Size", (uintptr_t)at) == 12);
    check("smaps: what is there", number_in("/proc/self/smaps", "Rss", (uintptr_t)at) == 8);
    check("smaps: what is the program's own", number_in("/proc/self/smaps", "Private_Dirty", (uintptr_t)at) == 8 &&
                                                  number_in("/proc/self/smaps", "Anonymous", (uintptr_t)at) == 8);
    munmap(at, 4 * PAGE);
    at = mmap(0, 2 * PAGE, RW, SHARED, -1, 0);
    check("shared memory is s in maps", strncmp(strchr(maps_line(at), ' '), " rw-s", 5) == 0);
    check("and has a name at column 73", strlen(maps_line(at)) > 73 && maps_line(at)[72] == ' ' &&
                                             strcmp(maps_line(at) + 73, "/dev/zero (deleted)\n") == 0);
    munmap(at, 2 * PAGE);
    long size = number_in("/proc/self/status", "VmSize", 0), pages_mapped = 0, there = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    check("statm has its numbers", statm && fscanf(statm, "%ld %ld", &pages_mapped, &there) == 2 && there > 0);
    fclose(statm);
    check_found("status and statm agree", labs(pages_mapped * 4 - size) <= 256, "%ld pages, %ld kB", pages_mapped, size);
    check("meminfo: less is free than there is",
          number_in("/proc/meminfo", "MemTotal", 0) > number_in("/proc/meminfo", "MemFree", 0) &&
              number_in("/proc/meminfo", "MemFree", 0) > 0);
    long free_before = number_in("/proc/meminfo", "MemFree", 0);
    at = mmap(0, 64 << 20, RW, ANON | MAP_POPULATE, -1, 0);
    long taken = free_before - number_in("/proc/meminfo", "MemFree", 0);
    /* What each CPU keeps at hand does not count, one way or the other. */
    check_found("meminfo: 64 MiB are taken where 64 MiB are", taken > 32 << 10 && taken < 96 << 10, "%ld kB", taken);
    munmap(at, 64 << 20);
}

/* Each ends the program, by SIGSEGV or SIGBUS. */
static void store_read_only(void)
{
    char *at = pages(1);
    at[0] = 'x';
    mprotect(at, PAGE, PROT_READ);
    *(volatile char *)at = 'y';
}

static void load_none(void)
{
    char *at = pages(1);
    mprotect(at, PAGE, PROT_NONE);
    (void)*(volatile char *)at;
}

static void load_moved(void)
{
    char *at = pages(2);
    at[0] = 'x';
    mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, pages(2));
    (void)*(volatile char *)at;
}

static void load_unmapped(void)
{
    char *at = pages(3);
    at[PAGE] = 'x';
    munmap(at + PAGE, PAGE);
    (void)*(volatile char *)(at + PAGE);
}

static void load_behind_file(void)
{
    char *at = mmap(0, 8 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    (void)*(volatile char *)(at + 6 * PAGE);
}

static void load_behind_shared(void)
{
    char *at = mmap(0, PAGE, RW, SHARED, -1, 0);
    at = mremap(at, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    (void)*(volatile char *)(at + 2 * PAGE);
}

static const struct {
    const char *how;
    void (*act)(void);
    int signal;
} ends[] = {
    {"store-read-only", store_read_only, SIGSEGV},   {"load-none", load_none, SIGSEGV},
    {"load-moved", load_moved, SIGSEGV},             {"load-unmapped", load_unmapped, SIGSEGV},
    {"load-behind-file", load_behind_file, SIGBUS}, {"load-behind-shared", load_behind_shared, SIGBUS},
};

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "/data";
    begin_checks();
    prepare(dir);
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
        if (argc > 2 && strcmp(ends[i].how, argv[2]) == 0) {
            ends[i].act();
            return 1;
        }
    mapping(dir);
    protection();
    remapping();
    heap();
    advice();
    residence();
    locking();
    limits();
    persona();
    to_look_at();
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
        check_died(ends[i].how, run_child(argv[0], dir, ends[i].how), ends[i].signal);
    return end_checks();
}
