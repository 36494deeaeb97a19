//! The hand-made synchronisation under a scheduler that tries orders: 10 000 of them on each change.
//!
//! The production files `cells.rs`, `flight.rs` and `memory.rs` are compiled here with `shuttle`'s locks and atomics in
//! place of the standard ones: every access to one of them is a point at which another thread may go on. The engine
//! below `memory.rs` keeps its own lock, which is invisible: each call of it is one step.
//!
//! Each test prints its seed and how many schedules it ran. A failing schedule is printed as a string; to replay it:
//! `TIERKEEP_REPLAY=<string> cargo test -p tierkeep-cache --test interleavings <name of the test>`.
//! More schedules: `TIERKEEP_SCHEDULES=100` runs a hundred times as many; another seed: `SHUTTLE_RANDOM_SEED=<number>`.

#![expect(clippy::print_stdout, reason = "seeds and counts are for those who run it")]

mod cells;
#[expect(dead_code, unreachable_pub, reason = "production code, of which the engine uses more than these tests")]
#[path = "../../src/flight.rs"]
mod flight;
#[expect(dead_code, reason = "production code, of which the engine uses more than these tests")]
#[path = "../../src/memory.rs"]
mod memory;
mod planted;
#[expect(dead_code, reason = "production code, of which the engine uses more than these tests")]
#[path = "../../src/pulse.rs"]
mod pulse;
mod seen;
mod sync;
mod world;

mod clock {
    pub(crate) use tierkeep_cache::Tick;
}
mod stamp {
    pub(crate) use tierkeep_cache::{Severity, Standing};
}
mod tag {
    pub(crate) use tierkeep_cache::TagId;
}

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

use crate::flight::Fence;
use crate::planted::{Fault, plant};
use crate::seen::Seen;
use crate::stamp::Severity::{self, Hard, Soft};
use crate::tag::TagId;
use crate::world::{Op, Plan, World};

/// Where every test's chance begins.
const SEED: u64 = 20_260_731;
/// Preemptions that the second scheduler places. Three are enough for every fault planted below.
const PREEMPTIONS: usize = 3;
/// Schedules of one test; twelve tests: over 10 000 on each change.
const SCHEDULES: usize = 1000;
/// Schedules within which a planted fault has to be found.
const PLANTED: usize = 2000;

/// What a test runs under each schedule: the keys' tags, and the steps of each thread.
#[derive(Clone)]
struct Scene {
    plans: Vec<Plan>,
    fence: Fence,
    lagging: bool,
    threads: fn() -> Vec<Vec<Op>>,
}

impl Scene {
    fn new(plans: Vec<Plan>, threads: fn() -> Vec<Vec<Op>>) -> Self {
        Self { plans, fence: Fence::On, lagging: false, threads }
    }

    fn play(&self) {
        sync::reset();
        let world = Arc::new(World::new(self.plans.clone(), self.fence, self.lagging));
        let run = |ops: Vec<Op>| {
            let world = Arc::clone(&world);
            shuttle::thread::spawn(move || ops.iter().for_each(|op| world.run(op)))
        };
        let threads: Vec<_> = (self.threads)().into_iter().map(run).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a thread that fails ends the schedule"));
        world.quiet();
    }

    /// Half of the schedules by chance, half by few preemptions. Returns how many ran, the failing one included.
    fn explore(&self, schedules: usize) -> (usize, std::thread::Result<()>) {
        let ran = Arc::new(AtomicUsize::new(0));
        if let Some(schedule) = from_environment("TIERKEEP_REPLAY") {
            return (1, self.under(ReplayScheduler::new_from_encoded(schedule.trim()), &ran));
        }
        let random = RandomScheduler::new_from_seed(SEED, schedules / 2);
        let few = PctScheduler::new_from_seed(SEED, PREEMPTIONS, schedules - schedules / 2);
        let mut result = self.under(random, &ran);
        if result.is_ok() {
            result = self.under(few, &ran);
        }
        (ran.load(Ordering::Relaxed), result)
    }

    fn under(&self, scheduler: impl Scheduler + 'static, ran: &Arc<AtomicUsize>) -> std::thread::Result<()> {
        let (scene, ran) = (self.clone(), Arc::clone(ran));
        let mut config = Config::new();
        config.silence_warnings = true;
        // Unoptimised code needs more than the default of 60 KiB.
        config.stack_size = 256 << 10;
        let runner = Runner::new(scheduler, config);
        std::panic::catch_unwind(AssertUnwindSafe(move || {
            runner.run(move || {
                ran.fetch_add(1, Ordering::Relaxed);
                scene.play();
            });
        }))
    }

    /// Runs the schedules; each of `needed` must have come up.
    fn holds(self, needed: &[Seen]) {
        let times = from_environment("TIERKEEP_SCHEDULES").map_or(1, |times| times.parse().expect("a number"));
        let begun = begin();
        let (ran, result) = self.explore(SCHEDULES * times);
        let seen = seen::take();
        println!("seed {SEED}: {ran} schedules, {:.2} ms each, {seen:?}", begun.each(ran));
        if let Err(failure) = result {
            std::panic::resume_unwind(failure);
        }
        for one in needed.iter().filter(|_| ran > 1) {
            assert!(seen.get(one).is_some_and(|count| *count >= 10), "{one:?} hardly ever came up: {seen:?}");
        }
    }

