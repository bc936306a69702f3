/*
 * robust: locks whose owner dies, through the C library and by the list itself, one check each.
 *
 * Everything here is true on Linux as well.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

/* Memory that parent and children share. */
static struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    volatile int step;
    struct robust_list_head head;
    struct node {
        struct robust_list next;
        volatile uint32_t word;
    } nodes[3000];
} *all;

#define OFFSET (offsetof(struct node, word) - offsetof(struct node, next))

static int gettid_now(void) { return syscall(SYS_gettid); }
static long set_list(void *head) { return syscall(SYS_set_robust_list, head, sizeof(struct robust_list_head)); }

/* A child that does `act` and ends as that says. */
static pid_t start(void (*act)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        act();
        _exit(0);
    }
    return pid;
}

/* --- The C library's mutexes -------------------------------------------------------------------------------------- */

static void locks_and_exits(void) { pthread_mutex_lock(&all->mutex); }

static void locks_and_waits(void)
{
    pthread_mutex_lock(&all->mutex);
    all->step = 1;
    for (;;)
        pause();
}

static void *thread_locks(void *mutex)
{
    pthread_mutex_lock(mutex);
    return 0;
}

static char *self;
static void locks_and_runs_another(void)
{
    pthread_mutex_lock(&all->mutex);
    execl(self, self, "-nothing", (char *)0);
}

static void mutexes(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&all->mutex, &attributes);
    status_of(start(locks_and_exits));
    check("a lock whose owner has ended says so", pthread_mutex_lock(&all->mutex) == EOWNERDEAD);
    check("and can be made good", pthread_mutex_consistent(&all->mutex) == 0 && pthread_mutex_unlock(&all->mutex) == 0 &&
                                      pthread_mutex_lock(&all->mutex) == 0 && pthread_mutex_unlock(&all->mutex) == 0);
    pid_t pid = start(locks_and_waits);
    while (!all->step)
        usleep(1000);
    check("one that lives keeps it", pthread_mutex_trylock(&all->mutex) == EBUSY);
    pid_t killer = fork();
    if (killer == 0) {
        usleep(30000);
        kill(pid, SIGKILL);
        _exit(0);
    }
    check("who waits is woken when it is killed", pthread_mutex_lock(&all->mutex) == EOWNERDEAD);
    pthread_mutex_unlock(&all->mutex);
    check("never made good, it is lost", pthread_mutex_lock(&all->mutex) == ENOTRECOVERABLE);
    status_of(pid);
    status_of(killer);

    static pthread_mutex_t own;
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_PRIVATE);
    pthread_mutex_init(&own, &attributes);
    pthread_t thread;
    pthread_create(&thread, 0, thread_locks, &own);
    pthread_join(thread, 0);
    check("a thread that ends is an owner that dies", pthread_mutex_lock(&own) == EOWNERDEAD);
    pthread_mutex_consistent(&own);
    pthread_mutex_unlock(&own);

    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&all->mutex, &attributes);
    status_of(start(locks_and_runs_another));
    check("so is one that runs another program", pthread_mutex_lock(&all->mutex) == EOWNERDEAD);
    pthread_mutex_consistent(&all->mutex);
    pthread_mutex_unlock(&all->mutex);
}

/* --- The list itself ---------------------------------------------------------------------------------------------- */

/* A list of the first `n` nodes, all held by the caller. */
static void hold(int n)
{
    all->head = (struct robust_list_head){.list = {&all->nodes[0].next}, .futex_offset = OFFSET};
    for (int i = 0; i < n; i++) {
        all->nodes[i].word = gettid_now();
        all->nodes[i].next.next = i + 1 < n ? &all->nodes[i + 1].next : &all->head.list;
    }
    set_list(&all->head);
}

static void holds_three(void)
{
    hold(3);
    all->nodes[1].word = 4711;
    all->nodes[2].word |= FUTEX_WAITERS;
}

static void takes_another(void)
{
    hold(1);
    all->nodes[1].word = gettid_now();
    all->head.list_op_pending = &all->nodes[1].next;
}

static void has_released(void)
{
    hold(1);
    all->nodes[1].word = 0;
    all->head.list_op_pending = &all->nodes[1].next;
    all->step = 2;
    usleep(50000);
}

static void holds_too_many(void) { hold(2100); }
static void holds_a_ring(void) { hold(3), all->nodes[2].next.next = &all->nodes[0].next; }
static void has_a_bad_entry(void) { hold(3), all->nodes[1].next.next = (void *)8; }
static void has_a_bad_head(void) { hold(3), set_list((void *)8); }
static void has_an_odd_offset(void) { hold(3), all->head.futex_offset = OFFSET + 1; }
static void forgets(void) { hold(3), set_list(0); }

/* How many of the first `n` words are marked when a child has done `act`, and ended as it should. */
static int marked(void (*act)(void), int n)
{
    int count = 0;
    memset(all->nodes, 0, sizeof all->nodes);
    if (status_of(start(act)) != 0)
        return -1;
    for (int i = 0; i < n; i++)
        count += all->nodes[i].word == FUTEX_OWNER_DIED;
    return count;
}

static void lists(void)
{
    void *head = 0;
    size_t len = 0;
    check_errno("a head of another size", syscall(SYS_set_robust_list, &all->head, 23), EINVAL);
    check("get_robust_list tells", syscall(SYS_get_robust_list, 0, &head, &len) == 0 && len == 24 && head);
    check("also by number", syscall(SYS_get_robust_list, gettid_now(), &head, &len) == 0);
    check_errno("of nobody", syscall(SYS_get_robust_list, 32000, &head, &len), ESRCH);
    check_errno("to nowhere", syscall(SYS_get_robust_list, 0, 8, &len), EFAULT);

    check("what is held is marked", marked(holds_three, 3) == 1);
    check("what another holds is not, who waits is still told of",
          all->nodes[1].word == 4711 && all->nodes[2].word == (FUTEX_OWNER_DIED | FUTEX_WAITERS));
    check("what was about to be taken is marked too", marked(takes_another, 2) == 2);
    check_found("2,048 are looked at", marked(holds_too_many, 2100) == 2048, "%d", marked(holds_too_many, 2100));
    check("a ring has an end", marked(holds_a_ring, 3) == 3);
    check("a bad entry ends the list", marked(has_a_bad_entry, 3) == 2);
    check("a bad head is none", marked(has_a_bad_head, 3) == 0);
    check("an odd place is none", marked(has_an_odd_offset, 3) == 0);
    check("a list can be taken back", marked(forgets, 3) == 0);

    memset(all->nodes, 0, sizeof all->nodes);
    all->step = 0;
    pid_t pid = start(has_released);
    while (all->step != 2)
        usleep(1000);
    struct timespec limit = {.tv_sec = 20};
    check("what was released and not told of wakes who waits",
          syscall(SYS_futex, &all->nodes[1].word, FUTEX_WAIT, 0, &limit, 0, 0) == 0);
    check("a child has no list at first", status_of(pid) == 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 0;
    self = argv[0];
    begin_checks();
    all = mmap(0, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mutexes();
    lists();
    return end_checks();
}
