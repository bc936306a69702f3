/*
 * odd: every call on files with every kind of path, flag and number that is odd, in order; the answers in one sum a group.
 *
 *   odd DIR             a line a group
 *   odd DIR GROUP       a line a case of that group
 *
 * The same arguments give the same lines on Linux and on Vitrine: tests/tests/odd.txt is what `odd /tmp` said on Linux
 * 6.12 with ext4 and DAX. It makes and removes DIR/odd, and gives modes to DIR and `/`. Two outputs differ: `odd DIR
 * GROUP` on both shows the first case that was answered differently. (Without DAX, `room` may: there a hole is data where
 * a page of the cache covers it.)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static uint64_t sum;
static long cases;
static int verbose;
static const char *here;

static void fold(const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

/* What a call answered: a number, or an errno below zero. */
static long answer(long result) { return result == -1 ? -errno : result; }

static void say(long result, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(long result, const char *format, ...)
{
    char line[1024];
    va_list what;
    va_start(what, format);
    int len = vsnprintf(line, sizeof line - 64, format, what);
    va_end(what);
    if (len > (int)sizeof line - 64)
        len = sizeof line - 64;
    len += result < 0 ? snprintf(line + len, 64, " = %s", strerrorname_np(-result)) : snprintf(line + len, 64, " = %ld", result);
    fold(line, len);
    cases++;
    if (verbose)
        printf("%s\n", line);
}

/* --- The tree ------------------------------------------------------------------------------------------------- */

static char name255[256], name256[257], path4095[4096], path4096[4097];

static const char *const paths[] = {
    "",      "f",    "f/",   "f/.",    "f/..",       "f/n",      "d",       "d/",      "d/.",    "d/..", "e",
    "e/",    "e/.",  "e/..", "e/g",    "e/g/",       "e/h",      "e/h/..",  "n",       "n/",     "n/.",  "n/..",
    "n/n",   "d/n",  "d/n/", "lf",     "lf/",        "lf/n",     "ld",      "ld/",     "ld/.",   "ld/g", "ld/..",
    "ln",    "ln/",  "ll",   "ll/",    "ll/n",       "lfs",      "lds",     "lds/",    "lnd",    "lnd/", "lup",
    ".",     "..",   "./",   "../",    "/",          "//",       "//.",     "c40",     "c41",    "hf",   "e/h/../../d",
    name255, name256, path4095, path4096, (const char *)8,
};
enum { PATHS = COUNT(paths) };

static const char *shown(const char *path)
{
    return path == name255 ? "(255)" : path == name256 ? "(256)" : path == path4095 ? "(4095)" : path == path4096 ? "(4096)"
         : path == (const char *)8 ? "(bad)" : path;
}

static void must(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(2);
    }
}

static void put(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    must(fd, name);
    must(write(fd, text, strlen(text)), name);
    must(close(fd), name);
}

/* Removes all that lies in the directory `name` of `base`. */
static void clear(int base, const char *name)
{
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    must(fd, name);
    DIR *dir = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        clear(fd, entry->d_name);
        must(unlinkat(fd, entry->d_name, AT_REMOVEDIR), entry->d_name);
    }
    closedir(dir);
}

static void build(void)
{
    char name[8], target[8];
    clear(AT_FDCWD, ".");
    /* What a mode was given to above. */
    must(chmod(".", 0755) | chmod("..", 0755) | chmod("/", 0755), "chmod");
    put("f", "hello");
    must(link("f", "hf"), "hf");
    must(mkdir("d", 0755), "d");
    must(mkdir("e", 0755), "e");
    must(mkdir("e/h", 0700), "e/h");
    put("e/g", "inside");
    static const char *const links[][2] = {{"f", "lf"}, {"e", "ld"}, {"nowhere", "ln"}, {"ll", "ll"}, {"f/", "lfs"},
                                           {"e/", "lds"}, {"d/new", "lnd"}, {"..", "lup"}};
    for (int i = 0; i < COUNT(links); i++)
        must(symlink(links[i][0], links[i][1]), links[i][1]);
    strcpy(target, "f");
    for (int i = 1; i <= 41; i++) {
        sprintf(name, "c%d", i);
        must(symlink(target, name), name);
        strcpy(target, name);
    }
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static uint64_t mix(uint64_t print, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        print = (print ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return print;
}

/* A number for what lies in the directory `name` of `base`: names, kinds, modes, links, contents. */
static uint64_t print_of(int base, const char *name)
{
    char *names[128], bytes[300];
    int count = 0, fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    uint64_t print = 14695981039346656037u;
    must(fd, name);
    DIR *dir = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(dir)) && count < COUNT(names);)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && entry->d_name[0] != 'c')
            names[count++] = strdup(entry->d_name);
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        struct stat st;
        must(fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW), names[i]);
        unsigned facts[] = {st.st_mode, S_ISDIR(st.st_mode) ? 0 : st.st_nlink};
        print = mix(mix(print, names[i], strlen(names[i])), facts, sizeof facts);
        if (S_ISDIR(st.st_mode)) {
            uint64_t inside = print_of(fd, names[i]);
            print = mix(print, &inside, sizeof inside);
        } else {
            long len = S_ISLNK(st.st_mode) ? readlinkat(fd, names[i], bytes, sizeof bytes) : -1;
            if (S_ISREG(st.st_mode)) {
                int file = openat(fd, names[i], O_RDONLY);
                len = read(file, bytes, sizeof bytes);
                close(file);
            }
            must(len, names[i]);
            print = mix(print, bytes, len);
        }
        free(names[i]);
    }
    closedir(dir);
    return print;
}

