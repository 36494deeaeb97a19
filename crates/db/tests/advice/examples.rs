//! The examples hold what they say.

#[expect(dead_code, reason = "its main reads the arguments of the program")]
#[path = "../../examples/advise.rs"]
mod advise;
#[expect(dead_code, reason = "its main reads the arguments of the program")]
#[path = "../../examples/explain.rs"]
mod explain;

use tierkeep_db::advice::create::Verdict;

#[tokio::test]
async fn the_index_of_the_example_helps() {
    let benefit = advise::run(&[]).await.unwrap().unwrap();

    assert_eq!(benefit.verdict, Verdict::Kept, "{benefit:?}");
}

#[tokio::test]
async fn the_plan_of_the_example_has_something_to_say() {
    let findings = explain::run(&[]).await.unwrap();

    assert!(!findings.is_empty());
}
