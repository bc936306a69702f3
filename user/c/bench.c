// Origin: peer/bench.c of the measurements of Linux arm64 with a DAX file system that this project compares itself
// with. Apart from this paragraph it is kept as it is there, so that both kernels run the same program. On Vitrine:
//   bench /data peek=1024 unpeek=1025 patch=1026 buffer=1027
//
// bench.c - one micro-benchmark, the same binary for Linux (ext4-dax, xfs-dax) and for our kernel.
//
//   bench DIR [f=SUBSTRING] [name=NAME] [s=BYTES] [n=SAMPLES] [vmas=N] [peek=NR] [unpeek=NR] [patch=NR] [buffer=NR]
//
// Prints  name<TAB>size<TAB>iters<TAB>median_ns<TAB>min_ns  (ns for ONE operation) and lines that
// start with '#': facts about the run, cases skipped, cases that failed.  Every system call is an
// inline svc, so nothing of libc is inside a measured region.  Time is CNTVCT_EL0 / CNTFRQ_EL0.
// One sample times a batch of `inner` operations, because the counter ticks only every 16 ns in QEMU.
//
// f=, name= (exact) and s= pick cases by name and size.  vmas=N first makes N one-page mappings: the
// cost of mmap depends on what else is mapped.
//
// Build:  aarch64-linux-gnu-gcc -O2 -static bench.c -o bench                         (glibc start-up)
//     or  aarch64-linux-gnu-gcc -O2 -static -nostdlib -ffreestanding -DNOLIBC bench.c -o bench
//
// Extra calls of our kernel, numbers given by peek= unpeek= patch= buffer= (or -DPEEK_NR=.. and so on):
//   const void *peek(int fd, off_t offset, size_t len)   address or -errno
//   int unpeek(const void *addr)
//   ssize_t patch(int fd, const void *buf, size_t len, off_t offset)
//   void *pmem_buffer(size_t len)                        memory whose pages patch moves
// A number that is not given, or a call that answers ENOSYS, skips its cases; unpeek falls back to munmap.
#include <stdint.h>
#include <stddef.h>

#ifndef PEEK_NR
#define PEEK_NR 0
#endif
#ifndef UNPEEK_NR
#define UNPEEK_NR 0
#endif
#ifndef PATCH_NR
#define PATCH_NR 0
#endif
#ifndef BUFFER_NR
#define BUFFER_NR 0
#endif

typedef uint64_t u64;

// ---- Linux aarch64 ABI ---------------------------------------------------------------------
enum {
    NR_unlinkat = 35, NR_renameat = 38, NR_ftruncate = 46, NR_fallocate = 47, NR_openat = 56,
    NR_close = 57, NR_pipe2 = 59, NR_read = 63, NR_write = 64, NR_pread = 67, NR_pwrite = 68,
    NR_newfstatat = 79, NR_fstat = 80, NR_fsync = 82, NR_exit_group = 94, NR_getrusage = 165,
    NR_getppid = 173, NR_munmap = 215, NR_clone = 220, NR_execve = 221, NR_mmap = 222,
    NR_mprotect = 226, NR_madvise = 233, NR_wait4 = 260
};
enum { O_RDONLY = 0, O_RDWR = 2, O_CREAT = 0100, O_EXCL = 0200, O_TRUNC = 01000, O_DIRECTORY = 040000 };
enum { PROT_R = 1, PROT_RW = 3, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3,
       MAP_ANON = 0x20, MAP_POPULATE = 0x8000, MAP_SYNC = 0x80000 };
enum { AT_FDCWD = -100, SIGCHLD = 17, ENOSYS = 38, MADV_NOHUGEPAGE = 15 };
enum { K = 1024, M = 1024 * 1024, PAGE = 4096 };

static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#define SYS1(n, a) sys6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) sys6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) sys6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static inline u64 now(void)
{
    u64 t;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(t) : : "memory");
    return t;
}

