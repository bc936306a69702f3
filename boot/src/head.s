// From the first instruction to kernel_main. Register use, for as long as these lines run:
//   x20  what el2_setup answered: the mode this CPU was entered in
//   x21  the device tree's physical address, from x0
//   x23  how far above its link address the kernel runs: its misalignment within 2 MiB
//        (__PHYS_OFFSET & (MIN_KIMG_ALIGN - 1)), so that 2 MiB blocks can map it, and in a second pass what `kaslr`
//        adds to that
//   x24  __PHYS_OFFSET: the physical address of _text
//   x26  how far the kernel's pointers have been moved so far (relocate_kernel)
// The MMU is off until primary_switch, so every store here is to Device memory: aligned, and behind the caches' back.

.macro routine name
	.global \name
	.type \name, %function
\name:
.endm

// \reg = a constant of up to 64 bits.
.macro mov_q reg, value
	movz	\reg, #((\value) >> 48) & 0xffff, lsl #48
	movk	\reg, #((\value) >> 32) & 0xffff, lsl #32
	movk	\reg, #((\value) >> 16) & 0xffff, lsl #16
	movk	\reg, #(\value) & 0xffff
.endm

// \reg = the linked address of _text, a number that does not move with the image.
.macro mov_link_base reg
	movz	\reg, #:abs_g3:KIMAGE_VADDR
	movk	\reg, #:abs_g2_nc:KIMAGE_VADDR
	movk	\reg, #:abs_g1_nc:KIMAGE_VADDR
	movk	\reg, #:abs_g0_nc:KIMAGE_VADDR
.endm

.macro alias name, of
	.global \name
	.set \name, \of
.endm

// \reg = address of \symbol, wherever this code runs.
.macro adr_l reg, symbol
	adrp	\reg, \symbol
	add	\reg, \reg, :lo12:\symbol
.endm

