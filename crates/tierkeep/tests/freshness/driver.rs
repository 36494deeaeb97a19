//! One history from a seed: what is done, in which order, and what clients saw.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tierkeep::tiers::{Question, SharedTier, Standing, Tier};
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;
use tokio::task::JoinHandle;

use crate::checker::{Commit, Event, Read, Terms, Violation, check};
use crate::doors::{self, Door, Style};
use crate::nodes::{Node, Setting, Ticks};
use crate::place::{PATIENCE, Place};
use crate::rng::Rng;
use crate::rows::{Rows, USERS, questions};
use crate::store::{Bug, Gate, Notices};
use crate::totals::Totals;
use crate::writers::{Open, Planner};

/// Nodes of a history.
pub(crate) const NODES: usize = 3;

/// What a history is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) dialect: Dialect,
    pub(crate) steps: u32,
    /// Sessions lie in partitions, which statements name.
    pub(crate) is_partitioned: bool,
    pub(crate) redis: bool,
    /// Redis is killed, emptied and restarted.
    pub(crate) redis_faults: bool,
    /// The database says nothing, or is down; nodes have a short bound.
    pub(crate) silences: bool,
    /// Triggers are removed and put back.
    pub(crate) removes_triggers: bool,
    pub(crate) bug: Option<Bug>,
}

/// A slow reader.
pub(crate) struct Held {
    question: Question,
    node: usize,
    gate: Arc<Gate>,
    /// Rows were put aside instead: the read begins when it is released, and counts from here.
    aside: Option<u64>,
}

/// A history under way.
pub(crate) struct World<'a> {
    pub(crate) profile: Profile,
    pub(crate) rng: Rng,
    pub(crate) place: Place,
    pub(crate) redis: Option<&'a RedisServer>,
    pub(crate) is_redis_whole: bool,
    pub(crate) setting: Setting,
    pub(crate) ticks: Ticks,
    pub(crate) nodes: Vec<Node>,
    pub(crate) planner: Planner,
    pub(crate) rows: Rows,
    pub(crate) commits: usize,
    pub(crate) open: Option<Open>,
    pub(crate) held: Vec<Held>,
    /// Readers who may wait for a slow one; one of them may have met the gate of another question.
    pub(crate) pending: Vec<(Question, JoinHandle<Read>)>,
    /// The last write through the API: its commit, and the position that was returned.
    pub(crate) written: Option<(usize, u64)>,
    pub(crate) is_whole: bool,
    pub(crate) cold: u32,
    pub(crate) history: Vec<Event>,
    pub(crate) totals: Totals,
}

/// Runs a history and judges it.
pub(crate) async fn run(seed: u64, profile: Profile, redis: &RedisServer) -> (Vec<Violation>, Totals) {
    let mut world = World::new(seed, profile, redis).await;
    for _ in 0..profile.steps {
        Box::pin(world.step()).await;
    }
    Box::pin(world.end()).await;
    let violations = check(&world.history);
    let reads = world.history.iter().filter_map(|event| match event {
        Event::Read(read) => Some(read),
        _ => None,
    });
    for read in reads {
        world.totals.count(read.tier.map_or("errors", Tier::name));
        let during = |commit: &&Event| matches!(commit, Event::Commit(c) if read.begun < c.begun && c.acknowledged < read.returned);
        if world.history.iter().any(|event| during(&event)) {
            world.totals.count("reads during writes");
        }
    }
    let totals = std::mem::take(&mut world.totals);
    for node in world.nodes {
        node.stop().await;
    }
    (violations, totals)
}

