//! What is free is no longer resident.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

/// Bytes of a piece: small enough to come out of an arena.
const PIECE: usize = 4096;
/// 64 MiB.
const PIECES: usize = 16 * 1024;

/// Memory of this process that is in RAM, in MiB.
fn resident_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<usize> = resident.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.expect("Linux tells what is resident") / 1024
}

#[test]
fn what_lies_between_living_values_is_given_back() {
    let before = resident_mib();
    // one piece in 64 lives on, as what a cache keeps does
    let mut pieces: Vec<Option<Vec<u8>>> = (0..PIECES).map(|_| Some(vec![1; PIECE])).collect();
    assert!(resident_mib() >= before + 60);
    for (number, piece) in pieces.iter_mut().enumerate() {
        if number % 64 != 0 {
            *piece = None;
        }
    }
    let freed = resident_mib();
    assert!(freed >= before + 50, "without a call it stays: {before} MiB before, {freed} now");

    assert!(tierkeep_heap::give_back());

    let after = resident_mib();
    assert!(after <= before + 15, "{before} MiB before, {freed} freed, {after} after");
    assert!(pieces.iter().flatten().all(|piece| piece[0] == 1));
}
