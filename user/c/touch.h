/*
 * touch.h - touches of memory that may not be there: what the signal said, and the way back from it.
 *
 * `leap` is the handler, for sigaction with SA_SIGINFO; what may be stopped stands behind `sigsetjmp(back, 1)`.
 */
#ifndef TOUCH_H
#define TOUCH_H

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;
static volatile siginfo_t seen;

static inline void leap(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    seen = *info;
    siglongjmp(back, 1);
}

/* What the last touch came to: 0, or si_code of the signal, negative for SIGSEGV. */
static inline int touched(void) { return seen.si_signo == SIGSEGV ? -seen.si_code : seen.si_code; }

static inline int load(volatile char *at)
{
    seen.si_signo = seen.si_code = 0;
    if (sigsetjmp(back, 1) == 0)
        (void)*at;
    return touched();
}

static inline int store(volatile char *at, char byte)
{
    seen.si_signo = seen.si_code = 0;
    if (sigsetjmp(back, 1) == 0)
        *at = byte;
    return touched();
}

/* Whether all of the bytes at `at` are `byte`. */
static inline int all(const volatile char *at, long len, char byte)
{
    for (long n = 0; n < len; n++)
        if (at[n] != byte)
            return 0;
    return 1;
}

#endif