static uint64_t untouched;

/* What the tree has become, 0 where it is as it was; then it is as it was again. */
static unsigned effect(void)
{
    uint64_t now = print_of(AT_FDCWD, ".");
    if (now == untouched)
        return 0;
    build();
    return (now ^ now >> 32) | 1;
}

/* --- Groups --------------------------------------------------------------------------------------------------- */

static const int open_flags[] = {O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE & ~O_DIRECTORY};
static const char open_names[] = "CXTDNPU";

static void opens(void)
{
    for (int p = 0; p < PATHS; p++)
        for (int how = 0; how < 1 << (2 + COUNT(open_flags)); how++) {
            char name[16] = "", *letter = name;
            int flags = how & 3, got;
            struct stat st = {0};
            for (int i = 0; i < COUNT(open_flags); i++)
                if (how >> (i + 2) & 1)
                    flags |= open_flags[i], *letter++ = open_names[i];
            /* Nothing new with O_PATH but what it keeps. */
            if (flags & O_PATH && how & (3 | 5 << 2))
                continue;
            long fd = answer(syscall(SYS_openat, AT_FDCWD, paths[p], flags, 0640));
            got = fd >= 0 ? fcntl(fd, F_GETFL) : 0;
            if (fd >= 0) {
                must(fstat(fd, &st), "fstat");
                close(fd);
            }
            int kept = (got & O_ACCMODE) | (got & O_DIRECTORY ? 4 : 0) | (got & O_NOFOLLOW ? 8 : 0) | (got & O_PATH ? 16 : 0) |
                       ((got & O_TMPFILE) == O_TMPFILE ? 32 : 0) | (got & O_CREAT ? 64 : 0);
            say(fd < 0 ? fd : 0, "open(%s, %d%s) %o %d %x", shown(paths[p]), how & 3, name, st.st_mode, kept,
                fd >= 0 || flags & (O_CREAT | O_TRUNC) ? effect() : 0);
        }
}

static void one_path(void)
{
    char text[64];
    for (int p = 0; p < PATHS; p++) {
        const char *path = paths[p], *name = shown(path);
        struct stat st;
        long got;
        got = answer(syscall(SYS_mkdirat, AT_FDCWD, path, 07777));
        say(got, "mkdir(%s) %x", name, effect());
        static const int kinds[] = {0, S_IFREG | 0604, S_IFDIR, S_IFMT, S_IFREG | S_ISUID | 0777};
        for (int i = 0; i < COUNT(kinds); i++) {
            got = answer(syscall(SYS_mknodat, AT_FDCWD, path, kinds[i], 0));
            say(got, "mknod(%s, %#o) %x", name, kinds[i], effect());
        }
        static const int removals[] = {0, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1};
        for (int i = 0; i < COUNT(removals); i++) {
            got = answer(syscall(SYS_unlinkat, AT_FDCWD, path, removals[i]));
            say(got, "unlink(%s, %d) %x", name, removals[i], effect());
        }
        static const char *const targets[] = {"f", "", "nowhere", name256, path4095, path4096, (const char *)8};
        for (int i = 0; i < COUNT(targets); i++) {
            got = answer(syscall(SYS_symlinkat, targets[i], AT_FDCWD, path));
            say(got, "symlink(%s, %s) %x", shown(targets[i]), name, effect());
        }
        for (int room = -1; room < 3; room++) {
            memset(text, 0, sizeof text);
            got = answer(syscall(SYS_readlinkat, AT_FDCWD, path, text, room));
            say(got, "readlink(%s, %d) %s", name, room, text);
        }
        for (int bit = -1; bit < 20; bit++) {
            int flags = bit < 0 ? 0 : 1 << bit;
            memset(&st, 0, sizeof st);
            got = answer(syscall(SYS_newfstatat, AT_FDCWD, path, &st, flags));
            /* How large a directory is, and how many names it has, is a file system's own affair. */
            int plain = !S_ISDIR(st.st_mode);
            say(got, "stat(%s, %#x) %o %d %d", name, flags, st.st_mode, plain ? (int)st.st_nlink : 0, plain ? (int)st.st_size : 0);
            say(answer(syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, flags)), "access(%s, %#x)", name, flags);
            got = answer(syscall(SYS_fchownat, AT_FDCWD, path, -1, -1, flags));
            say(got, "chown(%s, %#x)", name, flags);
            struct timespec times[2] = {{3, 4}, {5, 6}};
            got = answer(syscall(SYS_utimensat, AT_FDCWD, path, times, flags));
            say(got, "utimens(%s, %#x)", name, flags);
            got = answer(syscall(452 /* fchmodat2 */, AT_FDCWD, path, 0611, flags));
            say(got, "chmod(%s, %#x) %x", name, flags, effect());
            if (got == 0)
                build();
        }
        for (int mode = 0; mode < 10; mode++)
            say(answer(syscall(SYS_faccessat, AT_FDCWD, path, mode)), "access(%s, mode %d)", name, mode);
        got = answer(syscall(SYS_fchmodat, AT_FDCWD, path, 0123456 | 0600));
        say(got, "chmod(%s) %x", name, effect());
        if (got == 0)
            build();
        got = answer(syscall(SYS_truncate, path, 3));
        say(got, "truncate(%s) %x", name, effect());
        say(answer(syscall(SYS_truncate, path, -1)), "truncate(%s, -1)", name);
        got = answer(syscall(SYS_chdir, path));
        say(got, "chdir(%s)", name);
        if (got == 0)
            must(chdir(here), "back");
        memset(&st, 0, sizeof st);
        say(answer(syscall(SYS_statfs, path, text - 0)) == -EFAULT ? -EFAULT : 0, "statfs(%s)", name);
    }
}

