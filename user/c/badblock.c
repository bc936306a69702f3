/*
 * badblock              makes a page of a file a real hole and checks what everybody sees of it, until it is healed. The
 *                       kernel has to run with `poison`.
 * badblock keep FILE    makes a hole in FILE and leaves it; badblock kept FILE finds it after a reboot, and heals it
 * badblock HOW FILE     touches page 1 of FILE in one way, and complains when it lives on
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "check.h"
#include "touch.h"
#include "vitrine.h"

#define FIBMAP 1 /* linux/fs.h */
#define PAGE 4096
#define PAGES 4

static char page[PAGES * PAGE];

/* The first sector of block `block` of the file, or -1. */
static long sector_of(int fd, int block) { return ioctl(fd, FIBMAP, &block) ? -1 : block * 8L; }

/* Writes one line to the kernel's list of bad blocks. */
static int tell(const char *verb, long sector)
{
    char line[80];
    int fd = open("/proc/vitrine/badblocks", O_WRONLY), len = snprintf(line, sizeof line, "%s pmem0 %ld+8\n", verb, sector);
    int done = fd < 0 ? -1 : (int)write(fd, line, (size_t)len);
    close(fd);
    return done == len ? 0 : -1;
}

/* Whether the list has the sector, and says `whose` behind it. */
static int listed_as(long sector, const char *whose)
{
    char text[4096], want[200];
    int fd = open("/proc/vitrine/badblocks", O_RDONLY);
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len > 0 ? len : 0] = 0;
    snprintf(want, sizeof want, "pmem0 %ld+8 kept %s", sector, whose);
    return strstr(text, want) != 0;
}

/* Whether the list has the sector. */
static int listed(long sector) { return listed_as(sector, ""); }

static int fresh(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    memset(page, 'p', sizeof page);
    return fd >= 0 && write(fd, page, sizeof page) == sizeof page ? fd : -1;
}

