// Entered at EL3, where a secure monitor belongs and not a kernel: one line that says so, and a stop. The image is
// relocated to where it lies, so that Rust runs there with the MMU off, and finds the console in the device tree.

	.section .head.text, "ax", %progbits

//   in x21
routine entered_at_el3
	mov_q	x0, {SCTLR_EL3_OFF}
	msr	sctlr_el3, x0
	adr_l	x0, el2_vectors			// whatever happens here stops there
	msr	vbar_el3, x0
	msr	cptr_el3, xzr
	isb
	mrs	x0, mpidr_el1			// without firmware every CPU may come; the first speaks
	mov_q	x1, {AFFINITY}
	tst	x0, x1
	b.ne	1f
	adr_l	x24, _text
	mov_link_base x23
	sub	x23, x24, x23
	mov	x26, xzr
	bl	relocate_kernel
	adr_l	x0, boot_stack_top
	mov	sp, x0
	mov	x29, xzr
	adr_l	x1, __bss_start
	adr_l	x2, __bss_end
	bl	zero_lines
	mov	x0, x21
	bl	refuse_el3
1:	wfe
	b	1b
	.size entered_at_el3, . - entered_at_el3
