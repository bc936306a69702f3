/*
 * overcommit: which promises of memory are kept, by /proc/sys/vm, one check each. Sets it, and sets it back.
 *
 * Everything here is true on Linux as well, for root.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "check.h"

/* Bytes of memory that the machine has. */
static size_t memory(void)
{
    char text[64] = "";
    int fd = open("/proc/meminfo", O_RDONLY);
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    return got > 0 ? strtoul(strchr(text, ':') + 1, 0, 10) << 10 : 0;
}

/* What /proc/sys/vm/`name` says, after `text` was written to it, if any; -1 where it cannot be. */
static long setting(const char *name, const char *text)
{
    char path[64], said[32] = "";
    snprintf(path, sizeof path, "/proc/sys/vm/%s", name);
    if (text) {
        int fd = open(path, O_WRONLY);
        ssize_t written = write(fd, text, strlen(text));
        close(fd);
        if (written != (ssize_t)strlen(text))
            return -1;
    }
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, said, sizeof said - 1);
    close(fd);
    return got > 0 ? strtol(said, 0, 10) : -1;
}

static int promised(size_t len, int flags)
{
    char *at = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return at != MAP_FAILED && munmap(at, len) == 0;
}

static void promises(void)
{
    size_t most = memory(), much = most / 4 * 3;
    long mode = setting("overcommit_memory", 0), ratio = setting("overcommit_ratio", 0);
    check("the mode can be set", mode >= 0 && ratio >= 0 && setting("overcommit_memory", "0\n") == 0);
    check("what no machine could give is refused", promised(much, 0) && !promised(most * 64, 0) && errno == ENOMEM);
    check("but not without a promise", promised(most * 64, MAP_NORESERVE));
    check("1 refuses nothing", setting("overcommit_memory", "1") == 1 && promised(most * 64, 0));
    check("2 keeps what it promises", setting("overcommit_ratio", "50") == 50 && setting("overcommit_memory", "2") == 2 &&
                                          !promised(much, 0) && errno == ENOMEM && promised(1 << 20, 0));
    check("and hears no MAP_NORESERVE", !promised(much, MAP_NORESERVE));
    check("a larger share is more", setting("overcommit_ratio", "95") == 95 && promised(much, 0));
    char number[20];
    snprintf(number, sizeof number, "%ld", mode);
    check("back again", setting("overcommit_memory", number) == mode);
    snprintf(number, sizeof number, "%ld", ratio);
    setting("overcommit_ratio", number);
    check_errno("3 is no mode", setting("overcommit_memory", "3") == -1 ? -1 : 0, EINVAL);
    check_errno("nor is a word", setting("overcommit_memory", "much") == -1 ? -1 : 0, EINVAL);
}

int main(void)
{
    begin_checks();
    promises();
    return end_checks();
}
