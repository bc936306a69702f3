"""Steps from the first instruction through every label of stext into kernel_main, then into a program's main.

Run by tests/tests/gdb.rs: `gdb-multiarch -q -batch -nx -x tools/gdb/stext.py`, in the environment VITRINE_GDB (what to
connect to), VITRINE_KERNEL, VITRINE_PROGRAM, VITRINE_ENTRY (2 or 1, the level of the first instruction), VITRINE_AT (the
physical address of _start) and VITRINE_KASLR (what the command line says: empty, `random` or an offset). Prints a line
a label, and `PASSED` last. Whatever is not as it should be ends it with status 1.
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vitrine import LINKED, exception_level, image_around, kernel, mmu_is_on, register

# In the order of Linux's head.S; each is reached by single steps from the one before.
LABELS = [
    "_start",
    "preserve_boot_args",
    "el2_setup",
    "set_cpu_boot_mode_flag",
    "create_page_tables",
    "cpu_setup",
    "primary_switch",
    "enable_mmu",
    "relocate_kernel",
    "primary_switched",
]
# What `kaslr` puts between these and kernel_main. The symbols have moved when relocate_kernel is met.
AGAIN = [
    "choose_displacement",
    "switch_again",
    "create_page_tables",
    "primary_switch",
    "enable_mmu",
    "relocate_kernel",
    "primary_switched",
]
BLOCK = 2 << 20
# A label that loops longer than this (clearing tables) is left by a breakpoint instead.
STEPS = 300


class Wrong(Exception):
    """What is not as it should be."""


def step():
    gdb.execute("stepi", to_string=True)


def state():
    """The exception level, and the MMU that counts there."""
    return exception_level(), "on" if mmu_is_on() else "off"


def go_to(addresses, changes):
    """Runs to the first of these addresses, and notes each change of level or MMU that a single step brought.

    Gives back the steps taken one by one, and whether a breakpoint had to help.
    """
    before = state()
    for count in range(STEPS):
        if register("pc") in addresses:
            return count, False
        step()
        now = state()
        if now != before:
            changes.append((before, now))
            print(f"  EL{before[0]}, MMU {before[1]} became EL{now[0]}, MMU {now[1]} at {register('pc'):#x}")
        before = now
    breakpoints = [gdb.Breakpoint(f"*{address:#x}", internal=True) for address in addresses]
    gdb.execute("continue", to_string=True)
    for breakpoint in breakpoints:
        breakpoint.delete()
    if register("pc") not in addresses:
        raise Wrong(f"stopped at {register('pc'):#x}")
    return STEPS, True


def expect(what, found, wanted):
    if found != wanted:
        raise Wrong(f"{what} is {found}, not {wanted}")


def at_label(label, changes):
    """Goes on to a label, and checks that gdb knows it by its name."""
    steps, helped = go_to(kernel.places(label), changes)
    level, mmu = state()
    how = f"{steps} steps and a breakpoint" if helped else f"{steps} steps"
    print(f"{label} at {register('pc'):#x}, EL{level}, MMU {mmu}, after {how}")
    here = gdb.execute("info symbol $pc", to_string=True)
    if label not in here and not (label == "_start" and "stext" in here):
        raise Wrong(f"gdb calls {label}: {here}")


def to_the_image():
    """Out of QEMU's own few instructions in front of an Image, where there are any."""
    for _ in range(8):
        try:
            if image_around(register("pc")) == register("pc"):
                return
        except gdb.error:
            pass
        step()
    raise Wrong(f"no image begins at the first instructions, the last of them at {register('pc'):#x}")


def field(name, shift):
    return register(name) >> shift & 0xF


