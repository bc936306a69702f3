/*
 * memcalls: random system calls on an address space, every answer folded into a sum.
 *
 *   memcalls SEED STEPS [FROM]    a line every 500 steps; from step FROM on, a line every step and what `maps` says then
 *
 * The same arguments give the same lines on Linux and on Vitrine: tests/tests/memcalls.txt is what this program said on
 * Linux (`tools/peer/run.sh`). All happens in an arena whose address is fixed; behind each call its lines of
 * /proc/self/maps are folded in too, so that both systems must split and merge alike. Two outputs differ: `FROM`, on
 * both, shows the first call that was answered differently.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chance.h"
#include "touch.h"

#define PICK(array) ((array)[below(sizeof(array) / sizeof *(array))])
#define PAGE 4096ul
#define ARENA 0x2000000000ul
#define PAGES 40ul
#define END (ARENA + PAGES * PAGE)

static uint64_t sum = 14695981039346656037u;
static long step, verbose_from = LONG_MAX;
static int file, sink;
static uintptr_t heap;

static int one_in(uint64_t n) { return below(n) == 0; }

/* --- What is said ------------------------------------------------------------------------------------------------- */

static void fold(const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    char line[1000];
    va_list what;
    va_start(what, format);
    int len = vsnprintf(line, sizeof line, format, what);
    va_end(what);
    fold(line, len);
    if (step >= verbose_from)
        printf("%ld: %s\n", step, line);
}

/* An address as it is said: by its place in the arena, where it lies there. */
static const char *place(uintptr_t at)
{
    static char texts[8][32];
    static int next;
    char *text = texts[next++ % 8];
    if (at >= ARENA && at <= END)
        snprintf(text, 32, "%lu+%lu", (at - ARENA) / PAGE, at % PAGE);
    else if (at < PAGE || at > -PAGE)
        snprintf(text, 32, "%#lx", at);
    else
        strcpy(text, "elsewhere");
    return text;
}

/* What a call answered. A mapping outside of the arena is taken away again: `len` is its length. */
static const char *answered(long result, size_t len)
{
    static char text[40];
    if (result == -1)
        return strerrorname_np(errno);
    if (len && ((uintptr_t)result < ARENA || (uintptr_t)result >= END))
        munmap((void *)result, len);
    return len ? place(result) : (snprintf(text, sizeof text, "%ld", result), text);
}

/* The lines of /proc/self/`name` that are about the arena, each by `line`. */
static void each_line(const char *name, void (*line)(char *))
{
    static char text[32 << 10], path[32];
    size_t len = 0;
    int inside = 0;
    snprintf(path, sizeof path, "/proc/self/%s", name);
    int fd = open(path, O_RDONLY);
    for (ssize_t got; (got = read(fd, text + len, sizeof text - 1 - len)) > 0;)
        len += got;
    close(fd);
    text[len] = 0;
    for (char *at = strtok(text, "\n"); at; at = strtok(0, "\n")) {
        if (*at >= 'A' && *at <= 'Z') { /* of the mapping above */
            if (inside)
                line(at);
            continue;
        }
        uintptr_t start = strtoul(at, 0, 16);
        if ((inside = start >= ARENA && start < END))
            line(at);
    }
}

/* What is mapped, VMA by VMA: both systems split and merge alike. */
static void say_mapping(char *line)
{
    char *next;
    uintptr_t start = strtoul(line, &next, 16), end = strtoul(next + 1, &next, 16);
    unsigned long offset = strtoul(next + 6, &next, 16), inode = strtoul(next + 7, 0, 10);
    say("    %2lu to %2lu %.4s %lx %s", (start - ARENA) / PAGE, (end - ARENA) / PAGE, strchr(line, ' ') + 1, offset,
        inode ? "file" : "memory");
}

static int files_there;
static void find_file(char *line) { files_there |= strtoul(strchr(line, ':') + 3, 0, 10) != 0; }

