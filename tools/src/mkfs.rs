//! `vitrine mkfs`: a new image.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use fs::{Access, Error, Format, Fs, Mount};
use units::{ByteLen, PAGE_SIZE};

use crate::clock::Clock;
use crate::fresh::Fresh;
use crate::image::{self, finish};
use crate::import::{Import, tree_size};
use crate::medium::image_medium;
use crate::size::human;
use crate::{cli, progress};

/// Bytes 0 to 7 of every image.
const MAGIC: &[u8; 8] = b"VITRINE\0";

/// Makes the image. It has no name until it is whole: whatever ends this run before leaves what was there.
pub(crate) fn run(args: &cli::Mkfs) -> Result<()> {
    let clock = Clock::new()?;
    if let Some(dir) = &args.from {
        let is_dir = dir.metadata().with_context(|| dir.display().to_string())?.is_dir();
        anyhow::ensure!(is_dir, "{}: --from takes a directory", dir.display());
    }
    let older = older(&args.image, args.force)?;
    let fresh = Fresh::new(&args.image, older)?;
    fill(args, clock, &fresh.file)?;
    fresh.name().with_context(|| args.image.display().to_string())
}

fn fill(args: &cli::Mkfs, clock: Clock, file: &File) -> Result<()> {
    let shown = || args.image.display().to_string();
    let size = args.size.0;
    // All zeros, and sparse.
    file.set_len(size.get()).with_context(shown)?;
    let medium = image_medium(file.try_clone().with_context(shown)?, size.get());
    let (uuid, salt) = identity(clock, size)?;
    let now = clock.now();
    let options = Format { uuid, salt, version: args.as_version, now, ..Format::default() };
    Fs::format(&medium, &options).map_err(|error| match error {
        fs::FormatError::TooSmall { needed, found } => {
            anyhow::anyhow!("--size {}: an image needs at least {}", human(found.get()), human(needed.get()))
        }
        other => other.into(),
    })?;
    finish(&args.image, &medium)?;
    let Some(dir) = &args.from else { return Ok(()) };
    let fs = Fs::mount(medium, Mount { access: Access::ReadWrite, ..Mount::default() }).with_context(shown)?;
    let bytes = tree_size(dir)?;
    let mut import = Import::new(clock, progress::bytes("copying", bytes));
    import.keep_times();
    import.directory_content(dir, &fs.root()).map_err(|error| match error.downcast_ref::<Error>() {
        Some(Error::NoSpace) => error.context(format!(
            "{}: {} are too small for this tree, which has {} of file content: give a larger --size",
            args.image.display(),
            human(size.get()),
            human(bytes),
        )),
        _ => error,
    })?;
    import.finish();
    match fs.volume().compact() {
        // Then the log stays as it grew.
        Ok(()) | Err(Error::NoSpace) => {}
        Err(error) => return Err(error).with_context(shown),
    }
    finish(&args.image, fs.medium())
}

/// Opens and locks what has the image's name, if that may be replaced.
fn older(path: &Path, force: bool) -> Result<Option<File>> {
    let shown = || path.display().to_string();
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::IsADirectory => bail!("{}: is a directory", path.display()),
        Err(error) => return Err(error).with_context(shown),
    };
    if !file.metadata().with_context(shown)?.is_file() {
        bail!("{}: not a regular file", path.display());
    }
    image::lock(&file, path, Access::ReadWrite)?;
    let mut first = [0; PAGE_SIZE as usize];
    let len = file.read_at(&mut first, 0).with_context(shown)?;
    let first = &first[..len];
    if !force && !first.starts_with(MAGIC) && first.iter().any(|&byte| byte != 0) {
        bail!("{}: holds something that is no image; --force overwrites it", path.display());
    }
    Ok(Some(file))
}

/// A uuid and a salt: random, or made from `SOURCE_DATE_EPOCH` and the size where the image is to be reproducible.
fn identity(clock: Clock, size: ByteLen) -> Result<([u8; 16], u64)> {
    let mut bytes = [0; 24];
    match clock.epoch() {
        None => {
            let mut random = File::open("/dev/urandom").context("/dev/urandom")?;
            random.read_exact(&mut bytes).context("/dev/urandom")?;
        }
        Some(epoch) => {
            let mut state = (epoch as u64).rotate_left(32) ^ size.get();
            for word in bytes.chunks_exact_mut(8) {
                // SplitMix64: every bit of the seed reaches every bit of the result.
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                word.copy_from_slice(&(x ^ (x >> 31)).to_le_bytes());
            }
        }
    }
    let (mut uuid, mut salt) = ([0; 16], [0; 8]);
    uuid.copy_from_slice(&bytes[..16]);
    salt.copy_from_slice(&bytes[16..]);
    // Version 4, variant 1 of RFC 9562.
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok((uuid, u64::from_le_bytes(salt)))
}
