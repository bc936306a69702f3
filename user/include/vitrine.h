/*
 * vitrine.h - the calls Vitrine adds to Linux's, for C and C++.
 *
 * Each is one system call and behaves as C calls do: -1 (or MAP_FAILED) and errno on an error. Under a kernel that has
 * no such call errno is ENOSYS, so that a portable program can fall back to mmap or pwrite. Nothing but the C library
 * of Linux/aarch64 is needed; there is no library to link.
 *
 *     #include <vitrine.h>
 *
 *     int fd = open("/data/forty-two", O_RDONLY);
 *     const char *text = peek(fd, 0, 4096);
 *     if (text == MAP_FAILED) ...
 *     printf("%s", text);
 *     unpeek(text);
 */
#ifndef VITRINE_H
#define VITRINE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h> /* MAP_FAILED */
#include <sys/types.h>

#ifndef __aarch64__
#error "vitrine.h: Vitrine runs programs for aarch64 only"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* System call numbers, above every number of Linux. */
#define VITRINE_NR_peek 1024
#define VITRINE_NR_unpeek 1025
#define VITRINE_NR_patch 1026
#define VITRINE_NR_pmem_buffer 1027

/* One system call: the result, or -1 with errno set. */
static inline long vitrine_syscall(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    register uint64_t x8 __asm__("x8") = (uint64_t)number;
    register uint64_t x0 __asm__("x0") = a;
    register uint64_t x1 __asm__("x1") = b;
    register uint64_t x2 __asm__("x2") = c;
    register uint64_t x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    if (x0 > (uint64_t)-4096) {
        errno = (int)-(int64_t)x0;
        return -1;
    }
    return (long)x0;
}

/*
 * Looks at `len` bytes of the file behind `fd` from `offset`: returns a pointer to the file's own pages, mapped
 * read-only, without copying them.
 *
 *   - The pointer has the same offset in its page as `offset`; the other bytes of the same pages can be read as well.
 *   - The bytes are those of one instant. Later writes, truncation, removal of the file or closing `fd` do not change
 *     them; they stay until unpeek, munmap, execve or exit.
 *   - Holes read as zeros, and so do the bytes behind the end of file in its last page; a page wholly behind it is
 *     SIGBUS, also when the file grows later.
 *   - A store through the pointer is SIGSEGV; mprotect to write or execute is EACCES; a system call told to write there
 *     is EFAULT.
 *
 * MAP_FAILED with errno, the first of these that applies, and nothing is mapped:
 *   EBADF   fd is not open for reading
 *   ENODEV  not a regular file in persistent memory
 *   EINVAL  len is 0, or offset or len is negative, or their sum overflows
 *   ENXIO   offset is at or behind the end of file
 *   EIO     a bad block in the range
 *   ENOMEM  address space, number of mappings or pinned bytes are used up
 */
static inline void *peek(int fd, off_t offset, size_t len)
{
    return (void *)vitrine_syscall(VITRINE_NR_peek, (uint64_t)(int64_t)fd, (uint64_t)offset, (uint64_t)len, 0);
}

/*
 * Ends the peek that returned `p`: exactly that pointer, and only while its page still belongs to that peek. All of the
 * peek that is still in its first place goes.
 *
 * -1 with errno EINVAL for anything else, a second time included.
 */
static inline int unpeek(const void *p) { return (int)vitrine_syscall(VITRINE_NR_unpeek, (uint64_t)p, 0, 0, 0); }

/*
 * Replaces `len` bytes of the file behind `fd` at `offset` by those at `buf`, all or nothing, for readers and across a
 * power cut. Pages of a pmem_buffer that agree with `offset` modulo 4096 are moved into the file, not copied; a moved
 * page reads as before through `buf`, and a store to it is SIGSEGV. The file is extended as pwrite would.
 *
 * Returns len; or -1 with errno, the first of these that applies, and nothing has changed:
 *   EBADF   fd is not open for writing
 *   ENODEV  not a regular file in persistent memory
 *   EINVAL  offset or len is negative, their sum overflows, or fd is open with O_APPEND
 *   EFAULT  any byte of buf cannot be read
 *   EFBIG, EIO, ENOSPC, ENOMEM
 */
static inline ssize_t patch(int fd, const void *buf, size_t len, off_t offset)
{
    return vitrine_syscall(VITRINE_NR_patch, (uint64_t)(int64_t)fd, (uint64_t)buf, (uint64_t)len, (uint64_t)offset);
}

/*
 * Memory whose pages patch can move: `len` bytes of zeroed persistent memory, allocated now, ended by munmap.
 *
 * MAP_FAILED with errno ENOSPC, ENOMEM, or EINVAL for a length of 0 or one that overflows.
 */
static inline void *pmem_buffer(size_t len)
{
    return (void *)vitrine_syscall(VITRINE_NR_pmem_buffer, (uint64_t)len, 0, 0, 0);
}

#ifdef __cplusplus
}
#endif

#endif