static u64 freq(void)
{
    u64 f;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(f));
    return f;
}

// ---- output ---------------------------------------------------------------------------------
static char line[512];
static int at;
static void put(const char *s) { while (*s && at < 500) line[at++] = *s++; }
static void num(long v)
{
    char d[24];
    int n = 0;
    u64 u = v < 0 ? -(u64)v : (u64)v;
    if (v < 0) put("-");
    do d[n++] = '0' + u % 10; while (u /= 10);
    while (n && at < 500) line[at++] = d[--n];
}
static void size_name(long n)
{
    if (n >= M) num(n / M), put("M");
    else if (n >= K) num(n / K), put("K");
    else num(n);
}
static void end_line(void) { put("\n"); SYS3(NR_write, 1, line, at); at = 0; }
static void note(const char *what, const char *name, long size, long value)
{
    put("# "); put(what); put(" "); put(name); put(" "); size_name(size); put(" "); num(value); end_line();
}

// ---- harness --------------------------------------------------------------------------------
static int samples = 15;
static const char *filter, *exact;
static long only_size = -1;
static long failed; // first negative answer inside the current case
static u64 times[256];

static inline long ck(long r) { if (r < 0 && !failed) failed = r; return r; }

static const char *after(const char *s, const char *prefix)
{
    while (*prefix && *s == *prefix) s++, prefix++;
    return *prefix ? 0 : s;
}
static int wanted(const char *name)
{
    const char *rest = exact ? after(name, exact) : 0;
    if (exact && !(rest && !*rest)) return 0;
    while (filter && *name && !after(name, filter)) name++;
    return *name != 0;
}

static void report(const char *name, long size, int count, int inner)
{
    if (failed) {
        note(failed == -ENOSYS ? "skip" : "FAIL", name, size, failed);
        return;
    }
    for (int i = 1; i < count; i++)
        for (int j = i; j && times[j] < times[j - 1]; j--) {
            u64 t = times[j]; times[j] = times[j - 1]; times[j - 1] = t;
        }
    u64 f = freq();
    put(name); put("\t"); size_name(size); put("\t"); num((long)count * inner);
    put("\t"); num(times[count / 2] * 1000000000 / f / inner);
    put("\t"); num(times[0] * 1000000000 / f / inner);
    end_line();
}

// BENCH: BEFORE and AFTER run once per sample, untimed; OP runs `inner` times, timed (index i).
// The first sample warms caches and page tables and is dropped.
#define BENCH3(name, size, inner, BEFORE, OP, AFTER) do {                       \
    if (!wanted(name) || (only_size >= 0 && only_size != (size))) break;        \
    failed = 0;                                                                 \
    for (int s_ = -1; s_ < samples && !failed; s_++) {                          \
        BEFORE;                                                                 \
        u64 t_ = now();                                                         \
        for (int i = 0; i < (inner); i++) { OP; }                               \
        t_ = now() - t_;                                                        \
        AFTER;                                                                  \
        if (s_ >= 0) times[s_] = t_;                                            \
    }                                                                           \
    report(name, size, samples, inner);                                         \
} while (0)
#define BENCH(name, size, inner, OP) BENCH3(name, size, inner, , OP, )

// ---- helpers --------------------------------------------------------------------------------
static int dir;                    // the directory under test
static char *buf;                  // 16 MiB, private, written once: always resident
static const long sizes[] = {4 * K, 64 * K, 256 * K, 2 * M, 16 * M};
static const char *names[] = {"f4k", "f64k", "f256k", "f2m", "f16m"};
static int files[5];
static int peek_nr = PEEK_NR, unpeek_nr = UNPEEK_NR, patch_nr = PATCH_NR, buffer_nr = BUFFER_NR;
static volatile u64 sink;

