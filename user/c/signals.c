/*
 * signals: handlers, masks, waiting signals, alternate stacks, interrupted calls and faults, one check each.
 *
 * Everything here is true on Linux as well. What ends a program is done in a child.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "check.h"

/* --- What a handler saw ------------------------------------------------------------------------------------------- */

static volatile int calls, depth, deepest, order[8];
static volatile siginfo_t seen;
static volatile uintptr_t seen_sp, seen_fault, seen_esr, seen_return;
static sigset_t seen_mask;
static sigjmp_buf back;

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, 0);
    calls = depth = deepest = 0;
}

static void note(int signal, siginfo_t *info, void *context)
{
    ucontext_t *saved = context;
    struct _aarch64_ctx *record = (void *)saved->uc_mcontext.__reserved;
    if (calls < 8)
        order[calls] = signal;
    calls++;
    seen = *info;
    seen_sp = (uintptr_t)__builtin_frame_address(0);
    seen_return = (uintptr_t)__builtin_return_address(0);
    seen_fault = saved->uc_mcontext.fault_address;
    seen_esr = 0;
    for (; record->magic; record = (void *)((char *)record + record->size))
        if (record->magic == ESR_MAGIC)
            seen_esr = ((struct esr_context *)record)->esr;
    sigprocmask(SIG_BLOCK, 0, &seen_mask);
}

static void skip(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    ((ucontext_t *)context)->uc_mcontext.pc += 4;
}

static void leap(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    siglongjmp(back, 1);
}

static sigset_t only(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

static int blocked(int signal)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    return sigismember(&now, signal);
}

static int waits(int signal)
{
    sigset_t now;
    sigpending(&now);
    return sigismember(&now, signal);
}