def check_el2():
    """What el2_setup left at EL2, that EL1 cannot see."""
    signed = any(field("ID_AA64ISAR1_EL1", shift) for shift in (4, 8, 24, 28))
    # RW; API and APK where pointers can be signed; neither E2H, TGE, TSC, VM nor anything else.
    expect("HCR_EL2", hex(register("HCR_EL2")), hex(1 << 31 | (3 << 40 if signed else 0)))
    for name in ("VTTBR_EL2", "CNTVOFF_EL2"):
        expect(name, register(name), 0)
    expect("CNTHCTL_EL2.{EL1PCEN,EL1PCTEN}", register("CNTHCTL_EL2") & 3, 3)
    expect("CPTR_EL2.{TFP,TTA,TCPAC}", register("CPTR_EL2") & (1 << 10 | 1 << 20 | 1 << 31), 0)
    expect("MDCR_EL2 less HPMN", register("MDCR_EL2") & ~0x1F, 0)
    expect("SCTLR_EL1", hex(register("SCTLR")), hex(0x30D0_0800))
    expect("VBAR_EL2", hex(register("VBAR_EL2")), hex(kernel.physical + kernel.offset("el2_vectors")))


def boot(entry, at, kaslr):
    """From reset to kernel_main."""
    to_the_image()
    expect("the address of _start", hex(register("pc")), hex(at))
    kernel.place(*kernel.locate())
    expect("the displacement", kernel.displacement, at % BLOCK)
    changes = []
    for label in LABELS:
        at_label(label, changes)
        early = LABELS.index(label) <= LABELS.index("el2_setup")
        expect(f"the level at {label}", exception_level(), entry if early else 1)
        late = LABELS.index(label) >= LABELS.index("relocate_kernel")
        expect(f"the MMU at {label}", mmu_is_on(), late)
        if label == "set_cpu_boot_mode_flag" and entry == 2:
            check_el2()
    # Both were crossed by single steps: the eret where the machine began at EL2, and the store to SCTLR_EL1.
    crossed = [((2, "off"), (1, "off"))] if entry == 2 else []
    on = ((1, "off"), (1, "on"))
    expect("what single steps crossed", changes, crossed + [on])
    for label in AGAIN if kaslr else []:
        at_label(label, changes)
        if label == "relocate_kernel":
            kernel.place(*kernel.locate())
            moved = kernel.displacement - at % BLOCK
            expect("kaslr", moved, moved // BLOCK * BLOCK if kaslr == "random" and moved else int(kaslr, 0))
            print(f"  moved by {moved:#x}")
    expect("what single steps crossed with kaslr", changes, crossed + ([on, on[::-1], on] if kaslr else [on]))
    at_label("kernel_main", changes)
    if register("pc") < LINKED:
        raise Wrong(f"kernel_main runs low, at {register('pc'):#x}")
    expect("where the kernel is", kernel.locate(), (kernel.physical, kernel.displacement))


def into_program(path):
    """From the kernel to the program's main, at EL0, with its own symbols."""
    gdb.execute(f"add-symbol-file {path}", to_string=True)
    main = gdb.Breakpoint("main", internal=True)
    gdb.execute("continue", to_string=True)
    if not gdb.selected_inferior().pid:
        raise Wrong("the machine ended before main")
    frame = gdb.selected_frame()
    expect("the function", frame.name(), "main")
    expect("its exception level", exception_level(), 0)
    if register("pc") >= LINKED:
        raise Wrong("main is at a kernel address")
    expect("where the kernel is", kernel.locate(), (kernel.physical, kernel.displacement))
    line = frame.find_sal()
    if line.symtab is None:
        raise Wrong("main has no source line")
    print(f"main of {os.path.basename(path)} at {register('pc'):#x}, EL0, {line.symtab.filename}:{line.line}")
    main.delete()


def run():
    gdb.execute("set confirm off")
    gdb.execute("set pagination off")
    gdb.execute("set architecture aarch64", to_string=True)
    gdb.execute("set suppress-cli-notifications on")  # thousands of stops, of which LABELS are told
    kernel.load(os.environ["VITRINE_KERNEL"])
    gdb.execute(f"target remote {os.environ['VITRINE_GDB']}", to_string=True)
    boot(int(os.environ["VITRINE_ENTRY"]), int(os.environ["VITRINE_AT"], 0), os.environ["VITRINE_KASLR"])
    into_program(os.environ["VITRINE_PROGRAM"])
    # From here on the machine is on its own: its exit status is QEMU's affair, not gdb's.
    gdb.execute("detach", to_string=True)


try:
    run()
except (Wrong, gdb.error) as wrong:
    print(f"FAILED: {wrong}")
    if gdb.selected_inferior().pid:
        gdb.execute("kill")
    gdb.execute("quit 1")
print("PASSED")
