/*
 * locks: locks on ranges of files, of processes and of open files (fcntl), alone and against each other.
 *
 *   locks DIR         makes and removes files called locks-* in DIR
 *   locks DIR SEED    a line for each random call, to compare
 *
 * The same checks hold on Linux; what thousands of random calls answered there is the number ON_LINUX below.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "check.h"

/* What `random_locks(1, 20000)` comes to on Linux 6.12 and 6.18. */
#define ON_LINUX 0x60796423ef34652aul

static int lock_as(int fd, int command, int type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, command, &lock);
}

static int lock(int fd, int type, off_t start, off_t len) { return lock_as(fd, F_SETLK, type, start, len); }
static int open_lock(int fd, int type, off_t start, off_t len) { return lock_as(fd, F_OFD_SETLK, type, start, len); }

/* What stands against a lock of `type` at this place for the open file `fd`: its kind, or F_UNLCK. */
static struct flock against(int fd, int type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        lock.l_type = -1;
    return lock;
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

/* The ranges that somebody has, as a picture: a letter a byte. */
static const char *picture(int fd)
{
    static char bytes[25];
    for (int at = 0; at < 24; at++)
        bytes[at] = against(fd, F_RDLCK, at, 1).l_type == F_WRLCK   ? 'W'
                    : against(fd, F_WRLCK, at, 1).l_type == F_RDLCK ? 'r'
                                                                    : '.';
    return bytes;
}

static void check_picture(const char *name, int fd, const char *wanted)
{
    check_found(name, strcmp(picture(fd), wanted) == 0, "%s, not %s", picture(fd), wanted);
}

static void ranges(int fd, int other)
{
    check("a range", lock(fd, F_WRLCK, 4, 8) == 0);
    check_picture("is locked", other, "....WWWWWWWW............");
    check("letting go of its middle", lock(fd, F_UNLCK, 6, 2) == 0);
    check_picture("splits it", other, "....WW..WWWW............");
    check("another kind in one part", lock(fd, F_RDLCK, 9, 2) == 0);
    check_picture("splits that", other, "....WW..WrrW............");
    check("over all of them", lock(fd, F_RDLCK, 3, 10) == 0);
    check_picture("joins them", other, "...rrrrrrrrrr...........");
    struct flock found = against(other, F_WRLCK, 0, 0);
    check("into one", found.l_start == 3 && found.l_len == 10 && found.l_pid == getpid() && found.l_whence == SEEK_SET);
    check("neighbours", lock(fd, F_RDLCK, 13, 3) == 0 && lock(fd, F_RDLCK, 0, 3) == 0);
    found = against(other, F_WRLCK, 0, 0);
    check("become one, too", found.l_start == 0 && found.l_len == 16);
    check("to the end of all files", lock(fd, F_WRLCK, 16, 0) == 0 && lock(fd, F_UNLCK, 0, 16) == 0);
    found = against(other, F_WRLCK, 1l << 40, 1);
    check("has no length", found.l_type == F_WRLCK && found.l_start == 16 && found.l_len == 0);
    check("let go of", lock(fd, F_UNLCK, 0, 0) == 0 && against(other, F_WRLCK, 0, 0).l_type == F_UNLCK);
    check("of nothing", lock(fd, F_UNLCK, 5, 5) == 0);

    struct flock counted = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = -2, .l_len = 4};
    check("from the position", lseek(fd, 10, SEEK_SET) == 10 && fcntl(fd, F_SETLK, &counted) == 0);
    check_picture("on", other, "........WWWW............");
    counted = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -3, .l_len = -4};
    check("before the end", ftruncate(fd, 20) == 0 && fcntl(fd, F_SETLK, &counted) == 0);
    check_picture("backwards", other, "........WWWW.rrrr.......");
    lock(fd, F_UNLCK, 0, 0);
}

