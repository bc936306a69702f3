// The road of every CPU but the first: PSCI's CPU_ON enters it at secondary_entry, in the state in which the boot CPU
// entered _start, with x0 = the number the kernel gave it. The same routines take it as far as its MMU; then it has a
// stack and a per-CPU block of its own. Register use, for as long as these lines run:
//   x19  the CPU's number
//   x20  what el2_setup answered: the mode this CPU was entered in
//   x21  the physical address of reserved_pg_dir
//   x22  where secondary_switched runs

	.section .text.boot, "ax", %progbits

routine secondary_entry
	mov	x19, x0
	cmp	x19, #{CPUS}
	b.hs	not_our_cpu
	bl	el2_setup
	mov	w20, w0
	bl	set_cpu_boot_mode_flag
	bl	cpu_setup
	adr_l	x21, reserved_pg_dir
	adr_l	x9, {SECONDARY_SWITCHED}
	ldr	x22, [x9]		// past the caches: the boot CPU cleaned it
	b	secondary_switch
	.size secondary_entry, . - secondary_entry

// The firmware did not pass the number on: whose stack would this be?
not_our_cpu:
	wfe
	b	not_our_cpu

	.section .idmap.text, "ax", %progbits

// secondary_switch: MMU on, then up to the high address.   in x0 = SCTLR_EL1, x22
routine secondary_switch
	adr_l	x1, idmap_pg_dir
	bl	enable_mmu
	br	x22
	.size secondary_switch, . - secondary_switch

	.section .text.boot, "ax", %progbits

// secondary_switched: at the high address. Vectors, block, stack; the identity map goes.
//   in x19..x21   ends in secondary_main(x0 = the CPU's number, w1 = its mode)
routine secondary_switched
alias __secondary_switched, secondary_switched
	adr_l	x0, el1_vectors
	msr	vbar_el1, x0
	adr_l	x0, {PLACES}
	add	x0, x0, x19, lsl #4
	ldp	x1, x2, [x0]
	msr	tpidr_el1, x1
	mov	sp, x2
	mov	x29, xzr
	mov	x30, xzr
	msr	ttbr0_el1, x21
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	mov	x0, x19
	mov	w1, w20
	b	secondary_main
	.size secondary_switched, . - secondary_switched
