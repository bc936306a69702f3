/*
 * forks: children by fork, what they share with their parent, and how it learns of their ends, one check each.
 *
 * Everything here is true on Linux as well; peeks are checked where there are any.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <vitrine.h>

#include "check.h"

static int global = 1;
static __thread int local = 2;

/* A child that runs `act` and ends with what it returns. */
static pid_t start(int (*act)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(act());
    return pid;
}

static int ends_42(void) { return 42; }
static int ends_now(void) { return 0; }
static int waits_long(void) { for (;;) pause(); return 1; }

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static unsigned char *pages;
static int *shared;
static int on_stack;
static int *stack_word = &on_stack;

static int changes_all(void)
{
    int fine = global == 1 && local == 2 && *stack_word == 3 && pages[0] == 1 && pages[63 * 4096] == 64;
    global = local = *stack_word = 9;
    for (int i = 0; i < 64; i++)
        pages[i * 4096] = 200;
    shared[0] = 77;
    shared[2000] = 78;
    return fine ? 10 : 11;
}

static int reads_later(void)
{
    while (!*(volatile int *)&shared[1])
        usleep(1000);
    for (int i = 0; i < 64; i++)
        if (pages[i * 4096] != i + 1)
            return 11;
    return 10;
}

static int maps_own(void)
{
    munmap(pages, 4096 * 32);
    return mprotect(pages + 4096 * 32, 4096 * 32, PROT_READ) == 0 && pages[4096 * 40] == 41 ? 10 : 11;
}

static int waits_for_word(void)
{
    while (*(volatile int *)&shared[4] == 0)
        syscall(SYS_futex, &shared[4], FUTEX_WAIT, 0, 0, 0, 0);
    return shared[4];
}

static void memory(void)
{
    int word = 3;
    stack_word = &word;
    pages = mmap(0, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared = mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 64; i++)
        pages[i * 4096] = i + 1;
    check("a child has the parent's memory", exit_of(start(changes_all)) == 10);
    int same = 1;
    for (int i = 0; i < 64; i++)
        same &= pages[i * 4096] == i + 1;
    check("what it writes stays its own", same && global == 1 && local == 2 && word == 3);
    check("but for shared memory", shared[0] == 77 && shared[2000] == 78);
    pid_t pid = start(reads_later);
    for (int i = 0; i < 64; i++)
        pages[i * 4096] = 100;
    shared[1] = 1;
    check("what the parent writes is not seen either", exit_of(pid) == 10);
    for (int i = 0; i < 64; i++)
        pages[i * 4096] = i + 1;
    check("mappings are the child's own", exit_of(start(maps_own)) == 10 && pages[0] == 1 && (pages[4096 * 50] = 5) == 5);
    pid = start(waits_for_word);
    usleep(20000);
    shared[4] = 33;
    syscall(SYS_futex, &shared[4], FUTEX_WAKE, 1, 0, 0, 0);
    check("a futex in shared memory", exit_of(pid) == 33);
    sem_t *semaphore = (sem_t *)&shared[100];
    sem_init(semaphore, 1, 0);
    fflush(stdout);
    if ((pid = fork()) == 0) {
        sem_post(semaphore);
        _exit(0);
    }
    check("a semaphore there", sem_wait(semaphore) == 0 && exit_of(pid) == 0);
}

/* Parent and child peek at the same; each ends its own. */
static const char *peeked;
static int ends_its_peek(void) { return peeked[0] == 'p' && unpeek(peeked) == 0 && unpeek(peeked) == -1 ? 10 : 11; }
/* Sees the peek as it was when file and parent have moved on. */
static int keeps_its_peek(void)
{
    shared[20] = 1;
    while (!*(volatile int *)&shared[21])
        usleep(1000);
    return peeked[0] == 'p' && peeked[1] == 'q' && unpeek(peeked) == 0 && unpeek(peeked) == -1 ? 10 : 11;
}
static int has_peek(void) { return peeked[0] == 'p' && peeked[1] == 'q' ? 10 : 11; }