// The counter, which QEMU starts at reset, into the slot of \step in BOOT_MARKS (head.rs: STEPS).   uses x9, x10
.macro mark step
	adr_l	x10, BOOT_MARKS
	mrs	x9, cntvct_el0
	str	x9, [x10, #(\step * 8)]
.endm

	.section .head.text, "ax", %progbits

// The arm64 Image header, whose first word is also the first instruction.
routine _start
alias stext, _start
	b	primary_entry
	.long	0
	.quad	0			// text_offset
	.quad	_image_size
	.quad	0b1010			// little-endian, 4 KiB pages, anywhere in RAM
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

primary_entry:
	bl	preserve_boot_args
	mark	0
	bl	el2_setup
	mov	w20, w0
	mark	1
	bl	set_cpu_boot_mode_flag
	mark	2
	adr_l	x24, _text
	and	x23, x24, #0x1fffff
	mov	x26, xzr
	bl	create_page_tables
	mark	3
	bl	cpu_setup
	mark	4
	adr_l	x1, BOOT_MARKS		// written with the caches off, like everything so far
	add	x2, x1, #64
	bl	invalidate_dcache
	b	primary_switch
	.size _start, . - _start

// preserve_boot_args: keeps x0..x3 in BOOT_ARGS, and drops the cache lines that may hold what was there before.
//   in x0..x3   out x21 = the device tree   uses x1, x2, x9, x10
routine preserve_boot_args
	mov	x21, x0
	adr_l	x9, BOOT_ARGS
	stp	x0, x1, [x9]
	stp	x2, x3, [x9, #16]
	dmb	sy
	mov	x1, x9
	add	x2, x9, #32
	cbnz	x21, invalidate_dcache
	mov_q	x21, {DEFAULT_TREE}
	b	invalidate_dcache
	.size preserve_boot_args, . - preserve_boot_args

// invalidate_dcache: drops every line of [x1, x2) from the data cache, written back or not.   uses x1, x2, x9, x10
invalidate_dcache:
	mrs	x9, ctr_el0
	ubfx	x9, x9, #16, #4
	mov	x10, #4
	lsl	x10, x10, x9
	sub	x9, x10, #1
	bic	x1, x1, x9
1:	dc	ivac, x1
	add	x1, x1, x10
	cmp	x1, x2
	b.lo	1b
	dsb	sy
	ret
	.size invalidate_dcache, . - invalidate_dcache

// zero_lines: clears [x1, x2), whole units of 64 bytes.   uses x1
zero_lines:
	.irp	at, 0, 16, 32, 48
	stp	xzr, xzr, [x1, #\at]
	.endr
	add	x1, x1, #64
	cmp	x1, x2
	b.lo	zero_lines
	ret
	.size zero_lines, . - zero_lines

// el2_setup: at EL2, makes EL1 a place a kernel can run in and goes there; at EL1, stays. Registers are written as a whole
// wherever they can be: whoever ran at EL2 before, as a VHE host perhaps, leaves nothing behind.
//   out w0 = mode   uses x0, x1, x2   returns with all of DAIF masked, at EL1h, MMU off
routine el2_setup
	msr	spsel, #1
	mrs	x0, currentel
	cmp	x0, #(2 << 2)
	b.eq	2f
	b.hi	entered_at_el3
	mov_q	x0, {SCTLR_EL1_OFF}
	msr	sctlr_el1, x0
	isb
	mov	w0, #{MODE_EL1}
	ret

2:	mov_q	x0, {SCTLR_EL2_OFF}
	msr	sctlr_el2, x0
	isb
	// HCR_EL2: RW, EL1 is AArch64. E2H is 0, also on a CPU with VHE: EL2 is not a host, and the registers below have the
	// layout that this gives them. TGE, TSC, VM, the traps and virtual interrupts are 0: nothing of EL1 comes here but hvc.
	mov	x0, #(1 << 31)
	mrs	x1, id_aa64isar1_el1
	mov	x2, #0xff0			// APA, API
	movk	x2, #0xff00, lsl #16		// GPA, GPI
	and	x1, x1, x2
	mrs	x2, s3_0_c0_c6_2		// ID_AA64ISAR2_EL1
	and	x2, x2, #0xff00			// APA3, GPA3
	orr	x1, x1, x2
	cbz	x1, 3f
	orr	x0, x0, #(3 << 40)		// APK, API: pointer authentication does not trap
3:	msr	hcr_el2, x0
	isb
	mrs	x0, cnthctl_el2
	orr	x0, x0, #3			// EL1 reads the physical counter and sets its timer
	msr	cnthctl_el2, x0
	msr	cntvoff_el2, xzr		// and the virtual counter is the physical one
	mrs	x0, midr_el1			// what EL1 reads as MIDR_EL1 and MPIDR_EL1: the CPU's own
	mrs	x1, mpidr_el1
	msr	vpidr_el2, x0
	msr	vmpidr_el2, x1
	mrs	x0, id_aa64pfr0_el1
	ubfx	x1, x0, #24, #4			// GIC: the system register interface is there
	cbz	x1, 4f
	mrs	x1, s3_4_c12_c9_5		// ICC_SRE_EL2
	orr	x1, x1, #0b0001			// SRE: by registers at EL2
	orr	x1, x1, #0b1000			// Enable: and EL1 may say so for itself
	msr	s3_4_c12_c9_5, x1
	isb
	mrs	x1, s3_4_c12_c9_5
	tbz	x1, #0, 4f
	msr	s3_4_c12_c11_0, xzr		// ICH_HCR_EL2: no virtual interrupts
4:	mov	x1, #0x33ff			// CPTR_EL2: FP does not trap, SVE (which nobody is told of) does
	msr	cptr_el2, x1
	msr	hstr_el2, xzr			// nothing of AArch32 traps
	mrs	x0, id_aa64mmfr1_el1
	ubfx	x0, x0, #40, #4			// HCX
	cbz	x0, 6f
	msr	s3_4_c1_c2_2, xzr		// HCRX_EL2: nothing more to trap or to allow
6:	mrs	x0, id_aa64mmfr0_el1
	ubfx	x0, x0, #56, #4			// FGT: no register or instruction of EL1 traps one by one
	cbz	x0, 6f
	msr	s3_4_c1_c1_4, xzr		// HFGRTR_EL2
	msr	s3_4_c1_c1_5, xzr		// HFGWTR_EL2
	msr	s3_4_c1_c1_6, xzr		// HFGITR_EL2
	msr	s3_4_c3_c1_4, xzr		// HDFGRTR_EL2
	msr	s3_4_c3_c1_5, xzr		// HDFGWTR_EL2
6:	mrs	x0, id_aa64dfr0_el1
	ubfx	x1, x0, #8, #4			// PMUVer: 0 none, 15 not ours
	mov	x2, #0
	cbz	x1, 5f
	cmp	x1, #15
	b.eq	5f
	mrs	x2, pmcr_el0
	ubfx	x2, x2, #11, #5			// MDCR_EL2.HPMN: every counter is EL1's; debug and PMU do not trap
5:	msr	mdcr_el2, x2
	adr_l	x0, EL2_STAGE2
	ldp	x1, x2, [x0]			// both 0 unless el2.s has turned stage 2 on elsewhere
	msr	vttbr_el2, x2
	cbz	x2, 6f
	msr	vtcr_el2, x1
	mrs	x0, hcr_el2
	orr	x0, x0, #1			// VM
	msr	hcr_el2, x0
	isb
	tlbi	vmalls12e1
	dsb	nsh
6:	mov_q	x0, {SCTLR_EL1_OFF}
	msr	sctlr_el1, x0
	adr_l	x0, el2_vectors
	msr	vbar_el2, x0
	mov	x0, #0x3c5			// SPSR: EL1h, DAIF masked
	msr	spsr_el2, x0
	msr	elr_el2, lr
	mov	w0, #{MODE_EL2}
	eret
	.size el2_setup, . - el2_setup

// set_cpu_boot_mode_flag: w20 into the word of BOOT_CPU_MODE that stands for the other mode.   uses x1, x2, x9, x10
routine set_cpu_boot_mode_flag
	adr_l	x1, BOOT_CPU_MODE
	cmp	w20, #{MODE_EL2}
	b.ne	1f
	add	x1, x1, #4
1:	str	w20, [x1]
	dmb	sy
	add	x2, x1, #4
	b	invalidate_dcache
	.size set_cpu_boot_mode_flag, . - set_cpu_boot_mode_flag

// create_page_tables: two identity maps for TTBR0, and the kernel's half for TTBR1. Tables come from `boot_tables` in
// order; the roots are its first pages. Blocks of 2 MiB where both sides are aligned.
//   idmap_pg_dir  .idmap.text and nothing else; stays, for the CPUs that come later
//   reloc_pg_dir  for the CPU that relocates: the image's rodata and data as well, writable, and the device tree at
//                 TREE_WINDOW; goes with primary_switched
//   init_pg_dir   the image at its link address plus x23, with the permissions it keeps: text R-X, rodata R, data RW-;
//                 and in the linear map, text and rodata read-only
//   in x21, x23, x24   uses x0..x13, x25, lr
routine create_page_tables
alias __create_page_tables, create_page_tables
	mov	x25, lr
	adr_l	x1, boot_tables
	adr_l	x2, boot_tables_end
	bl	invalidate_dcache
	adr_l	x1, boot_tables
	adr_l	x2, boot_tables_end
	bl	zero_lines
	adr_l	x5, boot_tables_pool

	.irp	root, idmap_pg_dir, reloc_pg_dir
	adr_l	x0, \root
	adr_l	x1, __idmap_text_start
	adr_l	x2, __idmap_text_end
	mov	x3, x1
	mov_q	x4, {TEXT}
	bl	map_range
	.endr
	adr_l	x1, __rodata_start
	adr_l	x2, __bss_start			// .data ends there; the last page may hold both
	add	x2, x2, #0xfff
	and	x2, x2, #~0xfff
	mov	x3, x1
	mov_q	x4, {DATA}
	bl	map_range
	// The boot protocol keeps the blob below 2 MiB, and the blocks that it touches clear of anything but RAM.
	mov_q	x1, {TREE_WINDOW}
	add	x2, x1, #0x400000
	and	x3, x21, #{TREE_BLOCKS}
	mov_q	x4, {RODATA}
	bl	map_range

	adr_l	x0, init_pg_dir
	mov_link_base x11
	add	x11, x11, x23
	sub	x11, x11, x24			// virtual less physical address of the image
	mov_q	x12, {LINEAR_BASE}		// and of the same memory in the linear map
	.irp	part, text, rodata, data, stack
	adr_l	x3, __\part\()_start
	adr_l	x13, __\part\()_end
	add	x1, x3, x11
	add	x2, x13, x11
	.ifc \part, text
	mov_q	x4, {TEXT}
	.else
	.ifc \part, rodata
	mov_q	x4, {RODATA}
	.else
	mov_q	x4, {DATA}
	.endif
	.endif
	bl	map_range
	// In the linear map the tables above are edited, and text is written nowhere.
	adr_l	x3, __\part\()_start
	add	x1, x3, x12
	add	x2, x13, x12
	.ifc \part, text
	mov_q	x4, {RODATA}
	.endif
	bl	map_range
	.endr

	dmb	sy
	adr_l	x1, boot_tables
	adr_l	x2, boot_tables_end
	bl	invalidate_dcache
	ret	x25
	.size create_page_tables, . - create_page_tables

// \table = the next level's table of \table for \va, made where it is missing.
.macro descend table, va, shift
	ubfx	x6, \va, #\shift, #9
	add	x6, \table, x6, lsl #3
	ldr	\table, [x6]
	cbnz	\table, 8f
	mov	x7, #{TABLE}
	orr	x7, x5, x7
	str	x7, [x6]
	mov	\table, x5
	add	x5, x5, #4096
	adr_l	x7, boot_tables_end
	cmp	x5, x7
	b.hi	out_of_boot_tables
8:	and	\table, \table, #{ADDRESS}
.endm

// map_range: [x1, x2) to x3 with the page attributes x4, in the tree of root x0; x5 is the next free table.
//   uses x1, x3, x6..x10
map_range:
	cmp	x1, x2
	b.hs	9f
	mov	x8, x0
	descend	x8, x1, 39
	descend	x8, x1, 30
	orr	x9, x1, x3
	tst	x9, #0x1fffff
	b.ne	1f
	sub	x9, x2, x1
	cmp	x9, #0x200000
	b.lo	1f
	ubfx	x6, x1, #21, #9
	mov	x9, #{PAGE_TO_BLOCK}
	bic	x9, x4, x9
	orr	x9, x9, x3
	str	x9, [x8, x6, lsl #3]
	add	x1, x1, #0x200000
	add	x3, x3, #0x200000
	b	map_range
1:	descend	x8, x1, 21
2:	ubfx	x6, x1, #12, #9
	orr	x9, x4, x3
	str	x9, [x8, x6, lsl #3]
	add	x1, x1, #0x1000
	add	x3, x3, #0x1000
	cmp	x1, x2
	b.hs	9f
	tst	x1, #0x1fffff
	b.ne	2b				// the same table
	b	map_range
9:	ret
	.size map_range, . - map_range

// The linker script counts the tables that any image needs at any place; a wrong count stops here, visibly in a debugger.
out_of_boot_tables:
	wfe
	b	out_of_boot_tables

// The code that turns the MMU on runs at the same address on both sides of that instruction.
	.section .idmap.text, "ax", %progbits

// cpu_setup: memory types, translation control, traps; the TLB emptied.   out x0 = SCTLR_EL1 to write   uses x1..x3, x9
routine cpu_setup
alias __cpu_setup, cpu_setup
	tlbi	vmalle1
	dsb	nsh
	mov	x1, #(3 << 20)			// CPACR_EL1.FPEN: FP at EL0 and EL1
	msr	cpacr_el1, x1
	mov	x1, #(1 << 12)			// MDSCR_EL1.TDCC: no debug channel for EL0
	msr	mdscr_el1, x1
	mov	x1, #2				// CNTKCTL_EL1.EL0VCTEN: programs read the virtual counter
	msr	cntkctl_el1, x1
	mrs	x1, id_aa64dfr0_el1
	ubfx	x1, x1, #8, #4
	sub	x2, x1, #1
	cmp	x2, #14
	b.hs	1f
	msr	pmuserenr_el0, xzr
1:	msr	contextidr_el1, xzr
	mov_q	x1, {MAIR}
	msr	mair_el1, x1
	mov_q	x1, {TCR}
	mrs	x2, id_aa64mmfr0_el1
	and	x3, x2, #0xf			// PARange, of which 48 bits (5) are the most a 4 KiB granule without LPA2 uses
	mov	x9, #5
	cmp	x3, x9
	csel	x3, x9, x3, hi
	bfi	x1, x3, #32, #3			// IPS
	ubfx	x2, x2, #4, #4			// ASIDBits
	cmp	x2, #2
	cset	x2, eq
	bfi	x1, x2, #36, #1			// AS
	msr	tcr_el1, x1
	isb
	mov_q	x0, {SCTLR_EL1_ON}
	ret
	.size cpu_setup, . - cpu_setup

// enable_mmu: both table trees, then the MMU. Every CPU comes through here, on the identity map on either side.
//   in x0 = SCTLR_EL1, x1 = the identity map, lr inside .idmap.text   uses x2
routine enable_mmu
alias __enable_mmu, enable_mmu
	adr_l	x2, init_pg_dir
	msr	ttbr0_el1, x1
	msr	ttbr1_el1, x2
	isb
	msr	sctlr_el1, x0
	isb					// from here on through the tables
	ic	iallu				// whatever was fetched while the cache was off
	dsb	nsh
	isb
	ret
	.size enable_mmu, . - enable_mmu

// primary_switch: MMU on, the kernel's pointers moved, then up to the high addresses.
//   in x0 = SCTLR_EL1   uses x1..x8, lr
routine primary_switch
alias __primary_switch, primary_switch
	adr_l	x1, reloc_pg_dir
	bl	enable_mmu
	bl	relocate_kernel
	mov_link_base x8
	add	x8, x8, x23
	sub	x8, x8, x24
	adr_l	x9, primary_switched
	add	x8, x8, x9
	br	x8
	.size primary_switch, . - primary_switch

// switch_again: the second pass. The MMU goes off, because the tables that it walks are made anew; what they mapped is
// the same memory, and the text that runs until it is on again was never written, so no cache holds more than memory.
//   in x23 = the displacement wanted   uses x0..x13, x19, x25, lr
switch_again:
	mrs	x19, sctlr_el1
	mov_q	x0, {SCTLR_EL1_OFF}
	msr	sctlr_el1, x0
	isb
	bl	create_page_tables
	tlbi	vmalle1
	dsb	nsh
	isb
	mov	x0, x19
	b	primary_switch
	.size switch_again, . - switch_again

// relocate_kernel: adds to every pointer in the image what it lacks. They are listed in the linker's RELR form: an even
// word is the linked address of a pointer, an odd one a bitmap of which of the next 63 words are pointers. They are
// reached by their physical addresses, read-only ones too: in the kernel's own map those never are writable.
//   in x23 = the displacement wanted, x26 = the one they have   out x26 = x23   uses x0..x6
routine relocate_kernel
alias __relocate_kernel, relocate_kernel
	sub	x3, x23, x26
	mov	x26, x23
	cbz	x3, 5f
	mov_link_base x2
	sub	x2, x24, x2			// physical less linked address
	adr_l	x0, __relr_start
	adr_l	x1, __relr_end
1:	cmp	x0, x1
	b.hs	5f
	ldr	x4, [x0], #8
	tbnz	x4, #0, 2f
	add	x5, x4, x2
	ldr	x6, [x5]
	add	x6, x6, x3
	str	x6, [x5], #8
	b	1b
2:	.set	bit, 1
	.rept	63
	tbz	x4, #bit, 3f
	ldr	x6, [x5, #(8 * (bit - 1))]
	add	x6, x6, x3
	str	x6, [x5, #(8 * (bit - 1))]
3:	.set	bit, bit + 1
	.endr
	add	x5, x5, #(8 * 63)
	b	1b
5:	ret
	.size relocate_kernel, . - relocate_kernel

	.section .text.boot, "ax", %progbits

// primary_switched: at the high address. Stack, vectors, .bss; then once more from create_page_tables on, if the command
// line wants the kernel elsewhere; the identity map goes, and its writable part for good.
//   in x21, x23, x24   ends in kernel_main(x0 = device tree, x1 = physical address of _text)
routine primary_switched
alias __primary_switched, primary_switched
	mark	5
	adr_l	x0, boot_stack_top
	mov	sp, x0
	mov	x29, xzr
	adr_l	x0, el1_vectors
	msr	vbar_el1, x0
	msr	tpidr_el1, xzr
	adr_l	x1, __bss_start
	adr_l	x2, __bss_end
	bl	zero_lines
	tst	x23, #~0x1fffff
	b.ne	1f				// this is the second pass
	mov_q	x0, {TREE_WINDOW}
	bfxil	x0, x21, #0, #21
	bl	choose_displacement
	cbz	x0, 1f
	add	x23, x23, x0
	adr_l	x8, switch_again
	adr_l	x9, _text
	sub	x8, x8, x9
	add	x8, x8, x24
	br	x8
1:	adr_l	x0, reserved_pg_dir		// an empty table: physical = virtual - _text + x24
	adr_l	x1, _text
	sub	x0, x0, x1
	add	x0, x0, x24
	msr	ttbr0_el1, x0
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	adr_l	x1, reloc_pg_dir
	add	x2, x1, #4096
	bl	zero_lines
	mark	6
	mov	x0, x21
	mov	x1, x24
	mov	x30, xzr			// nobody called it: backtraces end there
	b	kernel_main
	.size primary_switched, . - primary_switched

	.section .rodata.boot, "a", %progbits
	.balign 8
	.global LINK_BASE
	.type LINK_BASE, %object
LINK_BASE:
	.quad	KIMAGE_VADDR
	.size LINK_BASE, . - LINK_BASE

	.section .data.boot, "aw", %progbits
	.balign 64
	.global BOOT_ARGS
	.type BOOT_ARGS, %object
BOOT_ARGS:
	.quad	0, 0, 0, 0
	.size BOOT_ARGS, . - BOOT_ARGS
	.balign 64
	.global BOOT_CPU_MODE
	.type BOOT_CPU_MODE, %object
alias __boot_cpu_mode, BOOT_CPU_MODE
BOOT_CPU_MODE:
	.long	{MODE_EL2}
	.long	{MODE_EL1}
	.size BOOT_CPU_MODE, . - BOOT_CPU_MODE
	.balign 64
	.global BOOT_MARKS
	.type BOOT_MARKS, %object
BOOT_MARKS:
	.fill	8, 8, 0
	.size BOOT_MARKS, . - BOOT_MARKS
	.balign 64