/* The wait status of a child that does `act`. */
static int child_of(void (*act)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        act();
        _exit(77);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

/* --- Handlers ----------------------------------------------------------------------------------------------------- */

static void nested(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    calls++;
    if (++depth > deepest)
        deepest = depth;
    if (calls < 3)
        raise(signal);
    depth--;
}

static void plain(int signal) { order[0] = signal; calls++; }

static void handlers(void)
{
    install(SIGUSR1, note, 0);
    raise(SIGUSR1);
    check("a handler is called", calls == 1 && seen.si_signo == SIGUSR1);
    check("and told who sent the signal to the thread", seen.si_code == SI_TKILL && seen.si_pid == getpid());
    kill(getpid(), SIGUSR1);
    check("and who sent it to the process", calls == 2 && seen.si_code == SI_USER && seen.si_pid == getpid());
    const uint32_t *code = (const uint32_t *)seen_return;
    check("it returns to mov x8, #139; svc #0", code[0] == 0xd2801168 && code[1] == 0xd4000001);
    check("the signal is blocked meanwhile", sigismember(&seen_mask, SIGUSR1) && !blocked(SIGUSR1));

    signal(SIGUSR1, plain);
    calls = 0;
    raise(SIGUSR1);
    check("a handler without SA_SIGINFO gets its number", calls == 1 && order[0] == SIGUSR1);

    install(SIGUSR1, nested, 0);
    raise(SIGUSR1);
    check("a signal waits while its handler runs", calls == 3 && deepest == 1);
    install(SIGUSR1, nested, SA_NODEFER);
    raise(SIGUSR1);
    check("but not with SA_NODEFER", calls == 3 && deepest == 3);

    install(SIGUSR1, note, SA_RESETHAND);
    struct sigaction now;
    raise(SIGUSR1);
    sigaction(SIGUSR1, 0, &now);
    check("SA_RESETHAND calls once", calls == 1 && now.sa_handler == SIG_DFL);

    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO, .sa_mask = only(SIGUSR2)};
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    check("sa_mask is blocked in the handler", sigismember(&seen_mask, SIGUSR2) && !blocked(SIGUSR2));
    sigaction(SIGUSR1, 0, &now);
    check("sigaction tells what is set", now.sa_sigaction == note && (now.sa_flags & SA_SIGINFO) &&
                                             sigismember(&now.sa_mask, SIGUSR2) && !sigismember(&now.sa_mask, SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    calls = 0;
    raise(SIGUSR1);
    check("an ignored signal is gone", calls == 0);
    signal(SIGUSR1, SIG_DFL);
    raise(SIGCHLD);
    raise(SIGURG);
    check("some signals are ignored unless handled", 1);
}

static void refusals(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    check_errno("SIGKILL cannot be handled", sigaction(SIGKILL, &action, 0), EINVAL);
    check_errno("nor SIGSTOP", sigaction(SIGSTOP, &action, 0), EINVAL);
    check_errno("there is no signal 65", syscall(SYS_rt_sigaction, 65, 0, 0, 8), EINVAL);
    check_errno("nor 0", syscall(SYS_rt_sigaction, 0, 0, 0, 8), EINVAL);
    check_errno("a set of 16 bytes", syscall(SYS_rt_sigaction, SIGUSR1, 0, 0, 16), EINVAL);
    check_errno("a bad pointer", syscall(SYS_rt_sigaction, SIGUSR1, 8, 0, 8), EFAULT);
    check_errno("a bad how", syscall(SYS_rt_sigprocmask, 9, &action, 0, 8), EINVAL);
    check("SIGKILL is never blocked", sigprocmask(SIG_BLOCK, &(sigset_t){{~0ul}}, 0) == 0 && !blocked(SIGKILL) &&
                                          !blocked(SIGSTOP) && blocked(SIGUSR1));
    sigprocmask(SIG_SETMASK, &(sigset_t){{0}}, 0);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
    check_errno("nobody claims to be kill", syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
    check_errno("nor tgkill", syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), SIGUSR1, &info), EPERM);
}

/* --- Registers ---------------------------------------------------------------------------------------------------- */

static void scramble(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    __asm__ volatile("movi v0.16b, #1\n movi v8.16b, #2\n movi v31.16b, #3\n mov x9, #9\n mov x15, #15\n mov x19, x19\n"
                     "msr fpcr, %0\n msr fpsr, %0\n cmp xzr, xzr"
                     : : "r"(0ul) : "v0", "v8", "v31", "x9", "x15", "cc");
}

static void registers(void)
{
    uint64_t fpcr, fpsr, flags, x9, x15, v[6] = {0};
    install(SIGUSR1, scramble, 0);
    long pid = getpid(), tid = syscall(SYS_gettid);
    register long x8 __asm__("x8") = SYS_tgkill;
    register long x0 __asm__("x0") = pid;
    register long x1 __asm__("x1") = tid;
    register long x2 __asm__("x2") = SIGUSR1;
    uint64_t *to = v;
    __asm__ volatile("mov x9, #0x1234\n mov x15, #0x5678\n fmov d0, x9\n fmov v0.d[1], x15\n fmov d8, x15\n"
                     "fmov v8.d[1], x9\n fmov d31, x9\n fmov v31.d[1], x15\n"
                     "mov x10, #0x00c00000\n msr fpcr, x10\n mov x10, #0x10\n msr fpsr, x10\n"
                     "mov x10, #0\n cmp x10, #1\n" /* negative, no carry */
                     "svc #0\n"
                     "mrs %[flags], nzcv\n mov %[x9], x9\n mov %[x15], x15\n mrs %[fpcr], fpcr\n mrs %[fpsr], fpsr\n"
                     "msr fpcr, xzr\n"
                     "st1 {v0.2d}, [%[to]], #16\n st1 {v8.2d}, [%[to]], #16\n st1 {v31.2d}, [%[to]]\n"
                     : [flags] "=&r"(flags), [x9] "=&r"(x9), [x15] "=&r"(x15), [fpcr] "=&r"(fpcr),
                       [fpsr] "=&r"(fpsr), "+r"(x0), [to] "+&r"(to)
                     : "r"(x8), "r"(x1), "r"(x2)
                     : "x9", "x10", "x15", "v0", "v8", "v31", "cc", "memory");
    check("the call that sent it succeeded", x0 == 0 && calls == 1);
    check_found("registers are as before", x9 == 0x1234 && x15 == 0x5678, "x9 %lx x15 %lx", x9, x15);
    check_found("flags too", flags >> 28 == 8, "nzcv %lx", flags);
    check_found("and vector registers", v[0] == 0x1234 && v[1] == 0x5678 && v[2] == 0x5678 && v[3] == 0x1234 &&
                                            v[4] == 0x1234 && v[5] == 0x5678, "v0 %lx:%lx", v[1], v[0]);
    check_found("with their control and status", fpcr == 0x00c00000 && fpsr == 0x10, "%lx %lx", fpcr, fpsr);
}

static void set_x21(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    ((ucontext_t *)context)->uc_mcontext.regs[0] = 4711;
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

static void changed_context(void)
{
    install(SIGUSR1, set_x21, 0);
    long answer = syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    check_found("what a handler writes to its context holds", answer == 4711, "%ld", answer);
    check("also the mask", blocked(SIGUSR2));
    sigprocmask(SIG_SETMASK, &(sigset_t){{0}}, 0);
}

/* --- Waiting signals ---------------------------------------------------------------------------------------------- */

static void masks(void)
{
    sigset_t usr1 = only(SIGUSR1);
    install(SIGUSR1, note, 0);
    sigprocmask(SIG_BLOCK, &usr1, 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    check("a blocked signal waits", calls == 0 && waits(SIGUSR1) && !waits(SIGUSR2));
    sigprocmask(SIG_UNBLOCK, &usr1, 0);
    check("and comes once", calls == 1 && !waits(SIGUSR1));

    int real = SIGRTMIN + 1;
    sigset_t set = only(real);
    install(real, note, 0);
    sigprocmask(SIG_BLOCK, &set, 0);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), real, (union sigval){.sival_int = 40 + i});
    siginfo_t info;
    check("real-time signals queue in order", sigwaitinfo(&set, &info) == real && info.si_value.sival_int == 40 &&
                                                  info.si_code == SI_QUEUE && info.si_pid == getpid() &&
                                                  sigwaitinfo(&set, &info) == real && info.si_value.sival_int == 41);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    check("the last goes to the handler", calls == 1 && seen.si_value.sival_int == 42);

    sigset_t both = usr1;
    sigaddset(&both, real);
    sigaddset(&both, SIGUSR2);
    install(SIGUSR2, note, 0);
    install(SIGUSR1, note, 0);
    sigprocmask(SIG_BLOCK, &both, 0);
    raise(real);
    raise(SIGUSR2);
    raise(SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &both, 0);
    check("lower numbers are taken first, so their handlers return last",
          calls == 3 && order[0] == real && order[1] == SIGUSR2 && order[2] == SIGUSR1);

    sigprocmask(SIG_BLOCK, &usr1, 0);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    check("to ignore a signal drops it", !waits(SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &usr1, 0);
}

static void *send_later(void *signal)
{
    usleep(20000);
    kill(getpid(), (int)(intptr_t)signal);
    return 0;
}

/* A thread of the process sends it `signal` soon; it blocks all signals itself. */
static pthread_t later(int signal)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_create(&thread, 0, send_later, (void *)(intptr_t)signal);
    pthread_sigmask(SIG_SETMASK, &before, 0);
    return thread;
}

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

/* --- The alternate stack ------------------------------------------------------------------------------------------ */

static char alternate[64 << 10] __attribute__((aligned(16)));
static volatile int inner_errno, inner_flags;

static void on_alternate(int signal, siginfo_t *info, void *context)
{
    stack_t now, other = {.ss_flags = SS_DISABLE};
    note(signal, info, context);
    sigaltstack(0, &now);
    inner_flags = now.ss_flags;
    inner_errno = sigaltstack(&other, 0) == -1 ? errno : 0;
}

static __attribute__((noinline)) long recurse(long n)
{
    volatile char frame[4096];
    frame[0] = (char)n;
    return n == 0 ? frame[0] : recurse(n - 1) + frame[0];
}

static void on_stacks(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, now;
    check("there is none at first", sigaltstack(0, &now) == 0 && now.ss_flags == SS_DISABLE);
    check_errno("a small stack", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 1000}, 0), ENOMEM);
    check_errno("flags nobody knows", sigaltstack(&(stack_t){.ss_flags = 64, .ss_size = 1 << 16}, 0), EINVAL);
    check("sigaltstack", sigaltstack(&stack, 0) == 0 && sigaltstack(0, &now) == 0 && now.ss_sp == alternate &&
                             now.ss_size == sizeof alternate && now.ss_flags == 0);
    install(SIGUSR1, on_alternate, SA_ONSTACK);
    raise(SIGUSR1);
    check("SA_ONSTACK", seen_sp > (uintptr_t)alternate && seen_sp < (uintptr_t)alternate + sizeof alternate);
    check("there it says so and cannot be changed", inner_flags == SS_ONSTACK && inner_errno == EPERM);
    install(SIGUSR1, on_alternate, 0);
    raise(SIGUSR1);
    check("only when asked", seen_sp < (uintptr_t)alternate || seen_sp >= (uintptr_t)alternate + sizeof alternate);
    sigaltstack(&stack, 0);
    install(SIGSEGV, leap, SA_ONSTACK);
    if (sigsetjmp(back, 1) == 0)
        recurse(1 << 20);
    check("a stack that overflows is SIGSEGV on the other", calls == 1 && seen.si_signo == SIGSEGV);
    stack.ss_flags = 1 << 31; /* SS_AUTODISARM */
    install(SIGUSR1, on_alternate, SA_ONSTACK);
    check("SS_AUTODISARM", sigaltstack(&stack, 0) == 0 && raise(SIGUSR1) == 0 && inner_flags == SS_DISABLE &&
                               inner_errno == 0 && sigaltstack(0, &now) == 0 && now.ss_sp == alternate);
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, 0);
}