    /// Demands that the schedules find a planted fault.
    fn fails(self) {
        let (ran, result) = self.explore(PLANTED);
        println!("seed {SEED}: found after {ran} schedules");
        let failure = result.expect_err("the planted fault was not found");
        let message = failure.downcast_ref::<String>().map_or("", String::as_str);
        assert!(message.contains(world::STALE), "something else failed: {message}");
    }
}

fn from_environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the ways to replay a schedule and to run more of them")]
    std::env::var(name).ok()
}

struct Begun(std::time::Instant);

fn begin() -> Begun {
    Begun(std::time::Instant::now())
}

impl Begun {
    fn each(&self, ran: usize) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e3 / ran.max(1) as f64
    }
}

fn tag(number: u8) -> TagId {
    TagId::from_bytes([number; 16])
}

fn plain() -> Vec<Plan> {
    vec![Plan::default()]
}

fn tagged(early: &[u8], late: &[u8]) -> Vec<Plan> {
    let tags = |numbers: &[u8]| numbers.iter().copied().map(tag).collect();
    vec![Plan { early: tags(early), late: tags(late) }]
}

fn either() -> Severity {
    if thread_rng().gen_bool(0.5) { Hard } else { Soft }
}

fn readers() -> Vec<Vec<Op>> {
    vec![vec![Op::Read(0), Op::Read(0)], vec![Op::Read(0), Op::Read(0)]]
}

fn with(mut threads: Vec<Vec<Op>>, more: Vec<Op>) -> Vec<Vec<Op>> {
    threads.push(more);
    threads
}

fn one_reader_one_bump() -> Vec<Vec<Op>> {
    vec![vec![Op::Read(0), Op::Read(0)], vec![Op::Bump(tag(1), Hard), Op::Read(0)]]
}

fn key_scene() -> Scene {
    Scene::new(plain(), || {
        let threads = with(readers(), vec![Op::Invalidate(0, either()), Op::Invalidate(0, either())]);
        with(threads, vec![Op::ReadAndGiveUp(0), Op::Evict(0)])
    })
}

#[test]
fn s1_no_load_outlives_an_invalidation_of_its_key() {
    key_scene().holds(&[Seen::Hit, Seen::StaleHit, Seen::Join, Seen::LookedAgain, Seen::Poisoned]);
}

#[test]
fn s2_no_load_outlives_an_invalidation_of_a_tag_of_its_key() {
    let threads = || {
        let threads = with(readers(), vec![Op::Bump(tag(1), either()), Op::Read(0)]);
        with(threads, vec![Op::Bump(tag(2), either()), Op::Read(0)])
    };
    Scene::new(tagged(&[1, 2], &[]), threads).holds(&[Seen::Hit, Seen::StaleHit, Seen::Join]);
}

#[test]
fn s2_no_load_outlives_an_invalidation_of_a_tag_it_learnt_late() {
    let threads = || {
        let threads = with(readers(), vec![Op::Bump(tag(2), either()), Op::Read(0)]);
        with(threads, vec![Op::Bump(tag(3), either()), Op::ReadOnly(0)])
    };
    Scene::new(tagged(&[1], &[2, 3]), threads).holds(&[
        Seen::Hit,
        Seen::StaleHit,
        Seen::Join,
        Seen::LateTag,
        Seen::LookedAgain,
    ]);
}

#[test]
fn s2_no_load_outlives_a_rule_over_its_tags() {
    let threads = || {
        let threads = with(readers(), vec![Op::Rule(vec![tag(1), tag(2)]), Op::Read(0)]);
        with(threads, vec![Op::Read(0), Op::Rule(vec![tag(1), tag(2)]), Op::Read(0)])
    };
    Scene::new(tagged(&[1, 2], &[]), threads).holds(&[Seen::Hit, Seen::Join]);
}

#[test]
fn s2_no_load_outlives_a_rule_over_a_tag_it_learnt_late() {
    let threads = || {
        let threads = with(readers(), vec![Op::Rule(vec![tag(1), tag(2)]), Op::Read(0)]);
        with(threads, vec![Op::ReadOnly(0), Op::Bump(tag(3), either()), Op::Read(0)])
    };
    Scene::new(tagged(&[1], &[2, 3]), threads).holds(&[Seen::Hit, Seen::Join, Seen::LateTag]);
}

#[test]
fn s4_no_load_outlives_a_gap() {
    let threads = || {
        let threads = with(readers(), vec![Op::Suspect, Op::Read(0), Op::Suspect]);
        with(threads, vec![Op::Bump(tag(1), Soft), Op::Read(0)])
    };
    Scene::new(tagged(&[1], &[]), threads).holds(&[Seen::Hit, Seen::Join, Seen::AcrossGap]);
}