static void two_paths(void)
{
    for (int p = 0; p < PATHS; p++)
        for (int q = 0; q < PATHS; q++) {
            const char *from = paths[p], *to = paths[q], *a = shown(from), *b = shown(to);
            static const int moves[] = {0, 1, 2, 3, 6, 8};
            for (int i = 0; i < COUNT(moves); i++) {
                long got = answer(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, moves[i]));
                say(got, "rename(%s, %s, %d) %x", a, b, moves[i], got == 0 || (p + q) % 8 == 0 ? effect() : 0);
            }
            static const int links[] = {0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
            for (int i = 0; i < COUNT(links); i++) {
                long got = answer(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, links[i]));
                say(got, "link(%s, %s, %#x) %x", a, b, links[i], got == 0 || (p + q) % 8 == 0 ? effect() : 0);
            }
        }
}

/* Descriptors of every kind to begin a path at. */
static void bases(void)
{
    mkdir("gone", 0755);
    const int fds[] = {999, -1, -100, open("f", O_RDONLY), open("e", O_RDONLY), open("e", O_PATH), open("lf", O_PATH | O_NOFOLLOW),
                       open("f", O_PATH), open("gone", O_RDONLY), open("/dev/null", O_RDWR), open("f", O_RDWR)};
    static const char *const kinds[] = {"none", "-1", "cwd", "file", "dir", "dir place", "link place", "file place", "gone", "null", "rdwr"};
    static const char *const relative[] = {"", "g", ".", "..", "h", "n", "/", (const char *)8, "../f", "../ln", "./", name256};
    rmdir("gone");
    for (int i = 0; i < COUNT(fds); i++)
        for (int j = 0; j < COUNT(relative); j++) {
            const char *path = relative[j], *name = shown(path), *kind = kinds[i];
            int base = fds[i];
            long got;
            struct stat st;
            struct statx stx;
            char text[32];
            if (strcmp(kind, "cwd") == 0)
                continue;
            for (int k = 0; k < 8; k++) {
                static const int flags[] = {O_RDONLY, O_WRONLY | O_CREAT, O_PATH, O_DIRECTORY, O_TMPFILE | O_RDWR, O_RDONLY | O_NOFOLLOW,
                                            O_RDWR | O_TRUNC, O_PATH | O_NOFOLLOW};
                got = answer(syscall(SYS_openat, base, path, flags[k], 0600));
                if (got >= 0)
                    close(got), got = 0;
                say(got, "%s: open(%s, %d) %x", kind, name, k, effect());
            }
            for (int k = 0; k < 4; k++) {
                int flags = (k & 1 ? AT_EMPTY_PATH : 0) | (k & 2 ? AT_SYMLINK_NOFOLLOW : 0);
                got = answer(syscall(SYS_newfstatat, base, path, &st, flags));
                say(got, "%s: stat(%s, %#x)", kind, name, flags);
                got = answer(syscall(SYS_statx, base, path, flags, STATX_ALL, &stx));
                say(got, "%s: statx(%s, %#x)", kind, name, flags);
                say(answer(syscall(SYS_faccessat2, base, path, R_OK, flags)), "%s: access(%s, %#x)", kind, name, flags);
                if (strcmp(kind, "null") == 0) /* whose attributes are no file system's */
                    continue;
                say(answer(syscall(SYS_fchownat, base, path, 0, 0, flags)), "%s: chown(%s, %#x)", kind, name, flags);
                say(answer(syscall(SYS_utimensat, base, path, 0, flags)), "%s: utimens(%s, %#x)", kind, name, flags);
            }
            if (strcmp(kind, "null") != 0)
                say(answer(syscall(SYS_utimensat, base, 0, 0, 0)), "%s: utimens(0)", kind);
            say(answer(syscall(SYS_utimensat, base, 0, 0, AT_EMPTY_PATH)), "%s: utimens(0, empty)", kind);
            say(answer(syscall(SYS_fchmodat, base, path, 0700)), "%s: chmod(%s)", kind, name);
            must(chmod("..", 0755) | chmod("/", 0755), "chmod");
            effect();
            say(answer(syscall(SYS_readlinkat, base, path, text, sizeof text)), "%s: readlink(%s)", kind, name);
            got = answer(syscall(SYS_mkdirat, base, path, 0700));
            say(got, "%s: mkdir(%s) %x", kind, name, effect());
            got = answer(syscall(SYS_unlinkat, base, path, 0));
            say(got, "%s: unlink(%s) %x", kind, name, effect());
            got = answer(syscall(SYS_unlinkat, base, path, AT_REMOVEDIR));
            say(got, "%s: rmdir(%s) %x", kind, name, effect());
            got = answer(syscall(SYS_symlinkat, "t", base, path));
            say(got, "%s: symlink(%s) %x", kind, name, effect());
            for (int k = 0; k < 4; k++) {
                int flags = (k & 1 ? AT_EMPTY_PATH : 0) | (k & 2 ? AT_SYMLINK_FOLLOW : 0);
                got = answer(syscall(SYS_linkat, base, path, AT_FDCWD, "new", flags));
                say(got, "%s: link(%s, new, %#x) %x", kind, name, flags, effect());
                got = answer(syscall(SYS_linkat, AT_FDCWD, "f", base, path, flags));
                say(got, "%s: link(f, %s, %#x) %x", kind, name, flags, effect());
            }
            for (int k = 0; k < 3; k++) {
                got = answer(syscall(SYS_renameat2, base, path, AT_FDCWD, "new", k));
                say(got, "%s: rename(%s, new, %d) %x", kind, name, k, effect());
                got = answer(syscall(SYS_renameat2, AT_FDCWD, "f", base, path, k));
                say(got, "%s: rename(f, %s, %d) %x", kind, name, k, effect());
            }
            /* What was `e` may have been removed: the descriptor of it is opened again. */
            for (int k = 0; k < COUNT(fds); k++) {
                static const struct { const char *name; int flags; } again[] = {{0, 0}, {0, 0}, {0, 0}, {"f", O_RDONLY}, {"e", O_RDONLY}, {"e", O_PATH},
                    {"lf", O_PATH | O_NOFOLLOW}, {"f", O_PATH}, {0, 0}, {0, 0}, {"f", O_RDWR}};
                if (again[k].name) {
                    int fresh = open(again[k].name, again[k].flags);
                    dup3(fresh, fds[k], 0);
                    close(fresh);
                }
            }
        }
    for (int i = 0; i < COUNT(fds); i++)
        close(fds[i]);
}

