//! Every order in which tasks can pass the points at which they wait.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

/// Where tasks stop until they are chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// Those at which tasks do stop; all if empty.
    only: &'static [&'static str],
    tasks: Vec<(&'static str, oneshot::Sender<()>)>,
    open: bool,
}

impl Points {
    /// Waits to be chosen. Tasks arrive in the same order in each run that chose alike.
    pub(crate) async fn stop(&self, name: &'static str) {
        let chosen = {
            let mut waiting = self.0.lock().unwrap();
            if waiting.open || !(waiting.only.is_empty() || waiting.only.contains(&name)) {
                return;
            }
            let (sender, chosen) = oneshot::channel();
            waiting.tasks.push((name, sender));
            chosen
        };
        // A run that ends drops those that still wait.
        drop(chosen.await);
    }

    /// Only these points stop anybody.
    pub(crate) fn only(&self, names: &'static [&'static str]) {
        self.0.lock().unwrap().only = names;
    }

    /// Nobody stops any more.
    pub(crate) fn open(&self) {
        let mut waiting = self.0.lock().unwrap();
        waiting.open = true;
        waiting.tasks.clear();
    }

    fn forget_the_gone(&self) {
        self.0.lock().unwrap().tasks.retain(|(_, task)| !task.is_closed());
    }

    fn count(&self) -> usize {
        self.forget_the_gone();
        self.0.lock().unwrap().tasks.len()
    }

    fn choose(&self, index: usize) -> &'static str {
        let (name, task) = self.0.lock().unwrap().tasks.remove(index);
        task.send(()).unwrap();
        name
    }
}

/// Runs the scenario once for each order, at most `most` of them, and returns how many there were.
///
/// A scenario is given its points, begins its tasks, and returns what checks their end. `check` answers with what went
/// wrong, which ends the search.
pub(crate) fn every_order<S, C, F>(most: usize, scenario: S) -> Result<usize, String>
where
    S: AsyncFnMut(Points) -> C,
    C: FnOnce() -> F,
    F: Future<Output = Result<(), String>>,
{
    let runs = orders(most, None, scenario)?;
    assert!(runs < most, "more than {most} orders");
    Ok(runs)
}

/// As [`every_order`] for so many orders that follow from the seed, where there are too many.
pub(crate) fn some_orders<S, C, F>(runs: usize, seed: u64, scenario: S) -> Result<usize, String>
where
    S: AsyncFnMut(Points) -> C,
    C: FnOnce() -> F,
    F: Future<Output = Result<(), String>>,
{
    orders(runs, Some(seed), scenario)
}

/// A generator of the kind that fits on a line: xorshift.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn orders<S, C, F>(most: usize, seed: Option<u64>, mut scenario: S) -> Result<usize, String>
where
    S: AsyncFnMut(Points) -> C,
    C: FnOnce() -> F,
    F: Future<Output = Result<(), String>>,
{
    let mut choices: Vec<(usize, usize)> = Vec::new();
    let mut chance = seed;
    for run in 1..=most {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let mut path = Vec::new();
        let verdict = runtime.block_on(async {
            let points = Points::default();
            let check = scenario(points.clone()).await;
            let mut depth = 0;
            loop {
                // The paused clock moves only when no task can.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let count = points.count();
                if count == 0 {
                    break;
                }
                if depth == choices.len() {
                    let first = chance.as_mut().map_or(0, |state| next(state) as usize % count);
                    choices.push((first, count));
                }
                let (chosen, of) = choices[depth];
                assert_eq!(of, count, "two runs that chose alike must be alike: {path:?}");
                path.push(points.choose(chosen));
                depth += 1;
            }
            choices.truncate(depth);
            points.open();
            // Whoever polls the remote tier has found what it waited for.
            tokio::time::sleep(Duration::from_millis(500)).await;
            check().await
        });
        if let Err(wrong) = verdict {
            return Err(format!("{wrong}, after {path:?} (run {run})"));
        }
        if chance.is_some() {
            choices.clear();
            continue;
        }
        while choices.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return Ok(run),
        }
    }
    Ok(most)
}

#[test]
fn all_orders_of_two_tasks_with_two_points_each_are_tried() {
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());

    let runs = every_order(100, async |points: Points| {
        let order = Arc::new(Mutex::new(Vec::new()));
        for names in [["a1", "a2"], ["b1", "b2"]] {
            let (points, order) = (points.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                for name in names {
                    points.stop(name).await;
                    order.lock().unwrap().push(name);
                }
            });
        }
        let seen = &seen;
        move || async move {
            seen.borrow_mut().insert(order.lock().unwrap().clone());
            Ok(())
        }
    });

    assert_eq!(runs, Ok(6));
    assert_eq!(seen.borrow().len(), 6);
}
