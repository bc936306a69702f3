# C programs: built by the stock cross compiler of Linux, static, nothing of ours linked in.
#
# Included by the Makefile of the project, from whose folder the paths count. `user-c` builds them all to target/user/.

USER_CC ?= aarch64-linux-gnu-gcc
USER_C_FLAGS := -O2 -static -pthread -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Iuser/include
USER_C_PROGRAMS := $(patsubst user/c/%.c,target/user/%,$(wildcard user/c/*.c))

.PHONY: user-c
user-c: $(USER_C_PROGRAMS)

target/user/%: user/c/%.c $(wildcard user/c/*.h) user/include/vitrine.h user/c/build.mk
	@mkdir -p $(@D)
	$(USER_CC) $(USER_C_FLAGS) -o $@ $< -lm

# Wholly built for branch target identification, so that it carries the linker's note; without a C library.
target/user/landing: user/c/landing.c user/c/build.mk
	@mkdir -p $(@D)
	$(USER_CC) -O2 -static -nostdlib -ffreestanding -mbranch-protection=bti -Wall -Wextra -Werror -o $@ $<

# Small, because the whole of its medium is read again and again; without a C library.
target/user/cuts: user/c/cuts.c user/c/build.mk
	@mkdir -p $(@D)
	$(USER_CC) -O2 -static -nostdlib -ffreestanding -D_GNU_SOURCE -Wl,-z,max-page-size=4096 -Wall -Wextra \
	    -Werror -o $@ $<

# The benchmark comes from elsewhere and stays as it is, down to what a warning would say about it.
target/user/bench: user/c/bench.c user/c/build.mk
	@mkdir -p $(@D)
	$(USER_CC) -O2 -static -w -o $@ $<
