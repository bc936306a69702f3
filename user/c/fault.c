/*
 * fault          does everything no program may do, each in a child, and checks what the child died of.
 * fault HOW      does one of these itself, and complains when it lives on.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void store(uintptr_t address) { *(volatile char *)address = 1; }
static void jump(uintptr_t address) { ((void (*)(void))address)(); }

static void read_null(void) { (void)*(volatile char *)(uintptr_t)(getpid() * 0); }
static void write_null(void) { store(0); }
static void write_text(void) { store((uintptr_t)write_null); }
static void write_kernel(void) { store(0xffff000040200000); }
static void write_no_canonical(void) { store(0x00f0000000000000); }
static void call_null(void) { jump(0); }
static void call_misaligned(void) { jump((uintptr_t)write_null + 2); }
static void call_kernel(void) { jump(0xffff800080000000); }

static void call_stack(void)
{
    uint32_t ret = 0xd65f03c0;
    jump((uintptr_t)&ret);
}

static void call_data(void)
{
    uint32_t *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = 0xd65f03c0;
    __builtin___clear_cache((char *)page, (char *)page + 4);
    jump((uintptr_t)page);
}

static void undefined(void) { __asm__ volatile("udf #0"); }
static void breakpoint(void) { __asm__ volatile("brk #0"); }
static void privileged(void) { __asm__ volatile("msr daifclr, #2; mrs x0, sctlr_el1" : : : "x0"); }
static void hypervisor_call(void) { __asm__ volatile("hvc #0"); }
static void misaligned_exclusive(void)
{
    __asm__ volatile("ldaxr x0, [%0]" : : "r"((char *)__builtin_frame_address(0) + 1) : "x0");
}

static __attribute__((noinline)) long recurse(long depth)
{
    volatile char frame[4096];
    frame[0] = (char)depth;
    return depth == 0 ? frame[0] : recurse(depth - 1) + frame[0];
}
static void overflow_stack(void) { exit((int)recurse(1 << 20)); } /* 4 GiB of frames: more than any limit */

static const struct {
    const char *how;
    void (*act)(void);
    int signal;
} acts[] = {
    {"read-null", read_null, SIGSEGV},
    {"write-null", write_null, SIGSEGV},
    {"write-text", write_text, SIGSEGV},
    {"write-kernel", write_kernel, SIGSEGV},
    {"write-no-canonical", write_no_canonical, SIGSEGV},
    {"call-null", call_null, SIGSEGV},
    {"call-misaligned", call_misaligned, SIGBUS},
    {"call-kernel", call_kernel, SIGSEGV},
    {"call-stack", call_stack, SIGSEGV},
    {"call-data", call_data, SIGSEGV},
    {"undefined", undefined, SIGILL},
    {"privileged", privileged, SIGILL},
    {"hvc", hypervisor_call, SIGILL},
    {"breakpoint", breakpoint, SIGTRAP},
    {"misaligned-exclusive", misaligned_exclusive, SIGBUS},
    {"overflow-stack", overflow_stack, SIGSEGV},
};

#include "check.h"

/* Does one thing, and should not come back. */
static int act(const char *how)
{
    for (unsigned i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].how, how) == 0) {
            acts[i].act();
            fprintf(stderr, "fault: %s: lived on\n", how);
            return 1;
        }
    fprintf(stderr, "fault: %s: unknown\n", how);
    return 2;
}

/* Does each in a child of its own and checks what it died of. */
int main(int argc, char **argv)
{
    if (argc > 1)
        return act(argv[1]);
    begin_checks();
    for (unsigned i = 0; i < sizeof acts / sizeof *acts; i++)
        check_died(acts[i].how, run_child(argv[0], acts[i].how, 0), acts[i].signal);
    return end_checks();
}
