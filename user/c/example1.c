/*
 * example1 [FILE]: open a file, peek 4096 bytes of it, print them, unpeek.
 *
 * What printf reads are the file's own pages. It finds the 0 that ends the string because the bytes behind the end of
 * file read as zeros, or because the file holds one.
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
    const char *text = peek(fd, 0, 4096);
    if (text == MAP_FAILED) {
        perror("peek");
        return 1;
    }
    printf("%s", text);
    if (unpeek(text) != 0) {
        perror("unpeek");
        return 1;
    }
    return 0;
}
