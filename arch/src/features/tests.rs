//! The combination of CPUs, the table, and what programs are told.

extern crate std;

use std::vec::Vec;

use abi::auxv::{Hwcap, Hwcap2};
use proptest::prelude::*;

use super::hwcap::Capabilities;
use super::registers::{FIELDS, Field, IdRegisters, Register, Rule};
use super::{Feature, Features, TABLE, physical_bits};

/// What QEMU's cortex-a72 shows.
fn a72() -> IdRegisters {
    IdRegisters::from_fn(|register| match register {
        Register::Pfr0 => 0x0000_2222,
        Register::Isar0 => 0x0001_1120,
        Register::Mmfr0 => 0x0000_1124,
        Register::Ctr => 0x8444_c004,
        _ => 0,
    })
}

/// What QEMU's neoverse-n1 shows.
fn n1() -> IdRegisters {
    IdRegisters::from_fn(|register| match register {
        Register::Pfr0 => 0x1100_0000_1111_1112,
        Register::Pfr1 => 0x20,
        Register::Isar0 => 0x0000_1000_1021_1120,
        Register::Isar1 => 0x0010_0001,
        Register::Mmfr0 => 0x0010_1125,
        Register::Mmfr1 => 0x1021_2122,
        Register::Mmfr2 => 0x1011,
        Register::Ctr => 0x8444_c004,
        _ => 0,
    })
}

/// Any registers at all, also such as no CPU has.
fn any_registers() -> impl Strategy<Value = IdRegisters> {
    // Words with few bits, words with most, and anything between: fields of 0 and of all ones are the odd ones.
    let word =
        prop_oneof![any::<u64>(), (any::<u64>(), any::<u64>()).prop_map(|(a, b)| a & b), Just(0), Just(u64::MAX)];
    proptest::collection::vec(word, Register::ALL.len())
        .prop_map(|words| IdRegisters::from_fn(|register| words[register as usize]))
}

/// Whether `weaker` promises nothing that `stronger` lacks, in `field`.
fn promises_no_more(field: &Field, weaker: i64, stronger: i64) -> bool {
    match field.rule {
        Rule::Lower | Rule::LowerSigned => weaker <= stronger,
        Rule::Higher => weaker >= stronger,
        Rule::HigherOrZero => weaker == 0 || (stronger != 0 && weaker >= stronger),
        Rule::Same(safe) => weaker == stronger || weaker == safe as i64,
    }
}

proptest! {
    #[test]
    fn no_combination_promises_more_than_any_of_its_cpus(cpus in proptest::collection::vec(any_registers(), 1..9)) {
        let together = IdRegisters::in_common(cpus.iter().copied());
        for cpu in &cpus {
            for field in FIELDS {
                let (weaker, stronger) = (together.field(field), cpu.field(field));
                prop_assert!(promises_no_more(field, weaker, stronger), "{}: {weaker} of {stronger}", field.name);
            }
            prop_assert_eq!(Features::of(&together).without(Features::of(cpu)), Features::NONE);
            let (caps, own) = (Capabilities::of(&together), Capabilities::of(cpu));
            prop_assert!(own.first.contains(caps.first) && own.second.contains(caps.second));
            prop_assert!(physical_bits(&together) <= physical_bits(cpu));
        }
    }

    #[test]
    fn the_order_of_the_cpus_does_not_matter(
        (cpus, shuffled) in proptest::collection::vec(any_registers(), 1..9)
            .prop_flat_map(|cpus| (Just(cpus.clone()), Just(cpus).prop_shuffle()))
    ) {
        prop_assert_eq!(IdRegisters::in_common(cpus), IdRegisters::in_common(shuffled));
    }

    #[test]
    fn equal_cpus_have_in_common_what_each_has(cpu in any_registers()) {
        let together = IdRegisters::in_common([cpu; 3]);
        for field in FIELDS {
            prop_assert_eq!(together.field(field), cpu.field(field));
        }
        prop_assert_eq!(together.differing(&cpu).count(), 0);
    }

    #[test]
    fn programs_see_nothing_of_what_is_not_saved(cpu in any_registers()) {
        let pfr0 = cpu.seen_by_programs(4, 0);
        let pfr1 = cpu.seen_by_programs(4, 1);
        prop_assert_eq!(pfr0 >> 32 & 0xf, 0, "SVE");
        prop_assert_eq!((pfr1 >> 8 & 0xf, pfr1 >> 24 & 0xf), (0, 0), "MTE, SME");
        let words: Vec<_> = Capabilities::of(&cpu).words().collect();
        prop_assert!(!words.iter().any(|word| ["SVE", "SME", "MTE"].contains(word)));
    }
}

