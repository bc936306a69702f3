/*
 * features       checks that the CPU can do what programs are told, and that nothing else is told.
 * features HOW   does one thing that a CPU without the feature, or a guarded page, must refuse.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "check.h"

#ifndef PROT_BTI
#define PROT_BTI 0x10
#endif
#define PAGE 4096ul
#define TAG (0x5aul << 56)

/* Linux's words, by the bit of AT_HWCAP and AT_HWCAP2. */
static const char *const words[2][64] = {
    {"fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp",
     "cpuid", "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512",
     "sve", "asimdfhm", "dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg"},
    {"dcpodp", "sve2", "sveaes", "svepmull", "svebitperm", "svesha3", "svesm4", "flagm2", "frint", "svei8mm",
     "svef32mm", "svef64mm", "svebf16", "i8mm", "bf16", "dgh", "rng", "bti", "mte", "ecv", "afp", "rpres",
     "mte3", "sme", "smei16i64", "smef64f64", "smei8i32", "smef16f32", "smeb16f32", "smef32f32", "smefa64",
     "wfxt", "ebf16"},
};

static unsigned long told[2];

static int has(const char *word)
{
    for (int i = 0; i < 2; i++)
        for (int bit = 0; bit < 64; bit++)
            if (words[i][bit] && strcmp(words[i][bit], word) == 0)
                return told[i] >> bit & 1;
    return 0;
}

/* What a child does of which the parent sees the end. ------------------------------------------------------------- */

static void atomic_add(uint64_t *word, uint64_t by)
{
    __asm__ volatile(".arch_extension lse\n\tldadd %1, xzr, [%0]" : : "r"(word), "r"(by) : "memory");
}

static void add(void)
{
    uint64_t word = 1;
    atomic_add(&word, 1);
}

static uint64_t random_word(void)
{
    uint64_t word;
    __asm__ volatile("mrs %0, s3_3_c2_c4_0" : "=r"(word) : : "cc"); /* RNDR */
    return word;
}
static void take_random(void) { (void)random_word(); }

static void touch_tagged_null(void) { *(volatile char *)TAG = 1; }
static void read_sctlr(void) { __asm__ volatile("mrs x0, sctlr_el1" : : : "x0"); }

/* Two functions that answer 42: the first begins with `bti c`, the second, 16 bytes on, does not. */
static const uint32_t code[] = {0xd503245f, 0x52800540, 0xd65f03c0, 0xd503201f, 0x52800540, 0xd65f03c0};

static char *code_page(int prot)
{
    char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    __builtin___clear_cache(page, page + sizeof code);
    return mprotect(page, PAGE, prot) == 0 ? page : 0;
}
static int call(char *at) { return ((int (*)(void))at)(); }
static void miss_landing(void) { exit(call(code_page(PROT_READ | PROT_EXEC | PROT_BTI) + 16)); }
static void bti_alone(void) { (void)*(volatile char *)code_page(PROT_BTI); }

static uint64_t sign(uint64_t pointer, uint64_t with)
{
    __asm__ volatile(".arch armv8.3-a\n\tpacia %0, %1" : "+r"(pointer) : "r"(with));
    return pointer;
}
static uint64_t authenticate(uint64_t pointer, uint64_t with)
{
    __asm__ volatile(".arch armv8.3-a\n\tautia %0, %1" : "+r"(pointer) : "r"(with));
    return pointer;
}
static void use_forged(void) { (void)*(volatile char *)authenticate((uint64_t)&passed ^ 1ul << 50, 7); }

/* The codes of eight pointers, of at least seven bits each, folded into one word. */
static uint64_t signature(void)
{
    uint64_t word = 0;
    for (uint64_t i = 0; i < 8; i++)
        word = word << 8 | (sign(0x1000 * i, i) >> 48 & 0xff);
    return word;
}

static const struct {
    const char *how;
    void (*act)(void);
} acts[] = {
    {"atomic", add},
    {"random", take_random},
    {"tagged-null", touch_tagged_null},
    {"sctlr", read_sctlr},
    {"landing", miss_landing},
    {"bti-alone", bti_alone},
    {"forged", use_forged},
};

static int act(const char *how, const char *word)
{
    if (strcmp(how, "same-keys") == 0)
        return strtoull(word, 0, 16) == signature();
    for (unsigned i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].how, how) == 0)
            acts[i].act();
    return 3; /* lived on */
}

/* The checks. ----------------------------------------------------------------------------------------------------- */

static char cpuinfo[8192];