/* --- Faults ------------------------------------------------------------------------------------------------------- */

static char *page;

static void allow(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void faults(void)
{
    page = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    install(SIGSEGV, allow, 0);
    *(volatile char *)(page + 5) = 7;
    check("a handler can make a store succeed", calls == 1 && page[5] == 7);
    check("it was SEGV_ACCERR there", seen.si_code == SEGV_ACCERR && seen.si_addr == page + 5);
    check("and the context says so", seen_fault == (uintptr_t)page + 5 && seen_esr >> 26 == 0x24 && (seen_esr >> 6 & 1));
    install(SIGSEGV, skip, 0);
    __asm__ volatile("ldr xzr, [%0]" : : "r"(page + 4096) : "memory");
    check("or pass over a load: SEGV_MAPERR", calls == 1 && seen.si_code == SEGV_MAPERR && seen.si_addr == page + 4096 &&
                                                  seen_esr >> 26 == 0x24 && !(seen_esr >> 6 & 1));
    __asm__ volatile("ldr xzr, [%0]" : : "r"((uintptr_t)(page + 4096) | 5ul << 56) : "memory");
    check("the address has no tag", calls == 2 && seen.si_addr == page + 4096);
    install(SIGSEGV, leap, 0);
    if (sigsetjmp(back, 1) == 0)
        ((void (*)(void))page)();
    check("a jump to data", calls == 1 && seen.si_code == SEGV_ACCERR && seen.si_addr == page && !blocked(SIGSEGV));
    if (sigsetjmp(back, 1) == 0)
        *(volatile char *)0xffff000040200000 = 1;
    check("the kernel's half", calls == 2 && seen.si_signo == SIGSEGV);
    install(SIGBUS, leap, 0);
    if (sigsetjmp(back, 1) == 0)
        ((void (*)(void))((uintptr_t)faults + 2))();
    check("a misaligned jump", calls == 1 && seen.si_code == BUS_ADRALN);
    install(SIGILL, skip, 0);
    __asm__ volatile("udf #0");
    check("no instruction", calls == 1 && seen.si_code == ILL_ILLOPC);
    install(SIGTRAP, skip, 0);
    __asm__ volatile("brk #0");
    check("a breakpoint", calls == 1 && seen.si_code == TRAP_BRKPT);

    char name[] = "/tmp/signals.XXXXXX";
    static int fd;
    fd = mkstemp(name);
    if (fd < 0 || write(fd, "x", 1) != 1)
        fd = -1;
    static char *shown;
    shown = mmap(0, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    unlink(name);
    install(SIGBUS, leap, 0);
    if (sigsetjmp(back, 1) == 0)
        (void)*(volatile char *)(shown + 4096);
    check("behind the end of a file", calls == 1 && seen.si_code == BUS_ADRERR && seen.si_addr == shown + 4096);
    close(fd);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
}

/* --- Ends --------------------------------------------------------------------------------------------------------- */

static volatile uintptr_t nowhere = 8;
static void fault_now(void) { *(volatile char *)nowhere = 1; }
static void blocked_fault(void)
{
    sigset_t set = only(SIGSEGV);
    install(SIGSEGV, skip, 0);
    sigprocmask(SIG_BLOCK, &set, 0);
    fault_now();
}
static void ignored_fault(void) { signal(SIGSEGV, SIG_IGN); fault_now(); }
static void in_handler(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context; fault_now(); }
static void fault_in_handler(void) { install(SIGSEGV, in_handler, 0); fault_now(); }

static void bad_mode(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    ((ucontext_t *)context)->uc_mcontext.pstate |= 5;
}
static void bad_state(void) { install(SIGUSR1, bad_mode, 0); raise(SIGUSR1); }

static void no_vectors(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    *(uint32_t *)((ucontext_t *)context)->uc_mcontext.__reserved = 0x12345678;
}
static void bad_record(void) { install(SIGUSR1, no_vectors, 0); raise(SIGUSR1); }

static void no_frame(void)
{
    __asm__ volatile("mov x9, sp\n add sp, x9, #8\n mov x8, #139\n svc #0\n mov sp, x9" : : : "x8", "x9", "memory");
}

static void no_stack(void)
{
    install(SIGUSR1, note, 0);
    long pid = getpid(), tid = syscall(SYS_gettid);
    register long x8 __asm__("x8") = SYS_tgkill;
    register long x0 __asm__("x0") = pid;
    register long x1 __asm__("x1") = tid;
    register long x2 __asm__("x2") = SIGUSR1;
    __asm__ volatile("mov x9, sp\n mov x10, #0x1000\n mov sp, x10\n svc #0\n mov sp, x9"
                     : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "x9", "x10", "memory");
}
static void terminate(void) { kill(getpid(), SIGTERM); }
static void kill_all(void) { install(SIGTERM, note, 0); kill(getpid(), SIGKILL); }

static void *spins(void *unused)
{
    for (;;)
        usleep(1000);
    return unused;
}
static void end_by_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, spins, 0);
    pthread_kill(thread, SIGTERM);
    spins(0);
}

