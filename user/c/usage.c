/*
 * usage: what a program is told of what it, its threads and its children have used.
 *
 * Everything here is true on Linux as well. No span of time is demanded: figures are held against one another.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <time.h>

#include "check.h"

enum { PAGES = 64 };
static const long MILLISECOND = 1000000;

static long nanos(struct timespec time) { return time.tv_sec * 1000000000l + time.tv_nsec; }

static long clock_now(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? nanos(now) : -1;
}

/* Both parts: which of them a kernel counts finely is its own affair. */
static long cpu_nanos(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000000l +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000l;
}

static struct rusage usage_of(int who)
{
    struct rusage usage;
    check("getrusage answers", getrusage(who, &usage) == 0);
    return usage;
}

/* Keeps the CPU until the clock has gone on by `span`. */
static void burn(clockid_t clock, long span)
{
    long until = clock_now(clock) + span;
    while (clock_now(clock) < until)
        ;
}

/* The way into a sleep is CPU time, and may take long on a machine with other things to do: not each time. */
static int sleep_costs_nothing(void)
{
    struct timespec span = {0, 30 * MILLISECOND};
    for (int tries = 0; tries < 20; tries++) {
        long wall = clock_now(CLOCK_MONOTONIC), cpu = clock_now(CLOCK_PROCESS_CPUTIME_ID);
        nanosleep(&span, 0);
        cpu = clock_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        wall = clock_now(CLOCK_MONOTONIC) - wall;
        if (cpu >= 0 && cpu + span.tv_nsec / 2 <= wall)
            return 1;
    }
    return 0;
}

static void own(void)
{
    long before = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    struct rusage usage = usage_of(RUSAGE_SELF);
    long after = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    check("the usage lies between two looks at the clock, to a microsecond",
          cpu_nanos(&usage) >= before - 2000 && cpu_nanos(&usage) <= after);
    burn(CLOCK_THREAD_CPUTIME_ID, 5 * MILLISECOND);
    check("what a thread burns its process burns", clock_now(CLOCK_PROCESS_CPUTIME_ID) >= after + 5 * MILLISECOND);

    check("sleep is no CPU time", sleep_costs_nothing());
    struct rusage later = usage_of(RUSAGE_SELF);
    check("a sleep gives up the CPU of itself", later.ru_nvcsw > usage.ru_nvcsw);
    check("who: EINVAL", getrusage(7, &usage) == -1 && errno == EINVAL);
    check("where to: EFAULT", syscall(SYS_getrusage, RUSAGE_SELF, 1) == -1 && errno == EFAULT);
}

static void faults(void)
{
    char *pages = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(pages, PAGES * 4096, MADV_NOHUGEPAGE);
    struct rusage before = usage_of(RUSAGE_THREAD);
    for (int i = 0; i < PAGES; i++)
        ((volatile char *)pages)[i * 4096] = 1;
    struct rusage after = usage_of(RUSAGE_THREAD);
    check("each page touched is a fault", after.ru_minflt - before.ru_minflt >= PAGES);
    before = usage_of(RUSAGE_THREAD);
    for (int i = 0; i < PAGES; i++)
        ((volatile char *)pages)[i * 4096] = 2;
    after = usage_of(RUSAGE_THREAD);
    check("and only once", after.ru_minflt - before.ru_minflt < PAGES);
    check("no fault waits for input", after.ru_majflt == before.ru_majflt);
    munmap(pages, PAGES * 4096);
}

static sem_t burnt, looked;

static void *burns(void *span)
{
    burn(CLOCK_THREAD_CPUTIME_ID, *(long *)span);
    sem_post(&burnt);
    sem_wait(&looked);
    return 0;
}