static void peeks(void)
{
    char name[] = "/tmp/forks.XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0 || write(fd, "pq", 2) != 2)
        return check("a file to peek at", 0);
    peeked = peek(fd, 0, 2);
    if (peeked != MAP_FAILED && peeked) {
        check("a child has the peek too, and ends its own", exit_of(start(ends_its_peek)) == 10);
        check("the parent's stays", peeked[0] == 'p' && exit_of(start(has_peek)) == 10);
        pid_t pid = start(keeps_its_peek);
        while (!*(volatile int *)&shared[20])
            usleep(1000);
        int moved = pwrite(fd, "XY", 2, 0) == 2 && ftruncate(fd, 0) == 0 && peeked[0] == 'p' && unpeek(peeked) == 0;
        shared[21] = 1;
        check("the child's too, when the file has changed and the parent's is gone", moved && exit_of(pid) == 10);
        check("a new one finds the file as it is", peek(fd, 0, 2) == MAP_FAILED && pwrite(fd, "pq", 2, 0) == 2);
    }
    char *private = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    peeked = private;
    private[1] = 'q';
    check("a private mapping of a file is the child's too", exit_of(start(has_peek)) == 10);
    munmap(private, 4096);
    close(fd);
    unlink(name);
}

/* --- Borrowed memory ---------------------------------------------------------------------------------------------- */

static volatile int lent;

static void borrowed(void)
{
    pid_t pid = (lent = 1, vfork());
    if (pid == 0) {
        usleep(30000);
        lent = 2;
        _exit(12);
    }
    check("vfork waits for the end of its child, in the same memory", lent == 2 && exit_of(pid) == 12);
    pid = vfork();
    if (pid == 0) {
        lent = 3;
        execl("/no/such/program", "", (char *)0);
        lent = errno;
        _exit(13);
    }
    check("an execve that fails is not its end", lent == ENOENT && exit_of(pid) == 13);
    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    check_died("a child that dies is one", status_of(pid), SIGKILL);
}

/* --- What else is copied ------------------------------------------------------------------------------------------ */

static int fd;
static volatile int handled;
static void count(int signal) { (void)signal; handled++; }

static int reads_on(void)
{
    char text[3] = "";
    return read(fd, text, 2) == 2 && strcmp(text, "cd") == 0 && close(fd) == 0 ? 10 : 11;
}

static int has_signals(void)
{
    sigset_t now, waiting;
    sigprocmask(SIG_BLOCK, 0, &now);
    sigpending(&waiting);
    handled = 0;
    raise(SIGUSR2);
    return sigismember(&now, SIGUSR1) && !sigismember(&waiting, SIGUSR1) && handled == 1 ? 10 : 11;
}

static int knows_parent(void) { return getppid() == shared[8] && getpid() != shared[8] && getpgrp() == shared[9] ? 10 : 11; }

static void *rests(void *unused) { usleep(1000000); return unused; }
static int is_alone(void)
{
    pthread_t thread;
    void *result;
    return syscall(SYS_gettid) == getpid() && pthread_create(&thread, 0, rests, 0) == 0 &&
                   pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED
               ? 10
               : 11;
}

