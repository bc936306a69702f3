/*
 * signals: handlers, masks, what they save and restore, threads and execve, one check each.
 *
 * Everything here is true on Linux as well. What waits for signals is in sigwaits.c, what faults in sigfaults.c.
 */
#include "signals.h"

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
    static char alternate[64 << 10];
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
    threads();
    int status = child_of(exec_self);
    check_found("a new program has no handlers, but the mask and what waits", WIFEXITED(status) && WEXITSTATUS(status) == 42,
                "status 0x%x", (unsigned)status);
    return end_checks();
}
