//! A small cluster in every order: what it does with messages and with the remote tier is production code.
//!
//! The transitions call [`Receiver`](tierkeep_cache::bus::Receiver) and [`Slots`](tierkeep_cache::remote::Slots). The
//! model's own are the network, the crash, and time: a lease runs out when the checker likes, not when a clock says so.
//! The steps of a node follow `flight.rs`, `shared_read.rs`, `invalidation.rs` and `membership.rs`.
//!
//! State counts are printed. A drop by half means that the model explores less than it did, and is looked at.

#![expect(clippy::print_stdout, reason = "state counts are for those who run it")]

mod cluster;
mod node;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::cluster::{Cluster, Planted};

/// Explores everything; each property must hold, and each "sometimes" must come up.
fn holds(cluster: Cluster) {
    let begun = Instant::now();
    let checker = cluster.checker().spawn_bfs().join();
    println!("{} states, depth {}, {:?}", checker.unique_state_count(), checker.max_depth(), begun.elapsed());
    checker.assert_properties();
}

/// Demands a counterexample to one property.
fn fails(cluster: Cluster, property: &'static str) {
    let begun = Instant::now();
    let checker = cluster.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_dfs().join();
    let path = checker.assert_any_discovery(property).into_actions();
    println!("found in {} states, {:?}: {path:?}", checker.unique_state_count(), begun.elapsed());
}

#[test]
fn strict_cluster_serves_nothing_older_than_an_acknowledged_invalidation() {
    holds(Cluster::strict());
}

#[test]
fn bounded_cluster_serves_nothing_older_than_its_lease_allows() {
    holds(Cluster::bounded());
}

#[test]
fn strict_cluster_survives_the_loss_of_its_server_or_a_node() {
    holds(Cluster::strict().mishap());
}

#[test]
fn bounded_cluster_survives_the_loss_of_its_server_or_a_node() {
    holds(Cluster::bounded().mishap());
}

#[test]
fn three_nodes_store_nothing_in_the_remote_tier_that_was_invalidated_since() {
    holds(Cluster::remote_tier());
}

#[test]
fn remote_tier_that_loses_values_records_and_leases_stores_nothing_that_was_invalidated_since() {
    holds(Cluster { nodes: 2, mishaps: 1, ..Cluster::remote_tier() });
}

#[test]
fn strict_leases_are_safe_by_gaps_alone_when_renewals_are_not_refused() {
    holds(Cluster { planted: Planted::RenewalNotRefused, ..Cluster::strict() });
}

#[test]
fn planted_memory_is_filled_without_token() {
    fails(Cluster { planted: Planted::FillWithoutToken, ..Cluster::remote_tier() }, cluster::LOCAL);
}

#[test]
fn planted_remote_tier_is_filled_without_lease() {
    fails(Cluster { planted: Planted::FillWithoutLease, ..Cluster::remote_tier() }, cluster::REMOTE);
}

#[test]
fn planted_echoes_without_numbers() {
    fails(Cluster { planted: Planted::NoNumbers, ..Cluster::bounded() }, cluster::BOUND);
}

#[test]
fn planted_lease_counted_from_the_echo() {
    fails(Cluster { planted: Planted::LeaseFromEcho, ..Cluster::strict() }, cluster::STRICT);
}

#[test]
fn planted_renewal_not_refused_and_echoes_without_numbers() {
    fails(Cluster { planted: Planted::NotRefusedNoNumbers, ..Cluster::strict() }, cluster::STRICT);
}

#[test]
fn planted_confirmations_that_do_not_name_their_counter() {
    fails(Cluster { planted: Planted::ConfirmedWithoutCounter, ..Cluster::strict().mishap() }, cluster::STRICT);
}
