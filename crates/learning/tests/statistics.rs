//! The statistics against a slow model that reads the rows themselves, and what must hold for any learner.

#[cfg(test)]
mod oracle {
    pub(crate) mod laws;
    pub(crate) mod learner;
    pub(crate) mod model;
    pub(crate) mod nightly;
    pub(crate) mod same;
    pub(crate) mod seed;
    pub(crate) mod snapshots;
    pub(crate) mod zones;
}