static void check_words(void)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    size_t len = file ? fread(cpuinfo, 1, sizeof cpuinfo - 1, file) : 0;
    char *line = strstr(cpuinfo, "Features\t:");
    unsigned long shown[2] = {0, 0};
    int unknown = 0;
    if (file)
        fclose(file);
    check("/proc/cpuinfo has a line of features", len > 0 && line);
    if (!line)
        return;
    line = strndup(line + 10, strcspn(line + 10, "\n"));
    for (char *word = strtok(line, " "); word; word = strtok(0, " ")) {
        int found = 0;
        for (int bit = 0; bit < 128; bit++)
            if (words[bit / 64][bit % 64] && strcmp(words[bit / 64][bit % 64], word) == 0) {
                shown[bit / 64] |= 1ul << bit % 64;
                found = 1;
            }
        unknown += !found;
    }
    free(line);
    check("every word there is one of Linux's", unknown == 0);
    check_found("AT_HWCAP says the same", shown[0] == told[0], "%#lx and %#lx", shown[0], told[0]);
    check_found("AT_HWCAP2 says the same", shown[1] == told[1], "%#lx and %#lx", shown[1], told[1]);
    check("floating point and vectors are there", has("fp") && has("asimd"));
    check("what is not saved is not told", !has("sve") && !has("sme") && !has("mte") && !has("sve2"));
}

#define READ_REGISTER(name)                                                                                            \
    ({                                                                                                                 \
        uint64_t value;                                                                                                \
        __asm__ volatile("mrs %0, " name : "=r"(value));                                                               \
        value;                                                                                                         \
    })
#define FIELD(value, shift) ((value) >> (shift)&0xf)

static void check_registers(const char *self)
{
    uint64_t isar0 = READ_REGISTER("s3_0_c0_c6_0"), isar1 = READ_REGISTER("s3_0_c0_c6_1");
    uint64_t pfr0 = READ_REGISTER("s3_0_c0_c4_0"), pfr1 = READ_REGISTER("s3_0_c0_c4_1");
    char implementer[40];
    check("identification registers can be read", has("cpuid"));
    check("ISAR0 and the words agree on atomics", (FIELD(isar0, 20) >= 2) == has("atomics"));
    check("ISAR0 and the words agree on CRC32", (FIELD(isar0, 16) >= 1) == has("crc32"));
    check("ISAR0 and the words agree on random numbers", (FIELD(isar0, 60) >= 1) == has("rng"));
    check("ISAR1 and the words agree on dc cvap", (FIELD(isar1, 0) >= 1) == has("dcpop"));
    check("PFR1 and the words agree on BTI", (FIELD(pfr1, 0) >= 1) == has("bti"));
    check("PFR0 says EL0 and EL1 are there, and no SVE", (pfr0 & 0xff) == 0x11 && FIELD(pfr0, 32) == 0);
    check("PFR1 has neither MTE nor SME", FIELD(pfr1, 8) == 0 && FIELD(pfr1, 24) == 0);
    check("MMFR1 shows nothing of the kernel's", (READ_REGISTER("s3_0_c0_c7_1") & 0xffffffff) == 0);
    check("a register nobody has yet is zero", READ_REGISTER("s3_0_c0_c7_7") == 0);
    check("MPIDR says nothing", READ_REGISTER("mpidr_el1") == 1ul << 31);
    snprintf(implementer, sizeof implementer, "CPU implementer\t: 0x%02x\n", (int)(READ_REGISTER("midr_el1") >> 24 & 0xff));
    check("MIDR is the CPU of /proc/cpuinfo", strstr(cpuinfo, implementer));
    __asm__ volatile("mrs xzr, s3_0_c0_c6_0");
    check_died("other registers are refused", run_child(self, "sctlr", 0), SIGILL);
}

static void check_instructions(const char *self)
{
    uint64_t word = 40;
    if (has("atomics")) {
        atomic_add(&word, 2);
        check("an atomic add adds", word == 42);
    } else {
        check_died("there are no atomics", run_child(self, "atomic", 0), SIGILL);
    }
    if (has("crc32")) {
        uint32_t crc = ~0u;
        for (const char *at = "123456789"; *at; at++)
            __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(*at));
        check("CRC32C of the check string", ~crc == 0xe3069283);
    }
    if (has("rng"))
        check("random numbers differ", random_word() != random_word());
    else
        check_died("there is no random number register", run_child(self, "random", 0), SIGILL);
    if (has("ssbs")) {
        check("stores may be bypassed at first", READ_REGISTER("s3_3_c4_c2_6") == 1ul << 12);
        __asm__ volatile("msr s3_3_c4_c2_6, xzr");
        getppid();
        check("and no more, once the program says so", READ_REGISTER("s3_3_c4_c2_6") == 0);
        __asm__ volatile("msr s3_3_c4_c2_6, %0" : : "r"(1ul << 12));
    }
    if (has("dit")) {
        __asm__ volatile("msr s3_3_c4_c2_5, %0" : : "r"(1ul << 24));
        getppid();
        check("data-independent timing stays on across a call", READ_REGISTER("s3_3_c4_c2_5") == 1ul << 24);
        __asm__ volatile("msr s3_3_c4_c2_5, xzr");
    }
}

