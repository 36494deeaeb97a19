//! Whether what is about to be stored was decided on now, or computed after a miss of this thread or task.

use pyo3::prelude::*;
use tierkeep_generations::Slot;

use super::CacheCore;
use super::second::Leased;
use super::settings::Timeout;
use crate::module::misses::{self, MissToken, Wanted};
use crate::module::place::{self, Place};
use crate::module::store;
use crate::module::value::Kept;
use crate::store::{Moment, Offer, Since};

impl CacheCore {
    pub(super) fn offer(
        &self,
        value: &Bound<'_, PyAny>,
        timeout: &Timeout<'_>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Offer<Kept>> {
        let value = Kept::of(value)?;
        let tags = store::tags(self.place()?, tags)?;
        // Last, so that the time it took to pickle is not taken off.
        Ok(Offer { value, tags, expires: self.expiry(timeout)? })
    }

    /// What a value that is about to be stored has to be compared with: this thread or task missed its key lately.
    pub(super) fn since(&self, py: Python<'_>, key: &[u8], tags: &[Slot]) -> PyResult<Option<Since>> {
        let lease = self.settings().lease;
        let oldest = Moment(place::now().0.saturating_sub(lease));
        let miss = misses::take(py, self.place()?, key, oldest)?;
        Ok(miss.and_then(|miss| match miss.for_tags(tags) {
            Wanted::Exact(token) => Some(Since::Tags(token)),
            Wanted::AnyTag(token) => Some(Since::AnyTag(token)),
            Wanted::Nothing => None,
        }))
    }

    /// What this thread or task missed in the server lately, and may store.
    pub(super) fn leased(&self, py: Python<'_>, key: &[u8]) -> PyResult<Leased> {
        let oldest = Moment(place::now().0.saturating_sub(self.settings().lease));
        Ok(match misses::take(py, self.place()?, key, oldest)? {
            Some(MissToken::Leased(Some(lease))) => Leased::Fill(lease),
            Some(MissToken::Leased(None)) => Leased::Refused,
            _ => Leased::Decision,
        })
    }
}

/// Stores a value: as a fill if it was computed after a miss, else as a decision. False: refused.
pub(super) fn store_or_fill(place: &Place, key: &[u8], offer: Offer<Kept>, since: Option<Since>, now: Moment) -> bool {
    let Some(since) = since else {
        place.set(key, offer, now);
        return true;
    };
    place.fill(key, offer, since, now)
}
