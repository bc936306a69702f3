/* hello: the stock compiler's idea of a program, with all that a static C library does before and after main. */
#include <stdio.h>

int main(int argc, char **argv)
{
    printf("Hello from C, %s, with %d argument%s and a float: %.3f\n", argv[0], argc - 1, argc == 2 ? "" : "s",
           355.0 / 113);
    return 0;
}
