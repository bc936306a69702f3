# Vitrine's commands. `make` alone prints them; each installs what it misses (tools/setup.sh).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := menu
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

KERNEL_TARGET := aarch64-unknown-none-softfloat
USER_TARGET := aarch64-unknown-none
OUT := $(or $(CARGO_TARGET_DIR),target)

# --- What a person may set -------------------------------------------------------------------------------------------

# make run: one program instead of /bin/init, and the machine; qemu-run.sh checks the values.
INIT ?=
SMP ?=
MEM ?=
CPU ?=
CARRIER ?=
EL ?=
PMEM ?= target/root.img
# make test, ktest: only tests whose name holds this.
T ?=
# make gdb: the program whose main is of interest, by its name in /bin.
PROGRAM ?= init
# make soak: for how long, and how many hostile media.
CASES ?= 100000
MINUTES ?= 10
export INIT SMP MEM CPU CARRIER EL PMEM T PROGRAM MINUTES CASES

.PHONY: menu
menu:
	@echo 'Vitrine: files in persistent memory, read by looking at them.'
	@echo
	@echo '  make run      build, boot, show the three examples, then a prompt (^D ends it)'
	@echo '                INIT="/bin/prog args" runs one program and prints its exit status'
	@echo '                SMP= MEM= CPU= EL=2|1 PMEM=file CARRIER=nvdimm|dt|numa|ivshmem shape the machine'
	@echo '  make test     host, in-kernel and whole-machine tests; T=name selects'
	@echo '  make ktest    the in-kernel tests only; T=name, CPU=model'
	@echo '  make crash    the crash exploration, longer than make test does it'
	@echo '  make soak     CASES=100000 hostile media, then random tests over and over for MINUTES=10'
	@echo '  make check    what a reviewer would run: format, lints, docs, scripts'
	@echo '  make bench    instructions per operation, beside Linux'
	@echo '  make peer     our C programs on a real Linux and here, what they count side by side; T=name'
	@echo '  make bootchart  each step of the boot in instructions, also as target/bootchart.svg'
	@echo '  make gdb      wait at the first instruction, with symbols; PROGRAM=init'
	@echo '  make build    the kernel target/vitrine.elf and .bin, the host tool target/release/vitrine'
	@echo '  make image    target/root.img from user/rootfs and the programs'
	@echo '  make fmt      format the Rust'
	@echo '  make doc      the documentation of every room, in target/doc'
	@echo '  make clean    forget what was built'

# --- Build -----------------------------------------------------------------------------------------------------------

# Copies only what has changed, so that nothing later is made anew for nothing.
copy = cmp -s $(1) $(2) || cp $(1) $(2)
objcopy = "$$(rustc --print target-libdir)/../bin/rust-objcopy"

.PHONY: build kernel checked tool programs
build: kernel tool

kernel:
	@tools/setup.sh rust cc
	cargo build -p kernel --profile kernel --target $(KERNEL_TARGET)
	@mkdir -p target
	cargo build -p kernel-symbols --release
	@$(OUT)/release/kernel-symbols $(OUT)/$(KERNEL_TARGET)/kernel/vitrine-kernel target/vitrine.elf
	@[[ target/vitrine.bin -nt target/vitrine.elf ]] || $(objcopy) -O binary target/vitrine.elf target/vitrine.bin

# The kernel with every check on: lock order, overflow, validate() after each change.
checked:
	@tools/setup.sh rust cc
	cargo build -p kernel --profile checked --target $(KERNEL_TARGET)
	@mkdir -p target
	cargo build -p kernel-symbols --release
	@$(OUT)/release/kernel-symbols $(OUT)/$(KERNEL_TARGET)/checked/vitrine-kernel target/vitrine-checked.elf

tool:
	@tools/setup.sh rust cc
	cargo build -p vitrine --release
	@mkdir -p target/release
	@[[ $(OUT) -ef target ]] || { $(call copy,$(OUT)/release/vitrine,target/release/vitrine); }

