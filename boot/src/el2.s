// What stays at EL2: it turns stage 2 on where EL1 asks for it, and shows EL1 an abort of stage 2 as a synchronous
// external abort, as if the memory itself had not answered. The MMU of EL2 is off and it has no stack: between the
// vector and its eret it keeps registers in system registers that nobody else uses or whose value has been used.
//
// Calls, by the SMC calling convention (hvc #0, fast, 64 bits, vendor's hypervisor services):
//   {EL2_IDENTIFY}  x0 = {EL2_NAME}: this code answers
//   {EL2_STAGE2_ON}  x1 = VTCR_EL2, x2 = VTTBR_EL2: stage 2 is on from here on, on this CPU; x0 = 0
//   {EL2_STAGE2_FORGET}  x1 = an intermediate address: no CPU translates it by what the tables said before; x0 = 0
// Everything else answers -1 in x0. x1 to x3 are not kept, the other registers are.

	.section .text.el2, "ax", %progbits
	.balign 2048
	.global el2_vectors
	.type el2_vectors, %function
el2_vectors:
	.rept	8
	.balign	128
1:	wfe					// nothing at EL2 raises these
	b	1b
	.endr
	.balign	128				// synchronous from AArch64 EL1 or EL0
	msr	tpidr_el2, x0
	mov	sp, x1
	mrs	x0, esr_el2
	lsr	x1, x0, #26
	cmp	x1, #0x16			// hvc
	b.ne	el2_reflect
	b	el2_call
	.rept	3
	.balign	128
1:	wfe
	b	1b
	.endr
	.balign	128				// synchronous from AArch32 EL0
	msr	tpidr_el2, x0
	mov	sp, x1
	mrs	x0, esr_el2
	b	el2_reflect
	.rept	3
	.balign	128
1:	wfe
	b	1b
	.endr
	.size el2_vectors, . - el2_vectors

	.type el2_call, %function
el2_call:
	mov	x1, sp
	mrs	x0, tpidr_el2
	movz	w3, #({EL2_IDENTIFY} >> 16), lsl #16
	eor	w3, w0, w3
	cmp	w3, #1
	b.lo	1f
	b.eq	el2_stage2_on
	cmp	w3, #2
	b.eq	el2_stage2_forget
	mov	x0, #-1				// not supported (SMCCC)
	eret
1:	mov	x0, #({EL2_NAME} & 0xffff)
	movk	x0, #({EL2_NAME} >> 16), lsl #16
	eret
	.size el2_call, . - el2_call

el2_stage2_on:
	msr	vtcr_el2, x1
	msr	vttbr_el2, x2
	isb
	mrs	x3, hcr_el2
	orr	x3, x3, #1			// VM
	msr	hcr_el2, x3
	isb
	tlbi	vmalls12e1			// what was remembered without stage 2
	dsb	nsh
	isb
	mov	x0, #0
	eret

el2_stage2_forget:
	ubfx	x3, x1, #12, #36
	dsb	ishst
	tlbi	ipas2e1is, x3
	dsb	ish
	tlbi	vmalle1is			// and what was made of both stages
	dsb	ish
	isb
	mov	x0, #0
	eret

// el2_reflect: the exception goes to EL1 as the CPU itself would take it there (Arm ARM D1.4, AArch64.TakeException):
// an abort as a synchronous external abort on the access, anything else as an undefined instruction.
//   in x0 = ESR_EL2; the interrupted x0 in TPIDR_EL2, x1 in SP, x2 below in FAR_EL2
	.type el2_reflect, %function
el2_reflect:
	mrs	x1, far_el2
	msr	far_el1, x1
	msr	far_el2, x2
	lsr	x1, x0, #26
	cmp	x1, #0x24			// data abort from a lower level
	b.eq	1f
	cmp	x1, #0x20			// instruction abort from a lower level
	b.eq	2f
	movz	x0, #0x0200, lsl #16		// EC 0, IL
	b	3f
1:	mov	x2, #0x140			// WnR and CM are what they were
	and	x0, x0, x2
	orr	x0, x0, #0x10			// DFSC: synchronous external abort, not on a walk
	movz	x2, #0x9200, lsl #16		// EC 0x24, IL
	orr	x0, x0, x2
	b	3f
2:	mov	x0, #0x10
	movk	x0, #0x8200, lsl #16		// EC 0x20, IL
3:	mrs	x1, spsr_el2
	msr	spsr_el1, x1
	mrs	x2, elr_el2
	msr	elr_el1, x2
	mov	x2, #0x600
	tbnz	x1, #4, 5f			// AArch32
	mov	x2, #0x400
	tst	x1, #0xf
	b.eq	5f				// EL0
	lsr	x2, x0, #26
	cbz	x2, 4f
	orr	x0, x0, #(1 << 26)		// the same abort without a change of level
4:	and	x2, x1, #1			// EL1h or EL1t
	lsl	x2, x2, #9
5:	msr	esr_el1, x0
	mrs	x0, vbar_el1
	add	x0, x0, x2
	msr	elr_el2, x0

	// The new PSTATE: EL1h, DAIF set, NZCV, DIT and PAN kept, PAN set where SPAN is clear, SSBS from DSSBS, TCO set;
	// SS, IL, BTYPE, UAO clear.
	movz	x2, #0xf140, lsl #16
	and	x1, x1, x2
	mov	x2, #0x3c5
	orr	x1, x1, x2
	mrs	x0, id_aa64mmfr1_el1
	ubfx	x0, x0, #20, #4			// PAN
	cbz	x0, 6f
	mrs	x0, sctlr_el1
	tbnz	x0, #23, 6f			// SPAN
	orr	x1, x1, #(1 << 22)
6:	mrs	x0, id_aa64pfr1_el1
	ubfx	x2, x0, #4, #4			// SSBS
	cbz	x2, 7f
	mrs	x2, sctlr_el1
	ubfx	x2, x2, #44, #1			// DSSBS
	orr	x1, x1, x2, lsl #12
7:	ubfx	x0, x0, #8, #4			// MTE
	cmp	x0, #2
	b.lo	8f
	orr	x1, x1, #(1 << 25)		// TCO
8:	msr	spsr_el2, x1
	mrs	x2, far_el2
	mov	x1, sp
	mrs	x0, tpidr_el2
	eret
	.size el2_reflect, . - el2_reflect

// What a CPU that comes later takes over in el2_setup: VTCR_EL2 and VTTBR_EL2, 0 and 0 while stage 2 is off. Read past
// the caches.
	.section .data.boot, "aw", %progbits
	.balign 64
	.global EL2_STAGE2
	.type EL2_STAGE2, %object
EL2_STAGE2:
	.quad	0, 0
	.size EL2_STAGE2, . - EL2_STAGE2
	.balign 64
