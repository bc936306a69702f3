/*
 * wild: hands wild pointers and odd arguments to every system call, and expects Linux's refusals.
 *
 *   wild [DIR]     DIR is where a file may be made; /data when not given
 *
 * Calls are made without the C library's wrappers, which would touch some of these pointers themselves.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "check.h"

enum { PAGE = 4096 };

/* Addresses that are nobody's: each is tried wherever a call takes one. */
static const struct {
    const char *name;
    uintptr_t address;
} wild[] = {
    {"null page", 8},
    {"kernel", 0xffff000040200000},
    {"kernel text", 0xffff800080000000},
    {"no canonical", 0x00f0000000000000},
    {"last page below the kernel", 0x0000fffffffff000},
    {"last byte", UINTPTR_MAX},
    {"unmapped", 0},  /* filled in */
    {"read only", 0}, /* filled in; only for calls that write */
};
enum { WILD = sizeof wild / sizeof *wild, READ_ONLY = WILD - 1, UNMAPPED = WILD - 2 };

static uintptr_t unmapped, read_only, edge; /* edge: the last 4 bytes before an unmapped page */
static int file;                            /* open for reading and writing, 8192 bytes */

static uintptr_t wild_address(int i) { return i == UNMAPPED ? unmapped : i == READ_ONLY ? read_only : wild[i].address; }

/* Tries CALL with `w` being each wild address; WRITES says whether the call would write there. */
#define EACH_WILD(what, WRITES, CALL)                                                 \
    do {                                                                              \
        for (int i_ = 0; i_ < WILD - !(WRITES); i_++) {                               \
            uintptr_t w = wild_address(i_);                                           \
            char name_[96];                                                           \
            snprintf(name_, sizeof name_, "%s with address %s", what, wild[i_].name); \
            errno = 0;                                                                \
            check_errno(name_, (CALL), EFAULT);                                       \
        }                                                                             \
    } while (0)

/* One odd argument, one refusal. */
#define REFUSED(what, want, CALL) (errno = 0, check_errno(what, (CALL), want))

static void prepare(const char *dir)
{
    char path[PATH_MAX], page[PAGE];
    char *three = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (three == MAP_FAILED || munmap(three + PAGE, PAGE) != 0 || mprotect(three + 2 * PAGE, PAGE, PROT_READ) != 0) {
        perror("wild: memory");
        exit(2);
    }
    unmapped = (uintptr_t)three + PAGE;
    read_only = (uintptr_t)three + 2 * PAGE;
    edge = unmapped - 4;
    snprintf(path, sizeof path, "%s/wild-file", dir);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    memset(page, 'w', sizeof page);
    if (file < 0 || write(file, page, PAGE) != PAGE || write(file, page, PAGE) != PAGE) {
        perror(path);
        exit(2);
    }
}