# Every program with its symbols, in target/programs: Rust ones by the name of their source, C ones too, `-c` behind
# the name where there is a Rust one of it.
programs: setup-programs user-c target/user/first target/user/stretch
	cargo build -p user --profile user --target $(USER_TARGET)
	@rm -rf target/programs && mkdir -p target/programs
	@for source in user/src/bin/*; do name=$$(basename "$$source" .rs); \
	    cp $(OUT)/$(USER_TARGET)/user/"$$name" target/programs/; done
	@for program in $(USER_C_PROGRAMS) target/user/first target/user/stretch; do name=$$(basename "$$program"); \
	    [[ ! -e target/programs/$$name ]] || name+=-c; \
	    cp "$$program" target/programs/"$$name"; done

.PHONY: setup-programs
setup-programs:
	@tools/setup.sh rust cc cross

include user/c/build.mk
USER_C_FLAGS += -g
$(USER_C_PROGRAMS) target/user/first target/user/stretch: | setup-programs

target/user/stretch: tools/bench/stretch.c
	@mkdir -p $(@D)
	$(USER_CC) -O2 -static -D_GNU_SOURCE -Wall -Wextra -Werror -o $@ $<

target/user/first: tools/bench/first.c
	@mkdir -p $(@D)
	$(USER_CC) -O2 -static -nostdlib -ffreestanding -Wall -Wextra -Werror -o $@ $<

# --- Image -----------------------------------------------------------------------------------------------------------

# user/rootfs with every program, stripped, in /bin.
.PHONY: rootfs image
rootfs: programs
	@rm -rf target/rootfs && mkdir -p target/rootfs
	@cp -r user/rootfs/. target/rootfs/
	@mkdir -p target/rootfs/bin target/rootfs/tmp
	@for program in target/programs/*; do \
	    aarch64-linux-gnu-strip -o target/rootfs/bin/"$$(basename "$$program")" "$$program"; done
	@chmod 755 target/rootfs/bin/*

image: tool rootfs
	@rm -f target/root.img.new
	target/release/vitrine mkfs --from target/rootfs target/root.img.new
	@mv target/root.img.new target/root.img

# What the tests copy: made afresh, never booted from. target/root.img is a person's and stays as it is.
.PHONY: test-image
test-image: tool rootfs
	@rm -f target/test.img
	target/release/vitrine mkfs --size 256M --from target/rootfs target/test.img

# --- Run -------------------------------------------------------------------------------------------------------------

machine = $(if $(SMP),--smp "$$SMP") $(if $(MEM),--mem "$$MEM") $(if $(CPU),--cpu "$$CPU") \
    $(if $(CARRIER),--carrier "$$CARRIER") $(if $(EL),--el "$$EL")

.PHONY: run
run:
	@[[ -z "$$INIT" || "$$INIT" == /* ]] || { echo "INIT wants a path that begins with /, not '$$INIT'" >&2; exit 2; }
	@tools/setup.sh qemu
	@$(MAKE) build
	@[[ "$$PMEM" != target/root.img || -e target/root.img ]] || $(MAKE) image
	@[[ "$$PMEM" != target/root.img || -z $$(find user abi/src -newer target/root.img -print -quit) ]] || \
	    echo "make: target/root.img keeps older programs and whatever you changed in it; 'make image' makes it afresh" >&2
	@[[ ! -t 0 ]] || echo 'make: ^D at the prompt ends it; ^A x stops QEMU' >&2
ifeq ($(INIT),)
	@./qemu-run.sh $(machine) --pmem "$$PMEM"
else
	@status=0; ./qemu-run.sh $(machine) --pmem "$$PMEM" --append "init=$$INIT" || status=$$?; \
	    echo "exit status $$status"
endif

.PHONY: gdb
gdb: build
	@tools/setup.sh qemu gdb
	@[[ -e $(PMEM) ]] || $(MAKE) image
	@tools/gdb/attach.sh

# What figures are measured on: the programs, and a directory of a hundred files.
.PHONY: bench bootchart bench-image
bench-image: tool rootfs
	@for number in {1..100}; do mkdir -p target/rootfs/hundred; \
	    echo "file $$number of a hundred" >target/rootfs/hundred/$$number; done
	@rm -f target/bench.img
	target/release/vitrine mkfs --size 256M --from target/rootfs target/bench.img
	@mkdir -p target/rootfs/many && for number in {1..10000}; do echo "file $$number" >target/rootfs/many/$$number; done
	@rm -f target/many.img
	target/release/vitrine mkfs --size 256M --from target/rootfs target/many.img
	@rm -rf target/rootfs/many

bench: build bench-image
	@tools/setup.sh qemu
	@tools/bench/run.sh target/bench.img target/many.img

bootchart: build bench-image
	@tools/setup.sh qemu
	@tools/bench/bootchart.sh target/bench.img

# Not a test of ours: it fetches a kernel of Debian, which stays in target/peer.
.PHONY: peer
peer: build test-image
	@tools/setup.sh qemu cross peer
	@tools/peer/run.sh $(T)

# --- Tests -----------------------------------------------------------------------------------------------------------

# The plugin of QEMU that records what reaches persistent memory.
target/recorder.so: tests/recorder/recorder.c
	@tools/setup.sh cc
	@mkdir -p $(@D)
	$(CC) -O2 -shared -fPIC -fvisibility=hidden -Wall -Wextra -Werror -o $@ $<

.PHONY: test ktest crash soak
test: build checked test-image target/recorder.so
	@tools/setup.sh qemu gdb
	@tests/rings.sh host kernel machine

ktest: checked test-image
	@tools/setup.sh qemu
	@tests/rings.sh kernel

crash: build checked test-image target/recorder.so
	@tools/setup.sh rust cc qemu
	@tests/crash.sh
	VITRINE_CRASH=full cargo test --release -p machine-tests --test cuts -- --nocapture

soak: build checked test-image target/recorder.so
	@tools/setup.sh qemu gdb
	@tests/soak.sh

# --- Tidiness --------------------------------------------------------------------------------------------------------

.PHONY: check fmt doc clean
check:
	@tools/setup.sh rust cc lint
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy -p fs --all-targets --features seeded-bugs -- -D warnings
	cargo clippy -p machine-tests --all-targets -- -D warnings
	cargo clippy -p user --target $(USER_TARGET) --profile user -- -D warnings
	cargo clippy -p kernel --target $(KERNEL_TARGET) --profile kernel -- -D warnings
	cargo clippy -p kernel --target $(KERNEL_TARGET) --profile checked -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --no-deps --document-private-items --quiet
	shellcheck qemu-run.sh .ci/run tools/*.sh tools/*/*.sh tests/*.sh
	tests/house.sh

fmt:
	@tools/setup.sh rust
	cargo fmt --all

doc:
	@tools/setup.sh rust cc
	cargo doc --no-deps --document-private-items
	cargo doc --no-deps -p kernel -p arch -p boot --target $(KERNEL_TARGET) --document-private-items

clean:
	cargo clean
