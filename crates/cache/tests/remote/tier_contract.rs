//! What every remote tier must answer: random calls, compared with the model answer by answer.

use std::future::Future;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use redis::AsyncCommands as _;
use tierkeep_cache::redis::{Redis, RedisConfig};
use tierkeep_cache::remote::{
    Acquired, Bump, Claim, Fill, Filled, Hold, InProcess, KeyInvalidation, LeaseAnswer, LeaseRequest, LeaseToken,
    Refused, RemoteKey, RemoteRead, RemoteTier, Slots, StampRequest,
};
use tierkeep_cache::{Clock, Severity, Stamps, TagId};

use super::deployments::Cluster;
use super::{World, entry_name, run, tag_name};

/// Periods no test is long enough for.
const LONG: Duration = Duration::from_secs(10_000);

#[derive(Clone, Debug)]
enum Step {
    Acquire(Vec<LeaseRequest>, Vec<StampRequest>),
    Fill(Vec<Fill>),
    Release(Vec<(RemoteKey, LeaseToken)>),
    Invalidate(Vec<KeyInvalidation>),
    Bump(Vec<Bump>),
    AddRule(Bump, Vec<TagId>),
    EvictValue(RemoteKey),
    EvictRecord(TagId),
}

/// Keys with braces and other traps.
fn key() -> impl Strategy<Value = RemoteKey> {
    prop::sample::select(vec![&b"a"[..], b"}", b"a}", b"{a}\r\n\0\xff"]).prop_map(RemoteKey::from_bytes)
}

fn tag() -> impl Strategy<Value = TagId> {
    prop::sample::select(vec![[0; 16], [0xff; 16], *b"0123{5678}abcdef"]).prop_map(TagId::from_bytes)
}

fn token() -> impl Strategy<Value = LeaseToken> {
    prop::sample::select(vec![1, 2, u64::MAX]).prop_map(LeaseToken)
}

fn version() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 0xff, 0x100, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, 1 << 63, u64::MAX])
}

fn severity() -> impl Strategy<Value = Severity> {
    prop::sample::select(vec![Severity::Hard, Severity::Soft])
}

fn bump() -> impl Strategy<Value = Bump> {
    (tag(), severity(), any::<u64>()).prop_map(|(tag, severity, soft)| Bump { tag, severity, soft })
}

