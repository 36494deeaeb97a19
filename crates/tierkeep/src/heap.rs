//! Memory of this process that work has needed and that lies idle since: given back to the system.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often is looked: longer than connections to SQLite take to give their pages back.
const PERIOD: Duration = Duration::from_secs(15);
/// Growth that is worth the search for what is free in it, in bytes. A cache that fills up stops growing.
const WORTH_IT: u64 = 16 << 20;

/// Bytes that were resident after the last search, and whether another is to follow: what connections give back a while
/// after their work was not free at the first.
#[derive(Debug, Default)]
struct Growth {
    floor: Option<u64>,
    is_settling: bool,
}

impl Growth {
    /// Whether a search is worth it: the first one is, as nothing tells what the start has left.
    fn is_worth_a_search(&mut self, resident: u64) -> bool {
        let Some(floor) = self.floor else {
            self.is_settling = true;
            return true;
        };
        self.floor = Some(floor.min(resident));
        let has_grown = resident >= floor.saturating_add(WORTH_IT);
        let is_worth_it = has_grown || self.is_settling;
        self.is_settling = has_grown;
        is_worth_it
    }

    /// A search has left this.
    fn searched(&mut self, resident: u64) {
        self.floor = Some(resident);
    }
}

/// Gives back what is free whenever the process has grown, until it is stopped.
pub(crate) async fn follow(stop: CancellationToken) {
    let mut growth = Growth::default();
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let Some(before) = resident() else { return };
        if !growth.is_worth_a_search(before) {
            continue;
        }
        // A thread of its own: it walks the heap. If it panicked the hook has said so, and nothing was given back.
        let _ = tokio::task::spawn_blocking(tierkeep_heap::give_back).await;
        let after = resident().unwrap_or(before);
        growth.searched(after);
        tracing::debug!(before, after, "memory that was free is given back");
    }
}

/// Memory of this process that is in RAM, in bytes; `None` where the system does not tell.
fn resident() -> Option<u64> {
    /// Bytes of the pages that Linux counts in, on every machine with the usual ones; a wrong unit moves the threshold.
    const PAGE: u64 = 4096;
    let counted = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(counted.split_whitespace().nth(1)?.parse::<u64>().ok()?.saturating_mul(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn only_growth_since_the_last_search_is_worth_one() {
        let mut growth = Growth::default();
        assert!(growth.is_worth_a_search(900 * MIB), "nothing is known of what was before");
        growth.searched(600 * MIB);
        assert!(growth.is_worth_a_search(600 * MIB), "connections have given back since");
        growth.searched(500 * MIB);
        assert!(!growth.is_worth_a_search(515 * MIB));
        assert!(growth.is_worth_a_search(516 * MIB));

        growth.searched(510 * MIB);

        assert!(growth.is_worth_a_search(510 * MIB), "what was given back meanwhile");
        growth.searched(510 * MIB);
        assert!(!growth.is_worth_a_search(510 * MIB));
        assert!(!growth.is_worth_a_search(525 * MIB));
        assert!(growth.is_worth_a_search(526 * MIB));
    }

    #[test]
    fn what_shrinks_by_itself_lowers_the_mark() {
        let mut growth = Growth { floor: Some(100 * MIB), is_settling: false };
        assert!(!growth.is_worth_a_search(60 * MIB));
        assert!(growth.is_worth_a_search(76 * MIB));
    }
}