static long map(long len, int prot, int flags, int fd) { return ck(sys6(NR_mmap, 0, len, prot, flags, fd, 0)); }
static void unmap(long p, long len) { ck(SYS2(NR_munmap, p, len)); }
static void unpeek(long p, long len) { ck(SYS2(unpeek_nr ? unpeek_nr : NR_munmap, p, len)); }
static int open_at(const char *name, int flags) { return ck(SYS4(NR_openat, dir, name, flags, 0644)); }
static int batch(long size) { return size >= 2 * M ? 1 : size >= 64 * K ? 8 : 32; }

// noinline so that the loop is the same code in every case that uses it
static __attribute__((noinline)) void touch(long p, long len)
{
    if (failed) return;
    for (volatile char *c = (char *)p, *e = c + len; c < e; c += PAGE) (void)*c;
}
static __attribute__((noinline)) void dirty(long p, long len)
{
    if (failed) return;
    for (volatile char *c = (char *)p, *e = c + len; c < e; c += PAGE) *c = 1;
}
static __attribute__((noinline)) u64 sum(const void *p, long len)
{
    const u64 *w = p, *e = w + len / 8;
    u64 a = 0, b = 0, c = 0, d = 0;
    if (failed) return 0;
    for (; w < e; w += 4) {
        u64 v0 = w[0], v1 = w[1], v2 = w[2], v3 = w[3];
        __asm__("" : "+r"(v0), "+r"(v1), "+r"(v2), "+r"(v3)); // scalar words, not SIMD
        a += v0; b += v1; c += v2; d += v3;
    }
    return sink = a + b + c + d;
}
static long minor_faults(void)
{
    long ru[18] = {0}; // struct rusage: 4 words of time, then maxrss ixrss idrss isrss minflt
    SYS2(NR_getrusage, 0, ru);
    return ru[8];
}
static long fork_(void) { return ck(sys6(NR_clone, SIGCHLD, 0, 0, 0, 0, 0)); }
static void quit(int code) { SYS1(NR_exit_group, code); }
static void reap(long pid) { int st; if (pid > 0) ck(SYS4(NR_wait4, pid, &st, 0, 0)); }

static void make_files(void)
{
    for (int f = 0; f < 5; f++) {
        failed = 0;
        int fd = files[f] = open_at(names[f], O_RDWR | O_CREAT | O_TRUNC);
        SYS4(NR_fallocate, fd, 0, 0, sizes[f]); // one aligned extent where the file system can; else nothing
        for (long o = 0; o < sizes[f]; o += sizes[f] < 2 * M ? sizes[f] : 2 * M) {
            long n = sizes[f] < 2 * M ? sizes[f] : 2 * M;
            for (long i = 0; i < n / 8; i++) ((u64 *)buf)[i] = (u64)(o / 8 + i) * 0x9e3779b97f4a7c15u;
            ck(SYS4(NR_pwrite, fd, buf, n, o));
        }
        SYS1(NR_fsync, fd);
        if (failed) note("FAIL", "make_files", sizes[f], failed);
    }
}

// ---- the cases ------------------------------------------------------------------------------
static void calls_and_names(void)
{
    static char st[256];
    BENCH("clock_read", 0, 100, now());
    BENCH("null_syscall", 0, 1000, ck(SYS1(NR_getppid, 0)));
    BENCH("open_close", 0, 100, int fd = open_at("f4k", O_RDONLY); ck(SYS1(NR_close, fd)));
    BENCH("stat", 0, 100, ck(SYS4(NR_newfstatat, dir, "f4k", st, 0)));
    BENCH("fstat", 0, 100, ck(SYS2(NR_fstat, files[0], st)));
    BENCH("create_close_unlink", 0, 20, int fd = open_at("new", O_RDWR | O_CREAT | O_EXCL);
          ck(SYS1(NR_close, fd)); ck(SYS3(NR_unlinkat, dir, "new", 0)));
    SYS1(NR_close, SYS4(NR_openat, dir, "ren0", O_RDWR | O_CREAT, 0644));
    BENCH("rename", 0, 20, ck(SYS4(NR_renameat, dir, i & 1 ? "ren1" : "ren0", dir, i & 1 ? "ren0" : "ren1")));
    SYS3(NR_unlinkat, dir, "ren0", 0);
}

