//! A machine that runs while the test talks to it: type, wait for what it prints, cut its power.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, process};

use crate::Ended;

/// How long to wait for a text before the test is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine under power. Dropping it cuts the power.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    uart: Arc<Stream>,
    errors: Arc<Stream>,
    /// How far the output has been looked at.
    seen: usize,
}

/// What has come out of one pipe so far.
#[derive(Default)]
struct Stream {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("qemu-run.sh");
        let stdin = child.stdin.take();
        let uart = Stream::reading(child.stdout.take().expect("a pipe was asked for"));
        let errors = Stream::reading(child.stderr.take().expect("a pipe was asked for"));
        Self { child, stdin, uart, errors, seen: 0 }
    }

    /// Types.
    ///
    /// # Panics
    /// Where the machine is gone.
    #[track_caller]
    pub fn types(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("nothing is typed after the end");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the machine reads");
    }

    /// Waits for a text in what was printed since the last wait, and gives back what came before it.
    ///
    /// # Panics
    /// With all output, where the text does not come.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let uart = Arc::clone(&self.uart);
        let mut state = uart.lock();
        loop {
            let fresh = &state.bytes[self.seen..];
            if let Some(at) = fresh.windows(text.len()).position(|window| window == text.as_bytes()) {
                let before = String::from_utf8_lossy(&fresh[..at]).into_owned();
                self.seen += at + text.len();
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !state.ended && !left.is_zero(),
                "{text:?} did not come; the machine printed:\n{}\n{}",
                String::from_utf8_lossy(&state.bytes),
                String::from_utf8_lossy(&self.errors.bytes())
            );
            state = uart.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends its input, and waits for its own end.
    ///
    /// # Panics
    /// Where the host cannot wait.
    #[must_use]
    pub fn finish(mut self) -> Ended {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for its end with its input left open: nobody types, nobody leaves.
    ///
    /// # Panics
    /// Where the host cannot wait.
    #[must_use]
    pub fn stays_open(mut self) -> Ended {
        self.wait()
    }

    /// Cuts the power: SIGKILL to QEMU itself. The status is 137, but where it had ended by itself before.
    ///
    /// # Panics
    /// Where the host has no `kill`.
    #[must_use]
    pub fn cut(mut self) -> Ended {
        if let Some(qemu) = self.qemu() {
            let kill = Command::new("kill").args(["-KILL", &qemu.to_string()]).stderr(Stdio::null()).status();
            kill.expect("kill");
        }
        self.wait()
    }

    /// Kills the script with a signal it cannot see, as a host out of memory would.
    ///
    /// # Panics
    /// Where the host cannot.
    pub fn kill_script(&mut self) {
        self.child.kill().expect("the script runs");
        let _ = self.child.wait();
    }

    /// The process id of QEMU, while it runs.
    #[must_use]
    pub fn qemu(&self) -> Option<u32> {
        qemu_under(self.child.id())
    }

    fn wait(&mut self) -> Ended {
        let status = self.child.wait().expect("the script ends");
        self.uart.wait_for_end();
        self.errors.wait_for_end();
        let output = process::Output { status, stdout: self.uart.bytes(), stderr: self.errors.bytes() };
        Ended::from(output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stream {
    fn reading(mut from: impl Read + Send + 'static) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let writer = Arc::clone(&stream);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let count = from.read(&mut chunk).unwrap_or(0);
                let mut state = writer.lock();
                state.bytes.extend_from_slice(&chunk[..count]);
                state.ended = count == 0;
                writer.grown.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        stream
    }

    /// A test that failed while it held the lock has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_end(&self) {
        let patience = Duration::from_secs(5);
        let _state = self.grown.wait_timeout_while(self.lock(), patience, |state| !state.ended);
    }

    fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }
}

/// The QEMU among the descendants of a process.
fn qemu_under(ancestor: u32) -> Option<u32> {
    let processes = || fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let known: Vec<(u32, String, u32)> = ids.filter_map(describe).collect();
    let descends = |mut id: u32| loop {
        match known.iter().find(|process| process.0 == id) {
            Some(process) if process.2 == ancestor => return true,
            Some(process) => id = process.2,
            None => return false,
        }
    };
    known.iter().find(|(id, name, _)| name.starts_with("qemu-system") && descends(*id)).map(|process| process.0)
}

/// A process: its id, its name, its parent.
fn describe(id: u32) -> Option<(u32, String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
    Some((id, name.to_owned(), parent))
}