/* Descriptors of every kind to the calls that take one. */
static void descriptors(void)
{
    static const char *const kinds[] = {"r", "w", "rw", "append", "dir", "place", "link", "null", "none", "tmp", "mode 3"};
    for (int i = 0; i < COUNT(kinds); i++) {
        const int fds[] = {open("f", O_RDONLY), open("f", O_WRONLY), open("f", O_RDWR), open("f", O_RDWR | O_APPEND), open("e", O_RDONLY),
                           open("f", O_PATH), open("lf", O_PATH | O_NOFOLLOW), open("/dev/null", O_RDWR), 999, open(".", O_TMPFILE | O_RDWR, 0600), open("f", 3)};
        int fd = fds[i];
        const char *kind = kinds[i];
        char bytes[64] = "0123456789";
        struct iovec vector[2] = {{bytes, 3}, {bytes + 3, 2}};
        long got;
        static const long places[] = {0, 3, 5, 100, -1, -2, LONG_MIN, LONG_MAX, LONG_MAX - 1, 1l << 50};
        static const long lengths[] = {0, 1, 5, -1, LONG_MIN, 0x80000000, LONG_MAX};
        for (int j = 0; j < COUNT(places); j++)
            for (int k = 0; k < COUNT(lengths); k++) {
                memset(bytes, 'z', sizeof bytes);
                /* Where no file can have a byte there is nothing to read; ext4 says EINVAL with DAX, and 0 without. */
                int readable = places[j] <= 1l << 44 || places[j] == LONG_MAX;
                if (lengths[k] >= 0 && lengths[k] < 64) {
                    if (readable) {
                        got = answer(syscall(SYS_pread64, fd, bytes, lengths[k], places[j]));
                        say(got, "%s: pread(%ld, %ld) %.6s", kind, lengths[k], places[j], bytes);
                    }
                    got = answer(syscall(SYS_pwrite64, fd, bytes, lengths[k], places[j]));
                    say(got, "%s: pwrite(%ld, %ld) %x", kind, lengths[k], places[j], got > 0 && places[j] < 1000 ? effect() : 0);
                }
                if (readable)
                    say(answer(syscall(SYS_pread64, fd, (void *)8, lengths[k], places[j])), "%s: pread(bad, %ld, %ld)", kind, lengths[k], places[j]);
                say(answer(syscall(SYS_pwrite64, fd, (void *)8, lengths[k], places[j])), "%s: pwrite(bad, %ld, %ld)", kind, lengths[k], places[j]);
                say(answer(syscall(SYS_sync_file_range, fd, places[j], lengths[k], 0)), "%s: sync_file_range(%ld, %ld)", kind, places[j], lengths[k]);
                say(answer(syscall(SYS_readahead, fd, places[j], lengths[k])), "%s: readahead(%ld, %ld)", kind, places[j], lengths[k]);
                say(answer(syscall(SYS_fadvise64, fd, places[j], lengths[k], 0)), "%s: fadvise(%ld, %ld)", kind, places[j], lengths[k]);
                for (int mode = 0; mode < 6; mode++) { /* none of these that would take room */
                    static const int modes[] = {3, 0x1000, 9, 0x11, 0x21, 0x48};
                    if (modes[mode] == 0x11 && lengths[k] > 5)
                        continue;
                    got = answer(syscall(SYS_fallocate, fd, modes[mode], places[j], lengths[k]));
                    say(got, "%s: fallocate(%#x, %ld, %ld) %x", kind, modes[mode], places[j], lengths[k], effect());
                }
            }
        for (int j = 0; j < COUNT(places); j++) {
            for (int whence = -1; whence < 6; whence++)
                if (i != 4)
                    say(answer(syscall(SYS_lseek, fd, places[j], whence)), "%s: lseek(%ld, %d)", kind, places[j], whence);
            if (places[j] < 1000) {
                got = answer(syscall(SYS_ftruncate, fd, places[j]));
                say(got, "%s: ftruncate(%ld) %x", kind, places[j], effect());
            }
            for (int bit = -1; bit < 32; bit++) {
                /* HIPRI, ATOMIC and DONTCACHE are a device's or a newer kernel's, NOWAIT the page cache's */
                if (bit == 0 || bit == 3 || (bit > 5 && bit < 9))
                    continue;
                int flags = bit < 0 ? 0 : (int)(1u << bit);
                lseek(fd, 2, SEEK_SET);
                if (i != 4) {
                    if (places[j] <= 1l << 44 || places[j] == LONG_MAX) {
                        got = answer(syscall(SYS_preadv2, fd, vector, 2, places[j], 0, flags));
                        say(got, "%s: preadv2(%ld, %#x) %ld", kind, places[j], flags, (long)lseek(fd, 0, SEEK_CUR));
                    }
                    got = answer(syscall(SYS_pwritev2, fd, vector, 2, places[j], 0, flags));
                    say(got, "%s: pwritev2(%ld, %#x) %ld %x", kind, places[j], flags, (long)lseek(fd, 0, SEEK_CUR), got > 0 && places[j] < 1000 ? effect() : 0);
                }
            }
            effect();
        }
        for (long count = -1; count < 3; count++) {
            say(answer(syscall(SYS_preadv, fd, vector, count, 0)), "%s: preadv(count %ld)", kind, count);
            say(answer(syscall(SYS_preadv, fd, (void *)8, count, 0)), "%s: preadv(bad, count %ld)", kind, count);
            got = answer(syscall(SYS_pwritev, fd, vector, count, 0));
            say(got, "%s: pwritev(count %ld) %x", kind, count, effect());
            say(answer(syscall(SYS_pwritev, fd, (void *)8, count, 0)), "%s: pwritev(bad, count %ld)", kind, count);
        }
        say(answer(syscall(SYS_preadv, fd, vector, 1025, 0)), "%s: preadv(1025)", kind);
        for (int command = 0; command < 1100; command++) {
            if (command == 17)
                command = 1030;
            if (command == 5 || command == 6 || command == 7 || (command >= 1031 && command <= 1036) || (command > 7 && command < 36))
                continue;
            if (command == 0 || command == 1030)
                continue;
            if (command == 3)
                continue;
            say(answer(syscall(SYS_fcntl, fd, command, 0)), "%s: fcntl(%d)", kind, command);
        }
        for (int from = -1; from < 3; from++) {
            got = answer(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from < 0 ? -1l : from == 2 ? 5000 : from));
            if (got >= 0)
                close(got), got = 0;
            say(got, "%s: F_DUPFD(%d)", kind, from);
        }
        for (int operation = 0; operation < 20; operation++)
            say(answer(syscall(SYS_flock, fd, operation)), "%s: flock(%d)", kind, operation);
        say(answer(syscall(SYS_fsync, fd)), "%s: fsync", kind);
        say(answer(syscall(SYS_fdatasync, fd)), "%s: fdatasync", kind);
        say(answer(syscall(SYS_syncfs, fd)), "%s: syncfs", kind);
        say(answer(syscall(SYS_fchdir, fd)), "%s: fchdir", kind);
        must(chdir(here), "back");
        if (i != 7) { /* whose attributes are no file system's */
            got = answer(syscall(SYS_fchmod, fd, 0600));
            say(got, "%s: fchmod %x", kind, effect());
            say(answer(syscall(SYS_fchown, fd, -1, -1)), "%s: fchown", kind);
        }
        say(answer(syscall(SYS_fstat, fd, (void *)8)), "%s: fstat(bad)", kind);
        say(answer(syscall(SYS_fstatfs, fd, (void *)8)), "%s: fstatfs(bad)", kind);
        for (int j = 0; j < 11; j++) {
            long at = 1;
            if (i == 4 || j == 4)
                continue;
            lseek(fd, 0, SEEK_SET), lseek(fds[j], 0, SEEK_SET);
            got = answer(syscall(SYS_copy_file_range, fd, &at, fds[j], 0, 2, 0));
            say(got, "%s: copy_file_range(%s) %ld %x", kind, kinds[j], at, effect());
            got = answer(syscall(SYS_copy_file_range, fd, 0, fds[j], (void *)8, 2, 0));
            say(got, "%s: copy_file_range(%s, bad) %x", kind, kinds[j], effect());
            at = 2;
            lseek(fds[j], 0, SEEK_SET);
            if (i != 7 && j != 7) {
                got = answer(syscall(SYS_sendfile, fds[j], fd, &at, 2));
                say(got, "%s: sendfile(%s) %ld %x", kind, kinds[j], at, effect());
            }
            at = -3;
            got = answer(syscall(SYS_sendfile, fds[j], fd, &at, 2));
            if (i != 7 && j != 7)
                say(got, "%s: sendfile(%s, before) %x", kind, kinds[j], effect());
        }
        for (int j = 0; j < COUNT(fds); j++)
            close(fds[j]);
        build();
    }
}