static int touch(const char *how, const char *path)
{
    int fd = open(path, O_RDWR);
    char *at = MAP_FAILED;
    if (!strncmp(how, "share", 5)) {
        long sector = sector_of(fd, 1);
        at = mmap(0, sizeof page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        /* The hole comes when the page is there to be stored to. */
        if (!strcmp(how, "share-first") && (at == MAP_FAILED || (at[PAGE] = 's') == 0 || tell("poison", sector)))
            return 3;
    } else if (!strcmp(how, "mmap"))
        at = mmap(0, sizeof page, PROT_READ, MAP_PRIVATE, fd, 0);
    else if (!strcmp(how, "store"))
        at = mmap(0, sizeof page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    else if (!strcmp(how, "peek-first")) {
        /* The hole comes while the peek lives: the map is there, the memory is not. */
        long sector = sector_of(fd, 1);
        at = peek(fd, 0, sizeof page);
        if (at == MAP_FAILED || at[PAGE] == 0 || tell("poison", sector))
            return 3;
    }
    if (at == MAP_FAILED)
        return 2;
    if (!strcmp(how, "store") || !strcmp(how, "share-store"))
        at[PAGE] = 1;
    return *(volatile char *)(at + PAGE);
}

static int died(const char *how, const char *path)
{
    int status = run_child("/proc/self/exe", how, path);
    return status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

/* A copy of this program whose code is holes: it is loaded, for its headers are there, and dies of its first fetch. */
static void code(const char *path)
{
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_RDWR | O_CREAT | O_TRUNC, 0755);
    static char bytes[1 << 16];
    ssize_t len;
    unsigned long entry = 0; /* an address; the file is linked at 4 MiB */
    long sector;
    int status;
    while ((len = read(from, bytes, sizeof bytes)) > 0 && write(to, bytes, (size_t)len) == len)
        ;
    sector = pread(from, &entry, sizeof entry, 24) == 8 ? sector_of(to, (int)((entry - 0x400000) / PAGE)) : -1;
    close(from);
    close(to);
    check("the page of the entry becomes a hole", len == 0 && sector > 0 && !tell("poison", sector));
    status = run_child(path, "mmap", "/");
    check_died("a program whose code does not answer dies", status, SIGBUS);
    check("and the block is on the list", listed(sector));
    check("removing the program heals it", unlink(path) == 0 && !listed(sector));
}

/* A program that looks after itself: its handler is told what is lost, and how much. */
static void handled(int fd)
{
    struct sigaction action = {.sa_sigaction = leap, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, 0);
    static char *at;
    at = mmap(0, sizeof page, PROT_READ, MAP_PRIVATE, fd, 0);
    if (sigsetjmp(back, 1) == 0)
        check("a hole does not answer", *(volatile char *)(at + PAGE + 5) == 0 && at == 0);
    check("a handler is told that memory is lost, and which page",
          seen.si_signo == SIGBUS && seen.si_code == BUS_MCEERR_AR && (char *)seen.si_addr == at + PAGE + 5 &&
              seen.si_addr_lsb == 12);
    check("what is around it is there", at[PAGE - 1] == 'p' && at[2 * PAGE] == 'p');
    munmap(at, sizeof page);
    signal(SIGBUS, SIG_DFL);
}

static void holes(const char *path)
{
    int fd = fresh(path);
    long sector = sector_of(fd, 1);
    check("a file's blocks have places", fd >= 0 && sector > 0);
    check("a page becomes a hole", tell("poison", sector) == 0);
    check("nobody knows of it yet", !listed(sector));
    check_found("a read is short at the hole", pread(fd, page, sizeof page, 0) == PAGE, "errno %d", errno);
    snprintf(page, sizeof page, "byte %d of %s\n", PAGE, path);
    check("the block is on the list, and the place in the file", listed_as(sector, page));
    check_errno("a read of the hole fails", pread(fd, page, 8, PAGE + 100), EIO);
    check("the pages around it are read", pread(fd, page, sizeof page, 2 * PAGE) == 2 * PAGE);
    check_errno("a peek of the hole fails", peek(fd, 0, sizeof page) == MAP_FAILED ? -1 : 0, EIO);
    check("a mapping of it dies", died("mmap", path));
    check("a store to its private copy dies", died("store", path));
    handled(fd);
    check("a shared mapping of it dies", died("share", path));
    check("and so does a store to that", died("share-store", path));
    memset(page, 'q', PAGE);
    check_errno("half of the page cannot be written", pwrite(fd, page, 100, PAGE), EIO);
    check("all of it can", pwrite(fd, page, PAGE, PAGE) == PAGE);
    check("the hole is healed", !listed(sector));
    check("and the file whole", pread(fd, page, sizeof page, 0) == sizeof page && page[PAGE] == 'q' && page[0] == 'p');

    sector = sector_of(fd, 1);
    check("who peeks when the hole comes dies", died("peek-first", path));
    check("and the block is on the list", listed(sector));
    memset(page, 'r', PAGE);
    check("healed once more", pwrite(fd, page, PAGE, PAGE) == PAGE && !listed(sector));
    check("who shares the file when the hole comes dies", died("share-first", path));
    check("a program's own memory is not in question", write(fd, page, 8) == 8);
    check("unlinking heals, too", unlink(path) == 0 && close(fd) == 0 && !listed(sector));

    fd = fresh(path);
    sector = sector_of(fd, 1);
    check("a block that is only listed cannot be read", !tell("add", sector) && pread(fd, page, 8, PAGE) == -1 && errno == EIO);
    check("clearing it brings back what it holds", !tell("clear", sector) && pread(fd, page, 8, PAGE) == 8 && page[0] == 'p');
    check_errno("what is no line is refused", tell("polish", sector), EINVAL);
    check_errno("nor is a sector past the end a line", tell("add", 1L << 40), ERANGE);
    unlink(path);
}

int main(int count, char **words)
{
    begin_checks();
    if (count == 3 && !strcmp(words[1], "keep")) {
        int fd = fresh(words[2]);
        check("a hole is made and met", !tell("poison", sector_of(fd, 1)) && pread(fd, page, 8, PAGE) == -1);
        check("it is on the list", listed(sector_of(fd, 1)));
    } else if (count == 3 && !strcmp(words[1], "kept")) {
        int fd = open(words[2], O_RDWR);
        long sector = sector_of(fd, 1);
        check("it is still on the list", listed(sector));
        check_errno("and still a hole", pread(fd, page, 8, PAGE), EIO);
        memset(page, 'r', PAGE);
        check("writing over it heals it", pwrite(fd, page, PAGE, PAGE) == PAGE && !listed(sector));
        check("and it is read", pread(fd, page, 8, PAGE) == 8 && page[0] == 'r');
    } else if (count == 3) {
        return touch(words[1], words[2]);
    } else {
        holes("/tmp/hole");
        code("/tmp/code");
    }
    return end_checks();
}