static void ends(void)
{
    check_died("a fault with SIGSEGV blocked", child_of(blocked_fault), SIGSEGV);
    check_died("a fault with SIGSEGV ignored", child_of(ignored_fault), SIGSEGV);
    check_died("a fault in its handler", child_of(fault_in_handler), SIGSEGV);
    check_died("a return to the kernel's mode", child_of(bad_state), SIGSEGV);
    check_died("a frame with a record nobody knows", child_of(bad_record), SIGSEGV);
    check_died("a return without a frame", child_of(no_frame), SIGSEGV);
    check_died("a handler without a stack", child_of(no_stack), SIGSEGV);
    check_died("SIGTERM", child_of(terminate), SIGTERM);
    check_died("SIGKILL", child_of(kill_all), SIGKILL);
    check_died("a signal to one thread ends all", child_of(end_by_thread), SIGTERM);
}

/* --- Threads ------------------------------------------------------------------------------------------------------ */

static volatile pthread_t taken_by;

static void whose(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    taken_by = pthread_self();
}

static void *waits_for_it(void *unused)
{
    while (!calls)
        usleep(1000);
    return unused;
}

static void *blocks_usr1(void *unused)
{
    sigset_t usr1 = only(SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, 0);
    return waits_for_it(unused);
}

static void threads(void)
{
    pthread_t thread;
    sigset_t usr1 = only(SIGUSR1);
    install(SIGUSR1, whose, 0);
    pthread_create(&thread, 0, waits_for_it, 0);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, 0);
    check("a signal to a thread is taken by it", calls == 1 && pthread_equal(taken_by, thread));

    install(SIGUSR1, whose, 0);
    pthread_create(&thread, 0, waits_for_it, 0);
    pthread_sigmask(SIG_BLOCK, &usr1, 0);
    kill(getpid(), SIGUSR1);
    pthread_join(thread, 0);
    check("a signal to the process by who does not block it", calls == 1 && pthread_equal(taken_by, thread));

    install(SIGUSR1, whose, 0);
    pthread_create(&thread, 0, blocks_usr1, 0);
    kill(getpid(), SIGUSR1);
    usleep(20000);
    check("or waits where all do", calls == 0 && waits(SIGUSR1));
    pthread_sigmask(SIG_UNBLOCK, &usr1, 0);
    pthread_join(thread, 0);
    check("until one unblocks it", calls == 1 && pthread_equal(taken_by, pthread_self()));
    signal(SIGUSR1, SIG_DFL);
}

