/*
 * recorder: a plugin of QEMU that writes down what reaches persistent memory, and in which order.
 *
 *   -plugin recorder.so,medium=FILE,log=LOG      record into LOG; FILE is what the first medium is kept in
 *   -plugin recorder.so,medium=FILE,cut=N        end QEMU, as SIGKILL would, right behind the Nth store
 *
 * Recorded are the stores to the medium, with what they left there; the `dc cvac`, `cvap` and `cvadp` of lines of it; the
 * `dsb` that complete them; and the marks that a program sets (`hint #0x60` and on, which do nothing). A plugin cannot
 * read registers, so a clean has to be announced: a load into wzr of the line, by the instruction before it (the kernel
 * does so where its command line says `record`). It cannot see `dc zva` either; whoever reads the log finds out by
 * comparing the medium with what was recorded.
 *
 * A log is a sequence of `struct event`, little-endian like the host. QEMU must run all CPUs in one thread (`-icount`),
 * so that the order of events is that of the run.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- The interface to QEMU, version 1, as its documentation has it: Debian packages no header of it. -------------- */

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };
typedef void (*tb_translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
typedef void (*insn_executed)(unsigned int cpu, void *data);
typedef void (*memory_accessed)(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data);
typedef void (*machine_ended)(qemu_plugin_id_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_translated callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, insn_executed callback,
                                            enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, memory_accessed callback,
                                      enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw rw, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, machine_ended callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t address);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *place);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *place);
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

/* --- The log ------------------------------------------------------------------------------------------------------ */

enum kind { STORE = 1, CLEAN, HIDDEN_CLEAN, FENCE, MARK };

struct event {
    uint8_t kind;
    uint8_t cpu;
    uint8_t size; /* bytes stored: 1 to 8 */
    uint8_t mark; /* which mark: 0 to 31 */
    uint32_t zero;
    uint64_t at;    /* where on the medium, or in a hidden clean the address of the instruction */
    uint64_t value; /* what is there now, in the lowest bytes */
};

static FILE *log_file;
static const uint8_t *medium;
static uint64_t medium_len;
static uint64_t stores, cut_at;

static void die(const char *what)
{
    fprintf(stderr, "recorder: %s\n", what);
    exit(125);
}

static void put(struct event event)
{
    if (log_file && fwrite(&event, sizeof event, 1, log_file) != 1)
        die("the log cannot be written");
}

static void store(unsigned int cpu, uint64_t at, unsigned int size)
{
    struct event event = {.kind = STORE, .cpu = cpu, .size = size, .at = at};
    memcpy(&event.value, medium + at, size);
    put(event);
    if (++stores == cut_at)
        _exit(137);
}

/* --- What is executed --------------------------------------------------------------------------------------------- */

#define MAX_CPUS 64

/* The line that the last announcement of each CPU named, and the address of the instruction behind it. */
static struct {
    uint64_t next, at;
} shown[MAX_CPUS];

/*
 * Where on the medium `address` lies; the medium's length where it lies elsewhere. What QEMU gives out for RAM is no
 * physical address but unique all the same: the memory made first, which is the first medium's, counts from 0.
 */
static uint64_t place(qemu_plugin_meminfo_t info, uint64_t address)
{
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (!where || qemu_plugin_hwaddr_is_io(where))
        return medium_len;
    uint64_t at = qemu_plugin_hwaddr_phys_addr(where);
    return at < medium_len ? at : medium_len;
}

static void accessed(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    (void)data;
    /* Asked here, and not when it is registered: what QEMU 7.2 lets through there is not what was asked for. */
    if (!qemu_plugin_mem_is_store(info))
        return;
    /* In pieces that end with an aligned word: so much is written at once, and a page may end in between. */
    uint64_t end = address + (1u << qemu_plugin_mem_size_shift(info));
    while (address < end) {
        uint64_t next = (address | 7) + 1 < end ? (address | 7) + 1 : end;
        uint64_t at = place(info, address);
        if (at < medium_len)
            store(cpu, at, next - address);
        address = next;
    }
}

static void announced(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    if (cpu >= MAX_CPUS)
        die("more CPUs than there is room for");
    shown[cpu].next = (uintptr_t)data + 4;
    shown[cpu].at = place(info, address);
}

static void cleaned(unsigned int cpu, void *data)
{
    uint64_t address = (uintptr_t)data;
    if (cpu >= MAX_CPUS || shown[cpu].next != address)
        put((struct event){.kind = HIDDEN_CLEAN, .cpu = cpu, .at = address});
    else if (shown[cpu].at < medium_len)
        put((struct event){.kind = CLEAN, .cpu = cpu, .at = shown[cpu].at});
}

static void fenced(unsigned int cpu, void *data)
{
    (void)data;
    put((struct event){.kind = FENCE, .cpu = cpu});
}

static void marked(unsigned int cpu, void *data)
{
    put((struct event){.kind = MARK, .cpu = cpu, .mark = (uintptr_t)data});
}

/* --- What is translated ------------------------------------------------------------------------------------------- */

static bool is_announcement(uint32_t code) { return (code & 0xfffffc1f) == 0x3940001f; } /* ldrb wzr, [x] */

static bool is_clean(uint32_t code)
{
    switch (code & ~0x1fu) {
    case 0xd50b7a20: /* dc cvac */
    case 0xd50b7c20: /* dc cvap */
    case 0xd50b7d20: /* dc cvadp */
        return true;
    }
    return false;
}

/* A `dsb` for loads and stores, of the outer or inner domain or the full system: one that a clean is complete behind. */
static bool is_fence(uint32_t code)
{
    return code == 0xd5033f9f /* sy */ || code == 0xd503339f /* osh */ || code == 0xd5033b9f /* ish */;
}

static bool is_mark(uint32_t code) { return (code & 0xfffffc1f) == 0xd5032c1f; } /* hint #0x60 to #0x7f */

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        void *address = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);
        uint32_t code;
        memcpy(&code, qemu_plugin_insn_data(insn), sizeof code);
        if (is_announcement(code))
            qemu_plugin_register_vcpu_mem_cb(insn, announced, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, address);
        else if (is_clean(code))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, cleaned, QEMU_PLUGIN_CB_NO_REGS, address);
        else if (is_fence(code))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, fenced, QEMU_PLUGIN_CB_NO_REGS, 0);
        else if (is_mark(code))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)(code >> 5 & 0x1f));
        else
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, 0);
    }
}

static void ended(qemu_plugin_id_t id, void *data)
{
    (void)id, (void)data;
    if (log_file && fclose(log_file) != 0)
        die("the log cannot be written");
}

/* --- The words ---------------------------------------------------------------------------------------------------- */

static void open_medium(const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &stat) != 0)
        die("no medium");
    medium_len = stat.st_size;
    medium = mmap(0, medium_len, PROT_READ, MAP_SHARED, fd, 0);
    if (medium == MAP_FAILED)
        die("the medium cannot be mapped");
    close(fd);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "medium=", 7) == 0)
            open_medium(argv[i] + 7);
        else if (strncmp(argv[i], "log=", 4) == 0 && !(log_file = fopen(argv[i] + 4, "wb")))
            die("no log");
        else if (strncmp(argv[i], "cut=", 4) == 0)
            cut_at = strtoull(argv[i] + 4, 0, 10);
    }
    if (!medium)
        die("which medium?");
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, 0);
    return 0;
}
