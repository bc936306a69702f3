/*
 * first.c - how long a machine took from reset to its first program.
 *
 * The first instructions read the counter, which QEMU starts at 0 when the machine starts; under --icount a
 * nanosecond of it is an instruction. No C library, whose start would be measured too.
 */
static long write_out(const char *bytes, unsigned long length)
{
    register long number __asm__("x8") = 64, result __asm__("x0") = 1;
    register const char *from __asm__("x1") = bytes;
    register unsigned long count __asm__("x2") = length;
    __asm__ volatile("svc 0" : "+r"(result) : "r"(number), "r"(from), "r"(count) : "memory");
    return result;
}

_Noreturn static void leave(void)
{
    register long number __asm__("x8") = 93, status __asm__("x0") = 0;
    for (;;)
        __asm__ volatile("svc 0" : "+r"(status) : "r"(number) : "memory");
}

void _start(void)
{
    unsigned long ticks, frequency;
    __asm__ volatile("isb; mrs %0, cntvct_el0; mrs %1, cntfrq_el0" : "=r"(ticks), "=r"(frequency));
    unsigned long nanoseconds = ticks / frequency * 1000000000 + ticks % frequency * 1000000000 / frequency;

    char line[64] = "reset_to_init\t0\t1\t", digits[24];
    int length = 18, count = 0;
    do
        digits[count++] = (char)('0' + nanoseconds % 10);
    while (nanoseconds /= 10);
    while (count)
        line[length++] = digits[--count];
    line[length++] = '\n';
    write_out(line, (unsigned long)length);
    leave();
}