impl<'a> World<'a> {
    async fn new(seed: u64, profile: Profile, redis: &'a RedisServer) -> Self {
        if redis.pid().is_none() {
            redis.start().await.unwrap();
        }
        let place = Place::new(profile.dialect, profile.is_partitioned).await;
        let users: Vec<String> = USERS.map(|id| format!("({id})")).collect();
        place.run(&["insert into users (id) values ", &users.join(", ")].concat()).await;
        let (bound, max_stale) = if profile.silences {
            (Duration::from_millis(400), Duration::from_millis(700))
        } else {
            // the database is asked when the history says so
            (Duration::from_secs(3600), Duration::from_secs(7200))
        };
        let mut world = Self {
            profile,
            rng: Rng::new(seed, 1),
            place,
            redis: profile.redis.then_some(redis),
            is_redis_whole: true,
            setting: Setting {
                redis: profile.redis.then(|| redis.url()),
                bound,
                max_stale,
                bug: profile.bug,
                notices: Notices::default(),
            },
            ticks: Ticks::default(),
            nodes: Vec::new(),
            planner: Planner { dialect: profile.dialect, is_partitioned: profile.is_partitioned, next_id: 100 },
            rows: Rows { users: USERS.collect(), ..Rows::default() },
            commits: 0,
            open: None,
            held: Vec::new(),
            pending: Vec::new(),
            written: None,
            is_whole: true,
            cold: 0,
            history: Vec::new(),
            totals: Totals::default(),
        };
        world.committed(0, "the beginning".to_owned());
        for index in 0..NODES {
            world.start(index, 0).await;
        }
        if profile.bug == Some(Bug::ParentOnly) {
            for table in ["study_sessions_early", "study_sessions_late"] {
                for event in ["insert", "update", "delete"] {
                    world.place.run(&["drop trigger tierkeep_", event, " on ", table].concat()).await;
                }
            }
        }
        world
    }

    pub(crate) async fn start(&mut self, index: usize, life: u64) {
        let (node, told) = Node::start(index, life, &self.place, &self.setting, &self.ticks).await;
        self.history.extend(told.map(Event::Told));
        if index < self.nodes.len() { self.nodes[index] = node } else { self.nodes.push(node) }
    }

    pub(crate) fn committed(&mut self, begun: u64, by: String) {
        let acknowledged = self.ticks.next();
        self.history.push(Event::Commit(Commit { begun, acknowledged, rows: self.rows.clone(), by }));
        self.commits += 1;
    }

    async fn step(&mut self) {
        match self.rng.below(100) {
            0..=24 => self.write().await,
            25..=54 => {
                let question = self.any_question();
                // kept where it was asked for, and shared with the others
                let mut node = self.any_node();
                for _ in 0..self.rng.between(1, 4) {
                    self.read(node, question).await;
                    if self.rng.one_in(3) {
                        node = self.any_node();
                    }
                }
            }
            55..=69 => {
                let node = self.any_node();
                self.learn(node).await;
            }
            70..=76 => self.hold().await,
            77..=82 => self.release_one().await,
            83..=88 => self.transaction().await,
            89..=91 => self.stampede().await,
            92..=94 => self.clear_up().await,
            95 => self.restart().await,
            96 | 97 if self.profile.redis_faults => self.break_redis().await,
            98 if self.profile.removes_triggers => self.remove_triggers().await,
            99 if self.profile.silences => self.fall_silent().await,
            _ => self.after_write().await,
        }
    }

    pub(crate) fn any_node(&mut self) -> usize {
        self.rng.below(NODES as u64) as usize
    }

    /// A few are asked for most of the time.
    fn any_question(&mut self) -> Question {
        let all = questions();
        let hot = if self.rng.percent(60) { 4 } else { all.len() };
        all[self.rng.below(hot as u64) as usize]
    }

    pub(crate) async fn write(&mut self) {
        let Some(write) = self.planner.write(&mut self.rng, &self.rows, self.open.as_ref()) else { return };
        let mut after = self.rows.clone();
        let style = self.planner.style(&mut self.rng);
        let mut sql = String::new();
        for change in &write.changes {
            self.setting.notices.lock().unwrap().extend(after.touched(*change));
            sql.push_str(&style.sql(*change, &after));
            after.apply(*change);
        }
        let by = format!("{:?} {:?}", write.door, write.changes);
        let begun = self.ticks.next();
        let node = self.any_node();
        match write.door {
            Door::Api => doors::write(&self.nodes[node].store, &write.changes).await,
            Door::Copy => doors::copy(&self.place, &write.changes).await,
            Door::Process => doors::import(&self.place, &write.changes).await,
            Door::Sql | Door::Cascade => self.run_whole(&sql, style).await,
        }
        self.rows = after;
        self.committed(begun, by);
        self.totals.count(&format!("{:?}", write.door));
        if write.door == Door::Api {
            self.learn(node).await;
            self.written = Some((self.commits - 1, self.nodes[node].position()));
            let question = self.any_question();
            self.read(node, question).await;
        }
    }

