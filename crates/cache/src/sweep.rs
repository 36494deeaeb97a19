//! Freeing what has expired, and telling who listens.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::Count;
use crate::engine::Engine;
use crate::event::Event;
use crate::stamp::Standing;

/// Sweeps every so often, for ever.
pub(crate) async fn sweep_every(engine: Arc<Engine>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        sweep(&engine);
    }
}

/// Drops entries that can never be served again, cells and floors that nothing needs.
pub(crate) fn sweep(engine: &Engine) {
    let now = engine.clock.now();
    engine.coherence.memory().retain(|key, entry| {
        let Some(view) = engine.view_numbered(key.view) else { return false };
        let expired = now >= entry.kept_until();
        if expired {
            view.count(Count::Expired);
            engine.events.send(|| Event::Expired { view: Arc::clone(&view.name), key: (*key.bytes).into() });
        }
        !expired && engine.coherence.standing(&view.base, entry) != Standing::Void
    });
    engine.adaptive.sweep(now);
    engine.count_wasted();
    engine.coherence.cells().sweep();
    engine.coherence.sweep(now);
}
