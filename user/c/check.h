/*
 * check.h - what the check programs share: one line a check, a closing line, an exit status.
 *
 *     test NAME ... ok
 *     test NAME ... FAILED
 *         what was found
 *     N passed, N failed
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static int passed, failed;

/* Every program of checks begins with this: lines are seen even when the program dies. */
static inline void begin_checks(void) { setvbuf(stdout, 0, _IOLBF, 1024); }

/* One check; the format says what was found when `good` is 0. */
static inline void check_found(const char *name, int good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void check_found(const char *name, int good, const char *format, ...)
{
    va_list found;
    printf("test %s ... %s", name, good ? "ok\n" : "FAILED\n    ");
    if (good) {
        passed++;
        return;
    }
    failed++;
    va_start(found, format);
    vprintf(format, found);
    va_end(found);
    printf("\n");
}

/* One check of a condition. */
#define check(name, condition) check_found(name, !!(condition), "not so: %s", #condition)

/* One check of a call that must fail with `want`; `result` is what it returned as C calls do. */
static inline void check_errno(const char *name, long result, int want)
{
    int got = result == -1 ? errno : 0;
    check_found(name, result == -1 && got == want, "returned %ld, %s; wanted %s", result, strerrorname_np(got),
                strerrorname_np(want));
}

/* What a child came to: its wait status, or -1. */
static inline int status_of(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* What a child exited with; -1 where it did not. */
static inline int exit_of(pid_t pid)
{
    int status = status_of(pid);
    return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs `program` with one or two arguments as a child without fork; its wait status, or -1. */
static inline int run_child(const char *program, const char *first, const char *second)
{
    char *argv[] = {(char *)program, (char *)first, (char *)second, 0};
    pid_t pid;
    return posix_spawn(&pid, program, 0, 0, argv, environ) == 0 ? status_of(pid) : -1;
}

/* One check that the child described by `status` died of `signal`. */
static inline void check_died(const char *name, int status, int signal)
{
    check_found(name, status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == signal,
                "wait status 0x%x, wanted signal %d", (unsigned)status, signal);
}

/* The closing line, and the exit status for main. */
static inline int end_checks(void)
{
    printf("%d passed, %d failed\n", passed, failed);
    tcdrain(1); /* Linux drops what is still on its way when the leader of a session ends */
    return failed != 0;
}

#endif
