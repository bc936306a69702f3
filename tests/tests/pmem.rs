//! Persistent memory as whole machines see it: the ways a device is found, holes that abort, what outlives the power.

use machine_tests::{Image, Machine};
use platform_trees::{Node, SEEDS, Tree, cells};

#[test]
fn every_carrier_passes_the_tests_of_devices_with_real_holes() {
    for carrier in ["nvdimm", "dt", "numa", "ivshmem"] {
        let ended = Machine::checked(&Image::fresh()).word("--carrier", carrier).append("poison test=pmem").run();
        ended.all_pass();
    }
}

#[test]
fn without_poison_and_with_caches_that_persist_the_same_tests_pass() {
    let image = Image::fresh();
    let ended = Machine::checked(&image).append("test=pmem").qemu(&["-machine", "nvdimm-persistence=cpu"]).run();
    ended.status(0);
    let typed = "echo x >/tmp/x; cat /proc/vitrine/pmem /proc/vitrine/counters\n";
    let shown = |how| {
        let machine = Machine::with(&image).append("init=/bin/sh").qemu(&["-machine", how]);
        machine.run_typing(typed).output
    };
    let caches = shown("nvdimm-persistence=cpu");
    assert!(caches.contains("persist fence") && caches.contains("lines_cleaned 0\n"), "{caches}");
    assert!(!caches.contains("\nfences 0\n"), "a write waits all the same: {caches}");
    let controller = shown("nvdimm-persistence=mem-ctrl");
    assert!(controller.contains("persist cvadp") && !controller.contains("lines_cleaned 0\n"), "{controller}");
}

#[test]
fn holes_are_the_same_for_all_cpus() {
    let ended = Machine::checked(&Image::fresh()).word("--smp", "4").append("poison test=pmem").run();
    ended.status(0).says("a_hole_is_one_on_every_cpu ... ok");
}

#[test]
fn programs_meet_holes_and_heal_them() {
    let ended = Machine::checked(&Image::fresh()).append("poison init=/bin/badblock").run();
    ended.all_pass();
}

#[test]
fn a_cpu_of_the_first_architecture_meets_them_as_well() {
    for cpu in ["cortex-a72", "cortex-a76"] {
        let ended = Machine::checked(&Image::fresh()).word("--cpu", cpu).append("poison init=/bin/badblock").run();
        ended.all_pass();
    }
}

#[test]
fn every_carrier_holds_a_root_for_a_machine_that_is_entered_at_el1() {
    for (carrier, place) in [("dt", "carrier dt"), ("ivshmem", "carrier ivshmem")] {
        let image = Image::fresh();
        let machine = Machine::with(&image).word("--carrier", carrier).word("--el", "1");
        machine.init("/bin/cat /proc/vitrine/pmem").run().status(0).says(place);
    }
}

#[test]
fn a_touch_of_a_hole_says_so_in_the_signal() {
    let image = Image::fresh();
    let ended = Machine::checked(&image).append("poison loglevel=7 init=/bin/badblock").run();
    // BUS_MCEERR_AR is 4.
    ended.status(0).says("Bus error (code 4)");
}

#[test]
fn a_hole_outlives_reboot_and_power_cut_until_it_is_written_over() {
    let image = Image::fresh();
    Machine::checked(&image).append("poison init=/bin/badblock keep /tmp/kept").run().status(0);
    assert!(image.tool("fsck", &[]).contains("byte 4096 of /tmp/kept"), "the image is clean and the file is hurt");
    let list = image.tool("badblock", &["list"]);
    assert!(list.ends_with("+8 byte 4096 of /tmp/kept\n"), "{list:?}");
    let mut machine = Machine::checked(&image).append("poison init=/bin/sh").start();
    machine.expect("$ ");
    machine.types("cat /tmp/kept >/dev/null\n");
    machine.expect("cat: ");
    machine.types("cat /proc/vitrine/badblocks\n");
    machine.expect("byte 4096 of /tmp/kept");
    assert!(image.refused("info", "").1.contains("busy"), "a running machine has its medium for itself");
    machine.cut().status(137);
    assert_eq!(image.tool("badblock", &["list"]), list);
    let (before, complaint) = image.refused("cat", ":/tmp/kept");
    assert!(before == [b'p'; 4096] && complaint.contains("bad block"), "{complaint}");
    Machine::checked(&image).append("poison init=/bin/badblock kept /tmp/kept").run().status(0);
    assert_eq!(image.tool("badblock", &["list"]), "");
    let healed = [[b'p'; 4096], [b'r'; 4096], [b'p'; 4096], [b'p'; 4096]].concat();
    assert!(image.read("/tmp/kept") == healed, "only the page that was lost is another");
}

#[test]
fn a_machine_boots_over_holes_in_its_metadata_and_heals_them() {
    let image = Image::fresh();
    let medium = std::fs::read(image.path()).expect("it was made");
    let second = u64::from_le_bytes(medium[80..88].try_into().expect("eight bytes"));
    let list = image.path().display().to_string();
    // One copy of the superblock, the other one of the log's beginning.
    for sector in [0, second * 8 + 1] {
        let added = machine_tests::vitrine(&["badblock", "add", &list, &sector.to_string()]);
        assert!(added.status.success(), "{added:?}");
    }
    Machine::checked(&image).append("poison init=/bin/hello").run().status(0);
    assert_eq!(image.tool("badblock", &["list"]), "", "both are healed");
    image.tool("fsck", &[]);
}

