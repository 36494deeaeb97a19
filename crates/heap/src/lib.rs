//! Memory that a program has freed, given back to the system.
//!
//! glibc keeps what is freed in the arenas of its threads and returns only what lies at their ends: after much was
//! allocated by many threads and freed again, most of it stays resident for as long as the process lives. A crate of its
//! own, since the one call that changes this needs `unsafe`.

/// Gives back what is free, and tells whether there was any; does nothing where the allocator is not glibc's.
///
/// # Cost
///
/// Walks all that was ever allocated, with each arena locked meanwhile. Whoever allocates then waits, so call it at
/// rest.
#[must_use]
pub fn give_back() -> bool {
    trim()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() -> bool {
    // SAFETY: asks nothing of its caller, and may be called by any thread at any time (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) != 0 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() -> bool {
    false
}
