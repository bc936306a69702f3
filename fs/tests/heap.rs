//! How much heap the calls take: each piece taken is time under a lock, and in the kernel may be the last one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::sync::Arc;

use fs::{Error, Format, Fs, Mount, NewNode, Time, WriteAt};
use pmem::badblocks::BadRange;
use pmem::medium::{CopyError, MediaError, Medium, Sink, Source};
use units::{ByteLen, FileOff, FileRange, Pfn, PmOff};

/// The system's allocator, counting what this thread takes.
struct Counting;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; the counter is a plain cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + 1);
        // SAFETY: passed on as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on as it came.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Plain memory, which takes no heap of its own; for one thread.
struct Ram(UnsafeCell<Vec<u8>>);

impl Ram {
    fn at(&self, at: PmOff, len: usize) -> *mut u8 {
        // SAFETY: no reference outlives a call, and only one thread calls.
        let bytes = unsafe { &mut *self.0.get() };
        bytes[at.get() as usize..][..len].as_mut_ptr()
    }
}

impl Medium for Ram {
    fn len(&self) -> ByteLen {
        // SAFETY: no reference outlives a call, and only one thread calls.
        ByteLen::new(unsafe { (*self.0.get()).len() } as u64)
    }

    fn load(&self, at: PmOff, to: &mut [u8]) -> Result<(), MediaError> {
        // SAFETY: `at` checked the range.
        unsafe { self.at(at, to.len()).copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn load_to<S: Sink>(&self, at: PmOff, len: usize, sink: &mut S) -> Result<usize, CopyError> {
        // SAFETY: `at` checked the range.
        match unsafe { sink.copy_from(self.at(at, len), len) } {
            Ok(()) => Ok(len),
            Err(taken) => Ok(taken.0),
        }
    }

    fn store(&self, at: PmOff, bytes: &[u8]) {
        // SAFETY: `at` checked the range.
        unsafe { self.at(at, bytes.len()).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    fn store_from<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> Result<(), CopyError> {
        // SAFETY: `at` checked the range.
        unsafe { source.copy_to(self.at(at, len), len) }.map_err(CopyError::from)
    }

    fn zero(&self, at: PmOff, len: ByteLen) {
        // SAFETY: `at` checked the range.
        unsafe { self.at(at, len.get() as usize).write_bytes(0, len.get() as usize) };
    }

    fn clean(&self, _at: PmOff, _len: ByteLen) {}

    fn fence(&self) {}

    fn check(&self, _at: PmOff, _len: ByteLen) -> Result<(), MediaError> {
        Ok(())
    }

    fn each_bad(&self, _each: &mut dyn FnMut(&BadRange)) {}

    fn recovery_write<S: Source>(&self, at: PmOff, len: usize, source: &mut S) -> usize {
        if self.store_from(at, len, source).is_ok() { len } else { 0 }
    }

    fn pfn(&self, _at: PmOff) -> Option<Pfn> {
        None
    }
}

const NOW: Time = Time::new(1, 0);
const FILE: NewNode<'static> = NewNode::File { mode: 0o644 };

/// What a hundred calls take: hundredths of a piece of heap each.
fn taken(mut call: impl FnMut(u64) -> Result<(), Error>) -> u64 {
    let before = TAKEN.get();
    (0..100).for_each(|at| call(at).expect("it can be done"));
    TAKEN.get() - before
}

fn fresh() -> Arc<Fs<Ram>> {
    let medium = Ram(UnsafeCell::new(vec![0; 64 << 20]));
    Fs::format(&medium, &Format::default()).expect("it is large enough");
    Fs::mount(medium, Mount::default()).expect("it was just made")
}

#[test]
fn what_only_looks_takes_no_heap_and_what_changes_takes_little() {
    let fs = fresh();
    let root = fs.root();
    let node = root.create(b"file", FILE, NOW).expect("there is room");
    node.write(WriteAt::Offset(FileOff::ZERO), &mut &vec![1; 1 << 20][..], NOW).expect("there is room");
    let range = FileRange::with_len(FileOff::new(8192), ByteLen::new(4096)).expect("small numbers");
    // The first of each makes what is kept for the others.
    drop((node.pin(range), root.lookup(b"file")));

    let looks = [
        ("read", taken(|at| node.read(FileOff::new(at * 4096), 4096, &mut &mut [0; 4096][..]).map(drop))),
        ("pin", taken(|_| node.pin(range).map(drop))),
        ("attr", taken(|_| (node.attr().size > 0).then_some(()).ok_or(Error::Invalid))),
        ("lookup", taken(|_| root.lookup(b"file").map(drop))),
        ("read_dir", taken(|_| root.read_dir(0, &mut |_| true))),
    ];
    let write = |at: u64, bytes: &[u8]| node.write(WriteAt::Offset(FileOff::new(at)), &mut &*bytes, NOW).map(drop);
    let names: Vec<String> = (0..100).map(|number| format!("name {number}")).collect();
    let name = |at: u64| names[at as usize].as_bytes();
    write(0, &[2; 4096]).expect("there is room");
    // As measured, and one more.
    let changes = [
        ("write of a block", taken(|at| write(at * 4096, &[2; 4096])), 1),
        ("write in a block", taken(|at| write(at * 4096 + at, b"x")), 1),
        ("create", taken(|at| root.create(name(at), FILE, NOW).map(drop)), 3),
        ("unlink", taken(|at| root.unlink(name(at), NOW)), 1),
    ];
    for (call, hundredths) in looks {
        println!("{call}: {hundredths} hundredths of a piece");
        assert_eq!(hundredths, 0, "{call}");
    }
    for (call, hundredths, most) in changes {
        println!("{call}: {hundredths} hundredths of a piece");
        assert!(hundredths <= most * 100, "{call}: {hundredths}");
    }
}