#[test]
fn poison_wants_el2() {
    let ended = Machine::with(&Image::fresh()).word("--el", "1").append("poison init=/bin/hello").run();
    ended.refuses(125, &["poison", "el2"]);
}

#[test]
fn a_device_that_would_not_keep_what_it_is_told_is_only_read() {
    let (root, sealed) = (Image::blank(16 << 20), Image::fresh());
    let size = std::fs::metadata(sealed.path()).expect("it was made").len();
    let backend =
        format!("memory-backend-file,id=sealed,share=on,readonly=on,mem-path={},size={size}", sealed.path().display());
    let ended = Machine::with(&root)
        .qemu(&["-object", &backend, "-device", "nvdimm,id=sealed,memdev=sealed,unarmed=on"])
        .append("init=/bin/sh")
        .run_typing("cat /proc/vitrine/pmem; echo x >/tmp/x\n");
    ended.says("mode ro").says("ead-only file system");
}

#[test]
fn a_list_that_cannot_be_kept_says_so() {
    let (root, raw) = (Image::fresh(), Image::blank(16 << 20));
    let typed = "echo 'add pmem1 8' >/proc/vitrine/badblocks; cat /proc/vitrine/badblocks\n";
    let machine = Machine::with(&root).word("--pmem", &raw.path().to_string_lossy()).append("init=/bin/sh");
    machine.run_typing(typed).says("no place to keep the list of its bad blocks").says("pmem1 8+1 not kept");
}

#[test]
fn namespaces_are_made_found_and_removed() {
    let (root, labelled) = (Image::fresh(), Image::blank(64 << 20));
    let backend = format!("memory-backend-file,id=labelled,share=on,mem-path={},size=64M", labelled.path().display());
    let device = "nvdimm,id=labelled,memdev=labelled,label-size=128K";
    let run = |typed: &str| {
        let machine = Machine::with(&root).qemu(&["-object", &backend, "-device", device]).append("init=/bin/sh");
        machine.run_typing(&format!("{typed}\ncat /proc/vitrine/namespaces /proc/vitrine/pmem\n")).output
    };
    let first =
        run("echo 'create 2 log 8M' >/proc/vitrine/namespaces; echo 'create 2 rest -' >/proc/vitrine/namespaces");
    assert!(first.contains("namespace log uuid ") && first.contains("size 66977792 carrier nvdimm"), "{first}");
    let second = run("echo 'delete 2 log' >/proc/vitrine/namespaces");
    assert!(
        second.contains("size 8388608 carrier nvdimm") && second.contains("size 58589184 carrier nvdimm"),
        "{second}"
    );
    let third = run("echo 'create 2 rest 4096' >/proc/vitrine/namespaces");
    assert!(third.contains("File exists") && !third.contains("namespace log"), "{third}");
}

/// A machine entered at EL1 whose device tree has a `pmem-region` that is `volatile`: 16 MiB of its RAM, where QEMU
/// puts `content`.
fn with_volatile_region(root: &Image, content: &Image) -> Machine {
    let mut tree = Tree::read(SEEDS.iter().find(|(what, _)| what.contains("EL1, four CPUs")).expect("a seed").1);
    let mut region = Node::new("pmem@b0000000");
    region.set("compatible", *b"pmem-region\0").set("reg", cells(&[0, 0xb000_0000, 0, 16 << 20])).set("volatile", []);
    tree.root.children.push(region);
    let blob = root.path().with_file_name("volatile.dtb");
    std::fs::write(&blob, tree.blob()).expect("a place for the tree");
    let loader = format!("loader,file={},addr=0xb0000000,force-raw=on", content.path().display());
    let machine = Machine::with(root).word("--smp", "4").word("--el", "1").word("--mem", "2G");
    machine.qemu(&["-dtb", &blob.to_string_lossy(), "-device", &loader])
}

/// As of Linux's `of_pmem_region_probe`: a region like any other, that promises nothing.
#[test]
fn a_volatile_region_is_a_device_that_says_what_it_keeps() {
    let (root, content) = (Image::fresh(), Image::small("16M", &["sh", "cat", "echo"]));
    let ended = with_volatile_region(&root, &content).init("/bin/cat /proc/vitrine/pmem").run();
    ended.status(0).says("\npmem1 base 0xb0000000 size 16777216 carrier dt persist never mode rw badblocks 0\n");
    assert!(ended.output.starts_with("pmem0 base "), "a healthy run says nothing more: {}", ended.output);

    let before = std::fs::read(content.path()).expect("the medium");
    let machine = with_volatile_region(&root, &content).append("root=pmem1 init=/bin/sh");
    let ended = machine.run_typing("echo here >/data/note\ncat /data/note /proc/vitrine/counters\n");
    ended.status(0).says("pmem1: the root is on a volatile region, which keeps nothing when the power goes\n");
    ended.says("$ here\n").says("\nlines_cleaned 0\n");
    assert!(std::fs::read(content.path()).expect("the medium") == before, "its content was only lent");
}

#[test]
fn a_range_that_is_no_ram_or_the_kernels_own_is_refused() {
    let image = Image::fresh();
    for range in ["pmem=0x40200000,1M", "pmem=0x9000000,1M", "pmem=0x50000000,1M pmem=0x50080000,1M"] {
        let ended = Machine::with(&image).append(&format!("{range} init=/bin/hello")).run();
        ended.refuses(125, &["pmem", "refused"]);
    }
}