static void copied(void)
{
    char name[] = "/tmp/forks.XXXXXX", text[3] = "";
    fd = mkstemp(name);
    check("a file", write(fd, "abcdef", 6) == 6 && lseek(fd, 0, SEEK_SET) == 0 && read(fd, text, 2) == 2);
    check("a child reads on where the parent was", exit_of(start(reads_on)) == 10);
    check("and the parent behind it, with its own descriptor", read(fd, text, 2) == 2 && strcmp(text, "ef") == 0);
    close(fd);
    unlink(name);

    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    signal(SIGUSR1, count);
    signal(SIGUSR2, count);
    sigprocmask(SIG_BLOCK, &usr1, 0);
    raise(SIGUSR1);
    check("handlers and the mask are copied, waiting signals are not", exit_of(start(has_signals)) == 10);
    sigprocmask(SIG_UNBLOCK, &usr1, 0);
    shared[8] = getpid();
    shared[9] = getpgrp();
    check("a child knows its parent and its group", exit_of(start(knows_parent)) == 10);
    pthread_t thread;
    pthread_create(&thread, 0, rests, 0);
    check("only the thread that forks is in the child", exit_of(start(is_alone)) == 10);
    pthread_join(thread, 0);

    pid_t parent_tid = 0;
    static pid_t child_tid;
    pid_t pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, 0, &child_tid);
    if (pid == 0)
        _exit(child_tid == syscall(SYS_getpid) && syscall(SYS_gettid) == child_tid ? 10 : 11);
    check("CLONE_CHILD_SETTID is in the child's memory", exit_of(pid) == 10 && parent_tid == pid && child_tid == 0);
    check_errno("CLONE_THREAD alone", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    check_errno("CLONE_SIGHAND alone", syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static volatile siginfo_t told;
static void tell(int signal, siginfo_t *info, void *context) { (void)signal, (void)context; told = *info; handled++; }

static int has_orphan(void)
{
    if (fork() == 0) {
        while (getppid() == shared[10])
            usleep(1000);
        shared[11] = 1;
        _exit(0);
    }
    return 10;
}

static int in_group(void) { setpgid(0, 0); shared[12] = getpid(); return 6; }

static void waiting(void)
{
    int status;
    siginfo_t info;
    check_errno("nobody to wait for", waitpid(-1, &status, 0), ECHILD);
    check_errno("options nobody knows", wait4(-1, &status, 64, 0), EINVAL);
    check_errno("waitid without a kind", waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
    check_errno("waitid for a bad number", waitid(P_PID, 0, &info, WEXITED), EINVAL);
    pid_t pid = start(waits_long);
    check("WNOHANG while it runs", waitpid(pid, &status, WNOHANG) == 0);
    info.si_pid = 5;
    check("the same of waitid", waitid(P_PID, pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
    check_errno("not that one", waitpid(pid + 1000, &status, 0), ECHILD);
    kill(pid, SIGTERM);
    check("waitid with WNOWAIT", waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == pid &&
                                     info.si_code == CLD_KILLED && info.si_status == SIGTERM && info.si_signo == SIGCHLD);
    check("a zombie can be asked for", kill(pid, 0) == 0);
    check_died("and waited for", status_of(pid), SIGTERM);
    check_errno("once", waitpid(pid, &status, 0), ECHILD);
    check_errno("then it is gone", kill(pid, 0), ESRCH);
    pid = start(ends_42);
    check("waitid", waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_pid == pid && info.si_code == CLD_EXITED &&
                        info.si_status == 42);
    pid = start(in_group);
    while (!*(volatile int *)&shared[12])
        usleep(1000);
    check_errno("not of this group", waitpid(0, &status, WNOHANG), ECHILD);
    check("waiting for a group", waitpid(-pid, &status, 0) == pid && WEXITSTATUS(status) == 6);

    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &action, 0);
    handled = 0;
    pid = start(ends_42);
    check("SIGCHLD", exit_of(pid) == 42 && handled == 1 && told.si_pid == pid && told.si_code == CLD_EXITED &&
                         told.si_status == 42);
    action.sa_flags |= SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, 0);
    pid = start(ends_now);
    check_errno("SA_NOCLDWAIT leaves no zombie", waitpid(pid, &status, 0), ECHILD);
    signal(SIGCHLD, SIG_IGN);
    pid = start(ends_now);
    check_errno("nor does SIG_IGN", waitpid(pid, &status, 0), ECHILD);
    signal(SIGCHLD, SIG_DFL);

    pid = start(has_orphan);
    shared[10] = pid;
    check("a child that ends before its own", exit_of(pid) == 10);
    while (!*(volatile int *)&shared[11])
        usleep(1000);
    check("leaves it to another parent", 1);
}

/* --- Many --------------------------------------------------------------------------------------------------------- */

static int depth;
static int nests(void) { return ++depth == 20 ? 20 : exit_of(start(nests)); }

static void reap_strays(void) { while (waitpid(-1, 0, WNOHANG) > 0); }

/* Frames in use where the kernel tells, else 0. */
static long frames(void)
{
    char text[4096] = "";
    int counters = open("/proc/vitrine/counters", O_RDONLY);
    if (counters < 0)
        return 0;
    if (read(counters, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(counters);
    char *at = strstr(text, "frames_used ");
    return at ? strtol(at + 12, 0, 10) : 0;
}

static int round_of_forks(int n)
{
    int fine = 1;
    for (int i = 0; i < n; i++) {
        pid_t pid = start(i % 2 ? ends_42 : changes_all);
        fine &= pid > 0 && exit_of(pid) >= 10;
    }
    return fine;
}

static void many(void)
{
    pid_t pids[40];
    int fine = 1;
    check("twenty generations", exit_of(start(nests)) == 20);
    for (int i = 0; i < 40; i++)
        pids[i] = start(waits_long);
    for (int i = 0; i < 40; i++) {
        kill(pids[i], SIGKILL);
        fine &= WTERMSIG(status_of(pids[i])) == SIGKILL;
    }
    check("forty children at a time", fine);
    usleep(10000);
    reap_strays();
    round_of_forks(4);
    usleep(10000);
    long before = frames();
    check("a hundred one after the other", round_of_forks(100));
    usleep(10000);
    long after = frames();
    check_found("and no frame is lost", before == after, "%ld frames before, %ld after", before, after);
}

int main(void)
{
    begin_checks();
    memory();
    peeks();
    borrowed();
    copied();
    waiting();
    many();
    return end_checks();
}
