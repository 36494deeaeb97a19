//! Places between two effects, where tests kill the process, and faults that tests plant to see themselves fail.
//!
//! With the feature `crash-points`, which only tests turn on, whoever has called [`install`] is told of each place as it is
//! reached; without the feature [`reach`] does nothing and no fault exists.

#[cfg(feature = "crash-points")]
pub use planted::{Fault, POINTS, TORN, install};
#[cfg(feature = "crash-points")]
pub(crate) use planted::{fault, reach};

/// Nobody is told.
#[cfg(not(feature = "crash-points"))]
pub(crate) fn reach(_: &'static str) {}

#[cfg(feature = "crash-points")]
mod planted {
    use std::sync::OnceLock;

    /// The places, in the order in which a run that exports and deletes reaches them.
    pub const POINTS: [&str; 21] = [
        "lease-taken",
        "run-recorded",
        "batch-begun",
        "rows-moved",
        "batch-recorded",
        "batch-committed",
        "sweep-ended",
        "file-begun",
        "file-written",
        "file-synced",
        "file-named",
        "file-sealed",
        "file-verified",
        "file-listed",
        "deletion-begun",
        "rows-deleted",
        "deletion-recorded",
        "deletion-committed",
        "work-done",
        "run-finished",
        "lease-released",
    ];

    /// The place between the two halves of what a [`Fault`] has torn apart.
    pub const TORN: &str = "torn";

    /// What is done wrongly on purpose.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// Rows are copied to the archive in one transaction and deleted in the next.
        MoveInTwo,
        /// Rows are moved in one transaction and the batch is recorded in the next.
        RecordApart,
        /// Rows are deleted as if a file had them.
        DeleteUnexported,
    }

    impl Fault {
        /// Whether batches that archive have it, or others that move rows.
        pub(crate) fn concerns(self, archiving: bool) -> bool {
            match self {
                Self::MoveInTwo => archiving,
                Self::RecordApart => true,
                Self::DeleteUnexported => false,
            }
        }
    }

    struct Planted {
        reached: Box<dyn Fn(&'static str) + Send + Sync>,
        fault: Option<Fault>,
    }

    static PLANTED: OnceLock<Planted> = OnceLock::new();

    /// Has this process tell of each place that it reaches, and do something wrongly; for good, and once. Who is told may
    /// block, and be killed there.
    pub fn install(reached: impl Fn(&'static str) + Send + Sync + 'static, fault: Option<Fault>) {
        let is_first = PLANTED.set(Planted { reached: Box::new(reached), fault }).is_ok();
        assert!(is_first, "a process is told what to do wrongly once");
    }

    pub(crate) fn reach(point: &'static str) {
        if let Some(planted) = PLANTED.get() {
            (planted.reached)(point);
        }
    }

    pub(crate) fn fault() -> Option<Fault> {
        PLANTED.get().and_then(|planted| planted.fault)
    }
}
