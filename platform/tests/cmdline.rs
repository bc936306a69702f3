//! The words of the kernel command line.

use platform::cmdline::{CommandLine, DEFAULT_LOG_LEVEL, Kaslr, Ram, Reason};

fn reason(line: &str) -> Option<Reason> {
    CommandLine::parse(line).err().map(|bad| bad.reason)
}

/// Every word that the kernel knows is understood, and `init=` takes the rest of the line.
#[test]
fn the_command_line_is_understood() {
    let text = " loglevel=7  pmem=0x70000000,256M pmem=1G,4K root=pmem12 ram=all test=fs init=/bin/sh -c \"a b\" x=1";
    let line = CommandLine::parse(text).unwrap();
    assert_eq!((line.log_level, line.root, line.ram), (7, Some(12), Ram::All));
    assert!(line.test.unwrap().takes("my_fs_test") && !line.test.unwrap().takes("other"));
    assert!(line.bench.is_none());
    let ranges: Vec<_> = line.pmem.iter().map(|range| (range.start().get(), range.len().get())).collect();
    assert_eq!(ranges, [(0x7000_0000, 256 << 20), (1 << 30, 4096)]);
    let init = line.init.unwrap();
    assert_eq!((init.path(), init.arguments().collect()), ("/bin/sh", vec!["-c", "a b", "x=1"]));
}

/// The kernel stays where it is, moves by a multiple of 2 MiB, or by chance; the last word counts, and none of a program's.
#[test]
fn kaslr_is_understood() {
    let kaslr = |line| CommandLine::parse(line).map(|line| line.kaslr);
    assert_eq!(kaslr("init=/bin/x kaslr"), Ok(Kaslr::By(0)));
    assert_eq!(kaslr("kaslr"), Ok(Kaslr::Random));
    assert_eq!(kaslr("kaslr=0x200000"), Ok(Kaslr::By(2 << 20)));
    assert_eq!(kaslr("kaslr kaslr=2097152 kaslr=4M"), Ok(Kaslr::By(4 << 20)));
    assert_eq!(kaslr("kaslr=0"), Ok(Kaslr::By(0)));
    assert_eq!(kaslr("kaslr=8388606M"), Ok(Kaslr::By((8 << 40) - (2 << 20))));
}

/// An empty line asks for nothing.
#[test]
fn an_empty_command_line_is_the_default() {
    let line = CommandLine::parse(" ").unwrap();
    assert_eq!((line.log_level, line.root, line.ram), (DEFAULT_LOG_LEVEL, None, Ram::BootNode));
    assert!(line.init.is_none() && line.test.is_none() && line.pmem.is_empty());
}

/// What is not known, makes no sense or cannot be done yet is refused, with the word that did it.
#[test]
fn bad_words_are_refused() {
    assert_eq!(CommandLine::parse("test quiet init=/x").unwrap_err().word, "quiet");
    for word in ["quiet", "Test", "=", "pmem0", "testing=1"] {
        assert_eq!(reason(word), Some(Reason::Unknown), "{word}");
    }
    assert_eq!(reason("poison"), Some(Reason::NotSupported));
    let senseless = [
        "loglevel",
        "loglevel=8",
        "loglevel=-1",
        "root=vda",
        "root=pmem",
        "root=pmem+1",
        "ram=some",
        "ram",
        "init=",
        "kaslr=",
        "kaslr=0x100000",
        "kaslr=2M1",
        "kaslr=8192G",
        "kaslr=0x10000000000000000",
        "pmem=0x1000",
        "pmem=1,2",
        "pmem=0,0",
        "pmem=0xffffffffffffff000,4K",
        "pmem=99999999999G,4K",
        "pmem=,",
        "pmem=0xfffffffffffff000,4K",
    ];
    for word in senseless {
        assert!(matches!(reason(word), Some(Reason::Wants(_))), "{word}");
    }
    assert_eq!(reason("pmem=1G,4K pmem=2G,4K pmem=3G,4K pmem=4G,4K pmem=5G,4K"), Some(Reason::TooMany));
}
