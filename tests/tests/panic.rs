//! The kernel's own bug: what is printed, and the status. There is none to show, so a debugger puts one in: the frame of
//! a program's first fault is made to point at nothing.

use std::process::{Command, Stdio};

use machine_tests::{Image, Machine, built, root};

#[test]
fn a_kernel_panic_prints_registers_and_addresses_and_exits_101() {
    let image = Image::fresh();
    let socket = image.path().with_file_name("gdb.sock");
    let chardev = format!("socket,path={},server=on,wait=off,id=gdb", socket.display());
    let machine =
        Machine::with(&image).init("/bin/hello").qemu(&["-S", "-chardev", &chardev, "-gdb", "chardev:gdb"]).start();
    machine_tests::wait_for(&socket);
    let connect = format!("target remote {}", socket.display());
    let session = Command::new("timeout")
        .args(["60", "gdb-multiarch", "-q", "-batch", "-nx"])
        .arg(built("vitrine.elf"))
        .args([
            "-ex",
            &connect,
            "-ex",
            "break *&trap_user_fault",
            "-ex",
            "continue",
            "-ex",
            "set $x0 = 8",
            "-ex",
            "detach",
        ])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("gdb-multiarch");
    assert!(session.status.success(), "{}", String::from_utf8_lossy(&session.stderr));
    machine
        .stays_open()
        .status(101)
        .says("panic on CPU 0: data abort")
        .says("the null page")
        .says("  x0  0x0000000000000008")
        .says("spsr 0x")
        .says("backtrace:\n  0xffff8000800")
        .says("end of panic report\n");
}
