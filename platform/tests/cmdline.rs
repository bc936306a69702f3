//! The words of the kernel command line.

use platform::cmdline::{CommandLine, DEFAULT_LOG_LEVEL, Kaslr, Poison, Ram, Reason, Recorder, Window};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

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
    assert!(matches!(reason("poison=1"), Some(Reason::Wants(_))));
    assert_eq!(CommandLine::parse("poison").map(|line| line.poison), Ok(Poison::Real));
    assert_eq!(CommandLine::parse("").map(|line| line.poison), Ok(Poison::Listed));
    assert!(matches!(reason("record=x"), Some(Reason::Wants(_))));
    assert_eq!(CommandLine::parse("record").map(|line| line.recorder), Ok(Recorder::Watching));
    assert_eq!(CommandLine::parse("").map(|line| line.recorder), Ok(Recorder::Absent));
    let senseless = [
        "loglevel",
        "loglevel=8",
        "loglevel=-1",
        "root=vda",
        "root=pmem",
        "root=pmem+1",
        "window",
        "window=24",
        "window=0x80",
        "window=24x",
        "window=+24x80",
        "window=24x65536",
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

#[test]
fn a_window_has_rows_and_columns() {
    let window = |line| CommandLine::parse(line).unwrap().window;
    assert_eq!(window("window=50x132 window=24x80"), Some(Window { rows: 24, columns: 80 }));
    assert_eq!(window(""), None);
}

/// What a line should be understood as, put together word by word.
#[derive(Debug, Default)]
struct Model {
    line: String,
    log_level: Option<u8>,
    root: Option<usize>,
    pmem: Vec<(u64, u64)>,
    all_ram: bool,
    test: Option<String>,
    kaslr: u64,
}

impl Model {
    /// Adds one word of the kind `kind`, made from `number`; blanks of the kind `blank` before it.
    fn add(&mut self, kind: u8, number: u64, blank: u8) {
        let word = match kind {
            0 => {
                self.log_level = Some((number % 8) as u8);
                format!("loglevel={}", number % 8)
            }
            1 => {
                self.root = Some(number as usize % 1000);
                format!("root=pmem{}", number % 1000)
            }
            2 if self.pmem.len() == 4 => return,
            2 => {
                let (base, len) = (number % (1 << 30) * 4096, (number % 77 + 1) * 4096);
                self.pmem.push((base, len));
                match number % 3 {
                    0 => format!("pmem={base:#x},{}K", len / 1024),
                    1 => format!("pmem={}k,{len:#X}", base / 1024).replace("0X", "0x"),
                    _ => format!("pmem={base},{len}"),
                }
            }
            3 => {
                self.all_ram = true;
                "ram=all".into()
            }
            4 => {
                self.test = Some(format!("fs::{number:x}"));
                format!("test=fs::{number:x}")
            }
            _ => {
                self.kaslr = (number % 4096) << 21;
                format!("kaslr={:#x}", self.kaslr)
            }
        };
        self.line += [" ", "  ", "\t", "\n "][usize::from(blank)];
        self.line += &word;
    }
}

/// Words with which a line can go wrong, and pieces of them.
fn fragment() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "init=",
        "test",
        "test=",
        "loglevel=",
        "root=pmem",
        "pmem=",
        "ram=",
        "kaslr=",
        "poison",
        "window=",
        "all",
        "0x",
        "G",
        ",",
        "\"",
        " ",
        "=",
        "-",
        "+",
        "18446744073709551615",
        "\u{a0}",
        "\u{2003}",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "[ -~]{0,6}", any::<char>().prop_map(String::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_line_means_what_its_words_mean(words in prop::collection::vec((0..6_u8, any::<u64>(), 0..4_u8), 0..12)) {
        let mut model = Model::default();
        words.into_iter().for_each(|(kind, number, blank)| model.add(kind, number, blank));
        let with_init = format!("{} init=/bin/x  loglevel=9 \"a  b\"c quiet", model.line);
        for text in [&model.line, &with_init] {
            let line = CommandLine::parse(text).unwrap();
            prop_assert_eq!(line.log_level, model.log_level.unwrap_or(DEFAULT_LOG_LEVEL));
            prop_assert_eq!(line.root, model.root);
            let pmem: Vec<_> = line.pmem.iter().map(|range| (range.start().get(), range.len().get())).collect();
            prop_assert_eq!(&pmem, &model.pmem);
            prop_assert_eq!(line.ram, if model.all_ram { Ram::All } else { Ram::BootNode });
            prop_assert_eq!(line.test.is_some(), model.test.is_some());
            // The filter is a part of the name and nothing longer, so it is the name.
            if let (Some(filter), Some(name)) = (line.test, &model.test) {
                prop_assert!(filter.takes(name) && !filter.takes(&name[..name.len() - 1]));
            }
            prop_assert_eq!(line.kaslr, Kaslr::By(model.kaslr));
            let arguments = line.init.map(|init| init.arguments().map(str::to_owned).collect::<Vec<_>>());
            let wanted = (text == &with_init).then(|| ["loglevel=9", "a  b", "c", "quiet"].map(str::to_owned).to_vec());
            prop_assert_eq!(arguments, wanted);
        }
    }

    #[test]
    fn any_line_is_understood_or_refused_for_one_of_its_words(pieces in prop::collection::vec(fragment(), 0..12)) {
        let text = pieces.concat();
        match CommandLine::parse(&text) {
            Ok(line) => {
                let count = line.init.map_or(0, |init| init.arguments().count());
                prop_assert!(count <= text.len());
            }
            Err(bad) => {
                prop_assert!(text.contains(bad.word) && !bad.word.is_empty());
                let begin = format!("\"{}\": ", bad.word);
                prop_assert!(bad.to_string().starts_with(&begin));
            }
        }
    }
}