#[test]
fn fields_do_not_overlap() {
    for (index, field) in FIELDS.iter().enumerate() {
        for other in FIELDS[index + 1..].iter().filter(|other| other.register == field.register) {
            let apart = field.shift + field.width <= other.shift || other.shift + other.width <= field.shift;
            assert!(apart, "{} and {} of {}", field.name, other.name, field.register.name());
        }
    }
}

#[test]
fn the_table_is_in_the_order_of_its_features() {
    for (index, row) in TABLE.iter().enumerate() {
        assert_eq!(row.feature as usize, index, "{}", row.name);
        assert_eq!(row.feature.row(), row);
    }
}

#[test]
fn an_old_cpu_beside_a_newer_one_decides() {
    let newer = Features::of(&n1());
    for feature in [Feature::Pan, Feature::Lse, Feature::Dpb, Feature::HardwareDirty, Feature::Cnp, Feature::Asid16] {
        assert!(newer.has(feature), "{feature:?}");
    }
    assert!(!newer.has(Feature::Dpb2) && !newer.has(Feature::TlbRange) && !newer.has(Feature::Bti));
    let both = IdRegisters::in_common([n1(), a72()]);
    let names: Vec<_> = Features::of(&both).rows().map(|row| row.name).collect();
    assert_eq!(names, ["FP", "AdvSIMD", "ASID16", "CRC32"]);
    assert_eq!(physical_bits(&both), 44);
}

#[test]
fn missing_vector_registers_are_a_number_below_zero() {
    let without = IdRegisters::from_fn(|register| if register == Register::Pfr0 { 0x00ff_0011 } else { 0 });
    assert!(!Features::of(&without).has(Feature::AdvSimd));
    let both = IdRegisters::in_common([without, a72()]);
    assert!(!Features::of(&both).has(Feature::Fp));
    assert!(!Capabilities::of(&both).first.contains(Hwcap::ASIMD));
}

#[test]
fn two_algorithms_of_pointer_authentication_are_none() {
    let with = |shift: u32| IdRegisters::from_fn(|register| u64::from(register == Register::Isar1) << shift);
    assert!(Features::of(&with(4)).has(Feature::PauthAddress));
    assert!(Features::of(&with(8)).has(Feature::PauthAddress));
    assert!(!Features::of(&IdRegisters::in_common([with(4), with(8)])).has(Feature::PauthAddress));
}

#[test]
fn the_words_are_linuxs() {
    let words: Vec<_> = Capabilities::of(&n1()).words().map(str::to_lowercase).collect();
    // Linux 6.1 on a Neoverse N1 prints these, and `evtstrm`, which is the timer's.
    let line = "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs";
    assert_eq!(words.join(" "), line);
    assert_eq!(Capabilities::of(&n1()).second, Hwcap2::empty());
}

#[test]
fn registers_without_a_known_field_read_as_zero() {
    assert_eq!(n1().seen_by_programs(5, 0), 0);
    assert_eq!(n1().seen_by_programs(7, 0), 0xff00_0000, "the granules are nobody's business");
    assert_eq!(n1().seen_by_programs(4, 0), 0x0011_0011);
}
