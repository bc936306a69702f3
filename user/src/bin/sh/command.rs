//! Running commands: the few the shell does itself, and programs.

use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;

use abi::file::{AtFlags, OpenFlags};
use abi::stat::{S_IFDIR, S_IFMT};
use vitrine_user::print::Text;
use vitrine_user::{Errno, Fd, File, env, eprintln, file, print, println, process, start};

use crate::parse::{Command, Direction, Redirection, When, parse};

/// Descriptors from here on are the shell's own.
const OWN_DESCRIPTORS: i32 = 10;
/// Where programs are when the environment does not say.
const DEFAULT_PATH: &[u8] = b"/bin";

const HELP: &str = "\
A shell that runs programs. It knows
  cd [DIR]  exit [N]  help  pwd        and runs every other word as a program found by PATH
  'as is'  \"with $NAME\"  \\x            quotes; $? is the last status
  a; b   a && b   a || b   # comment
  < FILE   > FILE   >> FILE   2> FILE  redirections
Try: ls -l /bin    cat /data/forty-two    example2    cat /proc/vitrine/counters
";

/// What a shell remembers from one command to the next.
#[derive(Default)]
pub(crate) struct Shell {
    status: u8,
    leaving: bool,
}

/// What is to happen after a line.
pub(crate) enum Outcome {
    /// The next line.
    Continue,
    /// `exit` was said.
    Exit,
}

impl Shell {
    /// The status of the last command.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }

    /// Runs the commands of one line.
    pub(crate) fn run_line(&mut self, line: &[u8]) -> Outcome {
        match parse(line, |name| self.value(name)) {
            Ok(commands) => self.run_all(&commands),
            Err(error) => {
                eprintln!("sh: {error}");
                self.status = 2;
            }
        }
        if self.leaving { Outcome::Exit } else { Outcome::Continue }
    }

    fn value(&self, name: &[u8]) -> Vec<u8> {
        match name {
            b"?" => format!("{}", self.status).into_bytes(),
            name => env(name).map(|value| value.to_bytes().to_vec()).unwrap_or_default(),
        }
    }

    fn run_all(&mut self, commands: &[Command]) {
        for command in commands {
            let due = match command.when {
                When::Always => true,
                When::Succeeded => self.status == 0,
                When::Failed => self.status != 0,
            };
            if due {
                self.run(command);
            }
            if self.leaving {
                return;
            }
        }
    }

    fn run(&mut self, command: &Command) {
        // Redirections hold for the command alone: they are undone when this is dropped.
        let _redirected = match Redirected::new(&command.redirections) {
            Ok(redirected) => redirected,
            Err((path, error)) => {
                eprintln!("sh: {}: {error}", Text(path.to_bytes()));
                self.status = 1;
                return;
            }
        };
        let [name, arguments @ ..] = command.words.as_slice() else { return };
        self.status = match name.to_bytes() {
            b"cd" => change_directory(arguments),
            b"pwd" => print_directory(),
            b"help" => {
                print!("{HELP}");
                0
            }
            b"exit" => self.leave(arguments),
            _ => run_program(&command.words),
        };
    }

    fn leave(&mut self, arguments: &[CString]) -> u8 {
        self.leaving = true;
        let Some(text) = arguments.first() else { return self.status };
        match text.to_str().ok().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => number as u8,
            None => {
                eprintln!("sh: exit: {}: a number is needed", Text(text.to_bytes()));
                2
            }
        }
    }
}

fn change_directory(arguments: &[CString]) -> u8 {
    let to = match arguments {
        [] => env(b"HOME").unwrap_or(c"/"),
        [to] => to,
        _ => {
            eprintln!("sh: cd: too many arguments");
            return 1;
        }
    };
    match file::change_directory(to) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("sh: cd: {}: {error}", Text(to.to_bytes()));
            1
        }
    }
}

fn print_directory() -> u8 {
    match file::current_directory() {
        Ok(path) => {
            println!("{}", Text(&path));
            0
        }
        Err(error) => {
            eprintln!("sh: pwd: {error}");
            1
        }
    }
}

/// Runs a program and waits for it; says what it died of.
fn run_program(words: &[CString]) -> u8 {
    let name = &words[0];
    let environment: Vec<&CStr> = start::environment().collect();
    let Some(path) = find(name) else {
        eprintln!("sh: {}: command not found", Text(name.to_bytes()));
        return 127;
    };
    match process::spawn(&path, words, &environment).and_then(process::wait) {
        Ok(status) => {
            if let Some(death) = process::death(status) {
                eprintln!("{death}");
            }
            status.shell_status()
        }
        Err(error) => {
            eprintln!("sh: {}: {}", Text(name.to_bytes()), refusal(&path, error));
            if error == Errno::ENOENT { 127 } else { 126 }
        }
    }
}

/// Why a file could not be run, in a shell's words.
fn refusal(path: &CStr, error: Errno) -> alloc::string::String {
    let directory = file::stat(path, AtFlags::empty()).is_ok_and(|stat| stat.mode & S_IFMT == S_IFDIR);
    match error {
        _ if directory => format!("{}", Errno::EISDIR),
        Errno::ENOEXEC => format!("cannot execute: {error}"),
        _ => format!("{error}"),
    }
}

/// Where the program `name` is: as it is when there is a slash in it, else in the first directory of PATH that has it.
fn find(name: &CStr) -> Option<CString> {
    if name.to_bytes().contains(&b'/') {
        return Some(name.into());
    }
    if name.is_empty() {
        return None;
    }
    let path = env(b"PATH").map_or(DEFAULT_PATH, CStr::to_bytes);
    path.split(|&byte| byte == b':').find_map(|directory| {
        // An empty part is the working directory.
        let directory = if directory.is_empty() { b"." } else { directory };
        let candidate = CString::new([directory, b"/", name.to_bytes()].concat()).ok()?;
        file::stat(&candidate, AtFlags::empty()).is_ok_and(|stat| file::is_regular(&stat)).then_some(candidate)
    })
}

/// Descriptors led elsewhere, and where they led before.
struct Redirected(Vec<(Fd, File)>);

impl Redirected {
    /// Carries out `redirections` in their order; on a failure those before it are undone.
    fn new(redirections: &[Redirection]) -> Result<Self, (&CStr, Errno)> {
        let mut redirected = Self(Vec::new());
        for Redirection { to, path } in redirections {
            redirected.add(*to, path).map_err(|error| (path.as_c_str(), error))?;
        }
        Ok(redirected)
    }

    fn add(&mut self, to: Direction, path: &CStr) -> Result<(), Errno> {
        let new = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::CLOEXEC;
        let (descriptor, flags) = match to {
            Direction::Input => (Fd::STDIN, OpenFlags::RDONLY | OpenFlags::CLOEXEC),
            Direction::Output => (Fd::STDOUT, new | OpenFlags::TRUNC),
            Direction::Append => (Fd::STDOUT, new | OpenFlags::APPEND),
            Direction::Errors => (Fd::STDERR, new | OpenFlags::TRUNC),
        };
        let target = File::open_with(path, flags, 0o666)?;
        let before = descriptor.duplicate(OWN_DESCRIPTORS)?;
        descriptor.replace_by(*target)?;
        self.0.push((descriptor, before));
        Ok(())
    }
}

impl Drop for Redirected {
    fn drop(&mut self) {
        while let Some((descriptor, before)) = self.0.pop() {
            if let Err(error) = descriptor.replace_by(*before) {
                eprintln!("sh: descriptor {} is lost: {error}", descriptor.number());
            }
        }
    }
}
