// The sixteen vectors. Each stores a TrapFrame ({FRAME} bytes) on the kernel stack and calls its handler in Rust with
// x0 = the frame. From EL0 the stack is empty, so a program's frame always lies at its very top.

// x0..x30, the stack pointer of \el, ELR and SPSR into the frame below sp. Leaves x22 = ELR, x23 = SPSR.
.macro save_registers el
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	.if	\el == 0
	mrs	x21, sp_el0
	.else
	add	x21, sp, #{FRAME}
	.endif
	mrs	x22, elr_el1
	mrs	x23, spsr_el1
	stp	x30, x21, [sp, #240]
	stp	x22, x23, [sp, #256]
.endm

// x2..x17: what a function may have changed.
.macro restore_scratch
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
.endm

// x2..x29, less x22 and x23, which the callers still use.
.macro restore_registers
	restore_scratch
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
.endm

.macro vector_el0 target
	.balign	128
	sub	sp, sp, #{FRAME}
	save_registers 0
	mov	x29, xzr		// a backtrace ends here
	b	\target
.endm

// Stacks lie in the upper half of a slot of twice their size (task::stack), so one bit of sp is set while there is room. The
// check needs a register: sp and x0 are added up and taken apart again.
.macro vector_el1 target
	.balign	128
	sub	sp, sp, #{FRAME}
	add	sp, sp, x0
	sub	x0, sp, x0
	tbz	x0, #{STACK_BIT}, el1_overflow
	sub	x0, sp, x0
	sub	sp, sp, x0
	save_registers 1
	b	\target
.endm

.macro vector_bad kind
	.balign	128
	sub	sp, sp, #{FRAME}
	save_registers 1
	mov	x1, #\kind
	b	el1_bad
.endm

	.section .text.vectors, "ax", %progbits
	.balign	2048
	.global el1_vectors
	.type el1_vectors, %function
el1_vectors:
	vector_bad 0			// EL1t: never used
	vector_bad 1
	vector_bad 2
	vector_bad 3
	vector_el1 el1_sync
	vector_el1 el1_irq
	vector_bad 6
	vector_bad 7
	vector_el0 el0_sync
	vector_el0 el0_irq
	vector_bad 10
	vector_bad 11
	vector_bad 12			// AArch32: no program of ours
	vector_bad 13
	vector_bad 14
	vector_bad 15
	.size el1_vectors, . - el1_vectors

	.balign	64
	.type el0_sync, %function
el0_sync:
	mrs	x1, esr_el1
	lsr	x2, x1, #26
	cmp	x2, #0x15		// SVC from AArch64
	mov	x0, sp
	b.ne	1f
	msr	daifclr, #2		// a call lets interrupts in; the vector left x8 as the program had it
	cmp	x8, #{CALL_COUNT}
	b.hs	2f
	adrp	x9, {CALLS}
	add	x9, x9, :lo12:{CALLS}
	ldr	x9, [x9, x8, lsl #3]
	cbz	x9, 2f
	blr	x9			// x0 = the frame, which begins with the arguments
	str	x0, [sp]
3:	// A call keeps x19..x28 as any function does, so that they need not be loaded; one that changes the program's
	// registers says so by a flag.
	msr	daifset, #2
	mrs	x0, tpidr_el1
	ldr	x0, [x0, #{PERCPU_CURRENT}]
	ldr	w0, [x0]		// Task::flags
	cbnz	w0, return_to_user
	ldp	x0, x1, [sp, #256]
	ldp	x30, x2, [sp, #240]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	msr	sp_el0, x2
	ldp	x0, x1, [sp]
	restore_scratch
	ldr	x18, [sp, #144]
	ldp	x22, x23, [sp, #176]	// the entry above used x21..x23
	ldr	x21, [sp, #168]
	ldr	x29, [sp, #232]
	add	sp, sp, #{FRAME}
	eret
2:	bl	trap_rare_call
	b	3b
1:	bl	trap_user_fault
	b	return_to_user
	.size el0_sync, . - el0_sync

	.type el0_irq, %function
el0_irq:
	mov	x0, sp
	bl	trap_interrupt
	// falls through
	.global return_to_user
	.type return_to_user, %function
return_to_user:
	msr	daifset, #2
	mrs	x0, tpidr_el1
	ldr	x0, [x0, #{PERCPU_CURRENT}]
	ldr	w0, [x0]		// Task::flags
	cbnz	w0, 2f
3:	ldp	x0, x1, [sp, #256]
	ldp	x30, x22, [sp, #240]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	msr	sp_el0, x22
	ldp	x0, x1, [sp]
	ldp	x22, x23, [sp, #176]
	restore_registers
	add	sp, sp, #{FRAME}
	eret
2:	mov	x0, sp
	bl	trap_before_user	// reschedules, or does not return
	b	3b
	.size return_to_user, . - return_to_user

	.type el1_sync, %function
el1_sync:
	mov	x0, sp
	mrs	x1, esr_el1
	stp	x29, x22, [sp, #-16]!	// a frame record, so that backtraces cross the exception
	mov	x29, sp
	bl	trap_kernel_fault
	add	sp, sp, #16
	b	return_to_kernel
	.size el1_sync, . - el1_sync

	.type el1_irq, %function
el1_irq:
	mov	x0, sp
	stp	x29, x22, [sp, #-16]!
	mov	x29, sp
	bl	trap_interrupt
	add	sp, sp, #16
	// falls through
return_to_kernel:
	ldp	x0, x1, [sp, #256]
	ldr	x30, [sp, #240]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	ldp	x0, x1, [sp]
	ldp	x22, x23, [sp, #176]
	restore_registers
	add	sp, sp, #{FRAME}
	eret
	.size el1_irq, . - el1_irq

	.type el1_bad, %function
el1_bad:
	mov	x0, sp
	stp	x29, x22, [sp, #-16]!
	mov	x29, sp
	bl	trap_unexpected
	b	.
	.size el1_bad, . - el1_bad

// sp + x0 is in sp, sp in x0: the stack is full. Tell it from a stack of this CPU's own. Nothing returns from here, so two
// registers of the program are free to hold these while x0 finds that stack.
	.type el1_overflow, %function
el1_overflow:
	sub	sp, sp, x0
	msr	tpidrro_el0, x0
	mov	x0, sp
	msr	tpidr_el0, x0
	mrs	x0, tpidr_el1
	ldr	x0, [x0, #{PERCPU_OVERFLOW}]
	sub	sp, x0, #{FRAME}
	mrs	x0, tpidr_el0
	save_registers 1
	mrs	x0, tpidrro_el0
	str	x0, [sp, #248]		// TrapFrame::sp: where the stack stood
	mov	x0, sp
	stp	x29, x22, [sp, #-16]!
	mov	x29, sp
	bl	trap_stack_overflow
	b	.
	.size el1_overflow, . - el1_overflow

	.section .text, "ax", %progbits
// switch_context: x0 = where this task's registers go, x1 = the next one's. Callee-saved registers and sp alone:
// to the caller it is a function call that returns much later.
	.global switch_context
	.type switch_context, %function
switch_context:
	mov	x9, sp
	stp	x19, x20, [x0]
	stp	x21, x22, [x0, #16]
	stp	x23, x24, [x0, #32]
	stp	x25, x26, [x0, #48]
	stp	x27, x28, [x0, #64]
	stp	x29, x30, [x0, #80]
	str	x9, [x0, #96]
	ldp	x19, x20, [x1]
	ldp	x21, x22, [x1, #16]
	ldp	x23, x24, [x1, #32]
	ldp	x25, x26, [x1, #48]
	ldp	x27, x28, [x1, #64]
	ldp	x29, x30, [x1, #80]
	ldr	x9, [x1, #96]
	mov	sp, x9
	ret
	.size switch_context, . - switch_context

// first_run: where a new task begins. x19 = a function of Rust, or 0 for a program; x20 = its argument.
	.global first_run
	.type first_run, %function
first_run:
	mov	x29, xzr
	mov	x30, xzr
	bl	task_switched
	cbz	x19, return_to_user
	mov	x0, x20
	blr	x19
	b	.
	.size first_run, . - first_run

// save_vector_state, restore_vector_state: x0 = 528 bytes, 16-aligned: q0..q31, FPSR, FPCR.
	.arch_extension fp
	.arch_extension simd
	.global save_vector_state
	.type save_vector_state, %function
save_vector_state:
	stp	q0, q1, [x0, #0]
	stp	q2, q3, [x0, #32]
	stp	q4, q5, [x0, #64]
	stp	q6, q7, [x0, #96]
	stp	q8, q9, [x0, #128]
	stp	q10, q11, [x0, #160]
	stp	q12, q13, [x0, #192]
	stp	q14, q15, [x0, #224]
	stp	q16, q17, [x0, #256]
	stp	q18, q19, [x0, #288]
	stp	q20, q21, [x0, #320]
	stp	q22, q23, [x0, #352]
	stp	q24, q25, [x0, #384]
	stp	q26, q27, [x0, #416]
	stp	q28, q29, [x0, #448]
	stp	q30, q31, [x0, #480]
	mrs	x1, fpsr
	mrs	x2, fpcr
	str	x1, [x0, #512]
	str	x2, [x0, #520]
	ret
	.size save_vector_state, . - save_vector_state
	.global restore_vector_state
	.type restore_vector_state, %function
restore_vector_state:
	ldp	q0, q1, [x0, #0]
	ldp	q2, q3, [x0, #32]
	ldp	q4, q5, [x0, #64]
	ldp	q6, q7, [x0, #96]
	ldp	q8, q9, [x0, #128]
	ldp	q10, q11, [x0, #160]
	ldp	q12, q13, [x0, #192]
	ldp	q14, q15, [x0, #224]
	ldp	q16, q17, [x0, #256]
	ldp	q18, q19, [x0, #288]
	ldp	q20, q21, [x0, #320]
	ldp	q22, q23, [x0, #352]
	ldp	q24, q25, [x0, #384]
	ldp	q26, q27, [x0, #416]
	ldp	q28, q29, [x0, #448]
	ldp	q30, q31, [x0, #480]
	ldr	x1, [x0, #512]
	ldr	x2, [x0, #520]
	msr	fpsr, x1
	msr	fpcr, x2
	ret
	.size restore_vector_state, . - restore_vector_state