/* --- execve ------------------------------------------------------------------------------------------------------- */

static int after_exec(void)
{
    struct sigaction usr1, usr2;
    sigaction(SIGUSR1, 0, &usr1);
    sigaction(SIGUSR2, 0, &usr2);
    stack_t stack;
    sigaltstack(0, &stack);
    return usr1.sa_handler == SIG_DFL && usr2.sa_handler == SIG_IGN && blocked(SIGTERM) && waits(SIGTERM) &&
                   stack.ss_flags == SS_DISABLE
               ? 42
               : 1;
}

static char *self;

static void exec_self(void)
{
    sigset_t term = only(SIGTERM);
    install(SIGUSR1, note, 0);
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_BLOCK, &term, 0);
    raise(SIGTERM);
    sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof alternate}, 0);
    execl(self, self, "-exec", (char *)0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return after_exec();
    self = argv[0];
    begin_checks();
    handlers();
    refusals();
    registers();
    changed_context();
    masks();
    waiting();
    interrupted();
    on_stacks();
    faults();
    ends();
    threads();
    int status = child_of(exec_self);
    check_found("a new program has no handlers, but the mask and what waits", WIFEXITED(status) && WEXITSTATUS(status) == 42,
                "status 0x%x", (unsigned)status);
    return end_checks();
}
