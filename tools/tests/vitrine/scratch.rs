//! Runs the built tool in a directory of the test's own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A fresh directory that the test leaves behind for whoever looks into a failure.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// The directory of the test called `name`, emptied.
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", path.display()),
            _ => {}
        }
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs the tool here.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        self.run_at(None, args)
    }

    /// Runs the tool here and kills it after `time`, unless it has ended by itself.
    pub(crate) fn run_and_kill<A: AsRef<OsStr>>(&self, time: Duration, args: impl IntoIterator<Item = A>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrine"));
        let mut child = command.current_dir(&self.0).args(args).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs the tool here, with `SOURCE_DATE_EPOCH` or surely without.
    pub(crate) fn run_at<A: AsRef<OsStr>>(&self, epoch: Option<&str>, args: impl IntoIterator<Item = A>) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrine"));
        command.current_dir(&self.0).args(args).env_remove("SOURCE_DATE_EPOCH");
        command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        Ran(command.output().unwrap())
    }
}

/// What a run of the tool came to.
pub(crate) struct Ran(Output);

impl Ran {
    /// Its exit status.
    pub(crate) fn status(&self) -> i32 {
        self.0.status.code().expect("died of a signal")
    }

    /// What it complained of.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Everything it printed, after checking that it succeeded and complained of nothing.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        let stderr = String::from_utf8_lossy(&self.0.stderr);
        assert!(self.0.status.success() && stderr.is_empty(), "{:?}: {stderr}", self.0.status);
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// What it printed, whatever came of it.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Checks that it failed with status 1 and one line on stderr that names all of `words`.
    #[track_caller]
    pub(crate) fn fails(&self, words: &[&str]) {
        self.fails_with(1, words);
    }

    /// The same with another status.
    #[track_caller]
    pub(crate) fn fails_with(&self, status: i32, words: &[&str]) {
        let stderr = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(status), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("vitrine: "), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "'{word}' is missing in: {stderr}");
        }
    }
}
