/*
 * libc: what a program gets from a static C library, one check each: memory, files, time, threads, children.
 *
 *   libc [DIR]     DIR is where files are made; /data when not given
 *
 * Everything here is true on Linux as well. Run again as `libc -child CODE` it is its own child.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <mntent.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>

#include "check.h"

enum { PAGE = 4096 };

static const char *self;
static char dir[PATH_MAX - 64];

static void memory(void)
{
    enum { COUNT = 3000 };
    static unsigned char *small[COUNT];
    int good = 1;
    for (int i = 0; i < COUNT; i++) {
        small[i] = malloc((size_t)(i % 500) + 1);
        good &= small[i] != 0;
        memset(small[i], i & 255, (size_t)(i % 500) + 1);
    }
    for (int i = 0; i < COUNT; i += 2)
        free(small[i]), small[i] = 0;
    for (int i = 0; i < COUNT; i += 2) {
        small[i] = malloc((size_t)(i % 700) + 1);
        memset(small[i], i & 255, (size_t)(i % 700) + 1);
    }
    for (int i = 0; i < COUNT; i++)
        good &= small[i][0] == (i & 255) && small[i][i & 1 ? i % 500 : i % 700] == (i & 255);
    for (int i = 0; i < COUNT; i++)
        free(small[i]);
    check("many small blocks", good);

    size_t len = 40 << 20;
    unsigned char *large = malloc(len);
    check("a block of 40 MiB", large != 0);
    good = 1;
    for (size_t i = 0; i < len; i += PAGE)
        good &= large[i] == 0, large[i] = (unsigned char)(i >> 12);
    for (size_t i = 0; i < len; i += PAGE)
        good &= large[i] == (unsigned char)(i >> 12);
    check("its pages are zero, and then hold what is stored", good);
    large = realloc(large, len / 4);
    check("realloc keeps the bytes", large && large[PAGE * 9] == 9);
    free(large);
    unsigned char *cleared = calloc(1000, 1000);
    good = 1;
    for (size_t i = 0; i < 1000000; i += 999)
        good &= cleared[i] == 0;
    check("calloc clears", good);
    free(cleared);
    errno = 0;
    void *volatile none = malloc((size_t)1 << 60);
    check("malloc of too much is ENOMEM", none == 0 && errno == ENOMEM);
    void *aligned = aligned_alloc(1 << 16, 1 << 16);
    check("an aligned block", aligned && ((uintptr_t)aligned & 0xffff) == 0);
    free(aligned);

    char *pages = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pages[0] = pages[2 * PAGE] = 'x';
    check("mprotect of the middle page", mprotect(pages + PAGE, PAGE, PROT_NONE) == 0 && pages[2 * PAGE] == 'x');
    check("madvise DONTNEED drops what a page holds", madvise(pages, PAGE, MADV_DONTNEED) == 0 && pages[0] == 0);
    check("munmap", munmap(pages, 3 * PAGE) == 0);
}

static void numbers(void)
{
    char text[128];
    volatile double third = 1.0 / 3, big = 1e300;
    snprintf(text, sizeof text, "%.10f %g %e %a", third, big, -0.0, 1.5);
    check_found("floats are printed", strcmp(text, "0.3333333333 1e+300 -0.000000e+00 0x1.8p+0") == 0, "%s", text);
    snprintf(text, sizeof text, "%Lf %5d|%-5d|%05x %s", 2.5L, 42, 42, 0xbeef, "text");
    check_found("long doubles, widths", strcmp(text, "2.500000    42|42   |0beef text") == 0, "%s", text);
    check("strtod", strtod("6.02214076e23", 0) == 6.02214076e23);
    check("strtol at its limits", strtol("9223372036854775807", 0, 10) == LONG_MAX);
    volatile double two = 2;
    check("sqrt, and infinity", fabs(sqrt(two) - 1.4142135623730951) < 1e-15 && isinf(big * big));
}

static void files(void)
{
    char path[PATH_MAX], line[128];
    struct stat st;
    int good = 1;
    snprintf(path, sizeof path, "%s/libc-file", dir);
    FILE *f = fopen(path, "w");
    check("fopen for writing", f != 0);
    if (!f)
        return;
    for (int i = 0; i < 5000; i++)
        good &= fprintf(f, "line %d\n", i) > 0;
    check("fprintf and fclose", fclose(f) == 0 && good);
    f = fopen(path, "r");
    good = f != 0;
    for (int i = 0; good && i < 5000; i++) {
        int got = -1;
        good = fgets(line, sizeof line, f) && sscanf(line, "line %d", &got) == 1 && got == i;
    }
    check("fgets reads it back", good && fgets(line, sizeof line, f) == 0 && feof(f));
    check("fseek and ftell",
          fseek(f, 7, SEEK_SET) == 0 && fgets(line, sizeof line, f) && strcmp(line, "line 1\n") == 0 && ftell(f) == 14);
    fclose(f);
    check("stat knows its size and kind",
          stat(path, &st) == 0 && st.st_size == 48890 && S_ISREG(st.st_mode) && st.st_nlink == 1);
    f = fopen(path, "a");
    check("appending",
          f && fputs("the end\n", f) >= 0 && fclose(f) == 0 && stat(path, &st) == 0 && st.st_size == 48898);
    int fd = open(path, O_RDWR);
    check("pwrite and pread",
          pwrite(fd, "LINE", 4, 7) == 4 && pread(fd, line, 6, 7) == 6 && memcmp(line, "LINE 1", 6) == 0);
    check("lseek to the end and back", lseek(fd, 0, SEEK_END) == 48898 && lseek(fd, -4, SEEK_CUR) == 48894);
    check("read to the end, then nothing", read(fd, line, 100) == 4 && read(fd, line, 100) == 0);
    char *mapped = mmap(0, 48898, PROT_READ, MAP_PRIVATE, fd, 0);
    check("a private mapping of it", mapped != MAP_FAILED && memcmp(mapped, "line 0\nLINE 1\n", 14) == 0);
    if (mapped != MAP_FAILED)
        munmap(mapped, 48898);
    close(fd);
    errno = 0;
    check("fopen of a missing file is ENOENT", fopen("/no/such/file", "r") == 0 && errno == ENOENT);
    check("remove", remove(path) == 0 && stat(path, &st) == -1 && errno == ENOENT);
}

static void directories(void)
{
    char path[PATH_MAX], resolved[PATH_MAX];
    int seen = 0, dots = 0, others = 0;
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "%s/libc-entry-%d", dir, i);
        close(open(path, O_WRONLY | O_CREAT, 0600));
    }
    DIR *d = opendir(dir);
    check("opendir", d != 0);
    for (struct dirent *e; d && (e = readdir(d));) {
        dots += strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        if (strncmp(e->d_name, "libc-entry-", 11) == 0)
            seen++, others += e->d_type != DT_REG;
    }
    check_found("readdir finds all 50 files and the dots", seen == 50 && dots == 2 && others == 0,
                "%d files, %d dots, %d of another kind", seen, dots, others);
    if (d)
        rewinddir(d), seen = readdir(d) != 0, closedir(d);
    check("rewinddir", seen == 1);
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "%s/libc-entry-%d", dir, i);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/./../%s/.", dir, strrchr(dir, '/') + 1);
    check("realpath", realpath(path, resolved) && strcmp(resolved, dir) == 0);
    errno = 0;
    check("readlink of a directory is EINVAL", readlink(dir, resolved, sizeof resolved) == -1 && errno == EINVAL);
    errno = 0;
    check("opendir of a missing one is ENOENT", opendir("/no/such") == 0 && errno == ENOENT);
    int fd = open(dir, O_RDONLY);
    errno = 0;
    check("isatty of a directory is ENOTTY", isatty(fd) == 0 && errno == ENOTTY);
    close(fd);
}

static void machine(void)
{
    struct timespec one, two, now;
    struct utsname name;
    unsigned char random[2][32];
    unsigned major = 0, minor = 0;
    clock_gettime(CLOCK_MONOTONIC, &one);
    for (volatile int i = 0; i < 100000; i++)
        ;
    clock_gettime(CLOCK_MONOTONIC, &two);
    check("the monotonic clock moves on",
          two.tv_sec > one.tv_sec || (two.tv_sec == one.tv_sec && two.tv_nsec > one.tv_nsec));
    check("the time of day is after 2020",
          clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec >= 1577836800 && now.tv_nsec < 1000000000);
    check("getrandom gives different bytes", getrandom(random[0], 32, 0) == 32 && getrandom(random[1], 32, 0) == 32 &&
                                                 memcmp(random[0], random[1], 32) != 0);
    check("uname", uname(&name) == 0 && strcmp(name.machine, "aarch64") == 0 &&
                       sscanf(name.release, "%u.%u", &major, &minor) == 2 && major >= 4);
    check("sysconf: page size and processors",
          sysconf(_SC_PAGESIZE) == PAGE && sysconf(_SC_NPROCESSORS_ONLN) >= 1 && sysconf(_SC_CLK_TCK) == 100);
    check("getpid and getppid", getpid() > 0 && getpid() == gettid() && getppid() != getpid());
    struct rlimit stack;
    check("the stack has a limit", getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur >= 1 << 20);
    struct sigaction action = {.sa_handler = SIG_IGN}, old;
    check("sigaction is remembered",
          sigaction(SIGUSR1, &action, 0) == 0 && sigaction(SIGUSR1, 0, &old) == 0 && old.sa_handler == SIG_IGN);
    sigset_t set, was;
    sigemptyset(&set), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGKILL);
    check("sigprocmask is remembered", sigprocmask(SIG_BLOCK, &set, 0) == 0 && sigprocmask(SIG_BLOCK, 0, &was) == 0 &&
                                           sigismember(&was, SIGUSR2) == 1 && sigismember(&was, SIGKILL) == 0);
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

/* Deep enough to make the stack grow, page by page, to 4 MiB; every frame is looked at again on the way back. */
static __attribute__((noinline)) long grow_stack(int depth)
{
    volatile unsigned char frame[PAGE];
    for (int i = 0; i < PAGE; i += 512)
        frame[i] = (unsigned char)depth;
    long below = depth == 0 ? 0 : grow_stack(depth - 1);
    for (int i = 0; i < PAGE; i += 512)
        below += frame[i] == (unsigned char)depth;
    return below;
}

