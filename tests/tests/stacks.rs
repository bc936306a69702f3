//! How deep the kernel's stacks get under programs: the kernel measures it, and a quarter is to be left.

use machine_tests::{Image, Machine, built};

/// What a session reaches: programs run and die, files are written, moved and listed, paths are walked, input is edited.
const SESSION: &str = "sh /etc/demo.sh\nls -l /bin /data /proc/vitrine\ncat /bin/sh > /tmp/copy\ncat /tmp/copy > /dev/null\n\
    example2 /data/forty-two\ncat /no/such/file\necho deep > /tmp/a\ncat /proc/self/maps\ncat /proc/vitrine/stacks\n";

#[test]
fn a_quarter_of_every_stack_is_left_after_a_session() {
    for kernel in ["vitrine.elf", "vitrine-checked.elf"] {
        let image = Image::fresh();
        let machine = Machine::with(&image).word("--kernel", &built(kernel).to_string_lossy());
        let ended = machine.init("/bin/sh").run_typing(SESSION);
        for stacks in ["task stacks ", "boot stack "] {
            let said = ended.output.lines().find_map(|line| line.split_once(stacks));
            let (_, line) = said.unwrap_or_else(|| panic!("{ended:#?}"));
            let number = |name: &str| {
                let value = line.split(' ').skip_while(|word| *word != name).nth(1).expect("it is on the line");
                value.parse::<u64>().expect("a number")
            };
            assert!(number("deepest") > 1024, "it is not measured: {stacks}{line}");
            assert!(number("deepest") <= number("size") / 4 * 3, "{kernel}: {stacks}{line}");
        }
    }
}