/* The flags of each page, and how many kB of private memory are there. */
static void say_counts(char *line)
{
    static long page, pages, file, there;
    if (!line) {
        say("    %ld kB there", there);
        there = 0;
    } else if (strncmp(line, "Rss:", 4) == 0) {
        there += file ? 0 : strtol(line + 4, 0, 10);
    } else if (strncmp(line, "VmFlags:", 8) == 0) {
        for (; pages > 0; pages--)
            say("    %ld %s", page++, line);
    } else if (*line < 'A' || *line > 'Z') {
        char *next;
        page = (strtoul(line, &next, 16) - ARENA) / PAGE;
        pages = (strtoul(next + 1, &next, 16) - ARENA) / PAGE - page;
        file = strtol(strchr(next, ':') + 3, 0, 10);
    }
}

/* --- What is asked ------------------------------------------------------------------------------------------------ */

/* An address in the arena, at times inside a page, at times far outside. */
static uintptr_t address(void)
{
    static const uintptr_t odd[] = {0, PAGE, -PAGE, 0xffff000000000000, 1ul << 63};
    if (one_in(60))
        return PICK(odd);
    return ARENA + below(PAGES) * PAGE + (one_in(25) ? below(PAGE) : 0);
}

static size_t length(void)
{
    static const size_t odd[] = {0, 0, 1, 100, PAGE + 1, -1ul, -PAGE, 1ul << 63};
    return one_in(15) ? PICK(odd) : (1 + below(one_in(4) ? 12 : 4)) * PAGE;
}

/* An address and a length that lie in the arena or are hopeless. */
static void range(uintptr_t *at, size_t *len)
{
    *at = address();
    *len = length();
    if (*at >= ARENA && *at < END && *len < 64 * PAGE && *at + *len > END)
        *len = END - *at;
}

static int rights(void)
{
    static const int all[] = {0, PROT_READ, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
                              PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC, PROT_EXEC, 7};
    static const int odd[] = {0x8, 0x10, 0x20, 0x40, 0x1000, (int)0x80000000};
    int rights = PICK(all), more = one_in(30) ? PICK(odd) : 0;
    return more == 0x10 && !rights ? 0 : rights | more; /* landing pads are asked for where there is something to run */
}

static void maps(void)
{
    static const int kinds[] = {MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE};
    static const int extras[] = {MAP_GROWSDOWN, MAP_STACK, MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE, MAP_DENYWRITE,
                                 MAP_EXECUTABLE, MAP_NONBLOCK, MAP_SYNC, 0x4000000, 0x200000, 0x40000000};
    uintptr_t at;
    size_t len;
    range(&at, &len);
    int kind = one_in(30) ? (int)below(8) : PICK(kinds), prot = rights();
    int flags = kind | (one_in(6) ? 0 : one_in(4) ? MAP_FIXED_NOREPLACE : MAP_FIXED);
    for (int i = below(3) ? 0 : 1 + below(2); i > 0; i--)
        flags |= PICK(extras);
    int fd = one_in(3) && (flags & MAP_TYPE) == MAP_PRIVATE ? file : -1;
    if (fd < 0 && !one_in(50))
        flags |= MAP_ANONYMOUS;
    uint64_t offset = fd < 0 ? one_in(20) * 5 * PAGE : below(6) * PAGE + (one_in(30) ? 7 : 0);
    if (one_in(100))
        offset = -2 * PAGE;
    if (at < 0x10000 && one_in(2)) /* Linux lets who is root map page 0; here nobody can */
        at = 0, flags &= ~(MAP_FIXED | MAP_FIXED_NOREPLACE);
    else if (at < 0x10000)
        at = ARENA;
    long got = syscall(SYS_mmap, at, len, prot, flags, fd, offset);
    say("mmap(%s, %#lx, %#x, %#x, %s, %#lx) = %s", place(at), len, prot, flags, fd < 0 ? "-1" : "file", offset,
        answered(got, len));
}

static void unmaps(void)
{
    uintptr_t at;
    size_t len;
    range(&at, &len);
    say("munmap(%s, %#lx) = %s", place(at), len, answered(syscall(SYS_munmap, at, len), 0));
}

