//! What clean-up promises, against models and in bad situations.

mod between;
mod dry;
mod exports;
mod fidelity;
mod guards;
mod locks;
mod model;
mod situations;
mod stops;

use std::sync::{Arc, Mutex};

use tierkeep_learning::store::{Cleanup, Store};
use tierkeep_retention::{Observer, Order, Outcome};

use super::retention::{cleanup, order};

/// What a run tells, and what is done meanwhile. It stands still for that: nothing else works on its thread.
struct Beside {
    told: Mutex<Vec<String>>,
    does: Box<dyn Fn(&str) + Send + Sync>,
}

impl Beside {
    /// `does` is called with `begun NAME`, `moved NAME` and `waiting REASON`.
    fn new(does: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { told: Mutex::default(), does: Box::new(does) })
    }

    fn silent() -> Arc<Self> {
        Self::new(|_| {})
    }

    fn tell(&self, what: String) {
        (self.does)(&what);
        self.told.lock().unwrap().push(what);
    }

    fn was_told(&self, what: &str) -> usize {
        self.told.lock().unwrap().iter().filter(|told| *told == what).count()
    }
}

impl Observer for Beside {
    fn begun(&self, name: &str, _: u64) {
        self.tell(format!("begun {name}"));
    }

    fn moved(&self, name: &str, _: u64) {
        self.tell(format!("moved {name}"));
    }

    fn waiting(&self, reason: &str) {
        self.tell(format!("waiting {reason}"));
    }
}

/// Does something on a thread and a runtime of its own, and waits for it.
fn elsewhere<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work())
        });
        worker.join().unwrap()
    })
}

/// An order of small batches with somebody who is told.
fn watched(observer: &Arc<Beside>) -> Order {
    let rows = std::num::NonZeroU32::new(5).unwrap();
    Order { batch: tierkeep_retention::BatchSize::Fixed(rows), observer: Arc::clone(observer) as _, ..order() }
}

/// A run, however it ends.
async fn attempt(store: &Arc<dyn Store>, phases: &[&'static str], order: &Order) -> Outcome {
    clean(store, &cleanup(phases), order).await
}

async fn clean(store: &Arc<dyn Store>, cleanup: &Cleanup, order: &Order) -> Outcome {
    Arc::clone(store).clean_up(cleanup, order).await.unwrap()
}