static void read_and_write(void)
{
    for (int f = 0; f < 5; f++)
        BENCH("pread", sizes[f], batch(sizes[f]), ck(SYS4(NR_pread, files[f], buf, sizes[f], 0)));
    for (int f = 0; f < 4; f++) {
        if (f == 2) continue;
        BENCH("pwrite", sizes[f], batch(sizes[f]), ck(SYS4(NR_pwrite, files[f], buf, sizes[f], 0)));
    }
    for (int f = 0; f < 4; f++) {
        if (f == 2) continue;
        BENCH("pwrite_fsync", sizes[f], sizes[f] >= 2 * M ? 1 : 8,
              ck(SYS4(NR_pwrite, files[f], buf, sizes[f], 0)); ck(SYS1(NR_fsync, files[f])));
    }
    int fd = open_at("log", O_RDWR | O_CREAT | O_TRUNC);
    BENCH3("append", 4 * K, 64, ck(SYS2(NR_ftruncate, fd, 0)), ck(SYS4(NR_pwrite, fd, buf, 4 * K, (long)i * 4 * K)), );
    BENCH3("append_fsync", 4 * K, 16, ck(SYS2(NR_ftruncate, fd, 0)),
           ck(SYS4(NR_pwrite, fd, buf, 4 * K, (long)i * 4 * K)); ck(SYS1(NR_fsync, fd)), );
    SYS1(NR_close, fd);
    SYS3(NR_unlinkat, dir, "log", 0);
}

static void file_maps(void)
{
    static const int pick[] = {0, 1, 3, 4};
    for (int k = 0; k < 4; k++) {
        int f = pick[k], fd = files[f];
        long n = sizes[f], faults = minor_faults(), p;
        BENCH("mmap_touch", n, batch(n), p = map(n, PROT_R, MAP_SHARED, fd); touch(p, n); unmap(p, n));
        faults = minor_faults() - faults;
        if (wanted("mmap_touch")) note("faults-per-op", "mmap_touch", n, faults / ((samples + 1) * batch(n)));
        BENCH("mmap_populate_touch", n, batch(n), p = map(n, PROT_R, MAP_SHARED | MAP_POPULATE, fd);
              touch(p, n); unmap(p, n));
        BENCH("mmap_first_byte", n, 32, p = map(n, PROT_R, MAP_SHARED, fd); touch(p, 1); unmap(p, n));
        BENCH("mmap_munmap", n, 32, p = map(n, PROT_R, MAP_SHARED, fd); unmap(p, n));
        // the same without huge mappings (where madvise is missing this repeats mmap_touch)
        if (n >= 2 * M)
            BENCH("mmap_touch_4k_pages", n, 1, p = map(n, PROT_R, MAP_SHARED, fd);
                  SYS3(NR_madvise, p, n, MADV_NOHUGEPAGE); touch(p, n); unmap(p, n));
    }
}