static void times(void)
{
    static const long nsec[] = {0, 999999999, 1000000000, -1, UTIME_NOW, UTIME_OMIT};
    static const long sec[] = {0, -1, 5, 4294967296, 1l << 33};
    for (int i = 0; i < COUNT(nsec); i++)
        for (int j = 0; j < COUNT(nsec); j++)
            for (int k = 0; k < COUNT(sec); k++) {
                struct timespec old[2] = {{11, 12}, {13, 14}}, new[2] = {{sec[k], nsec[i]}, {sec[k], nsec[j]}};
                struct stat st;
                must(utimensat(AT_FDCWD, "f", old, 0), "utimensat");
                long got = answer(syscall(SYS_utimensat, AT_FDCWD, "f", new, 0));
                must(stat("f", &st), "stat");
                int now = nsec[i] == UTIME_NOW, now2 = nsec[j] == UTIME_NOW;
                say(got, "utimens(%ld, %ld, %ld) %ld.%ld %ld.%ld", sec[k], nsec[i], nsec[j], now && !got ? 0 : (long)st.st_atime,
                    now && !got ? 0 : (long)st.st_atim.tv_nsec, now2 && !got ? 0 : (long)st.st_mtime, now2 && !got ? 0 : (long)st.st_mtim.tv_nsec);
            }
    say(answer(syscall(SYS_utimensat, AT_FDCWD, "f", 8, 0)), "utimens(bad)");
    say(answer(syscall(SYS_utimensat, AT_FDCWD, "n", 8, 77)), "utimens(bad, bad)");
}

