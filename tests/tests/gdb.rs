//! A debugger's view: gdb steps from the first instruction to a program's `main`, by `tools/gdb/stext.py`.

use std::process::{Command, Stdio};

use machine_tests::{Image, Machine, built, root, wait_for};

/// Boots under gdb with the first instruction at this level; the program then ends by itself.
#[track_caller]
fn gdb_steps_through(level: &str) {
    let image = Image::fresh();
    let socket = image.path().with_file_name("gdb.sock");
    let chardev = format!("socket,path={},server=on,wait=off,id=gdb", socket.display());
    let machine = Machine::with(&image)
        .word("--el", level)
        .init("/bin/hello-c stepped")
        .qemu(&["-S", "-chardev", &chardev, "-gdb", "chardev:gdb"])
        .start();
    wait_for(&socket);

    let session = Command::new("timeout")
        .args(["100", "gdb-multiarch", "-q", "-batch", "-nx", "-x", "tools/gdb/stext.py"])
        .current_dir(root())
        .env("VITRINE_GDB", &socket)
        .env("VITRINE_KERNEL", built("vitrine.elf"))
        .env("VITRINE_PROGRAM", built("programs/hello-c"))
        .env("VITRINE_ENTRY", level)
        .stdin(Stdio::null())
        .output()
        .expect("gdb-multiarch");
    let said = String::from_utf8_lossy(&session.stdout);
    let errors = String::from_utf8_lossy(&session.stderr);
    assert!(said.trim_end().ends_with("PASSED"), "gdb said:\n{said}{errors}");
    // Whether the run was good is QEMU's to say: gdb often misses the end.
    machine.stays_open().status(0).says("with 1 argument and a float: 3.142\n");
}

#[test]
fn gdb_steps_from_reset_at_el2_to_main() {
    gdb_steps_through("2");
}

#[test]
fn gdb_steps_from_reset_at_el1_to_main() {
    gdb_steps_through("1");
}
