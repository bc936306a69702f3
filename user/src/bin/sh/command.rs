//! Running commands: the few the shell does itself, and programs.

use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;

use abi::file::{AtFlags, OpenFlags};
use abi::signal::SIGINT;
use abi::stat::{S_IFDIR, S_IFMT};
use abi::task::WaitStatus;
use abi::tty::Termios;
use vitrine_user::print::Text;
use vitrine_user::process::Job;
use vitrine_user::{Errno, Fd, File, env, eprintln, file, print, println, process, start, terminal};

use crate::history::History;
use crate::parse::{Command, Direction, Redirection, When, parse};

/// Descriptors from here on are the shell's own.
const OWN_DESCRIPTORS: i32 = 10;
/// The status after ^C: 128 and SIGINT.
const INTERRUPTED: u8 = 130;
/// Where programs are when the environment does not say.
pub(crate) const DEFAULT_PATH: &[u8] = b"/bin";

/// What the shell does itself.
pub(crate) const BUILTINS: [&[u8]; 5] = [b"cd", b"exit", b"help", b"history", b"pwd"];

const HELP: &str = "\
A shell that runs programs. It knows
  cd [DIR]  exit [N]  help  history  pwd   and runs every other word as a program found by PATH
  'as is'  \"with $NAME\"  \\x            quotes; $? is the last status
  a; b   a && b   a || b   # comment
  < FILE   > FILE   >> FILE   2> FILE  redirections
Keys: arrows, ^A ^E, ^U ^K ^W ^Y, Tab, ^L; ^C ends a program or drops the line, ^D ends the shell
Try: ls -l /bin    cat /data/forty-two    example2    cat /proc/vitrine/counters
";

/// What a shell remembers from one command to the next.
#[derive(Default)]
pub(crate) struct Shell {
    status: u8,
    leaving: bool,
    history: History,
    /// The terminal that programs get one after the other, where somebody sits at it.
    terminal: Option<Terminal>,
}

/// A terminal, and what it is like when the shell has it.
struct Terminal {
    terminal: Fd,
    settings: Termios,
    /// The shell's own process group.
    group: u32,
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

    /// The lines so far.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Keeps a line in the history.
    pub(crate) fn remember(&mut self, line: &[u8]) {
        self.history.add(line);
    }

    /// ^C was typed instead of a command.
    pub(crate) fn interrupted(&mut self) {
        self.status = INTERRUPTED;
    }

    /// Runs each program in a process group of its own, in the foreground of `terminal`, and takes no notice of ^C
    /// itself. Where this is not the shell's own terminal, programs stay in the shell's group.
    pub(crate) fn take_terminal(&mut self, terminal: Fd) {
        let taken = || {
            terminal::foreground(terminal)?;
            process::ignore_keys()?;
            Ok::<_, Errno>(Terminal { terminal, settings: terminal::settings(terminal)?, group: process::group()? })
        };
        self.terminal = taken().ok();
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
            let outcome = if due { self.run(command) } else { Ran::Whole };
            if self.leaving || outcome == Ran::Interrupted {
                return;
            }
        }
    }

    fn run(&mut self, command: &Command) -> Ran {
        // Redirections hold for the command alone: they are undone when this is dropped.
        let _redirected = match Redirected::new(&command.redirections) {
            Ok(redirected) => redirected,
            Err((path, error)) => {
                eprintln!("sh: {}: {error}", Text(path.to_bytes()));
                self.status = 1;
                return Ran::Whole;
            }
        };
        let [name, arguments @ ..] = command.words.as_slice() else { return Ran::Whole };
        self.status = match name.to_bytes() {
            b"cd" => change_directory(arguments),
            b"pwd" => print_directory(),
            b"help" => {
                print!("{HELP}");
                0
            }
            b"history" => self.print_history(),
            b"exit" => self.leave(arguments),
            _ => return self.run_program(&command.words),
        };
        Ran::Whole
    }

    fn print_history(&self) -> u8 {
        for (number, line) in self.history.numbered() {
            println!("{number:5}  {}", Text(line));
        }
        0
    }

    /// Runs a program and waits for it; says what it died of.
    fn run_program(&mut self, words: &[CString]) -> Ran {
        let name = &words[0];
        let environment: Vec<&CStr> = start::environment().collect();
        let Some(path) = find(name) else {
            eprintln!("sh: {}: command not found", Text(name.to_bytes()));
            self.status = 127;
            return Ran::Whole;
        };
        let job = self.terminal.as_ref().map_or(Job::Parents, |terminal| Job::Foreground(terminal.terminal));
        let status = process::spawn_as(job, &path, words, &environment).and_then(process::wait);
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back(status);
        }
        match status {
            Ok(status) => {
                self.status = status.shell_status();
                match process::death(status) {
                    // The ^C that did it stands there already.
                    Some(_) if status.signal() == Some(SIGINT) => {
                        println!();
                        return Ran::Interrupted;
                    }
                    Some(death) => eprintln!("{death}"),
                    None => {}
                }
            }
            Err(error) => {
                eprintln!("sh: {}: {}", Text(name.to_bytes()), refusal(&path, error));
                self.status = if error == Errno::ENOENT { 127 } else { 126 };
            }
        }
        Ran::Whole
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

/// Whether a line goes on after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ran {
    /// It does.
    Whole,
    /// ^C ended the command, and is meant for the rest of the line too.
    Interrupted,
}

impl Terminal {
    /// Takes the terminal back from a program that has ended: as that left it if it ended well, else as it was before.
    fn take_back(&mut self, ended: Result<WaitStatus, Errno>) {
        let ended_well = ended.is_ok_and(|status| status.signal().is_none());
        // Where the terminal is gone there is nothing to take back.
        let _ = terminal::set_foreground(self.terminal, self.group);
        let _ = terminal::wait_for_input(self.terminal);
        match terminal::settings(self.terminal) {
            Ok(settings) if ended_well => self.settings = settings,
            _ => _ = terminal::set(self.terminal, &self.settings),
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