static void memory(void)
{
    int f = MAP_PRIVATE | MAP_ANON;
    long p;
    BENCH("anon_touch", 4 * K, 32, p = map(4 * K, PROT_RW, f, -1); dirty(p, 4 * K); unmap(p, 4 * K));
    BENCH("anon_touch", 64 * K, 8, p = map(64 * K, PROT_RW, f, -1); dirty(p, 64 * K); unmap(p, 64 * K));
    BENCH("anon_touch", 2 * M, 1, p = map(2 * M, PROT_RW, f, -1); dirty(p, 2 * M); unmap(p, 2 * M));
    BENCH("anon_touch_4k_pages", 2 * M, 1, p = map(2 * M, PROT_RW, f, -1);
          SYS3(NR_madvise, p, 2 * M, MADV_NOHUGEPAGE); dirty(p, 2 * M); unmap(p, 2 * M));
    // one op = one fault: the pages of a fresh mapping, map and unmap untimed
    BENCH3("fault_anon", 4 * K, 256, p = map(M, PROT_RW, f, -1); SYS3(NR_madvise, p, M, MADV_NOHUGEPAGE),
           dirty(p + (long)i * PAGE, 1), unmap(p, M));
    BENCH3("fault_file", 4 * K, 16, p = map(64 * K, PROT_R, MAP_SHARED, files[1]),
           touch(p + (long)i * PAGE, 1), unmap(p, 64 * K));
    p = map(4 * K, PROT_RW, f, -1);
    dirty(p, 1);
    BENCH("mprotect_pair", 4 * K, 100, ck(SYS3(NR_mprotect, p, 4 * K, PROT_R)); ck(SYS3(NR_mprotect, p, 4 * K, PROT_RW)));
    BENCH("mprotect_pair_touch", 4 * K, 100, ck(SYS3(NR_mprotect, p, 4 * K, PROT_R)); touch(p, 1);
          ck(SYS3(NR_mprotect, p, 4 * K, PROT_RW)); dirty(p, 1));
    unmap(p, 4 * K);
}

static void processes(const char *self)
{
    const char *argv[] = {self, "--exit", 0}, *envp[] = {0};
    BENCH("fork_exit_wait", 0, 4, long pid = fork_(); if (!pid) quit(0); reap(pid));
    BENCH("fork_exec_exit_wait", 0, 4, long pid = fork_();
          if (!pid) { SYS3(NR_execve, self, argv, envp); quit(1); } reap(pid));
    if (!wanted("pipe_pingpong")) return;
    int a[2], b[2];
    char c = 0;
    failed = 0;
    ck(SYS2(NR_pipe2, a, 0));
    ck(SYS2(NR_pipe2, b, 0));
    long pid = failed ? 0 : fork_();
    if (failed) { report("pipe_pingpong", 1, 0, 1); return; }
    if (!pid) {
        SYS1(NR_close, a[1]);
        while (SYS3(NR_read, a[0], &c, 1) == 1) SYS3(NR_write, b[1], &c, 1);
        quit(0);
    }
    SYS1(NR_close, a[0]);
    BENCH("pipe_pingpong", 1, 50, ck(SYS3(NR_write, a[1], &c, 1)); ck(SYS3(NR_read, b[0], &c, 1)));
    SYS1(NR_close, a[1]);
    reap(pid);
}

static void same_sum(const char *how, long size, u64 want)
{
    if (!failed && sink != want) note("BAD-SUM", how, size, 0);
}

