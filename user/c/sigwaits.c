/*
 * sigwaits: calls that wait for signals, and calls that signals cut short, one check each.
 *
 * Everything here is true on Linux as well. Standard input is the controlling terminal; what is typed is put in by TIOCSTI.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "signals.h"

/* --- Waiting for signals ---------------------------------------------------------------------------------------------- */

static void waiting(void)
{
    sigset_t usr1 = only(SIGUSR1);
    siginfo_t info;
    struct timespec none = {0}, little = {.tv_nsec = 1000000};
    install(SIGUSR1, note, 0);
    sigprocmask(SIG_BLOCK, &usr1, 0);
    check_errno("sigtimedwait without time", sigtimedwait(&usr1, &info, &none), EAGAIN);
    check_errno("and after its time", sigtimedwait(&usr1, &info, &little), EAGAIN);
    pthread_t thread = later(SIGUSR1);
    check("sigwaitinfo waits", sigwaitinfo(&usr1, &info) == SIGUSR1 && info.si_code == SI_USER && calls == 0);
    pthread_join(thread, 0);
    install(SIGUSR2, note, 0);
    thread = later(SIGUSR2);
    check_errno("another signal's handler ends it", sigwaitinfo(&usr1, &info), EINTR);
    pthread_join(thread, 0);

    sigset_t empty;
    sigemptyset(&empty);
    raise(SIGUSR1);
    install(SIGUSR1, note, 0);
    check_errno("sigsuspend ends by a handler", sigsuspend(&empty), EINTR);
    check("the mask is the old one again", calls == 1 && blocked(SIGUSR1));
    raise(SIGUSR1);
    check_errno("so does ppoll with a mask", ppoll(0, 0, &(struct timespec){.tv_sec = 100}, &empty), EINTR);
    check("and restores the mask", calls == 2 && blocked(SIGUSR1));
    check("ppoll without a signal does as well", ppoll(0, 0, &little, &empty) == 0 && blocked(SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &usr1, 0);
}

/* --- Interrupted calls -------------------------------------------------------------------------------------------- */

static uint32_t word;

static void *wake_later(void *unused)
{
    usleep(60000);
    word = 1;
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return unused;
}

static void interrupted(void)
{
    struct timespec long_time = {.tv_sec = 50}, left = {0};
    install(SIGUSR1, note, 0);
    pthread_t thread = later(SIGUSR1);
    check_errno("nanosleep is cut short", nanosleep(&long_time, &left), EINTR);
    check_found("and tells what is left", left.tv_sec >= 40 && left.tv_sec < 50, "%ld", left.tv_sec);
    pthread_join(thread, 0);
    install(SIGUSR1, note, SA_RESTART);
    thread = later(SIGUSR1);
    check_errno("also with SA_RESTART", nanosleep(&long_time, &left), EINTR);
    pthread_join(thread, 0);
    thread = later(SIGUSR1);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 50;
    check("and until a moment", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0) == EINTR);
    pthread_join(thread, 0);

    install(SIGUSR1, note, 0);
    thread = later(SIGUSR1);
    check_errno("a futex is waited for until a signal", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0), EINTR);
    pthread_join(thread, 0);
    install(SIGUSR1, note, SA_RESTART);
    thread = later(SIGUSR1);
    pthread_t waker;
    sigset_t usr1 = only(SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, 0);
    pthread_create(&waker, 0, wake_later, 0);
    sigprocmask(SIG_UNBLOCK, &usr1, 0);
    long woken = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    check_found("with SA_RESTART the wait goes on", calls == 1 && (woken == 0 || errno == EAGAIN), "%ld, %d calls", woken,
                calls);
    pthread_join(thread, 0);
    pthread_join(waker, 0);

    pid_t pid = fork();
    if (pid == 0) {
        usleep(60000);
        _exit(5);
    }
    int status = 0;
    install(SIGUSR1, note, 0);
    thread = later(SIGUSR1);
    check_errno("waitpid is cut short", waitpid(pid, &status, 0), EINTR);
    pthread_join(thread, 0);
    install(SIGUSR1, note, SA_RESTART);
    thread = later(SIGUSR1);
    check("and begins again with SA_RESTART", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
    pthread_join(thread, 0);
    check("its handler was called all the same", calls == 1);
}

