//! The device tree, interrupts, time, randomness, fw_cfg, the log, and pmem devices, on the machine that runs.

use alloc::vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use arch::cache::CleanTo;
use arrayvec::ArrayVec;
use platform::fdt::{AFFINITY, Interrupt, Trigger};
use pmem::dax::DaxMode;
use pmem::medium::{MediaError, Medium};
use units::{BlockNr, ByteLen, PAGE_SIZE, PageCount, PhysAddr, PhysRange, PmOff, SECTOR_SIZE, Sector};

use crate::irq::{self, IrqError};
use crate::mmio::{self, DeviceError, PrimeCell};
use crate::pmem::{PmemMedium, WriteBack, devices};
use crate::start::platform;
use crate::task::wait::{Ended, WaitQueue};
use crate::testing::kernel_test;
use crate::{counters, fw_cfg, layout, paging, rng, timer};

kernel_test! {
    /// What the device tree says of CPUs and memory is what this CPU and the kernel see of themselves.
    fn the_device_tree_describes_this_machine() {
        let (platform, mpidr) = (platform(), arch::cpu::mpidr() & AFFINITY);
        assert!(platform.cpus.iter().any(|cpu| cpu.mpidr == mpidr));
        assert!(platform.memory.iter().any(|memory| memory.range.covers(paging::image())));
        assert!(platform.memory.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
    }

    /// The counter goes on, and never back.
    fn time_goes_on() {
        let mut before = timer::now();
        for _ in 0..10_000 {
            let now = timer::now();
            assert!(now >= before);
            before = now;
        }
        let start = timer::now();
        while timer::now() == start {}
    }

    /// A wait with a deadline ends at the deadline, not before.
    fn a_deadline_wakes_in_time() {
        let (queue, start) = (WaitQueue::new(), timer::now());
        for wait in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(15)] {
            let deadline = timer::now() + wait;
            let answer = queue.wait_until_deadline(Some(deadline), || None::<()>);
            assert_eq!(answer, Err(Ended::TimedOut));
            assert!(timer::now() >= deadline);
        }
        assert!(timer::now() - start < Duration::from_secs(5));
    }

    /// With a clock on the board, it is later than when this was written.
    fn the_wall_clock_tells_the_year() {
        if platform().rtc.is_some() {
            assert!(timer::wall_clock().secs >= 1_577_836_800, "before 2020: {:?}", timer::wall_clock());
        }
    }

    /// An interrupt sent to oneself arrives, once for each time it is sent, and not while it is switched off.
    fn an_interrupt_to_oneself_arrives() {
        const ID: u32 = 14;
        static SEEN: AtomicU32 = AtomicU32::new(0);
        fn handler() {
            SEEN.fetch_add(1, Ordering::Relaxed);
        }
        let line = Interrupt { id: ID, trigger: Trigger::Edge };
        let mpidr = arch::cpu::mpidr() & AFFINITY;
        irq::register(line, handler).unwrap();
        irq::enable(ID).unwrap();
        for round in 1..=3 {
            irq::send(ID, mpidr).unwrap();
            let start = timer::now();
            while SEEN.load(Ordering::Relaxed) < round {
                assert!(timer::now() - start < Duration::from_secs(5), "interrupt {round} did not come");
            }
        }
        irq::disable(ID).unwrap();
        irq::send(ID, mpidr).unwrap();
        let start = timer::now();
        while timer::now() - start < Duration::from_millis(2) {}
        assert_eq!(SEEN.load(Ordering::Relaxed), 3);
        assert_eq!(irq::register(line, handler), Err(IrqError::Taken(ID)));
    }

    /// Numbers that are no interrupt are refused.
    fn interrupts_that_do_not_exist_are_refused() {
        for id in [1020, 1023, 1024, u32::MAX] {
            assert_eq!(irq::enable(id), Err(IrqError::Number(id)));
        }
        assert_eq!(irq::send(16, 0), Err(IrqError::Number(16)));
    }

    /// Random bytes differ from draw to draw, and fill any length.
    fn random_bytes_differ() {
        let (mut a, mut b) = ([0; 33], [0; 33]);
        rng::fill(&mut a);
        rng::fill(&mut b);
        assert_ne!(a, b);
        assert!(a.iter().any(|&byte| byte != 0));
        rng::fill(&mut []);
    }

    /// A record is kept in the ring, whether it is printed or not, with the time before it.
    fn the_log_keeps_its_last_lines() {
        log::info!("a line that the test of the log looks for");
        let mut kept = ArrayVec::<u8, 256>::new();
        crate::log::last_lines(1, &mut |byte| kept.push(byte)).unwrap();
        let text = core::str::from_utf8(&kept).unwrap();
        assert!(text.starts_with('[') && text.ends_with("] a line that the test of the log looks for\n"), "{text:?}");
        assert_eq!(text.lines().count(), 1);
    }

    /// fw_cfg has the files that QEMU puts there, and no others.
    fn fw_cfg_finds_files_by_name() {
        if platform().fw_cfg.is_none() {
            return;
        }
        assert_eq!(fw_cfg::find("no/such/file"), Ok(None));
        let Some(file) = fw_cfg::find("etc/acpi/tables").unwrap() else { return };
        let (mut head, mut whole) = ([0; 4], vec![0xaa; file.size()]);
        fw_cfg::read(file, 0, &mut head).unwrap();
        fw_cfg::read(file, 0, &mut whole).unwrap();
        assert_eq!((&head, &whole[..4]), (b"DSDT", &b"DSDT"[..]));
        fw_cfg::read(file, 2, &mut head).unwrap();
        assert_eq!(head, whole[2..6]);
    }

    /// Every way to a page of a device leads to the same place.
    fn pmem_pages_are_where_direct_access_says() {
        for device in devices() {
            let medium = PmemMedium::new(device);
            let last = medium.len().get() / PAGE_SIZE - 1;
            for block in [0, 1, last] {
                let at = BlockNr::new(block);
                let answer = device.dax().direct_access(at, PageCount::new(1), DaxMode::Normal);
                let (kaddr, pfn, pages) = answer.unwrap();
                assert_eq!(medium.pfn(at.base()), Some(pfn));
                assert_eq!(kaddr.get(), layout::linear(pfn.base()).addr() as u64);
                assert!(pages.get() >= 1 && paging::walk(kaddr).is_some());
            }
            assert_eq!(medium.pfn(PmOff::new(medium.len().get())), None);
        }
    }

    /// Cleaning touches each line of the range once, the ragged ends included; with eADR none.
    fn cleaning_counts_its_lines() {
        let Some(device) = devices().first() else { return };
        let medium = PmemMedium::new(device);
        let (lines, fences) = (counters::LINES_CLEANED.get(), counters::FENCES.get());
        medium.clean(PmOff::new(0x2000 - 1), ByteLen::new(66));
        medium.clean(PmOff::new(0x2000), ByteLen::ZERO);
        medium.fence();
        let expected = match device.write_back() {
            WriteBack::Lines(_, line) => (0x2000 + 65_u64).div_ceil(line as u64) - (0x2000 - 1) / line as u64,
            WriteBack::NotNeeded => 0,
        };
        assert_eq!(counters::LINES_CLEANED.get() - lines, expected);
        assert_eq!(counters::FENCES.get() - fences, 1);
    }

    /// Steps are left out once, when their turn comes; only where there are checks.
    fn steps_can_be_forgotten() {
        let Some(device) = devices().first() else { return };
        let medium = PmemMedium::new(device);
        let WriteBack::Lines(_, line) = device.write_back() else { return };
        let lines = |number: usize| ByteLen::new((number * line) as u64);
        let cleaned = |len| {
            let before = counters::LINES_CLEANED.get();
            medium.clean(PmOff::new(0x2000), len);
            counters::LINES_CLEANED.get() - before
        };
        for wrong in [b"clean".as_slice(), b"clean x", b"line -1", b"fences 1", b"", b"\xff 1"] {
            assert_eq!(crate::pmem::forget(wrong), Err(abi::Errno::EINVAL));
        }
        if !cfg!(debug_assertions) {
            assert_eq!(crate::pmem::forget(b"clean 0"), Err(abi::Errno::EOPNOTSUPP));
            assert_eq!(cleaned(lines(1)), 1);
            return;
        }
        crate::pmem::forget(b"clean 1").unwrap();
        assert_eq!([(); 3].map(|()| cleaned(lines(3))), [3, 0, 3]);
        crate::pmem::forget(b"line 0").unwrap();
        assert_eq!([(); 2].map(|()| cleaned(lines(3))), [2, 3]);
        crate::pmem::forget(b"line 0").unwrap();
        assert_eq!(cleaned(ByteLen::new(5)), 0);
        let before = counters::FENCES.get();
        crate::pmem::forget(b"fence 0").unwrap();
        medium.fence();
        medium.fence();
        assert_eq!(counters::FENCES.get() - before, 1);
    }

    /// The instruction that cleans is the furthest-reaching one that the CPU has.
    fn cleaning_uses_what_the_cpu_has() {
        let dpb = arch::cpu::field(arch::cpu::isar1(), 0);
        for device in devices() {
            match device.write_back() {
                WriteBack::Lines(CleanTo::DeepPersistence, _) => assert!(dpb >= 2),
                WriteBack::Lines(CleanTo::Persistence, _) => assert_eq!(dpb, 1),
                WriteBack::Lines(CleanTo::Coherency, _) => assert_eq!(dpb, 0),
                WriteBack::Lines(CleanTo::Announced, _) => {}
                WriteBack::NotNeeded => {}
            }
        }
    }

    /// A bad sector makes loads that meet it fail at its first byte, and no others.
    fn a_bad_sector_is_not_loaded() {
        let Some(device) = devices().first() else { return };
        let (medium, memory) = (PmemMedium::new(device), device.dax().ops().memory());
        let sector = Sector::new(medium.len().get() / SECTOR_SIZE - 2);
        let at = PmOff::new(sector.get() * SECTOR_SIZE);
        let before = PmOff::new(at.get() - 100);
        let mut bytes = [0; 200];
        memory.set_bad(sector, 1).unwrap();
        let (meets, misses) = (medium.load(before, &mut bytes), medium.load(before, &mut bytes[..100]));
        let mut sink = &mut bytes[..];
        let short = medium.load_to(before, 200, &mut sink);
        memory.clear_bad(sector, 1).unwrap();
        assert_eq!(meets, Err(MediaError { at }));
        assert_eq!(misses, Ok(()));
        assert_eq!(short, Ok(100));
        assert_eq!(medium.load(before, &mut bytes), Ok(()));
    }

    /// Registers are asked what they are: where nothing is, or something else, that is said, and the kernel goes on.
    fn registers_that_are_not_there_are_told() {
        let (name, page) = ("registers of a test", ByteLen::new(PAGE_SIZE));
        let hole = PhysRange::with_len(PhysAddr::new(0x0b00_0000), page).unwrap();
        let registers = mmio::map(hole.start(), page, name).unwrap();
        assert_eq!(mmio::probe(registers, 0), None);
        let absent = |wanted, at| Err(DeviceError::Absent { wanted, at });
        assert_eq!(PrimeCell::PL011.map(hole, name), absent("PL011", hole.start()));
        let uart = platform().uart.registers;
        assert_eq!(PrimeCell::PL031.map(uart, name), absent("PL031", uart.start()));
        assert!(PrimeCell::PL011.map(uart, name).is_ok());
    }

    /// A byte that no memory answers for ends a copy there; the kernel goes on.
    fn an_external_abort_ends_a_copy() {
        // Between the virtio slots and the platform bus of QEMU's board there is nothing.
        let hole = PhysRange::with_len(PhysAddr::new(0x0b00_0000), ByteLen::new(PAGE_SIZE)).unwrap();
        paging::map_linear(hole, "a hole that a test touches").unwrap();
        let mut bytes = [0; 64];
        // SAFETY: private memory on one side; on the other a mapped page whose reads are answered with an error, which
        // is what the routine's fix-up is for.
        let left = unsafe { arch::user::copy(bytes.as_mut_ptr(), layout::linear(hole.start()), bytes.len()) };
        assert_eq!(left, 64);
    }
}
