/*
 * init: the first process of the Linux that our C programs are compared on.
 *
 * Loads the modules of /modules.order, mounts /dev/pmem0 (ext4, DAX) and makes it the root, runs each line of /commands
 * there as the leader of a session whose terminal is the console, tells each exit status, and turns the machine off.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char *environment[] = {"PATH=/bin", "HOME=/", "TERM=vt100", 0};

/* The next line of `file` without its end, or null. */
static char *line_of(FILE *file)
{
    static char line[256];
    if (!file || !fgets(line, sizeof line, file))
        return 0;
    line[strcspn(line, "\n")] = 0;
    return line;
}

static void load_modules(void)
{
    FILE *order = fopen("/modules.order", "r");
    for (char *name; (name = line_of(order));) {
        char path[300];
        snprintf(path, sizeof path, "/modules/%s.ko", name);
        int module = open(path, O_RDONLY);
        if (syscall(SYS_finit_module, module, "", 0) != 0)
            perror(path);
        close(module);
    }
}

/* The file system on persistent memory becomes the root. */
static void change_root(void)
{
    int mounted = -1;
    for (int i = 0; i < 100 && mounted != 0; i++) { /* until the driver has found the device */
        mounted = mount("/dev/pmem0", "/root", "ext4", 0, "dax=always");
        usleep(50000);
    }
    if (mounted != 0)
        perror("mount of /dev/pmem0 with DAX");
    mkdir("/root/dev", 0755);
    mkdir("/root/proc", 0755);
    if (chdir("/root") != 0 || chroot(".") != 0 || mount("dev", "/dev", "devtmpfs", 0, 0) != 0 ||
        mount("proc", "/proc", "proc", 0, 0) != 0)
        perror("change of root");
    /* The checks of terminals put in what nobody types. */
    int sysctl = open("/proc/sys/dev/tty/legacy_tiocsti", O_WRONLY);
    if (sysctl >= 0 && write(sysctl, "1", 1) != 1)
        perror("legacy_tiocsti");
    close(sysctl);
}

static void run(char *command)
{
    char *words[8] = {strtok(command, " ")};
    for (int i = 1; i < 7 && (words[i] = strtok(0, " ")); i++)
        ;
    setsid();
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (open("/dev/ttyAMA0", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
        _exit(120);
    ioctl(0, TIOCSCTTY, 1);
    execve(words[0], words, environment);
    perror(words[0]);
    _exit(127);
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    mount("dev", "/dev", "devtmpfs", 0, 0);
    FILE *commands = fopen("/commands", "r");
    load_modules();
    change_root();
    for (char *command; (command = line_of(commands));) {
        struct termios settings;
        int status = -1, fine = tcgetattr(0, &settings) == 0;
        printf("peer: begin %s\n", command);
        pid_t pid = fork();
        if (pid == 0)
            run(command);
        for (pid_t ended; (ended = wait(&status)) != pid && ended > 0;)
            ;
        if (fine)
            tcsetattr(0, TCSANOW, &settings);
        printf("peer: end 0x%x\n", status);
    }
    sync();
    return reboot(RB_POWER_OFF);
}
