//! What is told of tasks.

use crate::collector::{Collector, Manner};
use crate::place::{LEARNER, Place};

#[test]
fn a_run_of_a_task_is_a_trace_that_is_sent_before_the_process_ends() {
    let collector = Collector::start(Manner::Takes);
    let place = Place::new(&format!("[telemetry]\notlp_endpoint = \"{}\"\n", collector.url()));

    let ran = place.tierkeep(&["schedule", "run", "cleanup-expired-cache"]).status().unwrap();

    assert!(ran.success(), "{}", place.log());
    // the process waits for the collector to have taken it, and nobody has to wait for anything here
    let (spans, _) = collector.told();
    let [task] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((task.name.as_str(), task.parent.as_str(), task.status), ("task cleanup-expired-cache", "", 0));
    let told: Vec<(&str, &str)> = task.attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(
        told,
        [("tierkeep.attempt", "1"), ("tierkeep.outcome", "done"), ("tierkeep.task", "cleanup-expired-cache")]
    );
    assert_eq!(task.service, "tierkeep");
    assert!(!collector.was_sent(LEARNER));
}
