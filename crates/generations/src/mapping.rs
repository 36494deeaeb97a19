//! Memory of the system as a slice of atomic words, with a file behind it or none: all the `unsafe` of the workspace.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags};

/// The first words of a file, shared with every process that maps it; or words of this process alone.
///
/// A file must keep its size while it is mapped: a process that reads past the end of a file that was cut is ended by
/// the system. Nothing of ours cuts it, and only its owner could.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory is only ever reached as `&[AtomicU64]`, which any thread may use; the pointer is not handed out.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `words` words from the start of `file`.
    ///
    /// # Errors
    /// The file is shorter than that, or the system refuses the mapping.
    pub(crate) fn new(file: &File, words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::InvalidInput)?;
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: no address is asked for, so nothing that is mapped already is replaced; the file is at least `bytes`
        // long, so every page that is touched has the file behind it.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)
        }?;
        let start = NonNull::new(start.cast::<AtomicU64>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { start, words })
    }

    /// Words of zeros that only this process sees. A page of them is made when it is first written.
    ///
    /// # Errors
    /// The system refuses the mapping.
    pub(crate) fn private(words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: no address is asked for, so nothing that is mapped already is replaced.
        let start = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, access, MapFlags::PRIVATE)
        }?;
        let start = NonNull::new(start.cast::<AtomicU64>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { start, words })
    }

    /// The words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping begins at a page, so it is aligned; it is `words` words long, zeroed or written by the
        // file's or the process's owners as words, any bit pattern of which is a valid `AtomicU64`; it lives until `drop`. Other
        // processes change it by atomic instructions only.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, once; the slices of `words` borrow `self`, so none is left. That it could
        // fail for a mapping that exists is not in the system's contract, and there is nobody to tell.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.words * size_of::<AtomicU64>()) };
    }
}