static void threads(void)
{
    long span = 5 * MILLISECOND, mine = clock_now(CLOCK_THREAD_CPUTIME_ID), all = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    pthread_t thread;
    clockid_t clock;
    pthread_create(&thread, 0, burns, &span);
    sem_wait(&burnt);
    check("a thread's clock can be asked for", pthread_getcpuclockid(thread, &clock) == 0);
    check("and shows what it burnt", clock_now(clock) >= span);
    check("which the process has burnt", clock_now(CLOCK_PROCESS_CPUTIME_ID) >= all + span);
    mine = clock_now(CLOCK_THREAD_CPUTIME_ID) - mine;
    check("but the other thread has not", mine < clock_now(CLOCK_PROCESS_CPUTIME_ID) - all);
    sem_post(&looked);
    pthread_join(thread, 0);
    check("a thread that ended leaves it to the process", clock_now(CLOCK_PROCESS_CPUTIME_ID) >= all + span);
    check("a descriptor is no clock", clock_now((clockid_t)(~7u << 3 | 3)) == -1 && errno == EINVAL);
}

static void children(void)
{
    long *told = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct rusage before = usage_of(RUSAGE_CHILDREN), used;
    struct tms at_first, at_last;
    times(&at_first);
    pid_t pid = fork();
    if (pid == 0) {
        burn(CLOCK_PROCESS_CPUTIME_ID, 25 * MILLISECOND);
        *told = clock_now(CLOCK_PROCESS_CPUTIME_ID);
        _exit(0);
    }
    clockid_t clock;
    check("a child's clock can be asked for", clock_getcpuclockid(pid, &clock) == 0 && clock_now(clock) >= 0);
    siginfo_t info;
    check("a look leaves the child", waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
    struct rusage between = usage_of(RUSAGE_CHILDREN);
    check("nothing is the parent's before the child is waited for", cpu_nanos(&between) == cpu_nanos(&before));
    check("a child waited for", wait4(pid, 0, 0, &used) == pid);
    check("has used what it said, to a microsecond", cpu_nanos(&used) >= *told - 2000);
    struct rusage after = usage_of(RUSAGE_CHILDREN);
    long grown = cpu_nanos(&after) - cpu_nanos(&before);
    check("and its parent's children that", labs(grown - cpu_nanos(&used)) <= 2000);
    check("faults too", after.ru_minflt - before.ru_minflt == used.ru_minflt && used.ru_minflt > 0);
    check("times counts ticks since boot", times(&at_last) != (clock_t)-1);
    long ticks = at_last.tms_cutime + at_last.tms_cstime - at_first.tms_cutime - at_first.tms_cstime;
    check("and those of the child", ticks >= 1 && ticks <= grown / (10 * MILLISECOND) + 2);
    munmap(told, 4096);
}

static volatile long ticks_told;

static void at_end_of_child(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    ticks_told = info->si_utime + info->si_stime;
}

static void told_by_signal(void)
{
    struct sigaction act = {.sa_sigaction = at_end_of_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &act, 0);
    pid_t pid = fork();
    if (pid == 0) {
        burn(CLOCK_PROCESS_CPUTIME_ID, 25 * MILLISECOND);
        _exit(0);
    }
    while (waitpid(pid, 0, 0) != pid)
        ;
    check("SIGCHLD tells the ticks", ticks_told >= 1);
    signal(SIGCHLD, SIG_DFL);
}

static void clocks_that_wake(void)
{
    struct timespec now = {0, 0};
    check("no thread waits for its own clock", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &now, 0) == EINVAL);
    check("nor for the raw clock", clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &now, 0) == EOPNOTSUPP);
    check("nor for one that is none", clock_nanosleep(99, 0, &now, 0) == EINVAL);
    check("for that since boot it can", clock_nanosleep(CLOCK_BOOTTIME, 0, &now, 0) == 0);
}

int main(void)
{
    begin_checks();
    sem_init(&burnt, 0, 0);
    sem_init(&looked, 0, 0);
    own();
    faults();
    threads();
    children();
    told_by_signal();
    clocks_that_wake();
    return end_checks();
}
