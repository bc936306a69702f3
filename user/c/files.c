/*
 * files: what else a program does with files: room in them, files without a name, locks, bytes from file to file.
 *
 *   files DIR    makes and removes files called files-* in DIR
 *
 * The same checks hold on Linux with ext4, but for a few that ask which of the two it is.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "check.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
#define BLOCK 4096

static int on_linux(void)
{
    struct utsname name;
    uname(&name);
    return strcmp(name.nodename, "vitrine") != 0;
}

static int fresh(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        perror(name);
        exit(2);
    }
    return fd;
}

static off_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static long blocks_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_blocks : -1;
}

/* Whether every byte of `fd` from `from` to `to` is `byte`. */
static int all_are(int fd, off_t from, off_t to, int byte)
{
    static unsigned char bytes[16 * BLOCK];
    if (pread(fd, bytes, to - from, from) != to - from)
        return 0;
    for (off_t at = 0; at < to - from; at++)
        if (bytes[at] != byte)
            return 0;
    return 1;
}

static void fill(int fd, int byte, size_t len)
{
    static unsigned char bytes[16 * BLOCK];
    memset(bytes, byte, len);
    check("a file is filled", pwrite(fd, bytes, len, 0) == (ssize_t)len);
}

static void room(void)
{
    int fd = fresh("files-room");
    check("allocate grows a file", fallocate(fd, 0, 100, 8000) == 0 && size_of(fd) == 8100);
    check("what was allocated has blocks", blocks_of(fd) == 16);
    check("it is a hole to lseek", lseek(fd, 0, SEEK_DATA) == -1 && errno == ENXIO && lseek(fd, 0, SEEK_HOLE) == 0);
    check("and reads as zeros", all_are(fd, 0, 8100, 0));
    check("allocate with KEEP_SIZE keeps it",
          fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5 * BLOCK) == 0 && size_of(fd) == 8100 && blocks_of(fd) == 40);
    check("a write into it is there", pwrite(fd, "x", 1, 9000) == 1 && size_of(fd) == 9001 && all_are(fd, 9000, 9001, 'x'));
    check("what lies before it is zeros", all_are(fd, 0, 9000, 0));
    check("allocating twice changes nothing",
          fallocate(fd, 0, 0, 9001) == 0 && all_are(fd, 9000, 9001, 'x') && size_of(fd) == 9001);
    check("truncation gives the blocks back", ftruncate(fd, 0) == 0 && blocks_of(fd) == 0);

    fill(fd, 'd', 4 * BLOCK);
    check("punching whole blocks", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK) == 0);
    check("they are gone", blocks_of(fd) == 24 && all_are(fd, BLOCK, 2 * BLOCK, 0) && size_of(fd) == 4 * BLOCK);
    check("the others are not", all_are(fd, 0, BLOCK, 'd') && all_are(fd, 2 * BLOCK, 4 * BLOCK, 'd'));
    check("SEEK_HOLE finds it", lseek(fd, 0, SEEK_HOLE) == BLOCK && lseek(fd, BLOCK, SEEK_DATA) == 2 * BLOCK);
    check("SEEK_HOLE finds the end", lseek(fd, 2 * BLOCK, SEEK_HOLE) == 4 * BLOCK);
    check("punching a part", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 200) == 0);
    check("only that is zeros", all_are(fd, 0, 100, 'd') && all_are(fd, 100, 300, 0) && all_are(fd, 300, BLOCK, 'd'));
    check("punching behind the end",
          fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 10) == 0 && size_of(fd) == 4 * BLOCK);
    check("zeroing a range", fallocate(fd, FALLOC_FL_ZERO_RANGE, 2 * BLOCK + 5, BLOCK) == 0);
    check("zeroes it", all_are(fd, 2 * BLOCK, 2 * BLOCK + 5, 'd') && all_are(fd, 2 * BLOCK + 5, 3 * BLOCK + 5, 0) &&
                           all_are(fd, 3 * BLOCK + 5, 4 * BLOCK, 'd'));
    check("and past the end grows", fallocate(fd, FALLOC_FL_ZERO_RANGE, 4 * BLOCK, 50) == 0 && size_of(fd) == 4 * BLOCK + 50);
    check("but not with KEEP_SIZE", fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 4 * BLOCK, 9000) == 0 &&
                                        size_of(fd) == 4 * BLOCK + 50);

    check_errno("no length", fallocate(fd, 0, 0, 0), EINVAL);
    check_errno("a negative offset", fallocate(fd, 0, -1, 10), EINVAL);
    check_errno("a negative length", fallocate(fd, 0x1000, 0, -10), EINVAL);
    check_errno("punching without KEEP_SIZE", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    check_errno("an unknown mode", fallocate(fd, 0x1000, 0, 10), EOPNOTSUPP);
    check_errno("punching and zeroing", fallocate(fd, 0x13, 0, 10), EOPNOTSUPP);
    check_errno("past the largest file", fallocate(fd, 0, INT64_MAX - 10, 10), EFBIG);
    check_errno("more than there is", fallocate(fd, 0, 0, 1l << 43), ENOSPC);
    if (!on_linux()) /* which grows the file by what it found */
        check("of which nothing was taken", size_of(fd) == 4 * BLOCK + 50);
    int reader = open("files-room", O_RDONLY);
    check_errno("not open for writing", fallocate(reader, 0, 0, 10), EBADF);
    check_errno("no descriptor", fallocate(999, 0, -1, 10), EBADF);
    int device = open("/dev/null", O_RDWR);
    check_errno("a device", fallocate(device, 0, 0, 10), ENODEV);
    close(device);
    close(reader);
    close(fd);
    unlink("files-room");
}

