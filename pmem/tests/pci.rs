//! The memory of `ivshmem` devices is sized and placed, against a bus made by hand.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pmem::pci::{Config, Function, PciError, Placed, Window, Windows, ivshmem};

/// A function: what it is, its header type, the size of BAR 2 and the low bits that say what kind that is.
struct Model {
    identity: u32,
    header: u32,
    size: u64,
    kind: u32,
    bar: u64,
    command: u32,
}

#[derive(Default)]
struct Bus(RefCell<BTreeMap<(u8, u8), Model>>);

impl Bus {
    fn with(self, at: (u8, u8), identity: u32, header: u32, size: u64, kind: u32) -> Self {
        self.0.borrow_mut().insert(at, Model { identity, header, size, kind, bar: 0, command: 0x10_0000 });
        self
    }
}

impl Config for Bus {
    fn read(&self, at: Function, offset: u16) -> u32 {
        let all = self.0.borrow();
        let Some(model) = all.get(&(at.device, at.function)) else { return u32::MAX };
        let mask = !(model.size.wrapping_sub(1));
        match offset {
            0x00 => model.identity,
            0x04 => model.command,
            0x0c => model.header << 16,
            0x18 => (model.bar & mask) as u32 & !0xf | model.kind,
            0x1c if model.kind & 4 != 0 => ((model.bar & mask) >> 32) as u32,
            _ => 0,
        }
    }

    fn write(&self, at: Function, offset: u16, value: u32) {
        let mut all = self.0.borrow_mut();
        let model = all.get_mut(&(at.device, at.function)).expect("nobody writes where nothing is");
        let decodes = model.command & 2 != 0;
        match offset {
            0x04 => model.command = 0x10_0000 | value & 0xffff,
            0x18 => model.bar = model.bar & !0xffff_ffff | u64::from(value),
            0x1c => model.bar = model.bar & 0xffff_ffff | u64::from(value) << 32,
            _ => panic!("a register that is none of ours: {offset:#x}"),
        }
        assert!(!decodes || offset == 4, "a BAR is changed while the device answers to it");
    }
}

const SHARED: u32 = 0x1110_1af4;
const WIDE: u32 = 0xc;

fn windows() -> Windows {
    Windows { low: Window { next: 0x1000_0000, end: 0x3f00_0000 }, wide: Window { next: 1 << 39, end: 1 << 40 } }
}

fn found(bus: &Bus, windows: &mut Windows) -> Vec<Result<Placed, PciError>> {
    let mut all = Vec::new();
    ivshmem(bus, windows, |one| all.push(one));
    all
}

#[test]
fn memory_is_sized_placed_and_switched_on() {
    let bus = Bus::default()
        .with((0, 0), 0x0008_1b36, 0, 0, 0)
        .with((1, 0), SHARED, 0, 64 << 20, WIDE)
        .with((3, 0), 0x1000_1af4, 0x80, 4096, WIDE)
        .with((3, 5), SHARED, 0x80, 256 << 20, WIDE)
        .with((4, 0), SHARED, 0, 1 << 20, 0);
    let all = found(&bus, &mut windows());
    let placed = |device, function, at, size| Ok(Placed { function: Function { device, function }, at, size });
    let want = [
        placed(1, 0, 1 << 39, 64 << 20),
        placed(3, 5, (1 << 39) + (256 << 20), 256 << 20),
        placed(4, 0, 0x1000_0000, 1 << 20),
    ];
    assert_eq!(all, want);
    let models = bus.0.borrow();
    assert_eq!(models[&(3, 5)].bar, (1 << 39) + (256 << 20));
    assert!(models.iter().all(|(_, model)| (model.command & 2 != 0) == (model.identity == SHARED)));
}

#[test]
fn without_a_wide_window_the_low_one_does_and_too_much_is_refused() {
    let bus = Bus::default().with((1, 0), SHARED, 0, 64 << 20, WIDE).with((2, 0), SHARED, 0, 4 << 30, WIDE);
    let mut windows = Windows { wide: Window::default(), ..windows() };
    let all = found(&bus, &mut windows);
    assert_eq!(all[0].map(|placed| placed.at), Ok(0x1000_0000));
    assert_eq!(all[1], Err(PciError::NoRoom(Function { device: 2, function: 0 }, 4 << 30)));
    assert!(bus.0.borrow()[&(2, 0)].command & 2 == 0, "what has no place does not answer");
}

#[test]
fn ports_and_what_has_no_memory_are_refused() {
    for (size, kind) in [(64, 1), (0, WIDE), (2048, WIDE)] {
        let bus = Bus::default().with((1, 0), SHARED, 0, size, kind);
        assert_eq!(found(&bus, &mut windows()), [Err(PciError::NoMemory(Function { device: 1, function: 0 }))]);
    }
    assert_eq!(found(&Bus::default(), &mut windows()), []);
}
