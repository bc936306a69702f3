"""What gdb needs to know of Vitrine; `gdb-multiarch -x tools/gdb/vitrine.py target/vitrine.elf` reads it.

The kernel runs at its physical address until the MMU is on, and then at its linked address plus a displacement, so its
symbols are loaded twice. As an ELF file it lies at 0x4020_0000 and is not displaced. Commands:

  locate          finds the kernel that is running, wherever it lies, and puts its symbols there
  program NAME    the symbols of a program (target/programs/NAME), and a breakpoint at its main
  el              the exception level, and whether the MMU of EL1 is on
"""

import os

import gdb

LINKED = 0xFFFF_8000_8000_0000
LOADED = 0x4020_0000
# Images begin at a multiple of this, with this word of the arm64 header at this offset.
ALIGNMENT = 0x1_0000
MAGIC = (56, b"ARM\x64")
LARGEST = 32 << 20
WORD = 0xFFFF_FFFF_FFFF_FFFF
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


class Kernel:
    """The kernel's ELF file, and where its symbols are at the moment."""

    def __init__(self):
        self.file = None
        self.physical = LOADED
        self.displacement = 0

    def load(self, file):
        """Its symbols, where an ELF file lies."""
        self.file = file
        gdb.execute(f"file {file}", to_string=True)
        self._add_low()

    def place(self, physical, displacement):
        """Moves the symbols: _text is at `physical`, and runs at its linked address plus `displacement`."""
        if (physical, displacement) == (self.physical, self.displacement):
            return
        gdb.execute(f"remove-symbol-file -a {self.physical:#x}", to_string=True)
        self.physical, self.displacement = physical, displacement
        gdb.execute(f"symbol-file {self.file} -o {displacement:#x}", to_string=True)
        self._add_low()

    def _add_low(self):
        gdb.execute(f"add-symbol-file {self.file} -o {self.physical - LINKED & WORD:#x}", to_string=True)

    def offset(self, symbol):
        """How far behind _text a symbol lies, whichever of its places gdb has found it at."""
        text = gdb.execute(f"info address {symbol}", to_string=True)
        numbers = [int(word.rstrip("."), 16) for word in text.split() if word.startswith("0x")]
        if not numbers:
            raise gdb.error(f"no symbol {symbol}: {text}")
        base = LINKED + self.displacement if numbers[0] >= LINKED else self.physical
        return numbers[0] - base

    def places(self, symbol):
        """Where a label may be met: before and after the jump to the high addresses."""
        offset = self.offset(symbol)
        return {LINKED + self.displacement + offset, self.physical + offset}

    def locate(self):
        """Where the machine says it is: the physical address of _text, and the displacement."""
        if not mmu_is_on():
            physical = image_around(register("pc"))
            return physical, physical % (2 << 20)
        physical = (register("TTBR1_EL1") & 0xFFFF_FFFF_F000) - self.offset("init_pg_dir")
        on_the_way_up = exception_level() == 1 and register("pc") < LINKED or register("VBAR") < LINKED
        if on_the_way_up:  # head.s keeps it there
            return physical, register("x23")
        return physical, register("VBAR") - LINKED - self.offset("el1_vectors")


kernel = Kernel()


def image_around(pc):
    """The beginning of the image that holds an address, with the MMU off."""
    offset, magic = MAGIC
    for base in range(pc - pc % ALIGNMENT, max(pc - LARGEST, 0), -ALIGNMENT):
        try:
            if bytes(gdb.selected_inferior().read_memory(base + offset, len(magic))) == magic:
                return base
        except gdb.MemoryError:
            break
    raise gdb.error(f"no kernel begins below {pc:#x}")


class Locate(gdb.Command):
    """locate: finds the kernel that is running, and puts its symbols where it lies. Before kernel_main, `kaslr` may
    still move it: stop at switch_again, then at relocate_kernel, and locate it there."""

    def __init__(self):
        super().__init__("locate", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        kernel.place(*kernel.locate())
        print(f"_text is at {kernel.physical:#x}, and displaced by {kernel.displacement:#x}")


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


Locate()
Program()
Level()
gdb.execute("set confirm off")
gdb.execute("set pagination off")