static void unnamed(void)
{
    char name[64];
    struct stat st;
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    check("a file without a name", fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && S_ISREG(st.st_mode));
    fill(fd, 't', 10000);
    sprintf(name, "/proc/self/fd/%d", fd);
    check("gets one through /proc", linkat(AT_FDCWD, name, AT_FDCWD, "files-named", AT_SYMLINK_FOLLOW) == 0);
    int again = open("files-named", O_RDONLY);
    check("and is there", again >= 0 && size_of(again) == 10000 && all_are(again, 0, 10000, 't'));
    check("with one link", fstat(fd, &st) == 0 && st.st_nlink == 1);
    check_errno("the name is taken", linkat(AT_FDCWD, name, AT_FDCWD, "files-named", AT_SYMLINK_FOLLOW), EEXIST);
    close(again);
    check("unlinked again", unlink("files-named") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
    check_errno("it is not linked twice", linkat(AT_FDCWD, name, AT_FDCWD, "files-named", AT_SYMLINK_FOLLOW), ENOENT);
    again = open(name, O_RDONLY);
    check("but opened by its descriptor", again >= 0 && all_are(again, 0, 10000, 't'));
    close(again);
    close(fd);

    fd = open(".", O_TMPFILE | O_WRONLY, 0600);
    check("AT_EMPTY_PATH", linkat(fd, "", AT_FDCWD, "files-named", AT_EMPTY_PATH) == 0 && unlink("files-named") == 0);
    close(fd);
    fd = open(".", O_TMPFILE | O_EXCL | O_WRONLY, 0600);
    check_errno("with O_EXCL it has no name ever", linkat(fd, "", AT_FDCWD, "files-named", AT_EMPTY_PATH), ENOENT);
    close(fd);
    check_errno("only to be read", open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
    check_errno("with O_CREAT", open(".", O_TMPFILE | O_CREAT | O_RDWR, 0600), EINVAL);
    fd = fresh("files-plain");
    check_errno("in a file", open("files-plain", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
    check_errno("nowhere", open("files-nowhere", O_TMPFILE | O_RDWR, 0600), ENOENT);
    check_errno("a descriptor that is none", open("/proc/self/fd/999", O_RDONLY), ENOENT);
    sprintf(name, "/proc/self/fd/%d/", fd);
    check_errno("a slash behind a file's", open(name, O_RDONLY), ENOTDIR);
    check("a link to lstat", lstat("/proc/self/fd/0", &st) == 0 && S_ISLNK(st.st_mode));
    close(fd);
    unlink("files-plain");
}


static volatile int got_it;

static void *waiter(void *argument)
{
    int fd = *(int *)argument;
    long result = flock(fd, LOCK_EX);
    got_it = 1;
    return (void *)result;
}

static void wait_for_a_lock(int holder, int other)
{
    pthread_t thread;
    void *result = (void *)-1;
    check("a lock to wait for", flock(holder, LOCK_EX) == 0 && pthread_create(&thread, 0, waiter, &other) == 0);
    usleep(20000);
    check("is waited for", !got_it);
    check("and then had", flock(holder, LOCK_UN) == 0 && pthread_join(thread, &result) == 0 && result == 0 && got_it);
    check("it is let go", flock(other, LOCK_UN) == 0);
}

static void locks(void)
{
    int one = fresh("files-lock"), two = open("files-lock", O_RDONLY), twin = dup(one);
    wait_for_a_lock(one, two);
    check("a lock", flock(one, LOCK_EX) == 0);
    check("is shared by a duplicate", flock(twin, LOCK_EX | LOCK_NB) == 0);
    check_errno("and by nobody else", flock(two, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    check("made a shared one", flock(one, LOCK_SH) == 0);
    check("another shares it", flock(two, LOCK_SH | LOCK_NB) == 0);
    check_errno("two sharers, no owner", flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    check("and the try has cost the share", flock(one, LOCK_EX | LOCK_NB) == 0);
    close(twin);
    check_errno("a duplicate's end is not the end", flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(one);
    check("the last one's is", flock(two, LOCK_EX | LOCK_NB) == 0);
    check("let go", flock(two, LOCK_UN) == 0 && flock(two, LOCK_UN) == 0);
    check_errno("no operation", flock(two, 0), EINVAL);
    check_errno("two operations", flock(two, LOCK_SH | LOCK_EX), EINVAL);
    check_errno("bad operation before bad descriptor", flock(999, 3), EINVAL);
    check_errno("no descriptor to lock", flock(999, LOCK_SH), EBADF);
    int place = open("files-lock", O_PATH);
    check_errno("a place", flock(place, LOCK_SH), EBADF);
    close(place);
    close(two);
    unlink("files-lock");
}

static void transfers(void)
{
    int from = fresh("files-from"), to = fresh("files-to");
    off_t at = 100, out = 5000;
    fill(from, 's', 10000);
    check("sendfile from an offset", sendfile(to, from, &at, 5000) == 5000 && at == 5100);
    check("to the position", lseek(to, 0, SEEK_CUR) == 5000 && all_are(to, 0, 5000, 's'));
    check("sendfile from the position", sendfile(to, from, 0, 1 << 20) == 10000 && lseek(from, 0, SEEK_CUR) == 10000);
    check("and at the end nothing", sendfile(to, from, 0, 10) == 0 && size_of(to) == 15000);
    check_errno("sendfile to what is only read", sendfile(open("files-to", O_RDONLY), from, 0, 10), EBADF);
    check_errno("sendfile to append", sendfile(open("files-to", O_WRONLY | O_APPEND), from, &at, 10), EINVAL);
    at = -1;
    check_errno("sendfile from before", sendfile(to, from, &at, 10), EINVAL);

    at = 0;
    check("copy a range", copy_file_range(from, &at, to, &out, 2000, 0) == 2000 && at == 2000 && out == 7000);
    check("as far as there is", copy_file_range(from, &at, to, &out, 1 << 20, 0) == 8000 && size_of(to) == 15000);
    check("and no farther", copy_file_range(from, &at, to, &out, 10, 0) == 0);
    at = 0, out = 20000;
    check("inside one file", copy_file_range(to, &at, to, &out, 100, 0) == 100 && size_of(to) == 20100);
    at = 0, out = 50;
    check_errno("overlapping", copy_file_range(to, &at, to, &out, 100, 0), EINVAL);
    check_errno("flags", copy_file_range(from, 0, to, 0, 10, 1), EINVAL);
    int reader = open("files-to", O_RDONLY), end = open("files-to", O_WRONLY | O_APPEND), dir = open(".", O_RDONLY);
    check_errno("to what is only read", copy_file_range(from, 0, reader, 0, 10, 0), EBADF);
    check_errno("to the end", copy_file_range(from, &at, end, 0, 10, 0), EBADF);
    check_errno("from a directory", copy_file_range(dir, 0, to, 0, 10, 0), EISDIR);
    close(reader), close(end), close(dir), close(from), close(to);
    unlink("files-from"), unlink("files-to");
}

static void vectors(void)
{
    int fd = fresh("files-vectors"), end = open("files-vectors", O_RDWR | O_APPEND);
    char bytes[16] = "0123456789abcdef";
    struct iovec both[] = {{bytes, 4}, {bytes + 8, 4}};
    check("pwritev2", pwritev2(fd, both, 2, 100, 0) == 8 && size_of(fd) == 108);
    check("at the position", pwritev2(fd, both, 2, -1, RWF_DSYNC) == 8 && lseek(fd, 0, SEEK_CUR) == 8);
    check("at the end", pwritev2(fd, both, 2, 0, RWF_APPEND | RWF_SYNC) == 8 && size_of(fd) == 116);
    memset(bytes, 0, sizeof bytes);
    check("preadv2", preadv2(fd, both, 2, 108, 0) == 8 && memcmp(bytes, "0123\0\0\0\00089ab", 12) == 0);
    check("moves nothing", lseek(fd, 0, SEEK_CUR) == 8);
    check("preadv2 at the position", preadv2(fd, both, 2, -1, 0) == 8 && lseek(fd, 0, SEEK_CUR) == 16);
    check_errno("an unknown flag", preadv2(fd, both, 2, 0, 0x40000000), EOPNOTSUPP);
    check_errno("a bad place", preadv2(fd, both, 2, -2, 0), EINVAL);
    check("no bytes, no flags", preadv2(fd, both, 0, 0, 0x40000000) == 0);
    check("append anyway", pwritev2(end, both, 1, 0, 0) == 4 && size_of(fd) == 120);
    close(end), close(fd);
    unlink("files-vectors");
}

static void hints(void)
{
    int fd = fresh("files-hints"), dir = open(".", O_RDONLY);
    check("sync_file_range", sync_file_range(fd, 0, 0, 7) == 0);
    check_errno("unknown flags", sync_file_range(fd, 0, 0, 8), EINVAL);
    check_errno("before the beginning", sync_file_range(fd, -1, 10, 1), EINVAL);
    check_errno("no file", sync_file_range(999, -1, 10, 1), EBADF);
    check("posix_fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0);
    check("an unknown hint", posix_fadvise(fd, 0, 0, 99) == EINVAL);
    check("a hint of a negative length", posix_fadvise(fd, 0, -1, 0) == EINVAL);
    check("readahead", readahead(fd, 0, 100) == 0);
    check_errno("readahead of a directory", readahead(dir, 0, 100), EINVAL);
    close(dir), close(fd);
    unlink("files-hints");
}

static void attributes(void)
{
    struct statx found;
    struct timespec times[2] = {{7, UTIME_OMIT}, {1234567, 89}};
    int fd = fresh("files-attributes");
    memset(&found, 0, sizeof found);
    check("statx", statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &found) == 0);
    check("tells all", (found.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS && found.stx_nlink == 1);
    check("and the mount", found.stx_mask & STATX_MNT_ID && found.stx_mnt_id != 0);
    if (!on_linux()) {
        check("the file is DAX", found.stx_attributes & STATX_ATTR_DAX && found.stx_attributes_mask & STATX_ATTR_DAX);
        check("any alignment will do", found.stx_mask & STATX_DIOALIGN && found.stx_dio_offset_align == 1);
    }
    symlink("files-attributes", "files-link");
    check("times of a link", utimensat(AT_FDCWD, "files-link", times, AT_SYMLINK_NOFOLLOW) == 0);
    struct stat st;
    check("are its own", lstat("files-link", &st) == 0 && st.st_mtim.tv_sec == 1234567 && st.st_mtim.tv_nsec == 89);
    check("not the file's", fstat(fd, &st) == 0 && st.st_mtim.tv_sec != 1234567);
    check("futimens", futimens(fd, times) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1234567);
    times[0].tv_nsec = times[1].tv_nsec = UTIME_NOW;
    check("now", utimensat(AT_FDCWD, "files-attributes", times, 0) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec != 1234567);
    check("an owner of a link", fchownat(AT_FDCWD, "files-link", -1, -1, AT_SYMLINK_NOFOLLOW) == 0);
    check("of a file that runs as its owner", fchmod(fd, 06755) == 0 && fchown(fd, 3, 4) == 0 && fstat(fd, &st) == 0);
    check("takes that away", (st.st_mode & 07777) == 0755 && st.st_uid == 3 && st.st_gid == 4);
    check("but not locking", fchmod(fd, 06744) == 0 && fchown(fd, -1, -1) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 02744);
    check("may be written", faccessat(AT_FDCWD, "files-attributes", R_OK | W_OK, AT_EACCESS) == 0);
    close(fd);
    unlink("files-link"), unlink("files-attributes");
}

/* The time of the last access, in nanoseconds. */
static int64_t accessed(const char *name)
{
    struct stat st;
    return lstat(name, &st) == 0 ? st.st_atim.tv_sec * 1000000000l + st.st_atim.tv_nsec : -1;
}

/* Whether `name` has been accessed since `*last`, which becomes the time of that; what follows comes later. */
static int newly_accessed(const char *name, int64_t *last)
{
    int64_t before = *last;
    *last = accessed(name);
    usleep(20000);
    return *last > before;
}

static void accesses(void)
{
    char bytes[600];
    int fd = fresh("files-accessed"), dir, same = open("files-accessed", O_RDONLY | O_NOATIME);
    int64_t last = accessed("files-accessed");
    usleep(20000);
    check("a write is no access", write(fd, "x", 1) == 1 && !newly_accessed("files-accessed", &last));
    check("nor a read with O_NOATIME", read(same, bytes, 1) == 1 && !newly_accessed("files-accessed", &last));
    check("a read is one", pread(fd, bytes, 1, 0) == 1 && newly_accessed("files-accessed", &last));
    check("the next is not noted", pread(fd, bytes, 1, 0) == 1 && !newly_accessed("files-accessed", &last));
    check("but behind a change it is", fchmod(fd, 0600) == 0 && pread(fd, bytes, 1, 0) == 1 && newly_accessed("files-accessed", &last));
    struct timespec old[2] = {{1000, 0}, {500, 0}};
    check("and where the last was long ago", futimens(fd, old) == 0 && (last = 0, 1) && pread(fd, bytes, 1, 0) == 1 && newly_accessed("files-accessed", &last));
    check("a directory", mkdir("files-dir", 0755) == 0 && (last = accessed("files-dir"), usleep(20000) == 0));
    dir = open("files-dir", O_RDONLY);
    check("is accessed when it is listed", syscall(SYS_getdents64, dir, bytes, 600) > 0 && newly_accessed("files-dir", &last));
    check("a link", symlink("files-dir", "files-link") == 0 && (last = accessed("files-link"), usleep(20000) == 0));
    check("when it is followed", access("files-link", F_OK) == 0 && newly_accessed("files-link", &last));
    close(fd), close(same), close(dir);
    unlink("files-accessed"), unlink("files-link"), rmdir("files-dir");
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: files DIR\n");
        return 2;
    }
    begin_checks();
    room();
    unnamed();
    locks();
    transfers();
    vectors();
    hints();
    attributes();
    accesses();
    return end_checks();
}
