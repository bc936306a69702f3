"""What gdb needs to know of Vitrine; `gdb-multiarch -x tools/gdb/vitrine.py target/vitrine.elf` reads it.

The kernel is linked high and loaded at 0x4020_0000, so its symbols are loaded twice: for the addresses before the MMU
is on, and for those after. Commands it adds:

  program NAME    the symbols of a program (target/programs/NAME), and a breakpoint at its main
  el              the exception level, and whether the MMU of EL1 is on
"""

import os

import gdb

LINKED = 0xFFFF_8000_8000_0000
LOADED = 0x4020_0000
PROGRAMS = os.environ.get("VITRINE_PROGRAMS", "target/programs")


def register(name):
    """A register's value, as an unsigned number."""
    return int(gdb.parse_and_eval("$" + name)) & 0xFFFF_FFFF_FFFF_FFFF


def exception_level():
    """0 to 3, from the saved state bits that QEMU shows as cpsr."""
    return register("cpsr") >> 2 & 3


def mmu_is_on():
    """Whether EL1 and EL0 see translated addresses."""
    return bool(register("SCTLR") & 1)


def load_symbols(kernel):
    """The kernel's symbols, for both of its addresses."""
    gdb.execute(f"file {kernel}", to_string=True)
    offset = (LOADED - LINKED) & 0xFFFF_FFFF_FFFF_FFFF
    gdb.execute(f"add-symbol-file {kernel} -o {offset:#x}", to_string=True)


def address_of(symbol, objfile=None):
    """The linked address of a global symbol."""
    where = f"&'{symbol}'"
    return int(gdb.parse_and_eval(where).cast(gdb.lookup_type("unsigned long"))) & 0xFFFF_FFFF_FFFF_FFFF


class Program(gdb.Command):
    """program NAME: the symbols of target/programs/NAME, and a breakpoint at its main."""

    def __init__(self):
        super().__init__("program", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        gdb.execute(f"add-symbol-file {os.path.join(PROGRAMS, argument)}", to_string=True)
        gdb.execute("break main")


class Level(gdb.Command):
    """el: the exception level, and whether the MMU of EL1 is on."""

    def __init__(self):
        super().__init__("el", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        print(f"EL{exception_level()}, MMU {'on' if mmu_is_on() else 'off'}")


Program()
Level()
gdb.execute("set confirm off")
gdb.execute("set pagination off")
