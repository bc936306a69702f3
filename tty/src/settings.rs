//! What a terminal begins with.

use abi::tty::{
    B115200, CLOCAL, CREAD, CS8, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ICANON, ICRNL, IEXTEN, IMAXBEL, ISIG, IUTF8,
    IXON, Termios,
};

/// A terminal as a person expects it: 115200 baud, eight bits, canonical, echoing; the characters are Linux's, but for
/// ^Z, which is off: no program can be stopped and continued yet, and a ^Z that does nothing would only be in the way.
pub const COOKED: Termios = Termios {
    iflag: ICRNL | IXON | IMAXBEL | IUTF8,
    oflag: 0,
    cflag: B115200 | CS8 | CREAD | CLOCAL,
    lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    line: 0,
    //   intr quit erase kill eof time min swtc start stop susp eol reprint discard werase lnext eol2
    cc: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 0, 0, 18, 15, 23, 22, 0, 0, 0],
};
