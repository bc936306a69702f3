/*
 * cuts: changes files call by call, each between two marks, for who pulls the plug.
 *
 *   cuts [acks] [forget STEP N CALL]    in /data with nothing in it
 *   cuts counted                        says instead what each call cost: fences, lines cleaned, name
 *   cuts nothing                        leaves everything as it is
 *
 * The marks are hints that do nothing: `hint #0x60` before a call, which is all or nothing, or `hint #0x62` before one
 * that only makes durable what was stored in place; `hint #0x61` behind it. tests/recorder/ writes them
 * down between the stores to persistent memory, and tests/tests/cuts.rs looks at what a power cut in between would leave.
 * Behind everything the calls are named, a line each; with `acks` each one as soon as it has returned. `forget` leaves
 * out the Nth STEP of one call: `/proc/vitrine/forget`.
 *
 * Without a C library: the program itself lies on the medium, and every state a cut may leave is read as a whole.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096
#define MANY 512

/* --- The little there is of a library ----------------------------------------------------------------------------- */

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

#define CALL(name, a, b, c, d, e) \
    call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static size_t length(const char *text)
{
    size_t len = 0;
    while (text[len])
        len++;
    return len;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void say(const char *text) { CALL(write, 1, text, length(text), 0, 0); }

static void leave(int status)
{
    for (;;)
        CALL(exit_group, status, 0, 0, 0, 0);
}

static int open_file(const char *path, int flags) { return CALL(openat, AT_FDCWD, path, flags, 0644, 0); }
static long create(const char *path) { return CALL(close, open_file(path, O_CREAT | O_EXCL | O_RDWR), 0, 0, 0, 0); }
static long write_at(int fd, const void *bytes, size_t len, long at) { return CALL(pwrite64, fd, bytes, len, at, 0); }
static long truncate_to(int fd, long size) { return CALL(ftruncate, fd, size, 0, 0, 0); }
static long room(int fd, int how, long at, long len) { return CALL(fallocate, fd, how, at, len, 0); }
static long make_dir(const char *path) { return CALL(mkdirat, AT_FDCWD, path, 0755, 0, 0); }
static long delete(const char *path) { return CALL(unlinkat, AT_FDCWD, path, 0, 0, 0); }
static long delete_dir(const char *path) { return CALL(unlinkat, AT_FDCWD, path, AT_REMOVEDIR, 0, 0); }
static long hard_link(const char *from, const char *to) { return CALL(linkat, AT_FDCWD, from, AT_FDCWD, to, 0); }
static long soft_link(const char *what, const char *at) { return CALL(symlinkat, what, AT_FDCWD, at, 0, 0); }

enum { REPLACE, NOREPLACE, EXCHANGE };

static long move(const char *from, const char *to, int how)
{
    return CALL(renameat2, AT_FDCWD, from, AT_FDCWD, to, how);
}

/* --- Calls between marks ------------------------------------------------------------------------------------------ */

static const char *names[MANY];
static int calls, acks, counted;
static const char *forget_step, *forget_number, *forget_in;

/* Armed only just before the call: what comes earlier takes steps too. */
static void arm(void)
{
    char line[32];
    size_t len = 0;
    for (const char *from = forget_step; *from && len < 16; from++)
        line[len++] = *from;
    line[len++] = ' ';
    for (const char *from = forget_number; *from && len < 31; from++)
        line[len++] = *from;
    int fd = open_file("/proc/vitrine/forget", O_WRONLY);
    if (CALL(write, fd, line, len, 0, 0) != (long)len || CALL(close, fd, 0, 0, 0, 0) != 0) {
        say("cuts: this kernel does not forget\n");
        leave(2);
    }
}

/* The number of a line `name number` of /proc/vitrine/counters, as `cat` would show them. */
static long counter(const char *name)
{
    static char text[4096];
    int fd = open_file("/proc/vitrine/counters", O_RDONLY);
    long len = CALL(read, fd, text, sizeof text - 1, 0, 0), number = 0;
    CALL(close, fd, 0, 0, 0, 0);
    text[len > 0 ? len : 0] = 0;
    for (char *line = text; *line; line++) {
        size_t at = 0;
        while (name[at] && line[at] == name[at])
            at++;
        if (!name[at] && line[at] == ' ')
            for (at++; line[at] >= '0' && line[at] <= '9'; at++)
                number = 10 * number + line[at] - '0';
        while (*line && *line != '\n')
            line++;
        if (!*line)
            break;
    }
    return number;
}

static long fences_before, lines_before;

static void say_number(long number)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = 0;
    digits[--at] = ' ';
    do
        digits[--at] = '0' + number % 10;
    while (number /= 10);
    say(digits + at);
}

static void say_cost(const char *name)
{
    long fences = counter("fences"), lines = counter("lines_cleaned");
    say_number(fences - fences_before);
    say_number(lines - lines_before);
    say(name);
    say("\n");
}

