//! The examples hold what they assert.

#[path = "../examples/function_benchmark.rs"]
mod function_benchmark;
#[path = "../examples/measured.rs"]
mod measured;
#[path = "../examples/open_and_closed_loop.rs"]
mod open_and_closed_loop;

#[test]
fn a_function_is_measured_and_compared() {
    function_benchmark::main().unwrap();
}

/// The only one that counts calls, of which there is one list in a process.
#[test]
fn calls_of_a_function_are_counted() {
    measured::main().unwrap();
}

#[test]
fn open_and_closed_loops_differ() {
    open_and_closed_loop::main().unwrap();
}