static void consume(void)
{
    for (int f = 3; f < 5; f++) {
        long n = sizes[f], p;
        int fd = files[f];
        failed = 0;
        ck(SYS4(NR_pread, fd, buf, n, 0));
        u64 want = sum(buf, n);
        BENCH("sum_only", n, 1, sum(buf, n));
        BENCH("sum_pread", n, 1, ck(SYS4(NR_pread, fd, buf, n, 0)); sum(buf, n));
        same_sum("sum_pread", n, want);
        BENCH("sum_pread_by_64k", n, 1, u64 t = 0;
              for (long o = 0; o < n; o += 64 * K) { ck(SYS4(NR_pread, fd, buf, 64 * K, o)); t += sum(buf, 64 * K); }
              sink = t);
        same_sum("sum_pread_by_64k", n, want);
        BENCH("sum_mmap", n, 1, p = map(n, PROT_R, MAP_SHARED, fd); sum((void *)p, n); unmap(p, n));
        same_sum("sum_mmap", n, want);
        BENCH("sum_mmap_populate", n, 1, p = map(n, PROT_R, MAP_SHARED | MAP_POPULATE, fd); sum((void *)p, n); unmap(p, n));
        same_sum("sum_mmap_populate", n, want);
        if (!peek_nr) continue;
        BENCH("sum_peek", n, 1, p = ck(SYS3(peek_nr, fd, 0, n)); sum((void *)p, n); unpeek(p, n));
        same_sum("sum_peek", n, want);
    }
    for (int f = 0; f < 5 && peek_nr; f++) {
        long n = sizes[f], p;
        BENCH("peek_unpeek", n, 32, p = ck(SYS3(peek_nr, files[f], 0, n)); unpeek(p, n));
        BENCH("peek_first_byte", n, 32, p = ck(SYS3(peek_nr, files[f], 0, n)); touch(p, 1); unpeek(p, n));
        BENCH("peek_touch", n, batch(n), p = ck(SYS3(peek_nr, files[f], 0, n)); touch(p, n); unpeek(p, n));
    }
    for (int f = 0; f < 4 && patch_nr; f++)
        BENCH("patch", sizes[f], batch(sizes[f]), ck(SYS4(patch_nr, files[f], buf, sizes[f], 0)));
    for (int f = 0; f < 4 && patch_nr && buffer_nr; f++) {
        long n = sizes[f], p = 0;
        BENCH3("patch_moved", n, 1, p = ck(SYS1(buffer_nr, n)); dirty(p, n), ck(SYS4(patch_nr, files[f], p, n, 0)), unmap(p, n));
    }
}

static int number(const char *s) { int v = 0; while (*s >= '0' && *s <= '9') v = v * 10 + *s++ - '0'; return v; }

int main(int argc, char **argv)
{
    const char *v;
    int vmas = 0;
    if (argc < 2) return 2;
    if (after(argv[1], "--exit")) quit(0);
    for (int i = 2; i < argc; i++) {
        if ((v = after(argv[i], "f="))) filter = v;
        if ((v = after(argv[i], "name="))) exact = v;
        if ((v = after(argv[i], "s="))) only_size = number(v);
        if ((v = after(argv[i], "n="))) samples = number(v);
        if ((v = after(argv[i], "vmas="))) vmas = number(v);
        if ((v = after(argv[i], "peek="))) peek_nr = number(v);
        if ((v = after(argv[i], "unpeek="))) unpeek_nr = number(v);
        if ((v = after(argv[i], "patch="))) patch_nr = number(v);
        if ((v = after(argv[i], "buffer="))) buffer_nr = number(v);
    }
    if (samples < 1 || samples > 256) samples = 15;
    dir = ck(SYS4(NR_openat, AT_FDCWD, argv[1], O_RDONLY | O_DIRECTORY, 0));
    buf = (char *)map(16 * M, PROT_RW, MAP_PRIVATE | MAP_ANON, -1);
    if (failed) { note("FAIL", "setup", 0, failed); return 1; }
    dirty((long)buf, 16 * M);
    note("counter", "hz", 0, freq());
    for (int i = 0; i < vmas; i++) map(PAGE, i & 1 ? PROT_R : PROT_RW, MAP_PRIVATE | MAP_ANON, -1);
    make_files();
    long p = sys6(NR_mmap, 0, PAGE, PROT_RW, MAP_SHARED_VALIDATE | MAP_SYNC, files[0], 0);
    note("MAP_SYNC", p < 0 && p > -4096 ? "refused" : "accepted", PAGE, p < 0 && p > -4096 ? p : 0);
    if (p > 0) SYS2(NR_munmap, p, PAGE);
    calls_and_names();
    read_and_write();
    make_files(); // the overwrites above changed the data
    file_maps();
    memory();
    processes(argv[0]);
    consume();
    for (int f = 0; f < 5; f++) { SYS1(NR_close, files[f]); SYS3(NR_unlinkat, dir, names[f], 0); }
    return 0;
}

#ifdef NOLIBC
__attribute__((used)) static void start_c(long *sp) { quit(main((int)sp[0], (char **)(sp + 1))); }
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tand sp, x0, #-16\n\tbl start_c\n");
#endif
