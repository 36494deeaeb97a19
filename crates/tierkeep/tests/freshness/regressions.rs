//! What the histories have found, one by one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tierkeep::tiers::{Question, Standing};
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use crate::checker::Terms;
use crate::nodes::{Node, Setting, Ticks};
use crate::place::Place;
use crate::rows::Seen;
use crate::store::{Gate, Notices};

/// A node that was cut off looks for what is left, and waits in Redis for a node that computes the same. When the database
/// answers again meanwhile, readers join that look, which finds nothing: they were told that the database is closed.
#[tokio::test]
async fn a_look_at_what_is_left_fails_nobody_else() {
    let redis = RedisServer::launch().await.unwrap();
    let place = Place::new(Dialect::Postgres, false).await;
    place.run("insert into users (id) values (1)").await;
    let (ticks, bound) = (Ticks::default(), Duration::from_millis(200));
    let setting = Setting {
        redis: Some(redis.url()),
        bound,
        max_stale: Duration::from_secs(3600),
        bug: None,
        notices: Notices::default(),
    };
    let (node, _) = Node::start(0, 0, &place, &setting, &ticks).await;
    let (other, _) = Node::start(1, 0, &place, &setting, &ticks).await;
    let question: Question = "streaks/1".parse().unwrap();
    let gate = Gate::new(question.user());
    *other.switches.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let slow = other.ask(question, Terms::Bounded, None, &ticks);
    gate.reached.acquire().await.unwrap().forget();
    let set_down = |is_down| {
        node.switches.is_silent.store(is_down, Ordering::SeqCst);
        node.switches.is_down.store(is_down, Ordering::SeqCst);
    };
    set_down(true);
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while node.standing() == Standing::Current {
        looks.tick().await;
    }
    let cut_off = node.ask(question, Terms::Down, None, &ticks).await.unwrap();
    assert_eq!(cut_off.seen, Seen::Failed);

    set_down(false);
    node.learn(&ticks).await.expect("the database answers");
    let read = node.ask(question, Terms::Bounded, None, &ticks).await.unwrap();

    assert_eq!(read.seen, Seen::Numbers(vec![0]));
    gate.open.send_replace(true);
    slow.await.unwrap();
    node.stop().await;
    other.stop().await;
}
