// memcpy, memmove, memset, memcmp, bcmp, zero_pages_zva.
// Only x0..x17 and flags are used; q0..q15 are saved and restored where they are.

.macro function name
	.global \name
	.type \name, %function
	.balign 64
\name:
.endm

// x2 is a count below 64: moves that many bytes from [x1] to [x3], both advanced.
.macro copy_tail
	tbz	x2, #5, 11f
	ldp	x4, x5, [x1], #16
	ldp	x6, x7, [x1], #16
	stp	x4, x5, [x3], #16
	stp	x6, x7, [x3], #16
11:	tbz	x2, #4, 12f
	ldp	x4, x5, [x1], #16
	stp	x4, x5, [x3], #16
12:	tbz	x2, #3, 13f
	ldr	x4, [x1], #8
	str	x4, [x3], #8
13:	tbz	x2, #2, 14f
	ldr	w4, [x1], #4
	str	w4, [x3], #4
14:	tbz	x2, #1, 15f
	ldrh	w4, [x1], #2
	strh	w4, [x3], #2
15:	tbz	x2, #0, 16f
	ldrb	w4, [x1]
	strb	w4, [x3]
16:
.endm

	.section .text.memory, "ax", %progbits
	.arch_extension fp
	.arch_extension simd

// memcpy: x0 = to, x1 = from, x2 = bytes; answers x0. What structures take, 96 bytes and less, is loaded from both ends before
// anything is stored, so that the two may overlap in any way; else `to` may lie below `from`.
function memcpy
	cmp	x2, #16
	b.lo	memcpy_below_16
	cmp	x2, #96
	b.hi	memcpy_long
	add	x3, x1, x2
	add	x17, x0, x2
	ldp	x4, x5, [x1]
	ldp	x6, x7, [x3, #-16]
	cmp	x2, #32
	b.hi	1f
	stp	x4, x5, [x0]
	stp	x6, x7, [x17, #-16]
	ret
1:	ldp	x8, x9, [x1, #16]
	ldp	x10, x11, [x3, #-32]
	cmp	x2, #64
	b.hi	2f
	stp	x4, x5, [x0]
	stp	x8, x9, [x0, #16]
	stp	x10, x11, [x17, #-32]
	stp	x6, x7, [x17, #-16]
	ret
2:	ldp	x12, x13, [x1, #32]
	ldp	x14, x15, [x3, #-48]
	stp	x4, x5, [x0]
	stp	x8, x9, [x0, #16]
	stp	x12, x13, [x0, #32]
	stp	x14, x15, [x17, #-48]
	stp	x10, x11, [x17, #-32]
	stp	x6, x7, [x17, #-16]
	ret
memcpy_below_16:
	add	x3, x1, x2
	add	x17, x0, x2
	tbz	x2, #3, 1f
	ldr	x4, [x1]
	ldr	x5, [x3, #-8]
	str	x4, [x0]
	str	x5, [x17, #-8]
	ret
1:	tbz	x2, #2, 2f
	ldr	w4, [x1]
	ldr	w5, [x3, #-4]
	str	w4, [x0]
	str	w5, [x17, #-4]
	ret
2:	cbz	x2, 3f			// of one to three the first, the middle one and the last
	lsr	x6, x2, #1
	ldrb	w4, [x1]
	ldrb	w5, [x1, x6]
	ldrb	w7, [x3, #-1]
	strb	w4, [x0]
	strb	w5, [x0, x6]
	strb	w7, [x17, #-1]
3:	ret
memcpy_long:
	mov	x3, x0
	cmp	x2, #512
	b.hs	3f
	sub	x2, x2, #64
1:	ldp	x4, x5, [x1]
	ldp	x6, x7, [x1, #16]
	ldp	x8, x9, [x1, #32]
	ldp	x10, x11, [x1, #48]
	add	x1, x1, #64
	stp	x4, x5, [x3]
	stp	x6, x7, [x3, #16]
	stp	x8, x9, [x3, #32]
	stp	x10, x11, [x3, #48]
	add	x3, x3, #64
	subs	x2, x2, #64
	b.hs	1b
2:	and	x2, x2, #63		// x2 - 64 has the same low bits
	copy_tail
	ret
3:	save_vectors
	sub	x2, x2, #256
4:	ldp	q0, q1, [x1]
	ldp	q2, q3, [x1, #32]
	ldp	q4, q5, [x1, #64]
	ldp	q6, q7, [x1, #96]
	ldp	q8, q9, [x1, #128]
	ldp	q10, q11, [x1, #160]
	ldp	q12, q13, [x1, #192]
	ldp	q14, q15, [x1, #224]
	add	x1, x1, #256
	stp	q0, q1, [x3]
	stp	q2, q3, [x3, #32]
	stp	q4, q5, [x3, #64]
	stp	q6, q7, [x3, #96]
	stp	q8, q9, [x3, #128]
	stp	q10, q11, [x3, #160]
	stp	q12, q13, [x3, #192]
	stp	q14, q15, [x3, #224]
	add	x3, x3, #256
	subs	x2, x2, #256
	b.hs	4b
	restore_vectors
	adds	x2, x2, #192		// below 256 are left, less the 64 that the loop takes off first
	b.mi	2b
	b	1b
	.size memcpy, . - memcpy

// memmove: as memcpy, and the two may overlap.
function memmove
	cmp	x2, #96
	b.ls	memcpy
	sub	x3, x0, x1
	cmp	x3, x2
	b.hs	memcpy			// `to` lies below `from`, or behind its end
	add	x3, x0, x2
	add	x1, x1, x2
	subs	x2, x2, #32
	b.lo	2f
1:	ldp	x4, x5, [x1, #-16]
	ldp	x6, x7, [x1, #-32]!
	stp	x4, x5, [x3, #-16]
	stp	x6, x7, [x3, #-32]!
	subs	x2, x2, #32
	b.hs	1b
2:	and	x2, x2, #31
	tbz	x2, #4, 3f
	ldp	x4, x5, [x1, #-16]!
	stp	x4, x5, [x3, #-16]!
3:	and	x2, x2, #15
	cbz	x2, 5f
4:	ldrb	w4, [x1, #-1]!
	strb	w4, [x3, #-1]!
	subs	x2, x2, #1
	b.ne	4b
5:	ret
	.size memmove, . - memmove

// memset: x0 = to, w1 = byte, x2 = bytes; answers x0.
function memset
	and	x1, x1, #255
	mov	x4, #0x0101010101010101
	mul	x1, x1, x4
	mov	x3, x0
	subs	x2, x2, #64
	b.lo	2f
1:	stp	x1, x1, [x3]
	stp	x1, x1, [x3, #16]
	stp	x1, x1, [x3, #32]
	stp	x1, x1, [x3, #48]
	add	x3, x3, #64
	subs	x2, x2, #64
	b.hs	1b
2:	tbz	x2, #5, 3f
	stp	x1, x1, [x3], #16
	stp	x1, x1, [x3], #16
3:	tbz	x2, #4, 4f
	stp	x1, x1, [x3], #16
4:	tbz	x2, #3, 5f
	str	x1, [x3], #8
5:	tbz	x2, #2, 6f
	str	w1, [x3], #4
6:	tbz	x2, #1, 7f
	strh	w1, [x3], #2
7:	tbz	x2, #0, 8f
	strb	w1, [x3]
8:	ret
	.size memset, . - memset

// memcmp, bcmp: x0, x1 = sides, x2 = bytes; answers below, at or above 0 by the first byte that differs.
	.global bcmp
	.type bcmp, %function
function memcmp
bcmp:
	subs	x2, x2, #8
	b.lo	2f
1:	ldr	x3, [x0], #8
	ldr	x4, [x1], #8
	cmp	x3, x4
	b.ne	5f
	subs	x2, x2, #8
	b.hs	1b
2:	adds	x2, x2, #8
	b.eq	4f
3:	ldrb	w3, [x0], #1
	ldrb	w4, [x1], #1
	subs	w5, w3, w4
	b.ne	6f
	subs	x2, x2, #1
	b.ne	3b
4:	mov	w0, #0
	ret
5:	rev	x3, x3			// the first byte is the most telling one
	rev	x4, x4
	cmp	x3, x4
	mov	w0, #1
	cneg	w0, w0, lo
	ret
6:	mov	w0, w5
	ret
	.size memcmp, . - memcmp
	.size bcmp, . - bcmp

// zero_pages_zva: x0 = the first page, x1 = bytes, whole pages of them. DCZID_EL0 gives the block; where `dc zva` is forbidden
// or its block is another, stores do.
function zero_pages_zva
	mrs	x2, dczid_el0
	add	x1, x0, x1
	cmp	x2, #4			// allowed, and 64-byte blocks: by far the most common
	b.ne	3f
1:	.rept	64			// a page a turn
	dc	zva, x0
	add	x0, x0, #64
	.endr
	cmp	x0, x1
	b.lo	1b
	ret
3:	stp	xzr, xzr, [x0]
	stp	xzr, xzr, [x0, #16]
	stp	xzr, xzr, [x0, #32]
	stp	xzr, xzr, [x0, #48]
	add	x0, x0, #64
	cmp	x0, x1
	b.lo	3b
	ret
	.size zero_pages_zva, . - zero_pages_zva
