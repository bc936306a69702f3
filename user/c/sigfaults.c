/*
 * sigfaults: faults as signals, the stacks that their handlers run on, and how programs die, one check each.
 *
 * Everything here is true on Linux as well. What ends a program is done in a child.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "signals.h"

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

static volatile uintptr_t outer_sp;

static void inner_on_alternate(int signal, siginfo_t *info, void *context) { note(signal, info, context); }

static void outer_on_alternate(int signal, siginfo_t *info, void *context)
{
    stack_t now;
    note(signal, info, context);
    outer_sp = seen_sp;
    raise(SIGUSR2);
    sigaltstack(0, &now);
    inner_flags = now.ss_flags;
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
    stack.ss_flags = 0;
    sigaltstack(&stack, 0);
    install(SIGUSR2, inner_on_alternate, SA_ONSTACK);
    install(SIGUSR1, outer_on_alternate, SA_ONSTACK);
    raise(SIGUSR1);
    check("a handler within a handler goes on below it", calls == 2 && outer_sp > (uintptr_t)alternate && seen_sp < outer_sp &&
                                                             seen_sp > (uintptr_t)alternate);
    check("and the outer one is told it is still there", inner_flags == SS_ONSTACK);
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
    uintptr_t here;
    install(SIGILL, skip, 0);
    __asm__ volatile("adr %0, 1f\n1: udf #0" : "=r"(here));
    check("no instruction", calls == 1 && seen.si_code == ILL_ILLOPC && (uintptr_t)seen.si_addr == here);
    __asm__ volatile("adr %0, 1f\n1: msr ttbr0_el1, xzr" : "=r"(here));
    check("one of the kernel's", calls == 2 && seen.si_signo == SIGILL && (uintptr_t)seen.si_addr == here);
    install(SIGTRAP, skip, 0);
    __asm__ volatile("adr %0, 1f\n1: brk #0" : "=r"(here));
    check("a breakpoint", calls == 1 && seen.si_code == TRAP_BRKPT && (uintptr_t)seen.si_addr == here);

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

/*
 * Arithmetic never ends a program here: a quotient by 0 is 0, and few CPUs have traps of floating point (they are off, and
 * where they cannot be on the bit stays 0). SIGFPE comes from other programs alone.
 */
static void arithmetic(void)
{
    uint64_t quotient, control;
    install(SIGFPE, note, 0);
    __asm__ volatile("udiv %0, %1, xzr" : "=r"(quotient) : "r"(7ul));
    volatile double zero = 0, infinite = 1 / zero;
    __asm__ volatile("msr fpcr, %1\n mrs %0, fpcr\n msr fpcr, xzr" : "=r"(control) : "r"(1ul << 8));
    check("a division by 0 is no fault", quotient == 0 && infinite > 1e300 && calls == 0);
    check_found("and cannot be made one", control == 0 || control == 1ul << 8, "fpcr %lx", control);
    raise(SIGFPE);
    check("SIGFPE is sent like any other", calls == 1 && seen.si_signo == SIGFPE && seen.si_code == SI_TKILL);
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

int main(void)
{
    begin_checks();
    on_stacks();
    faults();
    arithmetic();
    ends();
    return end_checks();
}