static long size_of(int fd)
{
    struct stat st;
    must(fstat(fd, &st), "fstat");
    return st.st_size;
}

/* Sparse files, and every mode of fallocate on them. */
static void room(void)
{
    static const int modes[] = {0, 1, 2, 3, 4, 8, 0x10, 0x11, 0x13, 0x20, 0x21, 0x40, 0x41, 0x80};
    static const long places[] = {0, 1, 4095, 4096, 8191, 12288, 1 << 20}, lengths[] = {0, 1, 4095, 4096, 4097, 8192};
    static char bytes[4 << 20], got[4 << 20];
    memset(bytes, 'r', sizeof bytes);
    for (int m = 0; m < COUNT(modes); m++)
        for (int i = 0; i < COUNT(places); i++)
            for (int j = 0; j < COUNT(lengths); j++) {
                if (modes[m] == 8 || modes[m] == 0x20) /* COLLAPSE_RANGE and INSERT_RANGE are refused here */
                    continue;
                int fd = open("r", O_RDWR | O_CREAT | O_TRUNC, 0600);
                must(pwrite(fd, bytes, 5000, 0), "pwrite");
                must(pwrite(fd, bytes, 5000, 20000), "pwrite");
                long done = answer(syscall(SYS_fallocate, fd, modes[m], places[i], lengths[j]));
                long size = size_of(fd), blocks, data = 0;
                must(pread(fd, got, sizeof got, 0), "pread");
                struct stat st;
                fstat(fd, &st);
                blocks = st.st_blocks;
                for (long at = 0; at < size; at++)
                    data += got[at] == 'r' ? at : 0;
                say(done, "fallocate(%#x, %ld, %ld) size %ld blocks %ld data %ld", modes[m], places[i], lengths[j], size, blocks, data);
                for (long at = 0; at < 30000 && (modes[m] & ~3) == 0; at += 2000) {
                    done = answer(lseek(fd, at, SEEK_DATA));
                    say(done, "data(%ld) hole %ld", at, answer(lseek(fd, at, SEEK_HOLE)));
                }
                close(fd);
            }
    int fd = open("r", O_RDWR | O_CREAT | O_TRUNC, 0600);
    static const long ends[] = {1l << 32, 1l << 40, (1l << 44) - 8192, (1l << 44) + 4096, 1l << 62};
    for (int i = 0; i < COUNT(ends); i++) {
        long end = ends[i], done;
        done = answer(ftruncate(fd, end));
        say(done, "ftruncate(%ld) %ld", end, size_of(fd));
        done = answer(pwrite(fd, "end", 3, end - 3));
        say(done, "pwrite(%ld) %ld", end, size_of(fd));
        if (end <= 1l << 44) /* behind which DAX has EINVAL for what is nothing otherwise */
            say(answer(pread(fd, got, 10, end - 5)), "pread(%ld)", end);
        say(answer(lseek(fd, 0, SEEK_DATA)), "data");
        say(answer(lseek(fd, 0, SEEK_END)), "end");
        done = answer(syscall(SYS_fallocate, fd, 0, end, 1));
        say(done, "fallocate(%ld) %ld", end, size_of(fd));
        done = answer(syscall(SYS_fallocate, fd, 3, 0, end));
        say(done, "punch(%ld) %ld", end, size_of(fd));
        must(ftruncate(fd, 0), "ftruncate");
    }
    close(fd);
    build();
}

