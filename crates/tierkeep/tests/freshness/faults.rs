//! What goes wrong in a history, and what a node does besides: upkeep, restarts, Redis, triggers, a silent database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tierkeep::tiers::Standing;
use tierkeep_testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::checker::Terms;
use crate::driver::{NODES, World};
use crate::rows::questions;

impl World<'_> {
    /// What the upkeep does, whenever.
    pub(crate) async fn clear_up(&mut self) {
        let node = self.any_node();
        let store = Arc::clone(&self.nodes[node].store);
        match self.rng.below(6) {
            0..=2 => while store.settle().await.unwrap().more {},
            3 | 4 => {
                store.prune_changes(Duration::ZERO, self.rng.below(4), u64::MAX >> 1).await.unwrap();
            }
            _ => {
                store.prune_changes(Duration::from_secs(3600), 1000, 1).await.unwrap();
            }
        }
        self.totals.count("upkeep");
    }

    pub(crate) async fn restart(&mut self) {
        let index = self.any_node();
        // others may wait for one of its computations
        self.release_all().await;
        let life = self.nodes[index].life + 1;
        self.nodes[index].tiers.close().await;
        self.nodes[index].store.close().await;
        self.start(index, life).await;
        self.totals.count("restarts");
    }

    pub(crate) async fn break_redis(&mut self) {
        let Some(redis) = self.redis else { return };
        self.is_redis_whole = false;
        match (redis.pid(), self.rng.below(3)) {
            (None, _) => redis.start().await.unwrap(),
            (Some(_), 0) => redis.kill9().await.unwrap(),
            (Some(_), 1) => redis.restart().await.unwrap(),
            (Some(_), _) => flush(redis).await,
        }
        self.totals.count("faults of Redis");
    }

    pub(crate) async fn remove_triggers(&mut self) {
        if self.open.is_some() {
            return;
        }
        self.is_whole = !self.is_whole;
        if !self.is_whole {
            self.place.remove_a_trigger().await;
            self.totals.count("triggers removed");
        } else {
            self.place.install().await;
        }
        for node in 0..NODES {
            self.learn(node).await;
        }
    }

    /// The database does not say what changed; later it does not say anything.
    pub(crate) async fn fall_silent(&mut self) {
        self.release_all().await;
        let index = self.any_node();
        let switches = Arc::clone(&self.nodes[index].switches);
        let asked = questions();
        for question in asked.iter().take(4) {
            self.read(index, *question).await;
        }
        switches.is_silent.store(true, Ordering::SeqCst);
        self.write().await;
        self.until_behind(index, self.setting.bound).await;
        for question in asked.iter().take(4) {
            self.read_on(index, *question, Terms::Exact, None).await;
        }
        switches.is_down.store(true, Ordering::SeqCst);
        for question in asked.iter().take(4) {
            self.read_on(index, *question, Terms::Down, None).await;
        }
        self.until_behind(index, self.setting.max_stale).await;
        self.read_on(index, asked[0], Terms::Gone, None).await;
        switches.is_silent.store(false, Ordering::SeqCst);
        switches.is_down.store(false, Ordering::SeqCst);
        self.learn(index).await;
        self.totals.count("silences");
    }

    pub(crate) async fn until_behind(&self, index: usize, time: Duration) {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let is_behind = |standing| matches!(standing, Standing::Behind(behind) if behind > time);
        while !is_behind(self.nodes[index].standing()) {
            looks.tick().await;
        }
    }
}

/// Empties Redis, as somebody does who wants room.
async fn flush(redis: &RedisServer) {
    let mut stream = tokio::net::UnixStream::connect(redis.socket()).await.unwrap();
    stream.write_all(b"FLUSHALL\r\n").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}