/* What the rest of a sleep is after a signal that calls no handler, and after one that does so but once. */
static void goes_on(void)
{
    struct timespec start, end, time = {.tv_nsec = 80000000};
    signal(SIGUSR1, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    pthread_t thread = later(SIGCHLD);
    clock_gettime(CLOCK_MONOTONIC, &start);
    int slept = nanosleep(&time, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long passed = (end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec;
    check_found("a sleep is not cut short by what is ignored", slept == 0 && passed >= time.tv_nsec, "%ld ns", passed);
    pthread_join(thread, 0);

    static uint32_t other;
    install(SIGUSR1, note, SA_RESTART);
    thread = later(SIGUSR1);
    check_errno("a futex with a time is cut short for good, with SA_RESTART too",
                syscall(SYS_futex, &other, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){.tv_sec = 50}, 0, 0), EINTR);
    pthread_join(thread, 0);
    install(SIGUSR1, note, SA_RESTART | SA_RESETHAND);
    thread = later(SIGUSR1);
    check_errno("so is ppoll", ppoll(0, 0, &(struct timespec){.tv_sec = 50}, 0), EINTR);
    pthread_join(thread, 0);
    struct sigaction now;
    sigaction(SIGUSR1, 0, &now);
    check("and SA_RESETHAND has had its call", calls == 1 && now.sa_handler == SIG_DFL);
    sigset_t set = only(SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, 0);
    install(SIGUSR1, note, SA_RESTART);
    thread = later(SIGUSR1);
    check("what is blocked cuts nothing short", nanosleep(&time, 0) == 0 && calls == 0 && waits(SIGUSR1));
    pthread_join(thread, 0);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    check_errno("sigtimedwait with a bad time", sigtimedwait(&set, 0, &(struct timespec){.tv_nsec = -1}), EINVAL);
    check_errno("sigsuspend with a bad pointer", syscall(SYS_rt_sigsuspend, 8, 8), EFAULT);
    check_errno("and with a set of another size", syscall(SYS_rt_sigsuspend, &set, 4), EINVAL);
}

/* --- Signals of the terminal -------------------------------------------------------------------------------------- */

static void *types_later(void *keys)
{
    usleep(20000);
    for (const char *key = keys; *key; key++)
        ioctl(0, TIOCSTI, key);
    return 0;
}

/* What a read finds while `keys` are typed, or its errno below zero. */
static ssize_t read_while(const char *keys, char *text, size_t len)
{
    pthread_t thread;
    pthread_create(&thread, 0, types_later, (void *)keys);
    ssize_t got = read(0, text, len);
    got = got < 0 ? -errno : got;
    pthread_join(thread, 0);
    return got;
}

static void typed(void)
{
    char text[64] = "";
    fflush(stdout);
    install(SIGINT, note, 0);
    check("^C cuts a read of the terminal short", read_while("\003", text, sizeof text) == -EINTR && calls == 1);
    check("its handler is told that the kernel sent it", seen.si_signo == SIGINT && seen.si_code == SI_KERNEL);
    install(SIGINT, note, SA_RESTART);
    ssize_t got = read_while("lost\003kept\n", text, sizeof text);
    check_found("with SA_RESTART the read goes on, and finds what was typed behind it",
                got == 5 && strncmp(text, "kept\n", 5) == 0 && calls == 1, "%zd, %d calls", got, calls);
    install(SIGQUIT, note, SA_RESTART);
    got = read_while("\034more\n", text, sizeof text);
    check("^\\ the same", got == 5 && calls == 1 && seen.si_signo == SIGQUIT);
    signal(SIGINT, SIG_IGN);
    got = read_while("\003line\n", text, sizeof text);
    check("what is ignored cuts nothing short", got == 5 && strncmp(text, "line\n", 5) == 0);
}

int main(void)
{
    begin_checks();
    waiting();
    interrupted();
    goes_on();
    typed();
    return end_checks();
}