static volatile sig_atomic_t signals;
static void count_signal(int number) { (void)number, signals++; }

static void limits(void)
{
    struct rlimit limit, usual;
    struct sigaction action = {.sa_handler = count_signal};
    static char bytes[20000];
    must(getrlimit(RLIMIT_FSIZE, &usual), "getrlimit");
    sigaction(SIGXFSZ, &action, 0);
    static const long sizes[] = {0, 1, 4096, 5000};
    for (int i = 0; i < COUNT(sizes); i++) {
        int fd = open("r", O_RDWR | O_CREAT | O_TRUNC, 0600), end = open("r", O_WRONLY | O_APPEND);
        int from = open("s", O_RDWR | O_CREAT | O_TRUNC, 0600);
        must(pwrite(from, bytes, 9000, 0), "pwrite");
        limit = usual;
        limit.rlim_cur = sizes[i];
        say(answer(setrlimit(RLIMIT_FSIZE, &limit)), "RLIMIT_FSIZE %ld", sizes[i]);
        static const long places[] = {0, 1, 4095, 4096, 4999, 5000, 6000, 1l << 45};
        for (int j = 0; j < COUNT(places); j++)
            for (long len = 0; len < 3; len++) {
                long got = answer(pwrite(fd, bytes, len * 3000, places[j]));
                say(got, "pwrite(%ld, %ld) size %ld signals %d", len * 3000, places[j], size_of(fd), signals);
                got = answer(pwrite(fd, (void *)8, len * 3000, places[j]));
                say(got, "pwrite(bad, %ld, %ld) size %ld signals %d", len * 3000, places[j], size_of(fd), signals);
                got = answer(ftruncate(fd, places[j]));
                say(got, "ftruncate(%ld) size %ld signals %d", places[j], size_of(fd), signals);
                must(ftruncate(fd, 0), "ftruncate");
                if (places[j] < 10000) {
                    got = answer(fallocate(fd, 0, places[j], len * 3000));
                    say(got, "fallocate(%ld, %ld) size %ld signals %d", places[j], len * 3000, size_of(fd), signals);
                    got = answer(fallocate(fd, 1, places[j], len * 3000));
                    say(got, "fallocate(1, %ld, %ld) size %ld signals %d", places[j], len * 3000, size_of(fd), signals);
                }
                must(ftruncate(fd, 0), "ftruncate");
                off_t out = places[j], in = 0;
                got = answer(copy_file_range(from, &in, fd, &out, len * 3000, 0));
                say(got, "copy_file_range(%ld, %ld) size %ld signals %d", places[j], len * 3000, size_of(fd), signals);
                must(ftruncate(fd, 0), "ftruncate");
            }
        for (int j = 0; j < 4; j++) {
            long got = answer(write(end, bytes, 3000));
            say(got, "append size %ld signals %d", size_of(fd), signals);
        }
        long got = answer(truncate("r", 10000));
        say(got, "truncate signals %d", signals);
        say(answer(open("t", O_WRONLY | O_CREAT, 0600)) < 0 ? -1 : 0, "create signals %d", signals);
        close(fd), close(end), close(from);
        must(setrlimit(RLIMIT_FSIZE, &usual), "setrlimit");
        for (int number = 3; number < 20; number++)
            close(number);
    }
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_DFL}, 0);
    build();
}