static void paths(const char *dir)
{
    char name[2 * PATH_MAX];
    struct stat st;
    EACH_WILD("openat", 0, syscall(SYS_openat, AT_FDCWD, w, O_RDONLY, 0));
    memset((char *)edge, 'x', 4);
    REFUSED("openat with a path that runs into an unmapped page", EFAULT,
            syscall(SYS_openat, AT_FDCWD, edge, O_RDONLY, 0));
    REFUSED("openat of an empty path", ENOENT, syscall(SYS_openat, AT_FDCWD, "", O_RDONLY, 0));
    REFUSED("openat of a missing file", ENOENT, syscall(SYS_openat, AT_FDCWD, "/no/such/file", O_RDONLY, 0));
    REFUSED("openat relative to a closed descriptor", EBADF, syscall(SYS_openat, 999, "x", O_RDONLY, 0));
    REFUSED("openat relative to a file", ENOTDIR, syscall(SYS_openat, file, "x", O_RDONLY, 0));
    REFUSED("openat of a directory for writing", EISDIR, syscall(SYS_openat, AT_FDCWD, dir, O_RDWR, 0));
    snprintf(name, sizeof name, "%s/wild-file", dir);
    REFUSED("openat of a file as a directory", ENOTDIR, syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0));
    REFUSED("openat exclusive of what exists", EEXIST,
            syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT | O_EXCL, 0644));
    strcat(name, "/x");
    REFUSED("openat below a file", ENOTDIR, syscall(SYS_openat, AT_FDCWD, name, O_RDONLY, 0));
    memset(name, 'n', 300);
    name[300] = 0;
    REFUSED("openat of a name of 300 bytes", ENAMETOOLONG, syscall(SYS_openat, AT_FDCWD, name, O_RDONLY, 0));
    memset(name, '/', sizeof name);
    name[sizeof name - 1] = 0;
    REFUSED("openat of a path of 8191 bytes", ENAMETOOLONG, syscall(SYS_openat, AT_FDCWD, name, O_RDONLY, 0));
    EACH_WILD("newfstatat's path", 0, syscall(SYS_newfstatat, AT_FDCWD, w, &st, 0));
    EACH_WILD("newfstatat's buffer", 1, syscall(SYS_newfstatat, AT_FDCWD, "/", w, 0));
    REFUSED("newfstatat with an unknown flag", EINVAL, syscall(SYS_newfstatat, AT_FDCWD, "/", &st, 0x40000000));
    REFUSED("newfstatat of an empty path", ENOENT, syscall(SYS_newfstatat, AT_FDCWD, "", &st, 0));
    EACH_WILD("readlinkat's path", 0, syscall(SYS_readlinkat, AT_FDCWD, w, name, sizeof name));
    REFUSED("readlinkat of a directory", EINVAL, syscall(SYS_readlinkat, AT_FDCWD, "/", name, sizeof name));
    REFUSED("readlinkat into no bytes", EINVAL, syscall(SYS_readlinkat, AT_FDCWD, "/", name, 0));
    REFUSED("readlinkat of a missing file", ENOENT,
            syscall(SYS_readlinkat, AT_FDCWD, "/no/such/link", name, sizeof name));
}

static void descriptors(void)
{
    static const int bad[] = {-1, 999, INT_MAX, INT_MIN, AT_FDCWD};
    char bytes[64];
    struct stat st;
    struct iovec one = {bytes, sizeof bytes};
    int read_end = open("/", O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = bad[i];
        REFUSED("close of no descriptor", EBADF, syscall(SYS_close, fd));
        REFUSED("read from no descriptor", EBADF, syscall(SYS_read, fd, bytes, sizeof bytes));
        REFUSED("pread64 from no descriptor", EBADF, syscall(SYS_pread64, fd, bytes, sizeof bytes, 0));
        REFUSED("write to no descriptor", EBADF, syscall(SYS_write, fd, bytes, sizeof bytes));
        REFUSED("pwrite64 to no descriptor", EBADF, syscall(SYS_pwrite64, fd, bytes, sizeof bytes, 0));
        REFUSED("writev to no descriptor", EBADF, syscall(SYS_writev, fd, &one, 1));
        REFUSED("lseek on no descriptor", EBADF, syscall(SYS_lseek, fd, 0, SEEK_SET));
        REFUSED("getdents64 on no descriptor", EBADF, syscall(SYS_getdents64, fd, bytes, sizeof bytes));
        REFUSED("ioctl on no descriptor", EBADF, syscall(SYS_ioctl, fd, TCGETS, bytes));
        REFUSED("fstat of no descriptor", EBADF, syscall(SYS_fstat, fd, &st));
    }
    EACH_WILD("fstat", 1, syscall(SYS_fstat, file, w));
    EACH_WILD("getdents64", 1, syscall(SYS_getdents64, read_end, w, 4096));
    REFUSED("getdents64 on a file", ENOTDIR, syscall(SYS_getdents64, file, bytes, sizeof bytes));
    REFUSED("getdents64 into too little room", EINVAL, syscall(SYS_getdents64, read_end, bytes, 8));
    REFUSED("read of a directory", EISDIR, syscall(SYS_read, read_end, bytes, sizeof bytes));
    REFUSED("write to a directory", EBADF, syscall(SYS_write, read_end, bytes, sizeof bytes));
    REFUSED("ioctl TCGETS on a file", ENOTTY, syscall(SYS_ioctl, file, TCGETS, bytes));
    if (isatty(0))
        EACH_WILD("ioctl TCGETS", 1, syscall(SYS_ioctl, 0, TCGETS, w));
    close(read_end);
}

