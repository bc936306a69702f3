//! Whole machines: boot, power cut and remount, the peek examples.
//!
//! A test describes a [`Machine`], runs it to its end ([`Machine::run`]) or talks to it ([`Machine::start`]), and looks
//! at what came out of the UART and at the exit status. Every machine is started by `qemu-run.sh`; every test has an
//! [`Image`] of its own. What is booted is built by `make test` before: the kernel, the host tool and `target/test.img`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

mod debugger;
mod image;
mod listing;
mod recording;
mod running;

pub use image::Image;
pub use listing::{host_listing, sorted_listing};
pub use recording::{Kind, Omission, Part, Recording};
pub use running::Running;

/// How long a machine may take, in seconds: ten times what the slowest takes on an idle host.
const LIMIT: u32 = 120;

/// The project's own folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A file that the build leaves in `target/`.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    root().join("target").join(name)
}

/// Runs the host tool.
///
/// # Panics
/// Where it cannot be started.
pub fn vitrine(arguments: &[&str]) -> Output {
    let tool = built("release/vitrine");
    Command::new(&tool).args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{tool:?}: {e}"))
}

/// A machine before it is switched on: the words of `qemu-run.sh`.
#[derive(Clone, Debug)]
pub struct Machine {
    words: Vec<String>,
    qemu: Vec<String>,
}

impl Machine {
    /// A machine without a medium.
    #[must_use]
    pub fn bare() -> Self {
        Self { words: vec!["--timeout".into(), LIMIT.to_string()], qemu: Vec::new() }
    }

    /// A machine that keeps its files in `image`.
    #[must_use]
    pub fn with(image: &Image) -> Self {
        Self::bare().word("--pmem", &image.path().to_string_lossy())
    }

    /// The same with the kernel that checks itself: order of locks, overflow, what must hold after each change.
    #[must_use]
    pub fn checked(image: &Image) -> Self {
        Self::with(image).word("--kernel", &built("vitrine-checked.elf").to_string_lossy())
    }

    /// Adds one option of `qemu-run.sh` with its value.
    #[must_use]
    pub fn word(mut self, option: &str, value: &str) -> Self {
        self.words.extend([option.into(), value.into()]);
        self
    }

    /// Adds one option of `qemu-run.sh` that takes no value.
    #[must_use]
    pub fn flag(mut self, option: &str) -> Self {
        self.words.push(option.into());
        self
    }

    /// Adds words of QEMU's own.
    #[must_use]
    pub fn qemu(mut self, words: &[&str]) -> Self {
        self.qemu.extend(words.iter().map(|&word| word.into()));
        self
    }

    /// The kernel command line.
    #[must_use]
    pub fn append(self, line: &str) -> Self {
        self.word("--append", line)
    }

    /// The first program and its arguments, on an otherwise empty kernel command line.
    #[must_use]
    pub fn init(self, command: &str) -> Self {
        self.append(&format!("init={command}"))
    }

    /// Runs it to its end, with nothing to read on the terminal.
    ///
    /// # Panics
    /// Where `qemu-run.sh` cannot be started.
    #[must_use]
    pub fn run(&self) -> Ended {
        self.command().stdin(Stdio::null()).output().map(Ended::from).expect("qemu-run.sh")
    }

    /// Runs it to its end, with `input` on the terminal from the first instruction on.
    ///
    /// # Panics
    /// Where `qemu-run.sh` cannot be started.
    #[must_use]
    pub fn run_typing(&self, input: &str) -> Ended {
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("qemu-run.sh");
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        stdin.write_all(input.as_bytes()).expect("the machine reads");
        drop(stdin);
        child.wait_with_output().map(Ended::from).expect("qemu-run.sh")
    }

    /// Switches it on, to be talked to.
    ///
    /// # Panics
    /// Where `qemu-run.sh` cannot be started.
    #[must_use]
    pub fn start(&self) -> Running {
        Running::new(self.command())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(root().join("qemu-run.sh"));
        command.args(&self.words);
        if !self.qemu.is_empty() {
            command.arg("--").args(&self.qemu);
        }
        command
    }
}

/// What a machine left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// QEMU's exit status: what the kernel said.
    pub status: i32,
    /// What came out of the UART.
    pub output: String,
    /// What `qemu-run.sh` and QEMU said themselves.
    pub errors: String,
}

impl Ended {
    /// Checks the exit status.
    ///
    /// # Panics
    /// With all that the machine printed, where it is another one.
    #[track_caller]
    pub fn status(&self, want: i32) -> &Self {
        assert_eq!(self.status, want, "exit status; the machine printed:\n{}{}", self.output, self.errors);
        self
    }

    /// Checks the whole output of the UART.
    ///
    /// # Panics
    /// Where it is anything else.
    #[track_caller]
    pub fn prints(&self, want: &str) -> &Self {
        assert_eq!(self.output, want, "output (left) is not what was wanted (right)");
        self
    }

    /// Checks that a text came out of the UART.
    ///
    /// # Panics
    /// With the whole output, where it did not.
    #[track_caller]
    pub fn says(&self, want: &str) -> &Self {
        assert!(self.output.contains(want), "{want:?} is not in the output:\n{}{}", self.output, self.errors);
        self
    }

    /// Checks that the program of checks that ran passed them all, and that there were some: it says so itself.
    ///
    /// # Panics
    /// With the checks that failed.
    #[track_caller]
    pub fn all_pass(&self) -> &Self {
        let closing = self.output.lines().rev().find(|line| line.ends_with(" failed")).unwrap_or("none");
        let failures: Vec<_> = self.output.lines().filter(|line| line.contains("... FAILED")).collect();
        assert!(closing.ends_with(" passed, 0 failed") && !closing.starts_with("0 "), "{closing}: {failures:#?}");
        self.status(0)
    }

    /// Checks that `qemu-run.sh` gave a reason.
    ///
    /// # Panics
    /// With all it said, where that was not it.
    #[track_caller]
    pub fn complains(&self, want: &str) -> &Self {
        assert!(self.errors.contains(want), "{want:?} is not in the complaint:\n{}", self.errors);
        self
    }

    /// Checks that the machine refused with status 125 and one clear line that holds all of `words`, not by a panic.
    ///
    /// # Panics
    /// With all that the machine printed, where it did not.
    #[track_caller]
    pub fn refuses(&self, want: i32, words: &[&str]) -> &Self {
        self.status(want);
        let clear = |line: &str| words.iter().all(|&word| line.to_lowercase().contains(word));
        assert!(self.output.lines().any(clear), "no line with all of {words:?} in the output:\n{}", self.output);
        assert!(!self.output.contains("panic"), "it panicked:\n{}", self.output);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status, output: text(output.stdout), errors: text(output.stderr) }
    }
}

/// A file of zeros, `size` bytes long, in the folder of an image.
///
/// # Panics
/// Where the host cannot make it.
pub fn zeros(path: &Path, size: u64) {
    File::create(path).and_then(|file| file.set_len(size)).unwrap_or_else(|e| panic!("{path:?}: {e}"));
}

/// Overwrites bytes of a file on the host.
///
/// # Panics
/// Where the host cannot.
pub fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let written = OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(bytes, at));
    written.unwrap_or_else(|e| panic!("{path:?}: {e}"));
}

/// Waits until QEMU has made its socket at `socket`.
///
/// # Panics
/// Where it does not within ten seconds.
pub fn wait_for(socket: &Path) {
    for _ in 0..500 {
        if socket.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("QEMU made no socket at {socket:?}");
}