/*
 * A sum whose every bit depends on the floating-point registers staying as they are when the thread is
 * preempted.
 */
static __attribute__((noinline)) double series(double x, int steps)
{
    double a = x, b = x / 2, c = x / 3, d = x / 5;
    for (int i = 1; i <= steps; i++) {
        a = a * 0.999 + x / i, b = b * 0.998 + a / 7, c = c * 0.997 + b / 11, d = d * 0.996 + c / 13;
        __asm__ volatile("" : "+w"(a), "+w"(b), "+w"(c), "+w"(d));
    }
    return a + b + c + d;
}

enum { STEPS = 1000000 };

/* The mount at `on`, of kind `kind` where that is not 0, as getmntent tells it. */
static int mounted(const char *on, const char *kind, int writable)
{
    FILE *mounts = setmntent("/proc/mounts", "r");
    struct mntent *entry;
    int found = 0;
    while (mounts && (entry = getmntent(mounts)))
        found |= strcmp(entry->mnt_dir, on) == 0 && (!kind || strcmp(entry->mnt_type, kind) == 0) &&
                 !writable == !hasmntopt(entry, "rw");
    if (mounts)
        endmntent(mounts);
    return found;
}

/* Whether a line of mountinfo has the device of `on`, and where it lies. */
static int in_mountinfo(const char *on)
{
    FILE *info = fopen("/proc/self/mountinfo", "r");
    struct stat st;
    char line[512], where[256];
    unsigned id, parent, major, minor;
    int found = 0;
    while (info && stat(on, &st) == 0 && fgets(line, sizeof line, info))
        found |= sscanf(line, "%u %u %u:%u / %255s", &id, &parent, &major, &minor, where) == 5 &&
                 strcmp(where, on) == 0 && makedev(major, minor) == st.st_dev && strstr(line, " - ");
    if (info)
        fclose(info);
    return found;
}

