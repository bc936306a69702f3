/*
 * calls: random system calls on files, every answer printed or folded into a sum.
 *
 *   calls SEED STEPS [FROM]    a line every 500 steps; from step FROM on, a line every step
 *
 * The same arguments give the same lines on Linux and on Vitrine: tests/tests/calls.txt is what this program said on
 * Linux 6.18 with ext4, in an empty root directory (chroot), with descriptors 0 to 2 open. It makes, moves and removes
 * files called a to e and s in `/`; whatever else lies there is not looked at. Two outputs differ: `FROM`, on both,
 * shows the first call that was answered differently.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "chance.h"

#define PICK(array) ((array)[below(sizeof(array) / sizeof *(array))])

static uint64_t sum = 14695981039346656037u;
static long step, verbose_from = LONG_MAX;
static int fds[12], open_fds;

/* What a call answered: a number, or an errno below zero. */
static long answer(long result) { return result == -1 ? -errno : result; }

static void fold(const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

static void say(long result, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(long result, const char *format, ...)
{
    char line[9000];
    va_list what;
    va_start(what, format);
    int len = vsnprintf(line, sizeof line - 32, format, what);
    va_end(what);
    len += snprintf(line + len, 32, " = %ld", result);
    fold(line, len);
    if (step >= verbose_from)
        printf("%ld: %.200s%s\n", step, line, len > 200 ? "..." : "");
}

/* A path of up to three components, sometimes absolute, sometimes with slashes behind it, sometimes far too long. */
static const char *path(char *to)
{
    static const char *const names[] = {"a", "b", "c", "d", "a", "b", "c", "d", "e", ".", "..", "s"};
    static const int lengths[] = {254, 255, 256, 4095, 4096};
    uint64_t odd = below(100);
    *to = 0;
    if (odd == 0 || odd == 1)
        return strcpy(to, odd == 0 ? "" : "/");
    if (odd == 2) {
        int len = PICK(lengths);
        memset(to, 'n', len);
        to[len] = 0;
        return to;
    }
    if (below(4) == 0)
        strcat(to, "/");
    for (uint64_t i = 0, last = below(3); i <= last; i++) {
        if (i > 0)
            strcat(to, below(3) == 0 ? "//" : "/");
        strcat(to, PICK(names));
    }
    if (below(6) == 0)
        strcat(to, "/");
    return to;
}

static int some_fd(void) { return open_fds == 0 || below(50) == 0 ? 999 : fds[below(open_fds)]; }
static int some_base(void) { return open_fds == 0 || below(3) > 0 ? AT_FDCWD : fds[below(open_fds)]; }

static void forget(int fd)
{
    for (int i = 0; i < open_fds; i++)
        if (fds[i] == fd)
            fds[i--] = fds[--open_fds];
}

static void keep(int fd)
{
    if (open_fds == sizeof fds / sizeof *fds) {
        int old = fds[below(open_fds)];
        close(old);
        forget(old);
    }
    fds[open_fds++] = fd;
}

static int mode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

/* Flags whose numbers differ from machine to machine; what is said names them by their place here. */
static const int flags_of_open[] = {O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_CLOEXEC};
enum { OPEN_FLAGS = sizeof flags_of_open / sizeof *flags_of_open };

static void open_something(void)
{
    static const int modes[] = {0644, 0777, 04755, 0};
    char to[PATH_MAX + 1];
    const char *name = path(to);
    int base = some_base(), how = below(4), mode = PICK(modes), rarity = 5;
    if (below(2) == 0) { /* often enough, a file that bytes can be moved to and from */
        how = O_RDWR | O_CREAT;
        rarity = 30;
    }
    int said = how & O_ACCMODE;
    for (int i = 0; i < OPEN_FLAGS; i++) {
        if (below(rarity) == 0)
            how |= flags_of_open[i];
        if ((how & flags_of_open[i]) != 0)
            said |= 4 << i;
    }
    long fd = answer(syscall(SYS_openat, base, name, how, mode));
    say(fd, "openat(%d, %s, %#x, %#o)", base, name, said, mode);
    if (fd >= 0)
        keep(fd);
}

static void change_names(void)
{
    static const int link_flags[] = {0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH, 1};
    static const int rename_flags[] = {0, 0, 0, 1, 2, 3, 8};
    char one[PATH_MAX + 1], two[PATH_MAX + 1];
    const char *p = path(one), *q = path(two);
    int d = some_base(), e = some_base(), flags;
    switch (below(7)) {
    case 0:
        say(answer(syscall(SYS_mkdirat, d, p, 01777)), "mkdirat(%d, %s)", d, p);
        break;
    case 1:
        say(answer(syscall(SYS_unlinkat, d, p, 0)), "unlinkat(%d, %s)", d, p);
        break;
    case 2:
        say(answer(syscall(SYS_unlinkat, d, p, AT_REMOVEDIR)), "rmdir(%d, %s)", d, p);
        break;
    case 3:
        flags = PICK(link_flags);
        say(answer(syscall(SYS_linkat, d, p, e, q, flags)), "linkat(%d, %s, %d, %s, %#x)", d, p, e, q, flags);
        break;
    case 4:
        say(answer(syscall(SYS_symlinkat, p, e, q)), "symlinkat(%s, %d, %s)", p, e, q);
        break;
    default:
        flags = PICK(rename_flags);
        say(answer(syscall(SYS_renameat2, d, p, e, q, flags)), "renameat2(%d, %s, %d, %s, %d)", d, p, e, q, flags);
    }
}

static void look_at_names(void)
{
    static const int flags[] = {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, 2};
    char one[PATH_MAX + 1], text[64] = "";
    const char *p = path(one);
    int d = some_base(), how = PICK(flags);
    long got;
    struct stat st = {0};
    switch (below(4)) {
    case 0:
        got = answer(syscall(SYS_readlinkat, d, p, text, below(40)));
        say(got, "readlinkat(%d, %s) %s", d, p, text);
        break;
    case 1: {
        int mode = below(9);
        say(answer(syscall(SYS_faccessat2, d, p, mode, how)), "faccessat2(%d, %s, %d, %#x)", d, p, mode, how);
        break;
    }
    default:
        got = answer(syscall(SYS_newfstatat, d, p, &st, how));
        /* How large a directory is, and how many names it has, is a file system's own affair. */
        int directory = S_ISDIR(st.st_mode);
        say(got, "stat(%d, %s, %#x) %o %d %ld", d, p, how, st.st_mode, directory ? 0 : (int)st.st_nlink,
            directory ? 0 : (long)st.st_size);
    }
}

static void move_bytes(void)
{
    unsigned char bytes[512];
    int fd = some_fd();
    long n = below(300), at = (long)below(9000) - 200, got;
    struct iovec vector[] = {{bytes, n / 3}, {bytes, 0}, {bytes + n / 3, n - n / 3}};
    int count = below(20) == 0 ? 1025 : (int)below(4);
    memset(bytes, n, sizeof bytes);
    switch (below(8)) {
    case 0:
    case 1:
        say(answer(syscall(SYS_write, fd, bytes, n)), "write(%d, %ld)", fd, n);
        break;
    case 2:
        say(answer(syscall(SYS_pwrite64, fd, bytes, n, at)), "pwrite(%d, %ld, %ld)", fd, n, at);
        break;
    case 3:
        say(answer(syscall(SYS_writev, fd, vector, count)), "writev(%d, %ld, %d)", fd, n, count);
        break;
    case 4:
    case 5:
        if (mode_of(fd) == S_IFDIR) /* EISDIR or EINVAL, by where the listing stands */
            return;
        got = below(2) ? answer(syscall(SYS_read, fd, bytes, n)) : answer(syscall(SYS_readv, fd, vector, count));
        fold(bytes, sizeof bytes);
        say(got, "read(%d, %ld)", fd, n);
        break;
    case 6:
        got = answer(syscall(SYS_pread64, fd, bytes, n, at));
        fold(bytes, sizeof bytes);
        say(got, "pread(%d, %ld, %ld)", fd, n, at);
        break;
    default: {
        int whence = below(7);
        if (mode_of(fd) != S_IFREG)
            return;
        say(answer(syscall(SYS_lseek, fd, at, whence)), "lseek(%d, %ld, %d)", fd, at, whence);
    }
    }
}

static void change_attributes(void)
{
    static const int modes[] = {0644, 0755, 0, 07777};
    static const long nsec[] = {5, UTIME_NOW, UTIME_OMIT, -1, 1000000000};
    static const int flags[] = {0, AT_SYMLINK_NOFOLLOW, 4};
    char one[PATH_MAX + 1];
    const char *p = path(one);
    int d = some_base(), fd = some_fd(), mode = PICK(modes), how = PICK(flags);
    long size = (long)below(9000) - 100;
    struct timespec times[] = {{1, PICK(nsec)}, {2, PICK(nsec)}};
    switch (below(5)) {
    case 0:
        say(answer(syscall(SYS_fchmodat, d, p, mode)), "fchmodat(%d, %s, %#o)", d, p, mode);
        break;
    case 1:
        say(answer(syscall(SYS_fchmod, fd, mode)), "fchmod(%d, %#o)", fd, mode);
        break;
    case 2:
        say(answer(syscall(SYS_ftruncate, fd, size)), "ftruncate(%d, %ld)", fd, size);
        break;
    case 3:
        say(answer(syscall(SYS_truncate, p, size)), "truncate(%s, %ld)", p, size);
        break;
    default:
        say(answer(syscall(SYS_utimensat, d, p, times, how)), "utimensat(%d, %s, %ld, %ld, %#x)", d, p,
            times[0].tv_nsec, times[1].tv_nsec, how);
    }
}

static void use_descriptors(void)
{
    static const int flags[] = {0, O_CLOEXEC, 1};
    int fd = some_fd(), other = some_fd(), which = below(3), how = flags[which];
    long got;
    switch (below(7)) {
    case 0:
        got = answer(syscall(SYS_dup, fd));
        say(got, "dup(%d)", fd);
        if (got >= 0)
            keep(got);
        break;
    case 1:
        if (other == 999)
            return;
        say(answer(syscall(SYS_dup3, fd, other, how)), "dup3(%d, %d, flags %d)", fd, other, which);
        break;
    case 2:
        say(answer(syscall(SYS_fcntl, fd, F_GETFD)), "fcntl(%d, F_GETFD)", fd);
        break;
    case 3:
        got = answer(syscall(SYS_fcntl, fd, F_GETFL));
        for (int i = how = 0; got >= 0 && i < OPEN_FLAGS; i++)
            if (flags_of_open[i] != O_CLOEXEC && got & flags_of_open[i])
                how |= 4 << i;
        say(got < 0 ? got : (got & O_ACCMODE) | how, "fcntl(%d, F_GETFL)", fd);
        break;
    case 4:
        which = below(2);
        say(answer(syscall(SYS_fcntl, fd, F_SETFL, which ? O_APPEND : 0)), "fcntl(%d, F_SETFL, %d)", fd, which);
        break;
    case 5:
        say(answer(syscall(SYS_fsync, fd)), "fsync(%d)", fd);
        break;
    default:
        say(answer(syscall(SYS_close, fd)), "close(%d)", fd);
        forget(fd);
    }
}

/* The names in a directory that are ours, in one sum whatever their order. */
static void list(void)
{
    char records[1024];
    int fd = some_fd();
    long got, room = below(2) ? 1024 : 280;
    uint64_t names = 0;
    if (mode_of(fd) == S_IFDIR)
        lseek(fd, 0, SEEK_SET);
    while ((got = answer(syscall(SYS_getdents64, fd, records, room))) > 0)
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (void *)(records + at);
            if (strlen(entry->d_name) == 1 && strchr("abcdes.", *entry->d_name))
                names += (unsigned char)*entry->d_name * 1000003u + entry->d_type;
            at += entry->d_reclen;
        }
    say(got, "getdents64(%d) %lu", fd, names);
}

static void move_about(void)
{
    char one[PATH_MAX + 1], here[PATH_MAX] = "";
    const char *p = path(one);
    int fd = some_fd();
    long room = below(60), got;
    switch (below(4)) {
    case 0:
        say(answer(syscall(SYS_chdir, p)), "chdir(%s)", p);
        break;
    case 1:
        say(answer(syscall(SYS_fchdir, fd)), "fchdir(%d)", fd);
        break;
    default:
        got = answer(syscall(SYS_getcwd, here, room));
        say(got, "getcwd(%ld) %s", room, here);
    }
}

int main(int argc, char **argv)
{
    static void (*const acts[])(void) = {
        open_something, open_something, open_something, change_names, change_names, change_names, change_names,
        look_at_names, look_at_names, move_bytes, move_bytes, move_bytes, change_attributes, change_attributes,
        use_descriptors, use_descriptors, list, move_about,
    };
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: calls SEED STEPS [FROM]\n");
        return 2;
    }
    state = strtoul(argv[1], 0, 0) * 0x9e3779b97f4a7c15 | 1;
    long steps = strtol(argv[2], 0, 0);
    if (argc == 4)
        verbose_from = strtol(argv[3], 0, 0);
    umask(022);
    if (chdir("/") != 0)
        return 2;
    for (step = 0; step < steps; step++) {
        PICK(acts)();
        if (step % 500 == 499)
            printf("after %ld calls: %016lx\n", step + 1, sum);
    }
    return 0;
}