static void note(const char *name)
{
    names[calls++] = name;
    if (counted) {
        lines_before = counter("lines_cleaned");
        fences_before = counter("fences");
    }
    if (forget_in && same(name, forget_in))
        arm();
}

static inline void begin(const char *name)
{
    note(name);
    __asm__ volatile("hint #0x60" ::: "memory");
}

static inline void begin_in_place(const char *name)
{
    note(name);
    __asm__ volatile("hint #0x62" ::: "memory");
}

static inline long end(long result)
{
    __asm__ volatile("hint #0x61" ::: "memory");
    if (result < 0) {
        say("cuts: refused: ");
        say(names[calls - 1]);
        say("\n");
        leave(1);
    }
    if (acks) {
        say(names[calls - 1]);
        say("\n");
    }
    if (counted)
        say_cost(names[calls - 1]);
    return result;
}

#define DO(name, call) (begin(name), end(call))
#define IN_PLACE(name, call) (begin_in_place(name), end(call))

/* --- The calls ---------------------------------------------------------------------------------------------------- */

static char bytes[16 * BLOCK];

static const char *filled(int with)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = with + i / 7;
    return bytes;
}

static void on_content(void)
{
    int64_t from = 0;
    int a = DO("open a new file", open_file("a", O_CREAT | O_RDWR));
    int log = DO("open another", open_file("log", O_CREAT | O_RDWR | O_APPEND));
    DO("write a new file", write_at(a, filled(1), 10000, 0));
    DO("overwrite a block", write_at(a, filled(2), BLOCK, 0));
    DO("overwrite inside a block", write_at(a, filled(3), 50, 100));
    DO("overwrite across blocks", write_at(a, filled(4), 5000, 4000));
    DO("overwrite past the end", write_at(a, filled(5), 5000, 9000));
    DO("write behind a hole", write_at(a, filled(6), 3000, 40000));
    DO("write 64 KiB", write_at(a, filled(7), sizeof bytes, 1));
    DO("append a block", CALL(write, log, filled(8), BLOCK, 0, 0));
    DO("append in a block", CALL(write, log, filled(9), 77, 0, 0));
    DO("append across blocks", CALL(write, log, filled(10), 6000, 0, 0));
    struct {
        const void *base;
        size_t len;
    } pieces[] = {{bytes, 10}, {bytes + 5000, 4500}, {bytes + 20, 1}};
    DO("write three pieces", CALL(pwritev, a, pieces, 3, 3000, 0));
    DO("truncate in a block", truncate_to(a, 20001));
    DO("truncate to a block", truncate_to(a, 4 * BLOCK));
    DO("truncate upwards", truncate_to(a, 30000));
    DO("punch across blocks", room(a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 8000));
    DO("punch a block", room(a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * BLOCK, BLOCK));
    DO("zero across blocks", room(a, FALLOC_FL_ZERO_RANGE, 5000, 20000));
    DO("allocate behind the end", room(a, FALLOC_FL_KEEP_SIZE, 30000, 20000));
    DO("write to allocated blocks", write_at(a, filled(11), 5000, 31000));
    DO("allocate in a hole", room(a, 0, 100, 9000));
    DO("copy inside the file system", CALL(sendfile, a, log, &from, 6000, 0));
    DO("truncate to nothing", truncate_to(a, 0));
    DO("fsync", CALL(fsync, a, 0, 0, 0, 0));
    CALL(close, a, 0, 0, 0, 0);
    CALL(close, log, 0, 0, 0, 0);
}

static void on_names(void)
{
    static const int64_t times[4] = {7, 7, 8, 8};
    DO("create a file", create("new"));
    DO("make a directory", make_dir("dir"));
    DO("make a directory in a directory", make_dir("dir/sub"));
    DO("link a file", hard_link("log", "dir/hard"));
    DO("link by a symlink", soft_link("dir/hard", "soft"));
    DO("rename a file", move("new", "newer", REPLACE));
    DO("rename into a directory", move("newer", "dir/newest", NOREPLACE));
    DO("rename over a file", move("a", "dir/newest", REPLACE));
    DO("rename over a symlink", move("dir/newest", "soft", REPLACE));
    DO("exchange two files", move("soft", "log", EXCHANGE));
    DO("exchange a file and a directory", move("dir/sub", "log", EXCHANGE));
    DO("rename a directory", move("dir", "elsewhere", REPLACE));
    DO("remove a directory", delete_dir("log"));
    DO("unlink one of two names", delete("elsewhere/hard"));
    DO("unlink a file", delete("elsewhere/sub"));
    int open = open_file("soft", O_RDWR);
    DO("unlink an open file", delete("soft"));
    DO("write to a file without a name", write_at(open, filled(12), 9000, 0));
    DO("close the last of it", CALL(close, open, 0, 0, 0, 0));
    open = open_file(".", O_TMPFILE | O_RDWR);
    write_at(open, filled(13), 5000, 0);
    DO("name a file without a name", CALL(linkat, open, "", AT_FDCWD, "named", AT_EMPTY_PATH));
    CALL(close, open, 0, 0, 0, 0);
    DO("open and truncate", CALL(close, open_file("named", O_WRONLY | O_TRUNC), 0, 0, 0, 0));
    DO("chmod", CALL(fchmodat, AT_FDCWD, "named", 0600, 0, 0));
    DO("chown", CALL(fchownat, AT_FDCWD, "named", 1, 2, 0));
    DO("utimes", CALL(utimensat, AT_FDCWD, "named", times, 0, 0));
}