static void bytes_moved(void)
{
    char bytes[64];
    struct iovec wild_base[2] = {{bytes, 8}, {(void *)unmapped, 8}};
    struct iovec too_long[2] = {{bytes, SSIZE_MAX}, {bytes, SSIZE_MAX}};
    lseek(file, 0, SEEK_SET);
    EACH_WILD("read", 1, syscall(SYS_read, file, w, 64));
    check("a refused read leaves the offset", lseek(file, 0, SEEK_CUR) == 0);
    EACH_WILD("pread64", 1, syscall(SYS_pread64, file, w, 64, 0));
    EACH_WILD("write", 0, syscall(SYS_write, file, w, 64));
    EACH_WILD("pwrite64", 0, syscall(SYS_pwrite64, file, w, 64, 0));
    EACH_WILD("write to the terminal", 0, syscall(SYS_write, 1, w, 64));
    EACH_WILD("writev's vector", 0, syscall(SYS_writev, file, w, 1));
    EACH_WILD("readv's vector", 0, syscall(SYS_readv, file, w, 1));
    REFUSED("writev with a negative length", EINVAL, syscall(SYS_writev, file, too_long, -1));
    REFUSED("writev with 1025 buffers", EINVAL, syscall(SYS_writev, file, too_long, 1025));
    too_long[1].iov_len = (size_t)-1;
    REFUSED("writev with a buffer of negative length", EINVAL, syscall(SYS_writev, file, too_long, 2));
    check("writev of no buffers", syscall(SYS_writev, file, 0, 0) == 0);
    wild_base[0].iov_base = (void *)unmapped;
    REFUSED("writev whose first buffer is wild", EFAULT, syscall(SYS_writev, file, wild_base, 2));
    check("read of no bytes asks for no memory", syscall(SYS_read, file, bytes, 0) == 0);
    REFUSED("pread64 at a negative offset", EINVAL, syscall(SYS_pread64, file, bytes, 8, -1L));
    REFUSED("pwrite64 at a negative offset", EINVAL, syscall(SYS_pwrite64, file, bytes, 8, -1L));
    REFUSED("pread64 of a negative length", EFAULT, syscall(SYS_pread64, file, UINTPTR_MAX - 8, SSIZE_MAX, 0));
    REFUSED("lseek to a negative offset", EINVAL, syscall(SYS_lseek, file, -1L, SEEK_SET));
    REFUSED("lseek from nowhere", EINVAL, syscall(SYS_lseek, file, 0, 77));
    check("the file is as it was",
          syscall(SYS_pread64, file, bytes, 64, 0) == 64 && bytes[0] == 'w' && bytes[63] == 'w');
    check("the file has the size it had", lseek(file, 0, SEEK_END) == 8192);
}