static void mounts(void)
{
    struct statvfs space;
    struct sysinfo info;
    char target[32] = "", version[128] = "";
    double up = -1, idle = -1;
    check("a mounted root, which can be written", mounted("/", 0, 1));
    check("and /proc", mounted("/proc", "proc", 1));
    check("/proc/mounts is a link to the program's own",
          readlink("/proc/mounts", target, sizeof target - 1) > 0 && strcmp(target, "self/mounts") == 0);
    check("mountinfo has the devices that stat tells", in_mountinfo("/") && in_mountinfo("/proc"));
    check("statvfs tells of it too", statvfs("/", &space) == 0 && !(space.f_flag & ST_RDONLY) && space.f_fsid != 0);
    check("sysinfo counts memory", sysinfo(&info) == 0 && info.freeram > 0 && info.totalram > info.freeram &&
                                       info.mem_unit > 0 && info.procs >= 1);
    FILE *uptime = fopen("/proc/uptime", "r");
    check("uptime is that of sysinfo", uptime && fscanf(uptime, "%lf %lf", &up, &idle) == 2 && info.uptime > 0 &&
                                           up >= (double)(info.uptime - 1) && idle >= 0);
    FILE *text = fopen("/proc/version", "r");
    struct utsname name;
    check("version is that of uname", text && uname(&name) == 0 && fgets(version, sizeof version, text) &&
                                          strncmp(version, "Linux version ", 14) == 0 &&
                                          strncmp(version + 14, name.release, strlen(name.release)) == 0);
    if (uptime)
        fclose(uptime);
    if (text)
        fclose(text);
    uid_t ids[3] = {7, 7, 7};
    check("root, and nobody else", getresuid(&ids[0], &ids[1], &ids[2]) == 0 && !ids[0] && !ids[1] && !ids[2]);
    check("in no further group", getgroups(0, 0) == 0);
}