/* Stores `count` words from `at` on. */
static long fill(long *at, size_t count, long with)
{
    for (size_t i = 0; i < count; i++)
        ((volatile long *)at)[i] = with + i;
    return 0;
}

/* The same, durable by what a program may do itself. The load shows the line to the recorder, which sees no registers. */
static long fill_and_clean(long *at, size_t count, long with)
{
    fill(at, count, with);
    for (char *line = (char *)((long)at & -64); line < (char *)(at + count); line += 64)
        __asm__ volatile("ldrb wzr, [%0]\n\tdc cvac, %0" ::"r"(line) : "memory");
    __asm__ volatile("dsb sy" ::: "memory");
    return 0;
}

static long *map(int fd, size_t len, int how)
{
    long at = call(__NR_mmap, 0, len, PROT_READ | PROT_WRITE, how, fd, 0);
    if (at < 0 && at > -4096) {
        say("cuts: no mapping\n");
        leave(1);
    }
    return (long *)at;
}

static void on_mappings(void)
{
    enum { WORDS = BLOCK / sizeof(long), LEN = 8 * BLOCK };
    int fd = DO("open a file to map", open_file("mapped", O_CREAT | O_RDWR));
    DO("grow a file to map", truncate_to(fd, LEN));
    long *shared = map(fd, LEN, MAP_SHARED), *honest = map(fd, LEN, MAP_SHARED_VALIDATE | MAP_SYNC);
    IN_PLACE("store in a hole, and msync", fill(shared + 10, 20, 1) + CALL(msync, shared, LEN, MS_SYNC, 0, 0));
    IN_PLACE("store in a hole, and clean", fill_and_clean(honest + WORDS, 2 * WORDS, 2));
    IN_PLACE("store in place, and fsync", fill(honest + WORDS, 9, 3) + CALL(fsync, fd, 0, 0, 0, 0));
    IN_PLACE("store in place, and clean", fill_and_clean(honest, 40, 4));
    DO("write where it is mapped", write_at(fd, filled(14), 5000, 100));
    IN_PLACE("store where it was written", fill_and_clean(honest + 30, WORDS, 5));
    DO("punch where it is mapped", room(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 6000));
    IN_PLACE("store where it was punched", fill(shared, WORDS, 6) + CALL(msync, shared, BLOCK, MS_SYNC, 0, 0));
    DO("truncate what is mapped", truncate_to(fd, 5000));
    IN_PLACE("store in the last block", fill_and_clean(honest + WORDS, 100, 7));
    /* The time of the last store is in memory until then, or until something else is recorded. */
    IN_PLACE("fsync what was mapped", CALL(fsync, fd, 0, 0, 0, 0));
    CALL(munmap, shared, LEN, 0, 0, 0);
    CALL(munmap, honest, LEN, 0, 0, 0);
    CALL(close, fd, 0, 0, 0, 0);
}

/* Enough to make the log go on in its next segment, and to have it written anew. The long target fills it quickly. */
static void on_and_on(void)
{
    static char target[4000];
    for (size_t i = 0; i < sizeof target - 1; i++)
        target[i] = 't';
    for (int i = 0; i < 120; i++) {
        DO("link by a long symlink", soft_link(target, "long"));
        DO("unlink a long symlink", delete("long"));
    }
}

__attribute__((used)) static void run(long argc, char **argv)
{
    for (long i = 1; i < argc; i++) {
        if (same(argv[i], "nothing"))
            leave(0);
        if (same(argv[i], "acks"))
            acks = 1;
        else if (same(argv[i], "counted"))
            counted = 1;
        else if (same(argv[i], "forget") && i + 3 < argc) {
            forget_step = argv[++i];
            forget_number = argv[++i];
            forget_in = argv[++i];
        }
    }
    if (CALL(chdir, "/data", 0, 0, 0, 0) < 0)
        leave(2);
    on_content();
    on_names();
    /* Who reads along knows what is there behind a line, but not between two stores. */
    if (!acks)
        on_mappings();
    on_and_on();
    if (!acks && !counted)
        for (int i = 0; i < calls; i++) {
            say(names[i]);
            say("\n");
        }
    leave(0);
}

/* The kernel puts the number of arguments and their addresses on the stack. */
__asm__(".globl _start\n"
        "_start:\n"
        "    ldr x0, [sp]\n"
        "    add x1, sp, #8\n"
        "    b run\n");
