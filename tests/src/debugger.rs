//! A machine with gdb attached from its first instruction, to be brought into states that it does not reach by itself.

use std::process::{Command, Stdio};

use crate::{Ended, Image, Machine, built, root, wait_for};

impl Machine {
    /// Runs the machine to its end, after gdb has carried out `commands`, with the kernel's symbols loaded and the
    /// first instruction yet to come. The last one is best `detach`. Gives what gdb said as well. `image` is only where
    /// the socket lies.
    ///
    /// # Panics
    /// Where gdb cannot be started, or a command fails.
    #[must_use]
    pub fn debugged(&self, image: &Image, commands: &[&str]) -> (Ended, String) {
        let socket = image.path().with_file_name("gdb.sock");
        let chardev = format!("socket,path={},server=on,wait=off,id=gdb", socket.display());
        let machine = self.clone().qemu(&["-S", "-chardev", &chardev, "-gdb", "chardev:gdb"]).start();
        wait_for(&socket);
        let connect = format!("target remote {}", socket.display());
        let session = Command::new("timeout")
            .args(["60", "gdb-multiarch", "-q", "-batch", "-nx"])
            .arg(built("vitrine.elf"))
            .args(["set language c", &connect].iter().chain(commands).flat_map(|command| ["-ex", command]))
            .current_dir(root())
            .stdin(Stdio::null())
            .output()
            .expect("gdb-multiarch");
        let said = String::from_utf8_lossy(&session.stdout).into_owned();
        let errors = String::from_utf8_lossy(&session.stderr);
        // The machine may be gone before it has answered `detach`.
        let cut_off = errors.trim_end().lines().last().is_some_and(|line| line.starts_with("Remote co"));
        assert!(session.status.success() || cut_off, "{said}{errors}");
        (machine.stays_open(), said)
    }
}