static void protects(void)
{
    uintptr_t at;
    size_t len;
    range(&at, &len);
    int prot = rights() | (one_in(25) ? (int)(1 + below(3)) << 24 : 0);
    say("mprotect(%s, %#lx, %#x) = %s", place(at), len, prot, answered(syscall(SYS_mprotect, at, len, prot), 0));
}

static void moves(void)
{
    uintptr_t at, to = address();
    size_t len, new_len = length();
    range(&at, &len);
    int flags = one_in(20) ? (int)below(16) : one_in(3) ? 0 : one_in(3) ? MREMAP_MAYMOVE : MREMAP_MAYMOVE | MREMAP_FIXED;
    if (one_in(6))
        flags |= 4; /* MREMAP_DONTUNMAP */
    if ((flags & 4) && !one_in(8))
        new_len = len;
    if (to >= ARENA && to < END && new_len < 64 * PAGE && to + new_len > END)
        new_len = END - to;
    if (at + new_len > END && new_len < 64 * PAGE && at < END) /* no growing out of the arena */
        new_len = END - at;
    if (to < 0x10000)
        to = ARENA;
    long got = syscall(SYS_mremap, at, len, new_len, flags, to);
    say("mremap(%s, %#lx, %#lx, %#x, %s) = %s", place(at), len, new_len, flags, place(to), answered(got, new_len));
}

static void advises(void)
{
    /* FREE, COLLAPSE, the pageout family, and what Linux needs a kernel option for are left out: their effects may vary. */
    static const int advice[] = {0, 1, 2, 3, 4, 4, 4, 9, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 5, 7, 26, 99, -1};
    uintptr_t at;
    size_t len;
    range(&at, &len);
    int what = PICK(advice);
    if (len == 1ul << 63) /* would reach what is not the arena's */
        len = -1ul;
    say("madvise(%s, %#lx, %d) = %s", place(at), len, what, answered(syscall(SYS_madvise, at, len, what), 0));
}

static void asks(void)
{
    uintptr_t at;
    size_t len;
    char told[65] = "";
    range(&at, &len);
    long got = syscall(SYS_mincore, at, len, told);
    files_there = 0;
    each_line("maps", find_file);
    for (size_t i = 0; i < sizeof told - 1; i++)
        told[i] = got == 0 && i < (len + PAGE - 1) / PAGE ? (files_there ? '?' : '0' + (told[i] & 1)) : 0;
    say("mincore(%s, %#lx) = %s %s", place(at), len, answered(got, 0), told);
}

static void syncs(void)
{
    uintptr_t at;
    size_t len;
    range(&at, &len);
    int flags = below(12);
    say("msync(%s, %#lx, %d) = %s", place(at), len, flags, answered(syscall(SYS_msync, at, len, flags), 0));
}

static void locks(void)
{
    uintptr_t at;
    size_t len;
    range(&at, &len);
    int flags = one_in(3) ? 1 : one_in(10) ? (int)below(9) : 0;
    switch (below(8)) {
    case 0:
    case 1:
        say("mlock(%s, %#lx) = %s", place(at), len, answered(syscall(SYS_mlock, at, len), 0));
        break;
    case 2:
    case 3:
        say("mlock2(%s, %#lx, %d) = %s", place(at), len, flags, answered(syscall(SYS_mlock2, at, len, flags), 0));
        break;
    case 4:
        flags = below(9);
        say("mlockall(%d) = %s", flags, answered(syscall(SYS_mlockall, flags), 0));
        break;
    case 5:
        say("munlockall() = %s", answered(syscall(SYS_munlockall), 0));
        break;
    default:
        say("munlock(%s, %#lx) = %s", place(at), len, answered(syscall(SYS_munlock, at, len), 0));
    }
}

