//! Images of media: each test has its own, which goes when the test ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use crate::{built, vitrine, zeros};

/// A medium in a folder of its own under the host's temporary folder.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
    path: PathBuf,
}

impl Image {
    /// A copy of `target/test.img`: the programs and the files of `user/rootfs`.
    ///
    /// # Panics
    /// Where `make test` has not made that.
    #[must_use]
    pub fn fresh() -> Self {
        Self::copied(&built("test.img"))
    }

    fn copied(from: &Path) -> Self {
        let image = Self::none();
        let copied = Command::new("cp").arg("--sparse=always").arg(from).arg(&image.path).status();
        assert!(copied.is_ok_and(|status| status.success()), "no copy of {from:?}: run `make test`");
        image
    }

    /// Another medium that holds the same.
    ///
    /// # Panics
    /// Where the host cannot copy it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::copied(&self.path)
    }

    /// A medium of `size` zero bytes: no file system.
    #[must_use]
    pub fn blank(size: u64) -> Self {
        let image = Self::none();
        zeros(&image.path, size);
        image
    }

    /// A medium made by `vitrine mkfs` with these words of its own.
    ///
    /// # Panics
    /// Where the tool refuses.
    #[must_use]
    pub fn made(words: &[&str]) -> Self {
        let image = Self::none();
        image.tool("mkfs", words);
        image
    }

    /// A medium of this size with these programs in `/bin`, and `/data` with nothing in it.
    ///
    /// # Panics
    /// Where `make test` has not built them, or the tool refuses.
    #[must_use]
    pub fn small(size: &str, programs: &[&str]) -> Self {
        let image = Self::none();
        let root = image.folder.join("root");
        fs::create_dir_all(root.join("bin")).and_then(|()| fs::create_dir(root.join("data"))).expect("a folder");
        for program in programs {
            let from = built("rootfs/bin").join(program);
            fs::copy(&from, root.join("bin").join(program)).unwrap_or_else(|e| panic!("{from:?}: {e}"));
        }
        image.tool("mkfs", &["--size", size, "--from", &root.to_string_lossy()]);
        image
    }

    /// A place for an image where no file is yet.
    ///
    /// # Panics
    /// Where the host cannot make a folder.
    #[must_use]
    pub fn none() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("vitrine-test-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let path = folder.join("pm.img");
        Self { folder, path }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one command of the host tool with the image as its last word, and gives back what it printed.
    ///
    /// # Panics
    /// Where the tool ends with anything but 0.
    #[track_caller]
    pub fn tool(&self, command: &str, words: &[&str]) -> String {
        let image = self.path.to_string_lossy();
        let all: Vec<&str> = [command].iter().chain(words).copied().chain([&*image]).collect();
        tool_output(&all)
    }

    /// Runs a command of the host tool that has to fail, with the image as its last word and `path` behind that, and gives back
    /// what it printed and what it complained of.
    ///
    /// # Panics
    /// Where the tool does not fail.
    #[track_caller]
    pub fn refused(&self, command: &str, path: &str) -> (Vec<u8>, String) {
        let output = vitrine(&[command, &format!("{}{path}", self.path.display())]);
        assert!(!output.status.success(), "vitrine {command} has nothing against it");
        (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Puts a file of the host onto the medium.
    ///
    /// # Panics
    /// Where the tool cannot.
    #[track_caller]
    pub fn add(&self, content: &[u8], to: &str) {
        let file = self.folder.join("added");
        fs::write(&file, content).unwrap_or_else(|e| panic!("{file:?}: {e}"));
        tool_output(&["cp", &file.to_string_lossy(), &format!("{}:{to}", self.path.display())]);
    }

    /// Reads a file of the medium on the host.
    ///
    /// # Panics
    /// Where the tool cannot.
    #[track_caller]
    #[must_use]
    pub fn read(&self, from: &str) -> Vec<u8> {
        let output = vitrine(&["cat", &format!("{}:{from}", self.path.display())]);
        assert!(output.status.success(), "vitrine cat {from}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Copies a directory of the medium, with all it holds, to a folder of the host that is not there yet.
    ///
    /// # Panics
    /// Where the tool cannot.
    #[track_caller]
    pub fn export(&self, from: &str, to: &Path) {
        tool_output(&["cp", "-r", &format!("{}:{from}", self.path.display()), &to.to_string_lossy()]);
    }

    /// Checks that a second person's medium is locked: nobody else may take it now.
    ///
    /// # Panics
    /// Where the lock is free.
    #[track_caller]
    pub fn assert_locked(&self) {
        let free = Command::new("flock").arg("-n").arg(&self.path).arg("true").stderr(Stdio::null()).status();
        assert!(free.is_ok_and(|status| !status.success()), "{:?} is not locked", self.path);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Kept where the test failed: it is the evidence.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[track_caller]
fn tool_output(words: &[&str]) -> String {
    let output = vitrine(words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "vitrine {words:?}: {} {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
