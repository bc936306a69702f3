//! What can be asked of the tool, and the help that teaches it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::badblock::SectorRun;
use crate::size::Size;

/// Make, fill, list and check images of Vitrine's persistent-memory file system.
///
/// An image is a plain file. QEMU shows it to the kernel as persistent memory; this tool works on it while no machine
/// runs from it (it takes the same lock). A file inside an image is written IMG:/path.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "\
Examples:
  vitrine mkfs --size 64M --from rootfs/ disk.img   make an image that holds a directory tree
  vitrine ls -l disk.img:/bin                       look inside
  vitrine cp notes.txt disk.img:/home/              copy a file in
  vitrine cp -r disk.img:/home ./home               copy a tree out
  vitrine fsck disk.img && qemu-run.sh --pmem disk.img
"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Mkfs(Mkfs),
    Cp(Cp),
    Ls(Ls),
    Cat(Cat),
    Rm(Rm),
    Mkdir(Mkdir),
    Fsck(Fsck),
    Info(Info),
    Badblock(Badblock),
}

/// Add to the image's list of bad blocks, show it, or take from it.
///
/// A sector is 512 bytes, counted from the start of the image. What lies on the list cannot be read by the kernel or this
/// tool until it is written over as a whole; 'clear' makes it readable again as it is.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine badblock add disk.img 8000+8               the page at byte 4096000
  vitrine badblock list disk.img                     whose bytes are lost
  vitrine badblock clear disk.img 8000+8             readable again, as it is
")]
pub(crate) struct Badblock {
    #[command(subcommand)]
    pub(crate) what: BadblockCommand,
}

#[derive(Subcommand)]
pub(crate) enum BadblockCommand {
    /// Mark sectors bad
    Add(Sectors),
    /// Show the list: a line a run of sectors, SECTOR+N, and whose bytes are lost
    List(ListBad),
    /// Mark sectors good
    Clear(Sectors),
}

#[derive(Args)]
pub(crate) struct Sectors {
    /// The image
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
    /// The first sector, and how many where that is not 1
    #[arg(value_name = "SECTOR[+N]")]
    pub(crate) sectors: SectorRun,
}

#[derive(Args)]
pub(crate) struct ListBad {
    /// A JSON array, with an object for each run
    #[arg(long)]
    pub(crate) json: bool,
    /// The image
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
}

/// Make an image, empty or filled from a directory.
///
/// With SOURCE_DATE_EPOCH in the environment the image depends on nothing but the tree, the size and that number.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine mkfs disk.img                              empty, 256 MiB
  vitrine mkfs --size 1G --from rootfs/ disk.img     with all that rootfs/ holds
  SOURCE_DATE_EPOCH=0 vitrine mkfs --from d a.img    the same bytes every time
")]
pub(crate) struct Mkfs {
    /// Bytes of the image: a multiple of 4096, with K, M, G or T for powers of 1024
    #[arg(long, default_value = "256M", value_name = "SIZE")]
    pub(crate) size: Size,
    /// Copy this directory's content into the new file system: files, directories, symlinks, hard links; modes and
    /// modification times stay, owner and group become 0
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Claim to be this version of the format, to see how a reader refuses it
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) as_version: Option<u32>,
    /// Overwrite a file that holds something else than an image
    #[arg(long)]
    pub(crate) force: bool,
    /// The image file to make; an older image there is replaced
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
}

/// Copy files into an image, out of it, or inside.
///
/// As cp(1): into DST where that is a directory, else to that name. A side that names an image is written IMG:/path, and '-'
/// is standard input or output. Symlinks stay symlinks below a copied directory and are followed where named; files with
/// several names stay one file. A file with a bad block is named, and the others are copied all the same.
#[derive(Args)]
#[command(override_usage = "vitrine cp [-r] [-p] <SRC>... <DST>")]
#[command(after_help = "\
Examples:
  vitrine cp notes.txt disk.img:/home/               into a directory of the image
  vitrine cp -a disk.img:/home ./home                a tree out, with modes and times
  vitrine cp -r a.img:/bin b.img:/                   from image to image
  tar c src | vitrine cp - disk.img:/src.tar         from standard input
  vitrine cp disk.img:/src.tar - | tar t             to standard output
")]
pub(crate) struct Cp {
    /// Copy directories with all they hold
    #[arg(short, long, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// Keep modes and modification times
    #[arg(short, long)]
    pub(crate) preserve: bool,
    /// Both: the same as -rp
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// What to copy, then where to
    #[arg(required = true, num_args = 2.., value_names = ["SRC", "DST"])]
    pub(crate) paths: Vec<OsString>,
}

/// List a directory of an image, or one file.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine ls disk.img:/
  vitrine ls -lR disk.img:/etc
  vitrine ls --json disk.img:/bin | jq '.[].name'
")]
pub(crate) struct Ls {
    /// Show mode, links, owner, group, size and modification time (UTC)
    #[arg(short, long)]
    pub(crate) long: bool,
    /// List what lies below, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// A JSON array, with an object for each file
    #[arg(long)]
    pub(crate) json: bool,
    /// What to list
    #[arg(required = true, value_name = "IMG:/path")]
    pub(crate) paths: Vec<OsString>,
}

/// Write files of an image to standard output.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine cat disk.img:/etc/motd
  vitrine cat disk.img:/log.1 disk.img:/log.2 | grep error
")]
pub(crate) struct Cat {
    /// What to write
    #[arg(required = true, value_name = "IMG:/path")]
    pub(crate) paths: Vec<OsString>,
}

/// Remove files from an image.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine rm disk.img:/tmp/core
  vitrine rm -r disk.img:/tmp/build disk.img:/old
")]
pub(crate) struct Rm {
    /// Remove directories with all they hold
    #[arg(short, long, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// What to remove
    #[arg(required = true, value_name = "IMG:/path")]
    pub(crate) paths: Vec<OsString>,
}

/// Make directories in an image.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine mkdir disk.img:/home
  vitrine mkdir -p disk.img:/srv/www/html
")]
pub(crate) struct Mkdir {
    /// Make missing directories above, too; one that is there already is no error
    #[arg(short, long)]
    pub(crate) parents: bool,
    /// What to make
    #[arg(required = true, value_name = "IMG:/path")]
    pub(crate) paths: Vec<OsString>,
}

/// Check an image.
///
/// Says what is wrong, at which byte, and whose file is hurt. --repair rewrites bad copies, counts links again, gives lost files
/// a name in /lost+found, and passes over records of the log that cannot be read, which gives up what they alone say: copy
/// the image first. It writes the result beside what is there, so a repair that is cut leaves the image as it was.
///
/// Exit status: 0 clean, 1 something was wrong and has been repaired, 4 errors are left, 8 this is no image,
/// or it could not be read or written.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine fsck disk.img                              look, change nothing
  cp --sparse=always disk.img keep.img && vitrine fsck --repair disk.img
  vitrine fsck --json disk.img | jq .findings
")]
pub(crate) struct Fsck {
    /// Put right what can be put right; what has to be given up is named
    #[arg(long)]
    pub(crate) repair: bool,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The image to check
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
}

/// Show what an image is: size, free space, counts, state.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vitrine info disk.img
  vitrine info --json disk.img | jq .free
")]
pub(crate) struct Info {
    /// One JSON object, sizes in bytes
    #[arg(long)]
    pub(crate) json: bool,
    /// The image to look at
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
}
