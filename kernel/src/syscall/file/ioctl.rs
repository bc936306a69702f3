//! `ioctl`: what can be asked of the terminal, and of every descriptor.

use super::{Args, fd, int, ptr};
use crate::console::{self, Flush};
use crate::task::current;
use crate::uaccess::{read_user, write_user};
use abi::Errno;
use abi::tty::{FIONREAD, TCGETS, TCSETS, TCSETSF, TCSETSW, TIOCGWINSZ, TIOCSWINSZ, Termios, Winsize};

/// `FIONCLEX`: the descriptor outlives `execve`.
const FIONCLEX: u32 = 0x5450;
/// `FIOCLEX`: it does not.
const FIOCLEX: u32 = 0x5451;

/// `ioctl(fd, request, argument)`.
///
/// # Errors
/// `EBADF`, `EFAULT`; `ENOTTY` for a request the file does not know.
pub(crate) fn sys_ioctl(a: &Args) -> Result<u64, Errno> {
    let files = &current().files;
    let file = files.get(fd(a, 0))?;
    let request = int(a, 1);
    match request {
        FIOCLEX | FIONCLEX => files.set_cloexec(fd(a, 0), request == FIOCLEX)?,
        _ if !file.is_terminal() => return Err(Errno::ENOTTY),
        TCGETS => write_user(ptr(a, 2), &console::settings())?,
        TCSETS | TCSETSW | TCSETSF => {
            let settings: Termios = read_user(ptr(a, 2))?;
            console::set(settings, if request == TCSETSF { Flush::Input } else { Flush::Nothing });
        }
        FIONREAD => {
            let readable = console::readable() as u32;
            write_user(ptr(a, 2), &readable)?;
        }
        // A serial line does not know how large the window at its other end is.
        TIOCGWINSZ => write_user(ptr(a, 2), &Winsize::default())?,
        TIOCSWINSZ => {
            let _: Winsize = read_user(ptr(a, 2))?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}