#[test]
fn s2_no_load_outlives_an_invalidation_of_everything() {
    let threads = || {
        let threads = with(readers(), vec![Op::Clear, Op::Read(0), Op::Suspect]);
        with(threads, vec![Op::Bump(tag(1), either()), Op::Clear, Op::Read(0)])
    };
    Scene::new(tagged(&[], &[1]), threads).holds(&[Seen::Hit, Seen::Join, Seen::LateTag]);
}

#[test]
fn s7_dropped_cells_make_nothing_valid_again() {
    let threads = || {
        let threads = with(readers(), vec![Op::Bump(tag(1), Hard), Op::Sweep, Op::Bump(tag(2), Hard), Op::Sweep]);
        with(threads, vec![Op::EvictAll, Op::Sweep, Op::Read(0), Op::Evict(0), Op::Sweep])
    };
    Scene::new(tagged(&[1], &[2]), threads).holds(&[Seen::Hit, Seen::Join, Seen::LateTag]);
}

#[test]
fn s3_no_copy_outlives_an_invalidation() {
    let threads = || {
        let threads = vec![vec![Op::Glance(0), Op::Glance(0)], vec![Op::Glance(0), Op::Read(0)]];
        let threads = with(threads, vec![Op::Invalidate(0, either()), Op::Bump(tag(2), Hard), Op::Glance(0)]);
        with(threads, vec![Op::Bump(tag(1), either()), Op::Read(0), Op::Write(0), Op::Suspect])
    };
    Scene::new(tagged(&[1], &[2]), threads).holds(&[Seen::Hit, Seen::Glanced, Seen::GlanceRefused]);
}

#[test]
fn s15_writers_and_readers_agree_on_the_last_write() {
    let threads = || {
        let threads = with(readers(), vec![Op::Write(0), Op::Read(0)]);
        with(threads, vec![Op::Write(0), Op::Bump(tag(1), either()), Op::Read(0)])
    };
    Scene::new(tagged(&[1], &[]), threads).holds(&[Seen::Hit, Seen::Join, Seen::Poisoned, Seen::WriteConflict]);
}

#[test]
fn s16_a_value_below_the_asked_for_version_is_not_stored() {
    let threads = || {
        let threads = with(readers(), vec![Op::InvalidateAndHold(0), Op::Read(0)]);
        with(threads, vec![Op::Read(0), Op::InvalidateAndHold(0), Op::Sweep])
    };
    let scene = Scene { lagging: true, ..Scene::new(plain(), threads) };
    scene.holds(&[Seen::Hit, Seen::Join, Seen::Poisoned, Seen::TooOld]);
}

#[test]
fn all_of_it_at_once() {
    let threads = || {
        let op = || match thread_rng().gen_range(0..17) {
            0..=5 => Op::Read(thread_rng().gen_range(0..2)),
            6 => Op::ReadAndGiveUp(0),
            7 => Op::ReadOnly(0),
            8 => Op::Invalidate(0, either()),
            9 | 10 => Op::Bump(tag(thread_rng().gen_range(1..4)), either()),
            11 => Op::Rule(vec![tag(1), tag(thread_rng().gen_range(2..4))]),
            12 => Op::Suspect,
            13 => Op::Write(thread_rng().gen_range(0..2)),
            14 => Op::Clear,
            15 => Op::Evict(0),
            _ => Op::Sweep,
        };
        (0..thread_rng().gen_range(4..7)).map(|_| (0..3).map(|_| op()).collect()).collect()
    };
    let plans = [tagged(&[1, 2], &[3]), tagged(&[1], &[])].concat();
    let refused = [Seen::Poisoned, Seen::AcrossGap, Seen::LateTag, Seen::WriteConflict];
    Scene::new(plans, threads).holds(&[&[Seen::Hit, Seen::StaleHit, Seen::Join][..], &refused].concat());
}

#[test]
fn planted_a_poisoned_load_is_stored() {
    Scene { fence: Fence::WithoutToken, ..key_scene() }.fails();
}

#[test]
fn planted_a_copy_is_stored_without_token() {
    let threads = || vec![vec![Op::Glance(0), Op::Glance(0)], vec![Op::Invalidate(0, Hard), Op::Glance(0)]];
    Scene { fence: Fence::WithoutToken, ..Scene::new(plain(), threads) }.fails();
}

#[test]
fn planted_tags_are_captured_after_the_load() {
    Scene { fence: Fence::StampsAfterLoad, ..Scene::new(tagged(&[1], &[]), one_reader_one_bump) }.fails();
}

#[test]
fn planted_late_tags_are_captured_after_the_load() {
    Scene { fence: Fence::StampsAfterLoad, ..Scene::new(tagged(&[], &[1]), one_reader_one_bump) }.fails();
}

#[test]
fn planted_the_log_is_written_after_the_generation() {
    plant(Fault::LogAfterGeneration);
    Scene::new(tagged(&[], &[1]), one_reader_one_bump).fails();
}

#[test]
fn planted_a_load_is_poisoned_after_the_lock() {
    plant(Fault::PoisonAfterUnlock);
    key_scene().fails();
}