static void renumbers(void)
{
    uintptr_t at;
    size_t len;
    range(&at, &len);
    int prot = one_in(10), flags = one_in(5) ? MAP_NONBLOCK : 0;
    uint64_t page = one_in(20) ? -1ul : below(12);
    long got = syscall(SYS_remap_file_pages, at, len, prot, page, flags);
    say("remap_file_pages(%s, %#lx, %d, %lu, %#x) = %s", place(at), len, prot, page, flags, answered(got, 0));
}

static void grows_heap(void)
{
    uintptr_t end = heap + below(8) * PAGE + (one_in(3) ? below(PAGE) : 0);
    long got = syscall(SYS_brk, one_in(20) ? 1 : end);
    say("brk(%lu) = %lu", end - heap, got - heap);
}

/* --- Touches ------------------------------------------------------------------------------------------------------ */

static void touches(void)
{
    volatile uint64_t *at = (uint64_t *)(ARENA + below(PAGES) * PAGE + below(512) * 8);
    const char *what = one_in(2) ? "store" : "load";
    if (sigsetjmp(back, 1)) {
        say("%s at %s: signal %d, code %d, at %s", what, place((uintptr_t)at), seen.si_signo, seen.si_code,
            place((uintptr_t)seen.si_addr));
        return;
    }
    uint64_t value = *what == 's' ? (*at = step) : *at;
    say("%s at %s: %lu", what, place((uintptr_t)at), value);
}

/* A call that copies to or from the arena. */
static void copies(void)
{
    uintptr_t at = address() & -128ul;
    if (one_in(2))
        say("pread to %s = %s", place(at), answered(syscall(SYS_pread64, file, at, 100, below(4) * PAGE), 0));
    else
        say("pwrite from %s = %s", place(at), answered(syscall(SYS_pwrite64, sink, at, 100, 0), 0));
}

/* The first word of each page that can be read. */
static void looks(void)
{
    volatile uintptr_t at = ARENA;
    volatile uint64_t words = 0;
    for (; at < END; at += PAGE)
        if (!sigsetjmp(back, 1))
            words = words * 31 + *(volatile uint64_t *)at;
        else
            words = words * 31 + seen.si_code + 1000 * seen.si_signo;
    say("all words: %lx", words);
}

/* A child that stores here and there, and is gone. */
static void forks(void)
{
    int status = -1, stores = below(3);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < stores; i++)
            if (!sigsetjmp(back, 1))
                *(volatile uint64_t *)(ARENA + below(PAGES) * PAGE) = 4711;
        _exit(3);
    }
    waitpid(pid, &status, 0);
    below(7);
    say("fork: %x", status);
}

int main(int argc, char **argv)
{
    static void (*const acts[])(void) = {
        maps, maps, maps, maps, maps, unmaps, unmaps, protects, protects, protects, moves, moves, advises, advises, asks,
        syncs, locks, locks, renumbers, grows_heap, touches, touches, touches, touches, copies, looks,
    };
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: memcalls SEED STEPS [FROM]\n");
        return 2;
    }
    state = strtoul(argv[1], 0, 0) * 0x9e3779b97f4a7c15 | 1;
    long steps = strtol(argv[2], 0, 0);
    if (argc == 4)
        verbose_from = strtol(argv[3], 0, 0);

    file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    sink = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    for (uint64_t i = 0; i < 4 * 512 + 100; i++)
        if (write(file, &(uint64_t){i * 0x0101010101}, 8) != 8)
            return 2;
    struct sigaction action = {.sa_sigaction = leap, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGBUS, &action, 0);
    syscall(SYS_brk, syscall(SYS_brk, 0) + PAGE);
    heap = (syscall(SYS_brk, 0) + PAGE - 1) & -PAGE;
    syscall(SYS_brk, heap);

    for (step = 0; step < steps; step++) {
        if (one_in(60))
            forks();
        else
            PICK(acts)();
        each_line("maps", say_mapping);
        if (step % 50 == 49) {
            each_line("smaps", say_counts);
            say_counts(0);
        }
        if (step % 500 == 499)
            printf("after %ld calls: %016lx\n", step + 1, sum);
    }
    return 0;
}
