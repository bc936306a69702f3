"""Steps from the first instruction through every label of stext into kernel_main, then into a program's main.

Run by tests/tests/gdb.rs: `gdb-multiarch -q -batch -nx -x tools/gdb/stext.py`, with VITRINE_GDB (what to connect to),
VITRINE_KERNEL, VITRINE_PROGRAM and VITRINE_ENTRY (2 or 1, the level of the first instruction) in the environment.
Prints a line a label, and `PASSED` last. Whatever is not as it should be ends it with status 1.
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vitrine import LINKED, LOADED, exception_level, load_symbols, mmu_is_on, register

# In the order of Linux's head.S; each is reached by single steps from the one before.
LABELS = [
    "_start",
    "preserve_boot_args",
    "el2_setup",
    "set_cpu_boot_mode_flag",
    "create_page_tables",
    "cpu_setup",
    "primary_switch",
    "primary_switched",
    "kernel_main",
]
# A label that loops longer than this (clearing tables) is left by a breakpoint instead.
STEPS = 3000


class Wrong(Exception):
    """What is not as it should be."""


def linked(symbol):
    """A symbol's linked address: gdb may have found the copy at the loaded one."""
    text = gdb.execute(f"info address {symbol}", to_string=True)
    numbers = [int(word.rstrip("."), 16) for word in text.split() if word.startswith("0x")]
    if not numbers:
        raise Wrong(f"no symbol {symbol}: {text}")
    address = numbers[0]
    return address if address >= LINKED else address - LOADED + LINKED


def places(symbol):
    """Where a label may be met: before and after the jump to the high addresses."""
    high = linked(symbol)
    return {high, high - LINKED + LOADED}


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


def boot(entry):
    """From reset to kernel_main."""
    expect("the first instruction's address", register("pc"), linked("_start") - LINKED + LOADED)
    changes = []
    for label in LABELS:
        steps, helped = go_to(places(label), changes)
        level, mmu = state()
        how = f"{steps} steps and a breakpoint" if helped else f"{steps} steps"
        print(f"{label} at {register('pc'):#x}, EL{level}, MMU {mmu}, after {how}")
        late = LABELS.index(label) >= LABELS.index("primary_switched")
        expect(f"the level at {label}", level, entry if LABELS.index(label) <= LABELS.index("el2_setup") else 1)
        expect(f"the MMU at {label}", mmu, "on" if late else "off")
        here = gdb.execute("info symbol $pc", to_string=True)
        if label not in here and not (label == "_start" and "stext" in here):
            raise Wrong(f"gdb calls {label}: {here}")
    if register("pc") < LINKED:
        raise Wrong(f"kernel_main runs low, at {register('pc'):#x}")
    # Both were crossed by single steps: the eret where the machine began at EL2, and the store to SCTLR_EL1.
    crossed = [((2, "off"), (1, "off"))] if entry == 2 else []
    expect("what single steps crossed", changes, crossed + [((1, "off"), (1, "on"))])


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
    load_symbols(os.environ["VITRINE_KERNEL"])
    gdb.execute(f"target remote {os.environ['VITRINE_GDB']}", to_string=True)
    entry = int(os.environ["VITRINE_ENTRY"])
    boot(entry)
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
