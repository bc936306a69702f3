/*
 * tty: terminals, process groups and sessions, one check each.
 *
 *   tty             all checks; standard input is the controlling terminal of its session, which this program leads
 *   tty spin        computes until it is ended
 *   tty copies FILE copies through the kernel, megabytes at a time, until what is typed ends, and says what that was
 *   tty sum         computes for a while, then reads to the end of input and says what that was
 *
 * What is typed is put in by TIOCSTI, so nobody has to sit there. Everything here is true on Linux as well, where
 * TIOCSTI wants CAP_SYS_ADMIN or dev.tty.legacy_tiocsti. Run again as `tty -child WHAT` it is its own child.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include "check.h"

static const char *self;
static struct termios before;

/* --- Children ----------------------------------------------------------------------------------------------------- */

/* Starts `tty -child WHAT` with these flags of posix_spawn, SIGINT as `interrupt` has it. */
static pid_t start(const char *what, short flags, pid_t group)
{
    posix_spawnattr_t attributes;
    char *argv[] = {(char *)self, "-child", (char *)what, 0};
    pid_t pid = -1;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, flags);
    posix_spawnattr_setpgroup(&attributes, group);
    int error = posix_spawn(&pid, self, 0, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    errno = error;
    return error ? -1 : pid;
}

static void type(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (ioctl(0, TIOCSTI, &text[i]) != 0) {
            printf("TIOCSTI: %s\n", strerror(errno));
            exit(2);
        }
}

static void types(const char *text) { type(text, strlen(text)); }

/* Until `group` is in the foreground, as a child puts itself there. */
static void wait_for_foreground(pid_t group)
{
    while (tcgetpgrp(0) != group)
        usleep(1000);
}

static int child(const char *what)
{
    char line[64];
    if (strcmp(what, "reads") == 0) { /* from the foreground, where it puts itself */
        signal(SIGTTOU, SIG_IGN);
        if (tcsetpgrp(0, getpgrp()) != 0)
            return 90;
        return read(0, line, sizeof line) > 0 ? 0 : 91;
    }
    if (strcmp(what, "blocks") == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, 0);
        signal(SIGTTOU, SIG_IGN);
        if (tcsetpgrp(0, getpgrp()) != 0 || read(0, line, sizeof line) <= 0)
            return 90;
        sigset_t waiting;
        sigpending(&waiting);
        if (!sigismember(&waiting, SIGINT))
            return 91;
        sigprocmask(SIG_UNBLOCK, &set, 0);
        return 92;
    }
    if (strcmp(what, "background") == 0) {
        signal(SIGTTIN, SIG_IGN);
        return read(0, line, sizeof line) == -1 && errno == EIO ? 0 : 90;
    }
    if (strcmp(what, "session") == 0) {
        pid_t group;
        return getsid(0) == getpid() && getpgrp() == getpid() && open("/dev/tty", O_RDWR) == -1 && errno == ENXIO &&
                       ioctl(0, TIOCGPGRP, &group) == -1 && errno == ENOTTY && ioctl(0, TIOCSCTTY, 0) == -1 &&
                       errno == EPERM && setsid() == -1 && errno == EPERM
                   ? 0
                   : 90;
    }
    if (strcmp(what, "newsession") == 0)
        return setsid() == getpid() && getsid(0) == getpid() && getpgid(0) == getpid() ? 0 : 90;
    if (strcmp(what, "waits") == 0)
        for (;;)
            pause();
    return 99;
}

