//! Who takes part in which measurement.
//!
//! Each call makes new, empty caches, so that no measurement sees what another one left.

use std::sync::Arc;

use anyhow::Result;
use tierkeep_testkit::RedisServer;

use crate::foyer::Foyer;
use crate::hitbox::Hitbox;
use crate::moka::{Moka, Way};
use crate::multi_tier::MultiTier;
use crate::quick_cache::QuickCache;
use crate::tierkeep::Tierkeep;
use crate::{HitPath, Peer};

/// Room in the caches of the probes, which hold a few keys.
const ROOM: u32 = 1_000;

/// The libraries whose stale fill is probed, moka in each of the ways its documentation offers.
///
/// # Errors
/// A cache cannot be made; those with a second level need `redis`.
pub async fn of_stale_fill(redis: &RedisServer) -> Result<Vec<Arc<dyn Peer>>> {
    Ok(vec![
        Arc::new(Tierkeep::new(ROOM.into())?),
        Arc::new(QuickCache::new(ROOM as usize)),
        Arc::new(Moka::new(ROOM.into(), Way::GetWith)),
        Arc::new(Moka::new(ROOM.into(), Way::GetWithInvalidateAll)),
        Arc::new(Moka::new(ROOM.into(), Way::Compute)),
        Arc::new(Foyer::new(ROOM as usize)),
        Arc::new(MultiTier::connect(ROOM.into(), redis).await?),
        Arc::new(Hitbox::new(ROOM.into())),
    ])
}

/// The libraries whose hits are measured, the plainest first, with room for twice `entries`.
///
/// The room is so large because caches divide it among shards, which entries do not fill evenly.
///
/// # Errors
/// As [`of_stale_fill`].
pub async fn of_hits(entries: u32, redis: &RedisServer) -> Result<Vec<Arc<dyn HitPath>>> {
    let room = entries.saturating_mul(2);
    Ok(vec![
        Arc::new(QuickCache::new(room as usize)),
        Arc::new(Tierkeep::new(room.into())?),
        Arc::new(Foyer::new(room as usize)),
        Arc::new(Moka::new(room.into(), Way::TryGetWith)),
        Arc::new(MultiTier::connect(room.into(), redis).await?),
        Arc::new(Hitbox::new(room.into())),
    ])
}

/// The libraries that a herd of misses meets.
///
/// # Errors
/// As [`of_stale_fill`].
pub async fn of_single_flight(redis: &RedisServer) -> Result<Vec<Arc<dyn Peer>>> {
    Ok(vec![
        Arc::new(Tierkeep::new(ROOM.into())?),
        Arc::new(QuickCache::new(ROOM as usize)),
        Arc::new(Moka::new(ROOM.into(), Way::TryGetWith)),
        Arc::new(Moka::new(ROOM.into(), Way::Compute)),
        Arc::new(Foyer::new(ROOM as usize)),
        Arc::new(MultiTier::connect(ROOM.into(), redis).await?),
        Arc::new(Hitbox::new(ROOM.into())),
    ])
}