static void memory(void)
{
    int anon = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;
    uintptr_t end = syscall(SYS_brk, 0);
    check("brk to a kernel address changes nothing", (uintptr_t)syscall(SYS_brk, wild[1].address) == end);
    check("brk below its start changes nothing", (uintptr_t)syscall(SYS_brk, 4096) == end);
    REFUSED("mmap of no bytes", EINVAL, syscall(SYS_mmap, 0, 0, rw, anon, -1, 0));
    REFUSED("mmap neither private nor shared", EINVAL, syscall(SYS_mmap, 0, PAGE, rw, MAP_ANONYMOUS, -1, 0));
    REFUSED("mmap of all there is", ENOMEM, syscall(SYS_mmap, 0, 1UL << 52, rw, anon, -1, 0));
    REFUSED("mmap whose length overflows", ENOMEM, syscall(SYS_mmap, 0, -1L, rw, anon, -1, 0));
    REFUSED("mmap fixed at no page", EINVAL, syscall(SYS_mmap, unmapped + 1, PAGE, rw, anon | MAP_FIXED, -1, 0));
    REFUSED("mmap fixed in the kernel", ENOMEM, syscall(SYS_mmap, wild[1].address, PAGE, rw, anon | MAP_FIXED, -1, 0));
    REFUSED("mmap fixed where something is", EEXIST,
            syscall(SYS_mmap, read_only, PAGE, rw, anon | MAP_FIXED_NOREPLACE, -1, 0));
    REFUSED("mmap at an offset that is no page", EINVAL, syscall(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, file, 1));
    REFUSED("mmap of no descriptor", EBADF, syscall(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 999, 0));
    EACH_WILD("mincore's vector", 1, syscall(SYS_mincore, read_only, PAGE, w));
    REFUSED("mlock of the kernel", ENOMEM, syscall(SYS_mlock, wild[1].address, PAGE));
    REFUSED("mremap of the kernel", EFAULT, syscall(SYS_mremap, wild[1].address, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    REFUSED("munmap of no page", EINVAL, syscall(SYS_munmap, unmapped + 1, PAGE));
    REFUSED("munmap of no bytes", EINVAL, syscall(SYS_munmap, unmapped, 0));
    REFUSED("munmap of the kernel", EINVAL, syscall(SYS_munmap, wild[1].address, PAGE));
    REFUSED("munmap whose length overflows", EINVAL, syscall(SYS_munmap, unmapped, -1L));
    REFUSED("mprotect of no page", EINVAL, syscall(SYS_mprotect, read_only + 1, PAGE, rw));
    REFUSED("mprotect of what is not mapped", ENOMEM, syscall(SYS_mprotect, unmapped, PAGE, rw));
    REFUSED("mprotect of the kernel", ENOMEM, syscall(SYS_mprotect, wild[1].address, PAGE, rw));
    REFUSED("madvise of no page", EINVAL, syscall(SYS_madvise, read_only + 1, PAGE, MADV_DONTNEED));
    REFUSED("madvise that is no advice", EINVAL, syscall(SYS_madvise, read_only, PAGE, 12345));
    REFUSED("madvise of what is not mapped", ENOMEM, syscall(SYS_madvise, unmapped, PAGE, MADV_DONTNEED));
}

static void facts(void)
{
    struct rlimit limit;
    struct timespec time;
    char bytes[16];
    EACH_WILD("uname", 1, syscall(SYS_uname, w));
    EACH_WILD("getrandom", 1, syscall(SYS_getrandom, w, 16, 0));
    REFUSED("getrandom with an unknown flag", EINVAL, syscall(SYS_getrandom, bytes, 16, 0x100));
    EACH_WILD("clock_gettime", 1, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, w));
    REFUSED("clock_gettime of no clock", EINVAL, syscall(SYS_clock_gettime, 77, &time));
    EACH_WILD("prlimit64's old limit", 1, syscall(SYS_prlimit64, 0, RLIMIT_STACK, 0, w));
    EACH_WILD("prlimit64's new limit", 0, syscall(SYS_prlimit64, 0, RLIMIT_STACK, w, 0));
    REFUSED("prlimit64 of no limit", EINVAL, syscall(SYS_prlimit64, 0, 99, 0, &limit));
    REFUSED("prlimit64 of nobody", ESRCH, syscall(SYS_prlimit64, 999999, RLIMIT_STACK, 0, &limit));
    limit.rlim_cur = 2, limit.rlim_max = 1;
    REFUSED("prlimit64 to more than its maximum", EINVAL, syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, 0));
    check("set_tid_address takes any address", syscall(SYS_set_tid_address, wild[1].address) == syscall(SYS_gettid));
    syscall(SYS_set_tid_address, 0);
    REFUSED("set_robust_list of another size", EINVAL, syscall(SYS_set_robust_list, bytes, 23));
    REFUSED("a system call that is none", ENOSYS, syscall(5000));
    REFUSED("a system call in a hole of the table", ENOSYS, syscall(250));
    REFUSED("a system call of negative number", ENOSYS, syscall(-1L));
}

