// user_copy, user_zero, user_copy_string, user_exchange. Each access of a program's memory is an `acc`, with the place to go on after a fault.

.macro acc fix, insn:vararg
9999:	\insn
	.pushsection .ex_table, "a"
	.balign 4
	.long	9999b - .
	.long	\fix - .
	.popsection
.endm

// PSTATE.PAN by its encoding; x17 is used.
.macro pan value
	adrp	x17, ARCH_HAS_PAN
	ldrb	w17, [x17, :lo12:ARCH_HAS_PAN]
	cbz	w17, 9998f
	.inst	0xd500409f | (\value << 8)
9998:
.endm

	.section .text.user_access, "ax", %progbits
	.arch_extension fp
	.arch_extension simd

// user_copy: x0 = to, x1 = from, x2 = bytes; answers in x0 the bytes not copied.
//   x3 = to, x1 = from, x2 = left, all three true at every access that may fault.
	.global user_copy
	.type user_copy, %function
	.balign 64
user_copy:
	pan	0
	mov	x3, x0
	cmp	x2, #512
	b.hs	.Lbig
.Lwords:
	cmp	x2, #32
	b.lo	2f
1:	acc	.Lbytes, ldp x4, x5, [x1]
	acc	.Lbytes, ldp x6, x7, [x1, #16]
	acc	.Lbytes, stp x4, x5, [x3]
	acc	.Lbytes, stp x6, x7, [x3, #16]
	add	x1, x1, #32
	add	x3, x3, #32
	sub	x2, x2, #32
	cmp	x2, #32
	b.hs	1b
2:	cmp	x2, #8
	b.lo	.Lbytes
	acc	.Lbytes, ldr x4, [x1]
	acc	.Lbytes, str x4, [x3]
	add	x1, x1, #8
	add	x3, x3, #8
	sub	x2, x2, #8
	b	2b
.Lbytes:				// also where a fault leads, to end at the very byte
	cbz	x2, .Lend
3:	acc	.Lend, ldrb w4, [x1]
	acc	.Lend, strb w4, [x3]
	add	x1, x1, #1
	add	x3, x3, #1
	subs	x2, x2, #1
	b.ne	3b
.Lend:	pan	1
	mov	x0, x2
	ret

.Lbig:	save_vectors
	sub	x2, x2, #256
4:	acc	.Lbig_end, ldp q0, q1, [x1]
	acc	.Lbig_end, ldp q2, q3, [x1, #32]
	acc	.Lbig_end, ldp q4, q5, [x1, #64]
	acc	.Lbig_end, ldp q6, q7, [x1, #96]
	acc	.Lbig_end, ldp q8, q9, [x1, #128]
	acc	.Lbig_end, ldp q10, q11, [x1, #160]
	acc	.Lbig_end, ldp q12, q13, [x1, #192]
	acc	.Lbig_end, ldp q14, q15, [x1, #224]
	acc	.Lbig_end, stp q0, q1, [x3]
	acc	.Lbig_end, stp q2, q3, [x3, #32]
	acc	.Lbig_end, stp q4, q5, [x3, #64]
	acc	.Lbig_end, stp q6, q7, [x3, #96]
	acc	.Lbig_end, stp q8, q9, [x3, #128]
	acc	.Lbig_end, stp q10, q11, [x3, #160]
	acc	.Lbig_end, stp q12, q13, [x3, #192]
	acc	.Lbig_end, stp q14, q15, [x3, #224]
	add	x1, x1, #256
	add	x3, x3, #256
	subs	x2, x2, #256
	b.hs	4b
.Lbig_end:				// reached by a fault too: the vector registers are the program's
	restore_vectors
	add	x2, x2, #256
	b	.Lwords
	.size user_copy, . - user_copy

// user_zero: x0 = to, x1 = bytes; answers in x0 the bytes not stored.
	.global user_zero
	.type user_zero, %function
	.balign 64
user_zero:
	pan	0
	cmp	x1, #64
	b.lo	2f
1:	acc	3f, stp xzr, xzr, [x0]
	acc	3f, stp xzr, xzr, [x0, #16]
	acc	3f, stp xzr, xzr, [x0, #32]
	acc	3f, stp xzr, xzr, [x0, #48]
	add	x0, x0, #64
	sub	x1, x1, #64
	cmp	x1, #64
	b.hs	1b
2:	cmp	x1, #8
	b.lo	3f
	acc	3f, str xzr, [x0]
	add	x0, x0, #8
	sub	x1, x1, #8
	b	2b
3:	cbz	x1, 5f			// also where a fault leads, to end at the very byte
4:	acc	5f, strb wzr, [x0]
	add	x0, x0, #1
	subs	x1, x1, #1
	b.ne	4b
5:	pan	1
	mov	x0, x1
	ret
	.size user_zero, . - user_zero

// user_copy_string: x0 = to, x1 = from, x2 = most bytes; answers the length, x2 where no NUL was met, -1 at a fault.
	.global user_copy_string
	.type user_copy_string, %function
	.balign 64
user_copy_string:
	pan	0
	mov	x3, #0
1:	cmp	x3, x2
	b.hs	2f
	acc	3f, ldrb w4, [x1, x3]
	strb	w4, [x0, x3]
	cbz	w4, 2f
	add	x3, x3, #1
	b	1b
3:	mov	x3, #-1
2:	pan	1
	mov	x0, x3
	ret
	.size user_copy_string, . - user_copy_string

// user_exchange: x0 = word, w1 = what it must hold, w2 = what it is to hold; answers what it held, or -1 at a fault.
	.global user_exchange
	.type user_exchange, %function
	.balign 64
user_exchange:
	pan	0
1:	acc	3f, ldaxr w3, [x0]
	cmp	w3, w1
	b.ne	2f
	acc	3f, stlxr w4, w2, [x0]
	cbnz	w4, 1b
	b	4f
2:	clrex
	b	4f
3:	mov	x3, #-1
4:	pan	1
	mov	x0, x3
	ret
	.size user_exchange, . - user_exchange