static void listings(void)
{
    char records[4096], name[300];
    must(mkdir("many", 0755), "many");
    for (int i = 0; i < 60; i++) {
        sprintf(name, "many/%d-%0*d", i, i * 4, 0);
        put(name, "");
    }
    int fd = open("many", O_RDONLY);
    for (long roomy = -1; roomy < 600; roomy += roomy < 100 ? 1 : 25) {
        /* However small the buffer, every name comes once; where one does not fit, EINVAL. */
        long got, names = 0, letters = 0, calls = 0;
        lseek(fd, 0, SEEK_SET);
        while ((got = answer(syscall(SYS_getdents64, fd, records, roomy))) > 0) {
            calls++;
            for (long at = 0; at < got; at += ((struct dirent64 *)(records + at))->d_reclen)
                names++, letters += strlen(((struct dirent64 *)(records + at))->d_name);
        }
        /* in which order they come is a file system's own affair */
        say(got, "getdents64(%ld) %ld %ld", roomy, got == 0 ? names : 0, got == 0 ? letters : 0);
    }
    /* Removed while it is listed: what was there all the time comes once, and the rest at most once. */
    lseek(fd, 0, SEEK_SET);
    int seen[60] = {0}, twice = 0, missed = 0;
    for (long got, step = 0; (got = syscall(SYS_getdents64, fd, records, 600)) > 0; step++)
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (void *)(records + at);
            at += entry->d_reclen;
            if (entry->d_name[0] == '.')
                continue;
            int number = entry->d_name[0] == 'n' ? -1 : atoi(entry->d_name);
            if (number >= 0 && seen[number]++)
                twice++;
            if (number >= 0 && number % 2 == 1) {
                sprintf(name, "many/%s", entry->d_name);
                unlink(name);
                sprintf(name, "many/new%ld", step);
                close(open(name, O_CREAT | O_WRONLY, 0600));
            }
        }
    for (int i = 0; i < 60; i += 2)
        missed += !seen[i];
    say(0, "listing a changing directory: %d twice, %d missed", twice, missed);
    say(answer(syscall(SYS_getdents64, fd, (void *)8, 600)), "at the end, bad");
    lseek(fd, 0, SEEK_SET);
    say(answer(syscall(SYS_getdents64, fd, (void *)8, 600)), "bad");
    say(answer(lseek(fd, -1, SEEK_SET)), "lseek(-1)");
    say(answer(lseek(fd, 0, 7)), "lseek(7)");
    clear(AT_FDCWD, "many");
    must(rmdir("many"), "many");
    say(answer(syscall(SYS_getdents64, fd, records, 600)), "removed");
    say(answer(openat(fd, "x", O_CREAT | O_WRONLY, 0600)), "create in removed");
    say(answer(openat(fd, ".", O_RDONLY)) >= 0 ? 0 : -1, "open . in removed");
    say(answer(openat(fd, "..", O_RDONLY)) >= 0 ? 0 : -1, "open .. in removed");
    fchdir(fd);
    say(answer(syscall(SYS_getcwd, records, 600)), "getcwd in removed");
    must(chdir(here), "back");
    for (int number = 3; number < 20; number++)
        close(number);
    for (long size = -1; size < 5; size++)
        say(answer(syscall(SYS_getcwd, records, size)) < 0 ? -1 : 0, "getcwd(%ld)", size);
    say(answer(syscall(SYS_getcwd, 8, 600)), "getcwd(bad)");
    build();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {{"opens", opens}, {"one_path", one_path}, {"two_paths", two_paths}, {"bases", bases}, {"descriptors", descriptors},
                  {"times", times}, {"room", room}, {"limits", limits}, {"listings", listings}};
    static char home[PATH_MAX];
    struct rlimit limit = {1024, 1024};
    umask(022);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (argc < 2 || argc > 3 || chdir(argv[1]) != 0 || (mkdir("odd", 0755) != 0 && errno != EEXIST) || chdir("odd") != 0 ||
        !getcwd(home, sizeof home)) {
        fprintf(stderr, "usage: odd DIR [GROUP]\n");
        return 2;
    }
    here = home;
    memset(name255, 'n', 255), memset(name256, 'n', 256);
    for (int i = 0; i < 4096; i++)
        path4096[i] = i % 2 ? '/' : '.';
    memcpy(path4095, path4096, 4095);
    path4095[4094] = 'f', path4096[4095] = 'f';
    build();
    untouched = print_of(AT_FDCWD, ".");
    for (int i = 0; i < COUNT(groups); i++) {
        if (argc == 3 && strcmp(argv[2], groups[i].name) != 0)
            continue;
        verbose = argc == 3;
        cases = 0, sum = 14695981039346656037u;
        groups[i].run();
        printf("%s: %ld cases, %016lx\n", groups[i].name, cases, sum);
    }
    clear(AT_FDCWD, ".");
    return rmdir(home) != 0;
}