    /// In one transaction, with a savepoint that is rolled back, or all of it at first.
    async fn run_whole(&mut self, sql: &str, style: Style) {
        let mut whole = String::from(if style.dialect == Dialect::Sqlite { "begin immediate;" } else { "begin;" });
        if self.rng.one_in(4) {
            whole.push_str("update study_sessions set duration_minutes = 77; rollback;");
            whole.push_str("begin;");
            self.totals.count("rollbacks");
        }
        if self.rng.one_in(4) {
            whole.push_str("savepoint a; update study_sessions set duration_minutes = 78; rollback to a;");
            self.totals.count("savepoints");
        }
        whole.push_str(sql);
        whole.push_str("commit;");
        // an open transaction has locked rows that these statements would wait for
        if self.open.is_some() {
            self.place.run(&["begin;", sql, "commit;"].concat()).await;
        } else {
            self.place.run(&whole).await;
        }
    }

    /// A transaction that stays open while others go on: begun, continued, committed or rolled back.
    async fn transaction(&mut self) {
        let Some(mut open) = self.open.take() else {
            let Some(client) = self.place.client().await else { return };
            client.batch_execute("begin").await.unwrap();
            self.open = Some(Open { client, changes: Vec::new() });
            return Box::pin(self.transaction()).await;
        };
        if open.changes.is_empty() || self.rng.one_in(3) {
            let mut seen = self.rows.clone();
            open.changes.iter().for_each(|change| seen.apply(*change));
            if let Some(change) = self.planner.new_session(&mut self.rng, &seen) {
                let style = self.planner.style(&mut self.rng);
                self.setting.notices.lock().unwrap().extend(seen.touched(change));
                open.client.batch_execute(&style.sql(change, &seen)).await.unwrap();
                open.changes.push(change);
            }
            self.open = Some(open);
        } else {
            self.end_transaction(open).await;
        }
    }

    async fn end_transaction(&mut self, open: Open) {
        if self.rng.one_in(5) {
            open.client.batch_execute("rollback").await.unwrap();
            self.totals.count("rollbacks");
            return;
        }
        let begun = self.ticks.next();
        open.client.batch_execute("commit").await.unwrap();
        open.changes.iter().for_each(|change| self.rows.apply(*change));
        self.committed(begun, format!("LongTransaction {:?}", open.changes));
        self.totals.count("LongTransaction");
    }

    fn terms(&self, node: usize) -> Terms {
        match self.nodes[node].standing() {
            // whether it still is when the read begins is not known where the bound is short
            Standing::Current | Standing::Behind(_) => Terms::Bounded,
            Standing::Untold => Terms::Exact,
        }
    }

    pub(crate) async fn read(&mut self, node: usize, question: Question) {
        let terms = self.terms(node);
        self.read_on(node, question, terms, None).await;
    }

    pub(crate) async fn read_on(&mut self, node: usize, question: Question, terms: Terms, after: Option<usize>) {
        let read = self.nodes[node].ask(question, terms, after, &self.ticks);
        let is_held = self.held.iter().any(|held| held.question == question);
        if is_held || self.pending.iter().any(|(of, _)| *of == question) {
            self.pending.push((question, read));
        } else {
            self.history.push(Event::Read(read.await.unwrap()));
        }
    }

    /// A client takes the position of a write to another node.
    async fn after_write(&mut self) {
        let Some((commit, position)) = self.written else { return };
        let node = self.any_node();
        if self.nodes[node].position() < position {
            self.learn(node).await;
        }
        let (question, terms) = (self.any_question(), self.terms(node));
        self.read_on(node, question, terms, Some(commit)).await;
        self.totals.count("positions sent along");
    }

    pub(crate) async fn learn(&mut self, node: usize) {
        let told = self.nodes[node].learn(&self.ticks).await;
        self.history.extend(told.map(Event::Told));
    }

