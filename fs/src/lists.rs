//! Extent blocks: mappings too long for a record, in a chain of checksummed blocks, each in two copies.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem::size_of;

use pmem::medium::Medium;
use pmem::order::{self, Batch, Cleaned};
use units::{BlockNr, Ino};
use zerocopy::{FromBytes, IntoBytes};

use crate::crc::Salt;
use crate::error::Wrong;
use crate::format::{BLOCK, EXTENT_MAGIC, ExtentBlockHeader, RUNS_PER_BLOCK, RunItem};
use crate::seeded::{Bug, seeded};
use crate::space::Run;

/// Blocks that a chain of `runs` runs takes, both copies together.
pub(crate) fn blocks_for(runs: usize) -> u64 {
    2 * runs.div_ceil(RUNS_PER_BLOCK) as u64
}

/// Stores the chain in `room`, which has [`blocks_for`] blocks, and cleans it; answers the first block's copies. The
/// caller fences before the record that names it.
pub(crate) fn store(
    medium: &impl Medium,
    salt: Salt,
    (generation, ino): (u64, Ino),
    runs: &[RunItem],
    room: &[Run],
    batch: &mut Batch<Cleaned>,
) -> [u64; 2] {
    let blocks: Vec<u64> = room.iter().flat_map(|run| (0..run.blocks).map(|index| run.start.get() + index)).collect();
    let pairs: Vec<[u64; 2]> = blocks.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    for (index, (runs, pair)) in runs.chunks(RUNS_PER_BLOCK).zip(&pairs).enumerate() {
        let next = pairs.get(index + 1).copied().unwrap_or_default();
        let header = ExtentBlockHeader {
            magic: EXTENT_MAGIC.into(),
            crc: 0.into(),
            generation: generation.into(),
            ino: ino.get().into(),
            index: (index as u32).into(),
            count: (runs.len() as u32).into(),
            next: next.map(Into::into),
            reserved: [0; 16],
        };
        let mut block = Vec::with_capacity(BLOCK as usize);
        block.extend_from_slice(header.as_bytes());
        block.extend_from_slice(runs.as_bytes());
        block.resize(BLOCK as usize, 0);
        let crc = salt.crc_of(&block);
        block[4..8].copy_from_slice(&crc.to_le_bytes());
        for copy in if seeded(Bug::OneCopyOfList) { &pair[..1] } else { pair } {
            batch.add(order::store(medium, BlockNr::new(*copy).base(), &block).clean(medium));
        }
    }
    pairs.first().copied().unwrap_or_default()
}

/// What reading a chain found.
#[derive(Default)]
pub(crate) struct Chain {
    /// The mapping.
    pub(crate) runs: Vec<RunItem>,
    /// The blocks of both copies.
    pub(crate) blocks: Vec<u64>,
    /// Blocks whose other copy is good: to be rewritten with this content.
    pub(crate) bad_copies: Vec<(u64, Vec<u8>)>,
}

/// Reads the chain that begins at `first` and has `count` runs. No block of `listed` is read again, and every block read
/// is added there: a hostile chain can neither go in circles nor be named many times.
///
/// # Errors
/// What is wrong with the first block that is bad in both copies, or cannot be part of this chain.
pub(crate) fn load(
    medium: &impl Medium,
    salt: Salt,
    (generation, ino): (u64, u64),
    (first, count): ([u64; 2], u64),
    total: u64,
    listed: &mut BTreeSet<u64>,
) -> Result<Chain, Wrong> {
    let mut chain = Chain::default();
    let (mut at, mut index) = (first, 0u32);
    while at != [0; 2] {
        if at.iter().any(|&block| block == 0 || block >= total) || chain.runs.len() as u64 >= count {
            return Err(Wrong::ExtentBlock);
        }
        if !at.iter().all(|&block| listed.insert(block)) {
            return Err(Wrong::DoublyOwned);
        }
        let good = |block: u64| read(medium, salt, (generation, ino, index), block);
        let copies = [good(at[0]), good(at[1])];
        let bytes = copies.iter().flatten().next().ok_or(Wrong::ExtentBlock)?;
        for (block, copy) in at.iter().zip(&copies) {
            if copy.is_none() {
                chain.bad_copies.push((*block, bytes.clone()));
            }
        }
        let (header, rest) = ExtentBlockHeader::ref_from_prefix(bytes).map_err(|_| Wrong::ExtentBlock)?;
        let runs = header.count.get() as usize;
        if runs > RUNS_PER_BLOCK {
            return Err(Wrong::ExtentBlock);
        }
        let bytes = &rest[..runs * size_of::<RunItem>()];
        chain.runs.extend_from_slice(<[RunItem]>::ref_from_bytes(bytes).map_err(|_| Wrong::ExtentBlock)?);
        chain.blocks.extend_from_slice(&at);
        (at, index) = (header.next.map(|next| next.get()), index + 1);
    }
    if chain.runs.len() as u64 == count { Ok(chain) } else { Err(Wrong::ExtentBlock) }
}

/// One copy of a block, if it is good.
fn read(medium: &impl Medium, salt: Salt, (generation, ino, index): (u64, u64, u32), block: u64) -> Option<Vec<u8>> {
    let mut bytes = alloc::vec![0; BLOCK as usize];
    medium.load(BlockNr::new(block).base(), &mut bytes).ok()?;
    let (header, _) = ExtentBlockHeader::ref_from_prefix(&bytes).ok()?;
    let ours = header.magic.get() == EXTENT_MAGIC
        && header.generation.get() == generation
        && header.ino.get() == ino
        && header.index.get() == index;
    (ours && header.crc.get() == salt.crc_of(&bytes)).then_some(bytes)
}