static void signals(void)
{
    uint64_t action[4] = {0}, set = 0;
    EACH_WILD("rt_sigaction's new action", 0, syscall(SYS_rt_sigaction, SIGUSR1, w, 0, 8));
    EACH_WILD("rt_sigaction's old action", 1, syscall(SYS_rt_sigaction, SIGUSR1, 0, w, 8));
    REFUSED("rt_sigaction of signal 0", EINVAL, syscall(SYS_rt_sigaction, 0, 0, action, 8));
    REFUSED("rt_sigaction of signal 65", EINVAL, syscall(SYS_rt_sigaction, 65, 0, action, 8));
    REFUSED("rt_sigaction for SIGKILL", EINVAL, syscall(SYS_rt_sigaction, SIGKILL, action, 0, 8));
    REFUSED("rt_sigaction for SIGSTOP", EINVAL, syscall(SYS_rt_sigaction, SIGSTOP, action, 0, 8));
    REFUSED("rt_sigaction with sets of another size", EINVAL, syscall(SYS_rt_sigaction, SIGUSR1, 0, action, 4));
    EACH_WILD("rt_sigprocmask's new set", 0, syscall(SYS_rt_sigprocmask, SIG_BLOCK, w, 0, 8));
    EACH_WILD("rt_sigprocmask's old set", 1, syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, w, 8));
    REFUSED("rt_sigprocmask in no way", EINVAL, syscall(SYS_rt_sigprocmask, 99, &set, 0, 8));
    REFUSED("rt_sigprocmask with sets of another size", EINVAL, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, 0, 16));
}

static void tasks(const char *self)
{
    const char *argv[] = {self, 0}, *wild_argument[] = {self, (char *)unmapped, 0}, *no_environment[] = {0};
    uint32_t word = 1;
    struct timespec odd = {0, -1};
    REFUSED("wait4 without children", ECHILD, syscall(SYS_wait4, -1, 0, 0, 0));
    REFUSED("wait4 with unknown options", EINVAL, syscall(SYS_wait4, -1, 0, 0x100, 0));
    REFUSED("clone of a thread with handlers of its own", EINVAL,
            syscall(SYS_clone, CLONE_THREAD | CLONE_VM, 0, 0, 0, 0));
    REFUSED("clone of handlers without memory", EINVAL, syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
    EACH_WILD("execve's path", 0, syscall(SYS_execve, w, argv, no_environment));
    EACH_WILD("execve's arguments", 0, syscall(SYS_execve, self, w, no_environment));
    EACH_WILD("execve's environment", 0, syscall(SYS_execve, self, argv, w));
    REFUSED("execve with a wild argument", EFAULT, syscall(SYS_execve, self, wild_argument, no_environment));
    REFUSED("execve of nothing", ENOENT, syscall(SYS_execve, "/no/such/program", argv, no_environment));
    REFUSED("execve of a directory", EACCES, syscall(SYS_execve, "/", argv, no_environment));
    EACH_WILD("futex wait", 0, syscall(SYS_futex, w & ~3UL, FUTEX_WAIT, 0, 0, 0, 0));
    REFUSED("futex on a word that is not aligned", EINVAL,
            syscall(SYS_futex, (char *)&word + 1, FUTEX_WAIT, 1, 0, 0, 0));
    REFUSED("futex wait for another value", EAGAIN, syscall(SYS_futex, &word, FUTEX_WAIT, 2, 0, 0, 0));
    REFUSED("futex wait for an odd time", EINVAL, syscall(SYS_futex, &word, FUTEX_WAIT, 1, &odd, 0, 0));
    EACH_WILD("futex wait's time", 0, syscall(SYS_futex, &word, FUTEX_WAIT, 1, w, 0, 0));
    REFUSED("futex operation that is none", ENOSYS, syscall(SYS_futex, &word, 77, 1, 0, 0, 0));
    check("futex wake where nobody waits", syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0) == 0);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "/data";
    begin_checks();
    prepare(dir);
    paths(dir);
    descriptors();
    bytes_moved();
    memory();
    facts();
    signals();
    tasks(argv[0]);
    return end_checks();
}