static void *run_series(void *x)
{
    *(double *)x = series(*(double *)x, STEPS);
    return x;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn, rounds;
static long counted;
static __thread int own = 7;

static void *take_turns(void *who)
{
    int me = (int)(intptr_t)who;
    own = me;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (turn != me)
            pthread_cond_wait(&turned, &lock);
        turn = !me;
        rounds++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    return (void *)(intptr_t)(own == me);
}

static void *count(void *unused)
{
    for (int i = 0; i < 200000; i++) {
        pthread_mutex_lock(&lock);
        counted++;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void *give_back(void *value) { return value; }

static int join_all(pthread_t *threads, int n)
{
    void *result;
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += pthread_join(threads[i], &result) == 0 ? (int)(intptr_t)result : -100;
    return sum;
}

static void threads(void)
{
    pthread_t t[4];
    double alone[3], together[3];
    int made = 0;
    for (int i = 0; i < 2; i++)
        made += pthread_create(&t[i], 0, take_turns, (void *)(intptr_t)i) == 0;
    check("pthread_create", made == 2);
    if (made != 2)
        return;
    check("two threads take turns by a condition, each with a variable of its own",
          join_all(t, 2) == 2 && rounds == 1000 && own == 7);

    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], 0, count, 0);
    join_all(t, 4);
    check_found("four threads count under a mutex", counted == 800000, "%ld", counted);

    for (int i = 0; i < 3; i++)
        alone[i] = series(together[i] = 1 + i / 7.0, STEPS);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], 0, run_series, &together[i]);
    run_series(&together[2]);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], 0);
    check("floating point in three threads at once, to the last bit", memcmp(alone, together, sizeof alone) == 0);

    int good = 1;
    for (intptr_t i = 0; i < 200 && good; i++) {
        void *result = 0;
        good = pthread_create(&t[0], 0, give_back, (void *)i) == 0 && pthread_join(t[0], &result) == 0 &&
               result == (void *)i;
    }
    check("threads come and go", good);
}

static void children(void)
{
    int status = run_child(self, "-child", "42");
    check_found("a child's exit status", status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 42,
                "wait status 0x%x", (unsigned)status);
    check_died("a child that aborts", run_child(self, "-child", "abort"), SIGABRT);
    check_died("a child that dies of a store", run_child(self, "-child", "store"), SIGSEGV);
    status = run_child(self, "-child", "environment");
    check("a child has the environment and its arguments", status == 0);
    int good = 1;
    for (int i = 0; i < 20; i++)
        good &= WEXITSTATUS(run_child(self, "-child", i & 1 ? "1" : "0")) == (i & 1);
    check("twenty children one after the other", good);
    char *argv[] = {"nothing", 0};
    pid_t pid;
    check("spawning a missing program is ENOENT", posix_spawn(&pid, "/no/such/program", 0, 0, argv, environ) == ENOENT);
    errno = 0;
    check("then there is no child", wait(&status) == -1 && errno == ECHILD);
}

static void said_at_exit(void) { puts("said by atexit"); }

static int child(const char *what)
{
    if (strcmp(what, "abort") == 0)
        abort();
    volatile uintptr_t nowhere = 16;
    if (strcmp(what, "store") == 0)
        *(volatile int *)nowhere = 1;
    if (strcmp(what, "environment") == 0)
        return !(getenv("LIBC_CHECK") && strcmp(getenv("LIBC_CHECK"), "set by the parent") == 0);
    return atoi(what);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "-child") == 0)
        return child(argv[2]);
    self = argv[0];
    snprintf(dir, sizeof dir, "%s", argc > 1 ? argv[1] : "/data");
    begin_checks();
    check("the vector of arguments ends with null", argv[argc] == 0);
    check("the environment has a PATH", getenv("PATH") != 0);
    check("setenv", setenv("LIBC_CHECK", "set by the parent", 1) == 0);
    check("atexit", atexit(said_at_exit) == 0);
    memory();
    numbers();
    files();
    directories();
    machine();
    mounts();
    check("the stack grows to 4 MiB", grow_stack(1023) == 1024 * 8);
    threads();
    children();
    return end_checks();
}
