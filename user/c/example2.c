/*
 * example2 [FILE]: peek a file, print it, then store through the pointer: the program dies of SIGSEGV, and the file
 * stays as it is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <vitrine.h>

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/data/forty-two";
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    volatile char *text = peek(fd, 0, 4096);
    if (text == MAP_FAILED) {
        perror("peek");
        return 1;
    }
    printf("%s", (const char *)text);
    fflush(stdout); /* what is printed must be seen before the program dies */
    text[0] = '!';
    fprintf(stderr, "example2: the store went through: this kernel does not keep its promise\n");
    return 1;
}