    /// A reader has its rows and takes its time.
    async fn hold(&mut self) {
        let (node, question) = (self.any_node(), self.any_question());
        if self.held.len() == 3 || self.pending.iter().any(|(of, _)| *of == question) {
            return;
        }
        let gate = Gate::new(question.user());
        let held = |aside| Held { question, node, gate: Arc::clone(&gate), aside };
        let switches = Arc::clone(&self.nodes[node].switches);
        if self.profile.bug == Some(Bug::NoFence) {
            let begun = self.ticks.next();
            switches.puts_aside.store(true, Ordering::SeqCst);
            let unkept = tierkeep::tiers::Tiers::unkept(self.nodes[node].tiers.statistics().clone());
            let _ = unkept.ask(question, crate::rows::NOW.parse().unwrap()).await;
            switches.puts_aside.store(false, Ordering::SeqCst);
            self.held.push(held(Some(begun)));
            return;
        }
        *switches.gate.lock().unwrap() = Some(Arc::clone(&gate));
        let mut read = self.nodes[node].ask(question, self.terms(node), None, &self.ticks);
        tokio::select! {
            biased;
            read = &mut read => {
                // who has met the gate in its place must not wait for ever
                gate.open.send_replace(true);
                self.history.push(Event::Read(read.unwrap()));
            }
            reached = gate.reached.acquire() => {
                reached.unwrap().forget();
                self.held.push(held(None));
                self.pending.push((question, read));
                self.totals.count("slow readers");
            }
        }
        *switches.gate.lock().unwrap() = None;
    }

    async fn release_one(&mut self) {
        if !self.held.is_empty() {
            let at = self.rng.below(self.held.len() as u64) as usize;
            self.release(at).await;
        }
    }

    async fn release(&mut self, at: usize) {
        let held = self.held.swap_remove(at);
        held.gate.open.send_replace(true);
        if let Some(begun) = held.aside {
            let read = self.nodes[held.node].ask(held.question, Terms::Bounded, None, &self.ticks).await.unwrap();
            self.history.push(Event::Read(Read { begun, ..read }));
        }
        if self.held.is_empty() {
            for (_, read) in std::mem::take(&mut self.pending) {
                self.history.push(Event::Read(read.await.unwrap()));
            }
        }
    }

    pub(crate) async fn release_all(&mut self) {
        while !self.held.is_empty() {
            self.release(0).await;
        }
    }

    /// Everybody asks for what nobody has.
    async fn stampede(&mut self) {
        let Some(user) = self.rows.users.first().copied() else { return };
        let is_current = self.nodes.iter().all(|node| node.standing() == Standing::Current);
        let is_shared = |node: &Node| node.tiers.state().unwrap().shared == SharedTier::Connected;
        if !is_current || !self.held.is_empty() {
            return;
        }
        // what a node computes that was told less does not count for the others
        for node in 0..NODES {
            self.learn(node).await;
        }
        self.cold += 1;
        let date = tierkeep_learning::local_day::LocalDay::MIN.plus(i64::from(20_000 + self.cold).try_into().unwrap());
        let question: Question = format!("daily/{user}/{date}").parse().unwrap();
        let gate = Gate::new(question.user());
        let computed =
            |nodes: &[Node]| nodes.iter().map(|node| node.switches.computed.load(Ordering::SeqCst)).sum::<u64>();
        let before = computed(&self.nodes);
        let mut reads = Vec::new();
        for node in &self.nodes {
            *node.switches.gate.lock().unwrap() = Some(Arc::clone(&gate));
            reads.extend((0..4).map(|_| node.ask(question, Terms::Bounded, None, &self.ticks)));
        }
        tokio::time::timeout(PATIENCE, gate.reached.acquire()).await.expect("somebody computes").unwrap().forget();
        gate.open.send_replace(true);
        for read in reads {
            self.history.push(Event::Read(read.await.unwrap()));
        }
        self.nodes.iter().for_each(|node| *node.switches.gate.lock().unwrap() = None);
        let is_one = self.redis.is_some() && self.is_redis_whole && self.nodes.iter().all(is_shared);
        let most = if is_one { 1 } else { NODES as u64 };
        self.history.push(Event::Stampede { question, computed: computed(&self.nodes) - before, most });
        self.totals.count(if is_one { "stampedes on the cluster" } else { "stampedes on nodes" });
    }

    /// Everything heals, and all nodes must agree with the rows.
    async fn end(&mut self) {
        self.release_all().await;
        if let Some(open) = self.open.take() {
            self.end_transaction(open).await;
        }
        if !self.is_whole {
            self.place.install().await;
        }
        for node in 0..NODES {
            self.learn(node).await;
            for question in questions() {
                self.read(node, question).await;
            }
        }
    }
}