static void refusals(int fd)
{
    static const struct {
        const char *name;
        struct flock lock;
        int want;
    } cases[] = {
        {"an unknown kind", {.l_type = 3}, EINVAL},
        {"an unknown beginning", {.l_type = F_RDLCK, .l_whence = 3}, EINVAL},
        {"before the first byte", {.l_type = F_RDLCK, .l_start = -1}, EINVAL},
        {"to before the first byte", {.l_type = F_RDLCK, .l_start = 3, .l_len = -4}, EINVAL},
        {"past the last byte", {.l_type = F_RDLCK, .l_start = LONG_MAX, .l_len = 2}, EOVERFLOW},
        {"far past the last byte", {.l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = LONG_MAX}, EOVERFLOW},
        {"past the last byte, of no kind", {.l_type = 7, .l_start = LONG_MAX, .l_len = 2}, EOVERFLOW},
        {"with the least length", {.l_type = F_RDLCK, .l_len = LONG_MIN}, EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flock lock = cases[i].lock;
        check_errno(cases[i].name, fcntl(fd, F_SETLK, &lock), cases[i].want);
        check_errno(cases[i].name, fcntl(fd, F_GETLK, &lock), i == 0 || i == 6 ? EINVAL : cases[i].want);
    }
    struct flock lock = {.l_type = F_UNLCK};
    check_errno("asking for no kind", fcntl(fd, F_GETLK, &lock), EINVAL);
    check("but of an open file's own", fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
    lock = (struct flock){.l_type = F_RDLCK, .l_pid = 1};
    check_errno("an open file's lock of a process", fcntl(fd, F_OFD_SETLK, &lock), EINVAL);
    check_errno("asking so", fcntl(fd, F_OFD_GETLK, &lock), EINVAL);
    check_errno("no address", fcntl(fd, F_SETLK, (void *)8), EFAULT);
    check_errno("no address to ask from", fcntl(fd, F_GETLK, (void *)8), EFAULT);
    check_errno("no descriptor", fcntl(999, F_SETLK, (void *)8), EBADF);
    int reader = open("locks-file", O_RDONLY), writer = open("locks-file", O_WRONLY), place = open("locks-file", O_PATH);
    check_errno("writing, of a file to be read", open_lock(reader, F_WRLCK, 0, 1), EBADF);
    check_errno("reading, of a file to be written", open_lock(writer, F_RDLCK, 0, 1), EBADF);
    check_errno("of a place", lock_as(place, F_SETLK, F_RDLCK, 0, 1), EBADF);
    check("letting go needs neither", open_lock(reader, F_UNLCK, 0, 1) == 0 && open_lock(writer, F_UNLCK, 0, 1) == 0);
    check("asking needs neither", against(reader, F_WRLCK, 0, 1).l_type == F_UNLCK);
    close(reader), close(writer), close(place);
    int dir = open(".", O_RDONLY);
    check("a directory", open_lock(dir, F_RDLCK, 0, 1) == 0);
    close(dir);
}

static void owners(int fd, int other)
{
    int twin = dup(fd), status;
    check("an open file's lock", open_lock(fd, F_WRLCK, 0, 10) == 0);
    check_errno("stands against its process", lock(fd, F_RDLCK, 5, 1), EAGAIN);
    check_errno("and another open file", open_lock(other, F_RDLCK, 9, 5), EAGAIN);
    check("not against its duplicate", open_lock(twin, F_RDLCK, 0, 10) == 0);
    struct flock found = against(other, F_WRLCK, 0, 0);
    check("nobody has it", found.l_pid == -1 && found.l_type == F_RDLCK);
    close(twin);
    check_picture("a duplicate's end is not the end", other, "rrrrrrrrrr..............");
    found = (struct flock){.l_type = F_UNLCK};
    check("an open file sees its own", fcntl(fd, F_OFD_GETLK, &found) == 0 && found.l_type == F_RDLCK && found.l_len == 10);
    open_lock(fd, F_UNLCK, 0, 0);

    check("a process's lock", lock(fd, F_WRLCK, 0, 10) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock seen = {.l_type = F_RDLCK};
        int bad = fcntl(fd, F_GETLK, &seen) != 0 || seen.l_type != F_WRLCK || seen.l_pid != getppid();
        bad |= lock(fd, F_WRLCK, 0, 1) == 0;
        bad |= lock(fd, F_WRLCK, 20, 1) != 0;
        close(fd);
        _exit(bad);
    }
    check("is not the child's, and the child's end not its end",
          waitpid(child, &status, 0) == child && status == 0 && lock(other, F_RDLCK, 30, 1) == 0);
    check_picture("it is there", other, "WWWWWWWWWW..............");
    check_errno("flock is another matter", open_lock(other, F_RDLCK, 0, 1), EAGAIN);
    int third = open("locks-file", O_RDONLY);
    close(third);
    check_picture("any descriptor's end is the end", other, "........................");
    lock(fd, F_WRLCK, 0, 10);
    third = dup3(fd, 77, O_CLOEXEC);
    close_range(77, 77, 0);
    check_picture("closed as a range, too", other, "........................");
    lock(fd, F_WRLCK, 0, 10);
    third = open("locks-file", O_RDONLY);
    check("another file's end", dup2(fd, third) == third);
    check_picture("or one replaced", other, "........................");
    close(third);
    close(open("locks-file", O_PATH));

    child = fork();
    if (child == 0) {
        lock(fd, F_WRLCK, 2, 3);
        _exit(0);
    }
    waitpid(child, &status, 0);
    check_picture("a process's end is the end", other, "........................");
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static volatile int *shared; /* between processes */
static volatile int waited, signals;
static int waiting_fd;

static void *wait_for(void *command)
{
    long result = lock_as(waiting_fd, (int)(intptr_t)command, F_WRLCK, 5, 1);
    waited = 1;
    return (void *)(result == 0 ? 0 : (intptr_t)errno);
}

static void count_signal(int number) { (void)number, signals++; }

/* Sleeps until `child` has had time to wait for something. */
static void let_it_wait(void) { usleep(30000); }

static void waiting(int fd, int other)
{
    pthread_t thread;
    void *result;
    int status;
    waiting_fd = other, waited = 0;
    open_lock(fd, F_WRLCK, 0, 10);
    pthread_create(&thread, 0, wait_for, (void *)(intptr_t)F_OFD_SETLKW);
    let_it_wait();
    check("a lock is waited for", !waited);
    open_lock(fd, F_UNLCK, 0, 4);
    let_it_wait();
    check("as long as it is there", !waited);
    open_lock(fd, F_UNLCK, 4, 2);
    pthread_join(thread, &result);
    check("and then had", result == 0);
    open_lock(other, F_UNLCK, 0, 0), open_lock(fd, F_UNLCK, 0, 0);

    /* The other has what this one waits for, and asks for what this one has. */
    lock(fd, F_WRLCK, 0, 1);
    shared[0] = 0;
    pid_t child = fork();
    if (child == 0) {
        lock(fd, F_WRLCK, 1, 1);
        shared[0] = 1;
        _exit(lock_as(fd, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : errno);
    }
    while (!shared[0])
        sched_yield();
    let_it_wait();
    check_errno("a circle of two is refused", lock_as(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    check_errno("without waiting it is nothing special", lock(fd, F_WRLCK, 1, 1), EAGAIN);
    lock(fd, F_UNLCK, 0, 1);
    check("the other goes on", waitpid(child, &status, 0) == child && status == 0);

    struct sigaction action = {.sa_handler = count_signal};
    for (int restart = 0; restart < 2; restart++) {
        action.sa_flags = restart ? SA_RESTART : 0;
        sigaction(SIGUSR1, &action, 0);
        shared[0] = 0;
        child = fork();
        if (child == 0) {
            lock(fd, F_WRLCK, 5, 1);
            shared[0] = 1;
            usleep(30000);
            kill(getppid(), SIGUSR1);
            usleep(30000);
            _exit(0);
        }
        while (!shared[0])
            sched_yield();
        int got = lock_as(fd, F_SETLKW, F_WRLCK, 5, 1), error = errno;
        if (restart)
            check("a handler with SA_RESTART lets it wait on", got == 0 && signals == 2);
        else
            check("a handler cuts the wait short", got == -1 && error == EINTR && signals == 1);
        waitpid(child, &status, 0);
    }
    lock(fd, F_UNLCK, 0, 0);

    /* Killed while it waits: it leaves nothing behind. */
    lock(fd, F_WRLCK, 5, 1);
    child = fork();
    if (child == 0) {
        lock(fd, F_WRLCK, 7, 1);
        lock_as(fd, F_SETLKW, F_WRLCK, 5, 1);
        _exit(0);
    }
    let_it_wait();
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    check("who is killed waiting has nothing", lock_as(fd, F_SETLKW, F_WRLCK, 7, 1) == 0);
    lock(fd, F_UNLCK, 0, 0);
}

/* --- By chance ---------------------------------------------------------------------------------------------------- */

static uint64_t state, sum;

static uint64_t below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545f4914f6cdd1d >> 16) % n;
}

/* One random call by a process on a descriptor of its own, or its end and a new one. */
struct request {
    int command, fd, answer;
    struct flock lock;
};

static void carry_out(struct request *request, int *fds)
{
    if (request->command < 0) {
        close(fds[request->fd]);
        fds[request->fd] = open("locks-file", O_RDWR);
        request->answer = 0;
        return;
    }
    request->answer = fcntl(fds[request->fd], request->command, &request->lock) == -1 ? -errno : 0;
}

static void random_locks(uint64_t seed, int steps, int verbose)
{
    static const int commands[] = {F_SETLK, F_SETLK, F_SETLK, F_GETLK, F_OFD_SETLK, F_OFD_SETLK, F_OFD_SETLK, F_OFD_GETLK};
    struct {
        struct request request;
        volatile int turn; /* 1 the child's, 0 the parent's, 2 the end */
    } *both = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fds[3], status;
    state = seed * 0x9e3779b97f4a7c15 | 1, sum = 14695981039346656037u;
    pid_t me = getpid(), child = fork();
    for (int i = 0; i < 3; i++)
        fds[i] = open("locks-file", O_RDWR);
    if (child == 0)
        for (;;) {
            while (both->turn == 0)
                sched_yield();
            if (both->turn == 2)
                _exit(0);
            carry_out(&both->request, fds);
            both->turn = 0;
        }
    for (int step = 0; step < steps; step++) {
        struct request request = {.command = commands[below(8)], .fd = below(3)};
        request.lock = (struct flock){.l_type = below(3), .l_whence = SEEK_SET, .l_start = below(24), .l_len = below(12) - 2};
        if (below(40) == 0)
            request.command = -1;
        int theirs = below(2);
        if (theirs) {
            both->request = request;
            both->turn = 1;
            while (both->turn != 0)
                sched_yield();
            request = both->request;
        } else {
            carry_out(&request, fds);
        }
        struct flock *lock = &request.lock;
        int whose = lock->l_pid == me ? 1 : lock->l_pid == child ? 2 : lock->l_pid;
        char line[200];
        int len = snprintf(line, sizeof line, "%d: %d %d %d = %d: %d %d %ld %ld %d\n", step, theirs, request.command, request.fd,
                           request.answer, lock->l_type, lock->l_whence, (long)lock->l_start, (long)lock->l_len, whose);
        for (int i = 0; i < len; i++)
            sum = (sum ^ (unsigned char)line[i]) * 1099511628211u;
        if (verbose)
            fputs(line, stdout);
    }
    both->turn = 2;
    waitpid(child, &status, 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: locks DIR [SEED]\n");
        return 2;
    }
    begin_checks();
    int fd = fresh("locks-file");
    if (argc == 3) {
        random_locks(strtoul(argv[2], 0, 0), 20000, 1);
        return 0;
    }
    int other = open("locks-file", O_RDWR);
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ranges(fd, other);
    refusals(fd);
    owners(fd, other);
    waiting(fd, other);
    close(fd), close(other);
    random_locks(1, 20000, 0);
    check_found("20,000 random calls are answered as on Linux", sum == ON_LINUX, "%#lx, not %#lx", sum, ON_LINUX);
    unlink("locks-file");
    return end_checks();
}