fn few<S: Strategy>(of: S) -> impl Strategy<Value = Vec<S::Value>>
where
    S::Value: std::fmt::Debug,
{
    prop::collection::vec(of, 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let claim = prop::sample::select(vec![Claim::IfAbsent, Claim::Refresh, Claim::Write]);
    let lease = (key(), token(), claim).prop_map(|(key, token, claim)| LeaseRequest { key, token, lease: LONG, claim });
    let stamps = (tag(), any::<u64>(), any::<u64>()).prop_map(|(tag, hard, soft)| StampRequest {
        tag,
        proposed: Stamps { hard, soft },
        keep: LONG,
    });
    let refused = prop::sample::select(vec![Refused::LeaveAlone, Refused::Delete]);
    let body = prop::collection::vec(any::<u8>(), 0..40);
    let fill = (key(), token(), body, prop::option::of(version()), few(tag()), refused).prop_map(
        |(key, token, envelope, version, tags, refused)| Fill {
            key,
            token,
            envelope,
            ttl: LONG,
            version,
            tags,
            keep: LONG,
            refused,
        },
    );
    let hold = prop::option::of(version().prop_map(|minimum| Hold { minimum, period: LONG }));
    let invalidation =
        (key(), severity(), hold).prop_map(|(key, severity, hold)| KeyInvalidation { key, severity, hold });
    prop_oneof![
        6 => (few(lease), few(stamps)).prop_map(|(leases, tags)| Step::Acquire(leases, tags)),
        6 => few(fill).prop_map(Step::Fill),
        1 => few((key(), token())).prop_map(Step::Release),
        2 => few(invalidation).prop_map(Step::Invalidate),
        2 => few(bump()).prop_map(Step::Bump),
        4 => (bump(), few(tag())).prop_map(|(bump, others)| Step::AddRule(Bump { severity: Severity::Hard, ..bump }, others)),
        1 => key().prop_map(Step::EvictValue),
        1 => tag().prop_map(Step::EvictRecord),
    ]
}

/// Everything a step answered, and what can be read after it.
#[derive(Debug, PartialEq)]
struct Answer {
    acquired: Option<Acquired>,
    filled: Option<Vec<Filled>>,
    read: RemoteRead,
}

fn all() -> (Vec<RemoteKey>, Vec<TagId>) {
    let keys = [&b"a"[..], b"}", b"a}", b"{a}\r\n\0\xff"].map(RemoteKey::from_bytes);
    let tags = [[0; 16], [0xff; 16], *b"0123{5678}abcdef"].map(TagId::from_bytes);
    (keys.to_vec(), tags.to_vec())
}

/// What the model answers. Its clock stands still.
fn expected(slots: &mut Slots, step: &Step) -> Answer {
    let (mut acquired, mut filled) = (None, None);
    match step {
        Step::Acquire(leases, tags) => acquired = Some(slots.acquire(0, leases, tags)),
        Step::Fill(fills) => filled = Some(slots.fill(0, fills)),
        Step::Release(leases) => slots.release(0, leases),
        Step::Invalidate(invalidations) => slots.invalidate(0, invalidations),
        Step::Bump(bumps) => slots.bump(0, bumps),
        Step::AddRule(bump, others) => slots.add_rule(0, bump, others),
        Step::EvictValue(key) => slots.evict_value(key),
        Step::EvictRecord(tag) => slots.evict_record(*tag),
    }
    let (keys, tags) = all();
    Answer { acquired, filled, read: slots.read(0, &keys, &tags) }
}

async fn answer(tier: &dyn RemoteTier, step: &Step, evict: impl AsyncFn(&Step)) -> Answer {
    let (mut acquired, mut filled) = (None, None);
    match step {
        Step::Acquire(leases, tags) => acquired = Some(tier.acquire(leases, tags).await.unwrap()),
        Step::Fill(fills) => filled = Some(tier.fill(fills).await.unwrap()),
        Step::Release(leases) => tier.release(leases).await.unwrap(),
        Step::Invalidate(invalidations) => tier.invalidate(invalidations).await.unwrap(),
        Step::Bump(bumps) => tier.bump(bumps).await.unwrap(),
        Step::AddRule(bump, others) => tier.add_rule(*bump, others).await.unwrap(),
        Step::EvictValue(_) | Step::EvictRecord(_) => evict(step).await,
    }
    let (keys, tags) = all();
    Answer { acquired, filled, read: tier.read(&keys, &tags).await.unwrap() }
}

/// What is left of the model's answer where there is no order among bumps.
fn unordered(mut answer: Answer) -> Answer {
    if let Some(acquired) = &mut answer.acquired {
        acquired.bumps = None;
        acquired.stamps.iter_mut().for_each(|record| record.bumped = None);
    }
    answer.read.stamps.iter_mut().flatten().for_each(|record| record.bumped = None);
    answer
}

/// Takes out what a real clock does to an answer, and where a counter began.
fn normalized(mut answer: Answer, first_bump: u64) -> Answer {
    let slack = Duration::from_secs(100);
    if let Some(acquired) = &mut answer.acquired {
        for lease in &mut acquired.leases {
            if let LeaseAnswer::Busy(remaining) = lease {
                assert!(*remaining > LONG - slack && *remaining <= LONG, "{remaining:?}");
                *remaining = LONG;
            }
        }
    }
    let numbers = answer
        .acquired
        .iter_mut()
        .flat_map(|acquired| acquired.bumps.iter_mut().chain(acquired.stamps.iter_mut().flat_map(numbers_of)));
    for number in numbers.chain(answer.read.stamps.iter_mut().flatten().flat_map(numbers_of)) {
        *number -= first_bump;
    }
    for value in answer.read.values.iter_mut().flatten() {
        assert!(value.elapsed.is_some_and(|elapsed| elapsed < slack), "{value:?}");
        value.elapsed = Some(Duration::ZERO);
    }
    answer
}

fn numbers_of(record: &mut tierkeep_cache::remote::StampRecord) -> impl Iterator<Item = &mut u64> {
    record.bumped.iter_mut().chain(record.rules.iter_mut().map(|rule| &mut rule.number))
}

fn for_all_steps<F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    mut check: impl FnMut(Vec<Step>) -> F,
    runtime: &tokio::runtime::Runtime,
) {
    let check = std::cell::RefCell::new(&mut check);
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
        .run(&prop::collection::vec(step(), 1..40), |steps| runtime.block_on((check.borrow_mut())(steps)))
        .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn tier_in_the_process_answers_as_the_model() {
    let check = async |steps: Vec<Step>| {
        let tier = InProcess::new(Clock::manual());
        let mut model = Slots::default();
        for step in &steps {
            let evict = async |step: &Step| {
                tier.with(|_, slots| match step {
                    Step::EvictValue(key) => slots.evict_value(key),
                    Step::EvictRecord(tag) => slots.evict_record(*tag),
                    _ => {}
                });
            };
            let got = answer(&tier, step, evict).await;
            prop_assert_eq!(got, expected(&mut model, step), "after {:?}", step);
        }
        Ok(())
    };
    for_all_steps(64, check, &runtime());
}

#[test]
fn redis_answers_as_the_model() {
    let runtime = runtime();
    let world = runtime.block_on(World::new());
    let check = async |steps: Vec<Step>| {
        world.run(&[b"FLUSHALL"]).await;
        let tier = world.redis.tier();
        let first_bump = tier.acquire(&[], &[]).await.unwrap().bumps.unwrap();
        let mut model = Slots::default();
        for step in &steps {
            let evict = async |step: &Step| match step {
                Step::EvictValue(key) => world.run(&[b"DEL", &entry_name("v", key)]).await,
                Step::EvictRecord(tag) => world.run(&[b"DEL", &tag_name(*tag)]).await,
                _ => {}
            };
            let got = normalized(answer(&tier, step, evict).await, first_bump);
            prop_assert_eq!(got, expected(&mut model, step), "after {:?}", step);
        }
        Ok(())
    };
    for_all_steps(256, check, &runtime);
}

#[test]
fn cluster_answers_as_the_model_without_an_order_of_bumps() {
    let runtime = runtime();
    let (cluster, redis) = runtime.block_on(async {
        let cluster = Cluster::new().await;
        let redis = Redis::connect(RedisConfig::new(&cluster.url()).unwrap().prefix("p")).await.unwrap();
        (cluster, redis)
    });
    let check = async |steps: Vec<Step>| {
        cluster.flush().await;
        let tier = redis.tier();
        let mut model = Slots::default();
        for step in &steps {
            let evict = async |step: &Step| match step {
                Step::EvictValue(key) => cluster.delete(entry_name("v", key)).await,
                Step::EvictRecord(tag) => cluster.delete(tag_name(*tag)).await,
                _ => {}
            };
            let got = normalized(answer(&tier, step, evict).await, 0);
            let expected = match step {
                Step::AddRule(bump, _) => expected(&mut model, &Step::Bump(vec![*bump])),
                step => expected(&mut model, step),
            };
            prop_assert_eq!(got, unordered(expected), "after {:?}", step);
        }
        Ok(())
    };
    for_all_steps(32, check, &runtime);
}

#[tokio::test]
async fn batches_beyond_one_script_call_keep_their_order() {
    let world = World::new().await;
    let tier = world.redis.tier();
    let keys: Vec<RemoteKey> = (0..1500u32).map(|n| RemoteKey::new("view", &n.to_be_bytes())).collect();
    let tags: Vec<StampRequest> = (0..1500u128)
        .map(|n| StampRequest {
            tag: TagId::from_bytes(n.to_be_bytes()),
            proposed: Stamps { hard: n as u64, soft: 0 },
            keep: LONG,
        })
        .collect();
    let lease =
        |key: &RemoteKey| LeaseRequest { key: key.clone(), token: LeaseToken(1), lease: LONG, claim: Claim::IfAbsent };
    let leases: Vec<_> = keys.iter().map(lease).collect();
    let fill = |key: &RemoteKey| Fill {
        key: key.clone(),
        token: LeaseToken(1),
        envelope: key.as_bytes().to_vec(),
        ttl: LONG,
        version: None,
        tags: Vec::new(),
        keep: LONG,
        refused: Refused::LeaveAlone,
    };

    let acquired = tier.acquire(&leases, &tags).await.unwrap();
    let filled = tier.fill(&keys.iter().map(fill).collect::<Vec<_>>()).await.unwrap();
    let read = tier.read(&keys, &[]).await.unwrap();

    assert_eq!(acquired.leases, vec![LeaseAnswer::Granted; 1500]);
    assert!(acquired.stamps.iter().enumerate().all(|(n, record)| record.stamps.hard == n as u64));
    assert_eq!(filled, vec![Filled::Stored; 1500]);
    let envelopes = read.values.into_iter().map(|value| value.unwrap().envelope);
    assert!(envelopes.eq(keys.iter().map(|key| key.as_bytes().to_vec())));
}

#[tokio::test]
async fn life_of_a_tag_record_is_lengthened_and_never_shortened() {
    let mut world = World::new().await;
    let tier = world.redis.tier();
    let (tag, key) = (TagId::from_bytes([7; 16]), RemoteKey::from_bytes(b"k"));
    let seconds = Duration::from_secs;
    let request = StampRequest { tag, proposed: Stamps { hard: 1, soft: 2 }, keep: seconds(1000) };
    let mut lives = Vec::new();

    tier.acquire(&[], &[request]).await.unwrap();
    for keep in [3000, 10] {
        let lease = LeaseRequest { key: key.clone(), token: LeaseToken(1), lease: LONG, claim: Claim::Write };
        tier.acquire(&[lease], &[]).await.unwrap();
        let fill = Fill {
            key: key.clone(),
            token: LeaseToken(1),
            envelope: Vec::new(),
            ttl: LONG,
            version: None,
            tags: vec![tag],
            keep: seconds(keep),
            refused: Refused::LeaveAlone,
        };
        assert_eq!(tier.fill(&[fill]).await.unwrap(), [Filled::Stored]);
        lives.push(world.raw.pttl::<_, i64>(tag_name(tag)).await.unwrap());
    }
    tier.bump(&[Bump { tag, severity: Severity::Soft, soft: 3 }]).await.unwrap();
    tier.add_rule(Bump { tag, severity: Severity::Hard, soft: 3 }, &[]).await.unwrap();
    lives.push(world.raw.pttl(tag_name(tag)).await.unwrap());

    assert!(lives.iter().all(|life| (2_900_000..=3_000_000).contains(life)), "{lives:?}");
}

#[tokio::test]
async fn lost_counter_of_bumps_goes_on_above_every_number_it_gave() {
    let world = World::new().await;
    let tier = world.redis.tier();
    let bump = Bump { tag: TagId::from_bytes([1; 16]), severity: Severity::Hard, soft: 1 };
    tier.bump(&[bump; 50]).await.unwrap();
    let before = tier.acquire(&[], &[]).await.unwrap().bumps.unwrap();

    run(&world.raw, &[b"DEL", b"p:bumps"]).await;
    let after = tier.acquire(&[], &[]).await.unwrap().bumps.unwrap();

    assert!(after > before, "{after} after {before}");
}

#[tokio::test]
async fn scripts_are_brought_back_to_a_server_that_lost_them() {
    let world = World::new().await;
    let tier = world.redis.tier();
    let bump = Bump { tag: TagId::from_bytes([1; 16]), severity: Severity::Hard, soft: 1 };
    tier.bump(&[bump]).await.unwrap();

    run(&world.raw, &[b"SCRIPT", b"FLUSH"]).await;

    tier.bump(&[bump]).await.unwrap();
}
