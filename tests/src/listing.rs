//! Everything in a directory of an image, in the lines of the program `tree`, sorted.

use std::sync::Arc;

use fs::{Error, Fs, Kind, Mount, Node};
use pmem_sim::SimMedium;
use units::FileOff;

/// What the host finds below the directory `top` of the root, where it mounts a copy of the medium `bytes`.
///
/// # Panics
/// Where that cannot be mounted or read.
#[must_use]
pub fn host_listing(bytes: &[u8], top: &str) -> Vec<String> {
    let fs: Arc<_> = Fs::mount(SimMedium::from_bytes(bytes), Mount::default()).expect("the medium can be mounted");
    let mut lines = Vec::new();
    let listed = fs.root().lookup(top.as_bytes()).and_then(|node| list(&node, "", &mut lines));
    listed.unwrap_or_else(|error| panic!("{top}: {error}"));
    lines.sort_unstable();
    lines
}

/// What the program `tree` said, in the same order.
#[must_use]
pub fn sorted_listing(output: &str) -> Vec<String> {
    let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn list(node: &Node<SimMedium>, path: &str, lines: &mut Vec<String>) -> Result<(), Error> {
    let attr = node.attr();
    let mut content = Vec::new();
    let kind = match attr.kind {
        Kind::Directory => 'd',
        Kind::Symlink => {
            content = node.read_link()?;
            'l'
        }
        Kind::File => {
            content = vec![0; attr.size as usize];
            node.read(FileOff::ZERO, content.len(), &mut &mut content[..])?;
            'f'
        }
    };
    let (mode, links, size, sum) = (attr.mode, attr.nlink, content.len(), sum(&content));
    lines.push(format!("{kind} {mode:04o} {links} {size} {sum:016x} {path}"));
    if attr.kind == Kind::Directory {
        let mut names = Vec::new();
        node.read_dir(0, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })?;
        for name in names.iter().filter(|name| !matches!(name.as_str(), "." | "..")) {
            list(&node.lookup(name.as_bytes())?, &format!("{path}/{name}"), lines)?;
        }
    }
    Ok(())
}

/// FNV-1a.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