static void groups(void)
{
    check("a terminal", isatty(0) && isatty(1));
    check("this program leads its session", getsid(0) == getpid() && getpgrp() == getpid() && tcgetsid(0) == getpid());
    check("and is in the foreground", tcgetpgrp(0) == getpid());
    check_errno("setsid of a leader", setsid(), EPERM);
    check_errno("setpgid of a leader", setpgid(0, 0), EPERM);
    check_errno("setpgid to a negative group", setpgid(0, -1), EINVAL);
    check_errno("setpgid of nobody", setpgid(32000, 0), ESRCH);
    check_errno("getpgid of nobody", getpgid(32000), ESRCH);
    check_errno("getsid of nobody", getsid(32000), ESRCH);
    check_errno("tcsetpgrp to nobody", tcsetpgrp(0, 32000), ESRCH);
    check_errno("tcsetpgrp to a negative group", tcsetpgrp(0, -2), EINVAL);
    check_errno("kill of no group", kill(-32000, 0), ESRCH);
    check_errno("kill of no process", kill(32000, 0), ESRCH);
    check_errno("kill with no signal", kill(getpid(), 65), EINVAL);
    check("kill of the own group with 0", kill(0, 0) == 0);
    int fd = open("/dev/tty", O_RDWR);
    check("/dev/tty is there", fd >= 0 && isatty(fd) && tcgetpgrp(fd) == getpid());
    close(fd);

    pid_t one = start("waits", POSIX_SPAWN_SETPGROUP, 0);
    pid_t two = start("waits", POSIX_SPAWN_SETPGROUP, one);
    check("a group of two", one > 0 && two > 0 && getpgid(one) == one && getpgid(two) == one && getsid(two) == getpid());
    usleep(20000); /* Linux lets a parent by vfork go on a little before the child counts as one that runs a program */
    check_errno("setpgid of a child that runs a program", setpgid(two, two), EACCES);
    check_errno("a wait for the own group, where nobody is", waitpid(0, 0, WNOHANG), ECHILD);
    check("a wait for a group that runs", waitpid(-one, 0, WNOHANG) == 0);
    check("kill of a group", kill(-one, 0) == 0 && kill(-one, SIGTERM) == 0);
    int first = 0, second = 0;
    pid_t a = waitpid(-one, &first, 0), b = waitpid(-one, &second, 0);
    check("both are waited for by their group", a != b && (a == one || a == two) && (b == one || b == two));
    check_died("the first died of it", first, SIGTERM);
    check_died("the second too", second, SIGTERM);
    check_errno("and nobody is left", waitpid(-one, 0, 0), ECHILD);

    check("a session of its own", exit_of(start("session", POSIX_SPAWN_SETSID, 0)) == 0);
    check("setsid", exit_of(start("newsession", 0, 0)) == 0);
    pid_t other = start("waits", POSIX_SPAWN_SETSID, 0);
    check_errno("setpgid of a child in another session", setpgid(other, other), EPERM);
    check_errno("setpgid to a group of another session", setpgid(0, other), EPERM);
    check_errno("tcsetpgrp to a group of another session", tcsetpgrp(0, other), EPERM);
    kill(other, SIGKILL);
    check("a zombie can be sent to", usleep(20000) == 0 && kill(other, 0) == 0);
    check_died("and was killed", status_of(other), SIGKILL);
    check("a read from the background", exit_of(start("background", POSIX_SPAWN_SETPGROUP, 0)) == 0);
}

/* --- What keys do ------------------------------------------------------------------------------------------------- */

