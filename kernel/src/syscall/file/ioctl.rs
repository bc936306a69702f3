//! `ioctl`: what can be asked of the terminal, and of every descriptor.

use super::{Args, fd, int, ptr};
use crate::console::terminal::{Flush, TERMINAL};
use crate::task::current;
use crate::task::group::{self, Claim};
use crate::uaccess::{UserPtr, read_user, write_user};
use abi::Errno;
use abi::{signal, tty};

/// `FIONCLEX`: the descriptor outlives `execve`.
const FIONCLEX: u32 = 0x5450;
/// `FIOCLEX`: it does not.
const FIOCLEX: u32 = 0x5451;
/// `FIBMAP`: where a block of the file lies.
const FIBMAP: u32 = 1;

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
        FIBMAP if file.regular().is_some() => {
            let at = ptr(a, 2);
            let block = u32::try_from(read_user::<i32>(at)?).map_err(|_| Errno::EINVAL)?;
            write_user(at, &file.block_at(block)?)?;
        }
        _ if !file.is_terminal() => return Err(Errno::ENOTTY),
        _ => ask_terminal(request, a.a[2], ptr(a, 2))?,
    }
    Ok(0)
}

fn ask_terminal(request: u32, number: u64, at: UserPtr) -> Result<(), Errno> {
    match request {
        tty::TCGETS => write_user(at, &TERMINAL.settings())?,
        // Output is on the wire when it is written: there is nothing to wait for.
        tty::TCSETS | tty::TCSETSW => TERMINAL.set(read_user(at)?, Flush::Nothing),
        tty::TCSETSF => TERMINAL.set(read_user(at)?, Flush::Input),
        // A break cannot be sent to a terminal that is a pipe, and to no other is one meant.
        tty::TCSBRK => {}
        tty::TCFLSH => match number as u32 {
            tty::TCIFLUSH | tty::TCIOFLUSH => TERMINAL.flush_input(),
            tty::TCOFLUSH => {}
            _ => return Err(Errno::EINVAL),
        },
        tty::TCXONC => match number as u32 {
            tty::TCOOFF => TERMINAL.stop(),
            tty::TCOON => TERMINAL.start(),
            tty::TCIOFF => TERMINAL.ask(tty::VSTOP),
            tty::TCION => TERMINAL.ask(tty::VSTART),
            _ => return Err(Errno::EINVAL),
        },
        tty::FIONREAD => write_user(at, &(TERMINAL.readable() as u32))?,
        tty::TIOCOUTQ => write_user(at, &0u32)?,
        tty::TIOCSTI => TERMINAL.types(read_user(at)?).map_err(|_| Errno::EAGAIN)?,
        tty::TIOCGWINSZ => write_user(at, &TERMINAL.size())?,
        tty::TIOCSWINSZ => {
            if TERMINAL.resize(read_user(at)?) {
                group::signal_foreground(signal::SIGWINCH);
            }
        }
        tty::TIOCGPGRP => write_user(at, &group::foreground(current())?)?,
        tty::TIOCGSID => write_user(at, &group::terminal_session(current())?)?,
        tty::TIOCSPGRP => group::set_foreground(current(), read_user(at)?)?,
        tty::TIOCSCTTY => group::claim_terminal(current(), if number == 1 { Claim::Any } else { Claim::Free })?,
        tty::TIOCNOTTY => group::give_up_terminal(current())?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(())
}