static void check_tags(const char *self)
{
    char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *tagged = (char *)((uintptr_t)page | TAG);
    *(volatile char *)tagged = 42; /* the page's first touch: the fault carries the tag */
    check("a tag does not change where a store goes", *(volatile char *)page == 42 && *(volatile char *)tagged == 42);
    check_errno("a call that follows a tagged pointer", write(1, tagged, 1), EFAULT);
    check("mprotect takes one", mprotect(tagged, PAGE, PROT_READ) == 0);
    check("madvise takes one", madvise(tagged, PAGE, MADV_NORMAL) == 0);
    check("munmap takes one", munmap(tagged, PAGE) == 0);
    check_died("a tag makes no memory", run_child(self, "tagged-null", 0), SIGSEGV);
}

static uint64_t from_thread;
static void *sign_in_thread(void *nothing)
{
    from_thread = signature();
    return nothing;
}

static void check_pointer_authentication(const char *self)
{
    char word[17];
    pthread_t thread;
    if (!has("paca")) {
        register uint64_t x17 __asm__("x17") = 0x1234000;
        register uint64_t x16 __asm__("x16") = 7;
        __asm__("hint #8" : "+r"(x17) : "r"(x16)); /* pacia1716 */
        check("signing does nothing", x17 == 0x1234000);
        check_errno("there are no keys to reset", prctl(PR_PAC_RESET_KEYS, 0, 0, 0, 0), EINVAL);
        return;
    }
    check("signed pointers differ", signature() != 0);
    int kept = 1, refused = 0;
    for (uint64_t i = 0; i < 64; i++) {
        uint64_t pointer = (uint64_t)&from_thread + 64 * i;
        kept &= authenticate(sign(pointer, i), i) == pointer;
        refused += authenticate(sign(pointer, i) ^ 1ul << 50, i) != pointer;
    }
    check("what was signed is authenticated", kept);
    check("what was forged is not", refused == 64);
    check_died("a forged pointer leads nowhere", run_child(self, "forged", 0), SIGSEGV);
    check("a thread is made", pthread_create(&thread, 0, sign_in_thread, 0) == 0 && pthread_join(thread, 0) == 0);
    check("a thread has the keys of its maker", from_thread == signature());
    snprintf(word, sizeof word, "%016lx", signature());
    check("another program has keys of its own", run_child(self, "same-keys", word) == 0);
    check_errno("keys nobody knows are not reset", prctl(PR_PAC_RESET_KEYS, 1ul << 5, 0, 0, 0), EINVAL);
    check("other keys are reset", prctl(PR_PAC_RESET_KEYS, PR_PAC_APIBKEY, 0, 0, 0) == 0);
    check("which leaves this one", from_thread == signature());
    check("all keys are reset", prctl(PR_PAC_RESET_KEYS, 0, 0, 0, 0) == 0);
    check("which gives other signatures", from_thread != signature());
    if (has("pacg")) {
        uint64_t one, two, three;
        __asm__(".arch armv8.3-a\n\tpacga %0, %1, %2" : "=r"(one) : "r"(1ul), "r"(2ul));
        __asm__(".arch armv8.3-a\n\tpacga %0, %1, %2" : "=r"(two) : "r"(1ul), "r"(2ul));
        __asm__(".arch armv8.3-a\n\tpacga %0, %1, %2" : "=r"(three) : "r"(1ul), "r"(3ul));
        check("a generic code depends on what it is of", one == two && one != three && (uint32_t)one == 0);
    }
}

static void check_landings(const char *self)
{
    int prot = PROT_READ | PROT_EXEC;
    check("code without the mark is called as ever", call(code_page(prot) + 16) == 42);
    check("mmap takes PROT_BTI", mmap(0, PAGE, prot | PROT_BTI, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    check_found("a program whose landings are marked runs", run_child("/bin/landing", 0, 0) == 0, "/bin/landing");
    if (!has("bti")) {
        char *page = mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check_errno("mprotect refuses PROT_BTI", mprotect(page, PAGE, prot | PROT_BTI), EINVAL);
        check("a note that asks for it changes nothing", WEXITSTATUS(run_child("/bin/landing", "miss", 0)) == 3);
        return;
    }
    check("a landing is called in a guarded page", call(code_page(prot | PROT_BTI)) == 42);
    check_died("a call that misses it is refused", run_child(self, "landing", 0), SIGILL);
    check_died("and in a program whose note asks for it", run_child("/bin/landing", "miss", 0), SIGILL);
    check_died("PROT_BTI alone lets nobody in", run_child(self, "bti-alone", 0), SIGSEGV);
}

int main(int argc, char **argv)
{
    told[0] = getauxval(AT_HWCAP);
    told[1] = getauxval(AT_HWCAP2);
    if (argc > 1)
        return act(argv[1], argc > 2 ? argv[2] : "");
    begin_checks();
    check_words();
    check_registers(argv[0]);
    check_instructions(argv[0]);
    check_tags(argv[0]);
    check_pointer_authentication(argv[0]);
    check_landings(argv[0]);
    return end_checks();
}
