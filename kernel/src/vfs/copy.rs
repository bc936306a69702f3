//! Bytes of the kernel on their way to and from a program, where no file system stands between.

use pmem::medium::{BadAddress, Sink, Source, Taken};

/// Bytes a stack buffer holds while they pass through the kernel.
pub(crate) const CHUNK: usize = 256;

/// Kernel memory as a [`Sink`] whose copies end where the medium does not answer; a slice's would be a kernel fault.
pub(crate) struct KernelSink<'a>(&'a mut [u8]);

impl<'a> KernelSink<'a> {
    /// All of `to`, from the front.
    pub(crate) fn new(to: &'a mut [u8]) -> Self {
        Self(to)
    }
}

impl Sink for KernelSink<'_> {
    unsafe fn copy_from(&mut self, from: *const u8, len: usize) -> Result<(), Taken> {
        let fits = len.min(self.0.len());
        // SAFETY: the caller vouches for `from`; the other side is a slice of our own.
        let done = fits - unsafe { arch::user::copy(self.0.as_mut_ptr(), from, fits) };
        self.0 = core::mem::take(&mut self.0).split_at_mut(done).1;
        if done == len { Ok(()) } else { Err(Taken(done)) }
    }
}

/// Bytes on their way to a file, which may take less than all of them.
pub(crate) trait Shorten: Source {
    /// Leaves off what comes behind the next `len` bytes.
    fn shorten(&mut self, len: usize);
}

impl Shorten for &[u8] {
    fn shorten(&mut self, len: usize) {
        *self = &self[..len.min(self.len())];
    }
}

/// Gives `bytes` to `sink`; answers how many it took, fewer only where the program's memory ended.
///
/// # Errors
/// [`BadAddress`] where it took none of several.
pub(crate) fn give<K: Sink>(sink: &mut K, bytes: &[u8]) -> Result<usize, BadAddress> {
    if bytes.is_empty() {
        return Ok(0);
    }
    // SAFETY: a reference is valid for reads of its length, and nobody writes behind it.
    match unsafe { sink.copy_from(bytes.as_ptr(), bytes.len()) } {
        Ok(()) => Ok(bytes.len()),
        Err(Taken(0)) => Err(BadAddress),
        Err(Taken(some)) => Ok(some),
    }
}

/// Fills `to` from `source`, which holds at least as much.
///
/// # Errors
/// [`BadAddress`] where a byte cannot be read.
pub(crate) fn take<S: Source>(source: &mut S, to: &mut [u8]) -> Result<(), BadAddress> {
    debug_assert!(to.len() <= source.remaining());
    // SAFETY: the exclusive reference is valid for writes of its length and its bytes are not looked at meanwhile;
    // both callers below and in `file` ask for no more than `remaining`.
    unsafe { source.copy_to(to.as_mut_ptr(), to.len()) }
}

/// Gives `len` bytes made chunk by chunk by `fill`; answers how many were taken.
///
/// # Errors
/// [`BadAddress`] where none of several was taken.
pub(crate) fn produce<K: Sink>(sink: &mut K, len: usize, mut fill: impl FnMut(&mut [u8])) -> Result<usize, BadAddress> {
    let mut buffer = [0; CHUNK];
    let mut done = 0;
    while done < len {
        let chunk = &mut buffer[..CHUNK.min(len - done)];
        fill(chunk);
        match give(sink, chunk) {
            Ok(took) if took == chunk.len() => done += took,
            Ok(took) => return Ok(done + took),
            Err(BadAddress) if done > 0 => return Ok(done),
            Err(BadAddress) => return Err(BadAddress),
        }
    }
    Ok(done)
}
