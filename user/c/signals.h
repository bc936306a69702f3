/*
 * signals.h - what the programs about signals share: a handler that notes what it saw, sets and masks, senders.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "check.h"

/* --- What a handler saw ------------------------------------------------------------------------------------------- */

static __attribute__((unused)) volatile int calls, depth, deepest, order[8];
static __attribute__((unused)) volatile siginfo_t seen;
static __attribute__((unused)) volatile uintptr_t seen_sp, seen_fault, seen_esr, seen_return;
static __attribute__((unused)) sigset_t seen_mask;
static __attribute__((unused)) sigjmp_buf back;

static inline void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, 0);
    calls = depth = deepest = 0;
}

static inline void note(int signal, siginfo_t *info, void *context)
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

static inline void skip(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    ((ucontext_t *)context)->uc_mcontext.pc += 4;
}

static inline void leap(int signal, siginfo_t *info, void *context)
{
    note(signal, info, context);
    siglongjmp(back, 1);
}

static inline sigset_t only(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

static inline int blocked(int signal)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    return sigismember(&now, signal);
}

static inline int waits(int signal)
{
    sigset_t now;
    sigpending(&now);
    return sigismember(&now, signal);
}

/* The wait status of a child that does `act`. */
static inline int child_of(void (*act)(void))
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

static inline void *send_later(void *signal)
{
    usleep(20000);
    kill(getpid(), (int)(intptr_t)signal);
    return 0;
}

/* A thread of the process sends it `signal` soon; it blocks all signals itself. */
static inline pthread_t later(int signal)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_create(&thread, 0, send_later, (void *)(intptr_t)signal);
    pthread_sigmask(SIG_SETMASK, &before, 0);
    return thread;
}

#endif
