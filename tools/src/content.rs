//! The content of a file in an image: the stretches that hold data, holes passed over.

use anyhow::Result;
use fs::{Error, IomapKind};
use units::{FileOff, PAGE_SIZE};

use crate::path::Inside;

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// Shows `each` every stretch of `node`, a file, that holds data, with its place; zeros of a page or more may be left out.
/// Answers the file's size.
///
/// # Errors
/// Those of `each`, and [`Error::Media`] at a bad block: what lies before it has been shown, and its place with no bytes.
pub(crate) fn each_data(node: &Inside, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<u64> {
    let pin = node.pin_all()?;
    let mut buffer = vec![0; CHUNK as usize];
    let mut at = 0;
    while at < pin.size() {
        let map = pin.iomap(FileOff::new(at));
        let end = map.end().get().min(pin.size());
        if map.kind != IomapKind::Mapped {
            at = end;
            continue;
        }
        while at < end {
            let want = CHUNK.min(end - at) as usize;
            let len = match node.read(FileOff::new(at), want, &mut &mut buffer[..]) {
                Ok(0) => return Err(Error::Invalid.into()),
                Ok(len) => len,
                Err(error) => {
                    each(at, &[])?;
                    return Err(error.into());
                }
            };
            let is_data = |page: &&[u8]| page.iter().any(|&byte| byte != 0);
            let mut done = 0;
            while done < len {
                // Pages with data together, then those without.
                let pages = || buffer[done..len].chunks(PAGE_SIZE as usize);
                let data: usize = pages().take_while(is_data).map(<[u8]>::len).sum();
                if data > 0 {
                    each(at + done as u64, &buffer[done..done + data])?;
                }
                done += data
                    + pages().skip_while(is_data).take_while(|page| !is_data(page)).map(<[u8]>::len).sum::<usize>();
            }
            at += len as u64;
        }
    }
    Ok(pin.size())
}

/// Bytes of the files at and below `node`: what a progress bar counts to.
pub(crate) fn tree_size(node: &Inside) -> Result<u64> {
    let mut waiting = vec![node.clone()];
    let mut sum = 0_u64;
    while let Some(node) = waiting.pop() {
        match node.kind() {
            fs::Kind::File => sum = sum.saturating_add(node.attr().size),
            fs::Kind::Directory => waiting.extend(crate::path::entries(&node)?.into_iter().map(|entry| entry.node)),
            fs::Kind::Symlink => {}
        }
    }
    Ok(sum)
}
