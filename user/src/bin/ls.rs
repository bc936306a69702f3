//! `ls [-al] [PATH...]`: lists directories, sorted by name; `-a` also names that begin with a dot, `-l` a line of facts
//! for each.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;

use abi::file::AtFlags;
use abi::stat::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK, Stat};
use vitrine_user::print::Text;
use vitrine_user::{Args, DirEntries, Errno, eprintln, file, print, println};

vitrine_user::entry!(run);

/// What the options ask for.
#[derive(Clone, Copy, Default)]
struct Options {
    all: bool,
    long: bool,
}

fn run(args: Args) -> i32 {
    let mut options = Options::default();
    let mut paths = Vec::new();
    for argument in args.skip(1) {
        match argument.to_bytes() {
            [b'-', letters @ ..] if !letters.is_empty() => {
                for &letter in letters {
                    match letter {
                        b'a' => options.all = true,
                        b'l' => options.long = true,
                        _ => {
                            eprintln!("ls: invalid option -- '{}'\nusage: ls [-al] [PATH...]", char::from(letter));
                            return 2;
                        }
                    }
                }
            }
            _ => paths.push(argument),
        }
    }
    if paths.is_empty() {
        paths.push(c".");
    }
    list_all(&paths, options)
}

/// Lists each path, with a heading when there are several; the exit status is 1 when one of them failed.
fn list_all(paths: &[&CStr], options: Options) -> i32 {
    let mut status = 0;
    for (index, &path) in paths.iter().enumerate() {
        if let Err(error) = list(path, paths.len() > 1, index == 0, options) {
            eprintln!("ls: {}: {error}", Text(path.to_bytes()));
            status = 1;
        }
    }
    status
}

fn list(path: &CStr, heading: bool, first: bool, options: Options) -> Result<(), Errno> {
    // A link is followed to the directory it names, but with -l shown as what it is.
    let links = if options.long { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
    let stat = file::stat(path, links)?;
    if stat.mode & S_IFMT != S_IFDIR {
        show(path, path.to_bytes(), options);
        return Ok(());
    }
    if heading {
        print!("{}{}:\n", if first { "" } else { "\n" }, Text(path.to_bytes()));
    }
    for name in sorted_names(path, options.all)? {
        let full = CString::new([path.to_bytes(), b"/", &name].concat()).map_err(|_| Errno::EINVAL)?;
        show(&full, &name, options);
    }
    Ok(())
}

fn sorted_names(directory: &CStr, all: bool) -> Result<Vec<Vec<u8>>, Errno> {
    let mut entries = DirEntries::open(directory)?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        if all || !entry.name.starts_with(b".") {
            names.push(entry.name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Prints the line of one name. A file that has gone since its name was read still has its name printed.
fn show(path: &CStr, name: &[u8], options: Options) {
    if !options.long {
        println!("{}", Text(name));
        return;
    }
    match file::stat(path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => println!("{} {}{}", facts(&stat), Text(name), target(path, &stat)),
        Err(error) => println!("?????????? {}: {error}", Text(name)),
    }
}

fn facts(stat: &Stat) -> String {
    let Stat { nlink, uid, gid, size, .. } = *stat;
    format!("{} {nlink:2} {uid:4} {gid:4} {size:10} {}", mode(stat.mode), date(stat.mtime.sec))
}

/// ` -> TARGET` after a symbolic link.
fn target(path: &CStr, stat: &Stat) -> String {
    match file::read_link(path) {
        Ok(target) if stat.mode & S_IFMT == S_IFLNK => format!(" -> {}", Text(&target)),
        _ => String::new(),
    }
}

/// The ten letters of a mode, such as `-rw-r--r--`.
fn mode(mode: u32) -> String {
    let kind = match mode & S_IFMT {
        S_IFDIR => 'd',
        S_IFLNK => 'l',
        S_IFCHR => 'c',
        S_IFBLK => 'b',
        S_IFIFO => 'p',
        S_IFSOCK => 's',
        _ => '-',
    };
    let bit = |(index, letter): (u32, char)| if mode & (0o400 >> index) != 0 { letter } else { '-' };
    [kind].into_iter().chain((0..).zip("rwxrwxrwx".chars()).map(bit)).collect()
}

/// A moment as `2026-11-23 18:39`, UTC. From days to a date as Howard Hinnant's `civil_from_days` goes: years begin in
/// March, so that the leap day is the last of its year.
fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_know_leap_years() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(951_782_399), "2000-02-28 23:59");
        assert_eq!(date(951_782_400), "2000-02-29 00:00");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00");
        assert_eq!(date(-1), "1969-12-31 23:59");
    }

    #[test]
    fn modes_read_like_those_of_ls() {
        assert_eq!(mode(0o100644), "-rw-r--r--");
        assert_eq!(mode(0o040755), "drwxr-xr-x");
        assert_eq!(mode(0o120777), "lrwxrwxrwx");
    }
}