static void keys(void)
{
    signal(SIGTTOU, SIG_IGN);
    pid_t pid = start("reads", POSIX_SPAWN_SETPGROUP, 0);
    wait_for_foreground(pid);
    types("lost\003");
    check_died("^C ends who reads in the foreground", status_of(pid), SIGINT);
    check("and the terminal is had back", tcsetpgrp(0, getpid()) == 0 && tcgetpgrp(0) == getpid());

    pid = start("reads", POSIX_SPAWN_SETPGROUP, 0);
    wait_for_foreground(pid);
    types("\034");
    int status = status_of(pid);
    check_found("^\\ too", status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT, "0x%x", (unsigned)status);
    tcsetpgrp(0, getpid());

    signal(SIGINT, SIG_IGN);
    pid = start("reads", POSIX_SPAWN_SETPGROUP, 0);
    wait_for_foreground(pid);
    types("lost\003kept\n");
    check("who ignores it inherits that, and reads on", exit_of(pid) == 0);
    tcsetpgrp(0, getpid());
    signal(SIGINT, SIG_DFL);

    pid = start("blocks", POSIX_SPAWN_SETPGROUP, 0);
    wait_for_foreground(pid);
    types("\003line\n");
    check_died("who blocks it dies of it later", status_of(pid), SIGINT);
    tcsetpgrp(0, getpid());
    signal(SIGTTOU, SIG_DFL);
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static int ready(void)
{
    struct pollfd asked = {0, POLLIN, 0};
    return poll(&asked, 1, 0) == 1 && asked.revents == POLLIN;
}

static int waiting(void)
{
    int bytes = -1;
    return ioctl(0, FIONREAD, &bytes) == 0 ? bytes : -1;
}

/* What one read finds, as text. */
static const char *line(void)
{
    static char text[8200];
    ssize_t len = read(0, text, sizeof text - 1);
    text[len < 0 ? 0 : len] = 0;
    return len < 0 ? strerrorname_np(errno) : text;
}

static void check_line(const char *name, const char *want)
{
    const char *got = line();
    check_found(name, strcmp(got, want) == 0, "read \"%s\"", got);
}

static void lines(void)
{
    int flags = fcntl(0, F_GETFL);
    fcntl(0, F_SETFL, flags | O_NONBLOCK);
    check("nothing was typed", waiting() == 0 && !ready());
    check_line("a read that may not wait", "EAGAIN");
    types("ab");
    check("a line that is not finished", waiting() == 0 && !ready());
    check_line("cannot be read", "EAGAIN");
    types("x\177c\r");
    check("a finished one can", waiting() == 4 && ready());
    check_line("as it was corrected", "abc\n");
    types("one\ntwo\n\004rest\004");
    check("three lines and two ends", waiting() == 12);
    check_line("one line a read", "one\n");
    check_line("the next", "two\n");
    check_line("the end of input", "");
    check_line("a line without an end", "rest");
    check_line("and no more", "EAGAIN");
    types("word other-one\027\027x\026\003\025\026\004y\n");
    check_line("words, the line, and what is meant as it is", "\004y\n");
    types("gone\n");
    check("tcflush", tcflush(0, TCIFLUSH) == 0 && waiting() == 0 && !ready());
    types("gone\n");
    struct termios now;
    tcgetattr(0, &now);
    check("TCSAFLUSH", tcsetattr(0, TCSAFLUSH, &now) == 0 && waiting() == 0);
    types("stays\n");
    check("TCSADRAIN", tcsetattr(0, TCSADRAIN, &now) == 0 && waiting() == 6);
    check_line("what was typed stays", "stays\n");
    for (int i = 0; i < 4300; i++)
        types("y");
    types("\n");
    check("a line of 4095 bytes and its end", strlen(line()) == 4096);
    fcntl(0, F_SETFL, flags);
}

static void raw(void)
{
    struct termios mode = before;
    struct timespec start, end;
    char bytes[16];
    cfmakeraw(&mode);
    mode.c_cc[VMIN] = mode.c_cc[VTIME] = 0;
    check("raw mode", tcsetattr(0, TCSANOW, &mode) == 0);
    check("no MIN and no TIME", read(0, bytes, sizeof bytes) == 0);
    types("\003\r\177");
    check("bytes as they are", waiting() == 3 && ready() && read(0, bytes, sizeof bytes) == 3 && bytes[1] == '\r');
    mode.c_cc[VTIME] = 1;
    tcsetattr(0, TCSANOW, &mode);
    clock_gettime(CLOCK_MONOTONIC, &start);
    check("TIME alone", read(0, bytes, sizeof bytes) == 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long passed_ms = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
    check_found("waits for that time", passed_ms >= 99, "%ld ms", passed_ms);
    mode.c_cc[VMIN] = 3;
    tcsetattr(0, TCSANOW, &mode);
    types("ab");
    check("MIN and TIME", ready() && read(0, bytes, sizeof bytes) == 2);
    mode.c_cc[VTIME] = 0;
    tcsetattr(0, TCSANOW, &mode);
    types("ab");
    check("MIN alone: too little", waiting() == 2 && !ready());
    types("cd");
    check("and enough", ready() && read(0, bytes, 3) == 3 && read(0, bytes, 1) == 1 && bytes[0] == 'd');
    types("raw");
    tcsetattr(0, TCSANOW, &before);
    check_line("what is left is one line", "raw");
}

static void *read_byte(void *arrived)
{
    char byte;
    *(int *)arrived = 1;
    return (void *)(intptr_t)read(0, &byte, 1);
}

static void settings(void)
{
    struct termios now, got;
    struct winsize size = {50, 132, 0, 0}, seen = {0};
    check("tcgetattr", tcgetattr(0, &before) == 0 && (before.c_lflag & (ICANON | ISIG)) == (ICANON | ISIG));
    now = before;
    now.c_lflag &= ~(ECHO | ECHONL);
    now.c_cc[VERASE] = 0177;
    now.c_cc[VMIN] = 1;
    check("tcsetattr", tcsetattr(0, TCSANOW, &now) == 0);
    check("is what tcgetattr says", tcgetattr(0, &got) == 0 && got.c_lflag == now.c_lflag && got.c_iflag == now.c_iflag &&
                                        memcmp(got.c_cc, now.c_cc, 19) == 0);
    before = now;
    check("a window has a size", ioctl(0, TIOCSWINSZ, &size) == 0 && ioctl(0, TIOCGWINSZ, &seen) == 0 &&
                                     seen.ws_row == 50 && seen.ws_col == 132);
    int out = -1;
    check("output drains", tcdrain(1) == 0 && ioctl(1, TIOCOUTQ, &out) == 0 && out == 0);
    check_errno("tcflush of what is not there", tcflush(0, 7), EINVAL);
    check_errno("tcflow of what is not there", tcflow(0, 7), EINVAL);
    int fd = open(self, O_RDONLY);
    check_errno("a file is no terminal", tcgetattr(fd, &got), ENOTTY);
    check_errno("and has no group", tcgetpgrp(fd), ENOTTY);
    close(fd);
    check_errno("a terminal has no position", lseek(0, 0, SEEK_CUR), ESPIPE);
    fflush(stdout);
    int flags = fcntl(1, F_GETFL);
    fcntl(1, F_SETFL, flags | O_NONBLOCK);
    tcflow(1, TCOOFF);
    ssize_t written = 1;
    for (int i = 0; i < 65536 && written == 1; i++) /* a UART may have a buffer, which takes some */
        written = write(1, "", 1);
    int error = errno;
    tcflow(1, TCOON);
    fcntl(1, F_SETFL, flags);
    check("output that is stopped", written == -1 && error == EAGAIN);

    pthread_t reader;
    volatile int arrived = 0;
    void *result;
    pthread_create(&reader, 0, read_byte, (void *)&arrived);
    while (!arrived)
        sched_yield();
    usleep(20000);
    check("who writes does not wait for who reads", write(0, "\n", 1) == 1);
    types("\n");
    check("and that one goes on", pthread_join(reader, &result) == 0 && (intptr_t)result == 1);
}

/* --- Under load --------------------------------------------------------------------------------------------------- */

/* FNV-1a of all that is read to the end, and how much that is. */
static int say_sum(void)
{
    static unsigned char bytes[4096];
    uint64_t sum = 0xcbf29ce484222325;
    size_t total = 0;
    ssize_t len;
    while ((len = read(0, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < len; i++)
            sum = (sum ^ bytes[i]) * 0x100000001b3;
        total += (size_t)len;
    }
    printf("%zu bytes %016llx\n", total, (unsigned long long)sum);
    return len < 0;
}

static int copies(const char *path)
{
    enum { SIZE = 4 << 20 };
    static char bytes[SIZE];
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    puts("begin");
    fflush(stdout);
    for (int i = 0; i < 24; i++)
        if (pwrite(fd, bytes, SIZE, 0) != SIZE || pread(fd, bytes, SIZE, 0) != SIZE)
            return 1;
    return say_sum();
}

static int spin(unsigned long turns)
{
    puts("begin");
    fflush(stdout);
    for (volatile unsigned long i = 0; i < turns; i++)
        ;
    return say_sum();
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 2 && strcmp(argv[1], "-child") == 0)
        return child(argv[2]);
    if (argc > 2 && strcmp(argv[1], "copies") == 0)
        return copies(argv[2]);
    if (argc > 1 && strcmp(argv[1], "spin") == 0)
        return spin(~0ul);
    if (argc > 1 && strcmp(argv[1], "sum") == 0)
        return spin(300000000);
    begin_checks();
    settings();
    groups();
    lines();
    raw();
    keys();
    return end_checks();
}
