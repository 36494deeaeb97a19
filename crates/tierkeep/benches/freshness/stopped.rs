//! An hour of writes while no node runs, and then one that starts.

use std::time::Duration;

use anyhow::Result;
use tierkeep_testkit::{DatabaseClient, PostgresServer};
use tokio::time::{Instant, sleep};

use crate::installation::on_postgres;
use crate::node::Node;

/// An hour at 200 writes a second, each a transaction of its own, without the way to the server.
const WRITES: u32 = 720_000;
const HOUR: &str = "do $$ begin for i in 1..720000 loop
    insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    values (10000000 + i, 1 + i::bigint * 7919 % 20000, now(), now() + interval '30 minutes', 30);
    commit; end loop; end $$";

pub(crate) async fn report() -> Result<()> {
    println!("\nstopped: {WRITES} writes while no node runs, then one starts");
    let server = PostgresServer::launch().await?;
    let database = on_postgres(&server).await?;
    let client = database.client().await?;
    let fresh = Node::start(database.url(), None, &[])?;
    sleep(Duration::from_secs(3)).await;
    println!("  a node that has nothing to catch up with: {:.0} MiB at most", fresh.memory_mib("VmHWM:")?);
    drop(fresh);

    let begin = Instant::now();
    client.batch_execute(HOUR).await?;
    println!("  written in {:.0} s; {}", begin.elapsed().as_secs_f64(), outbox(&client).await?);

    let begin = Instant::now();
    let node = Node::start(database.url(), None, &[])?;
    println!("  the node listens after {:.2} s", begin.elapsed().as_secs_f64());
    let mut reader = node.reader().await?;
    while reader.get("/readyz").await?.0 != 200 {
        sleep(Duration::from_millis(20)).await;
    }
    println!(
        "  and is current after {:.2} s, {:.0} MiB at most",
        begin.elapsed().as_secs_f64(),
        node.memory_mib("VmHWM:")?
    );
    while is(&client, "select exists (select from tierkeep_outbox where not settled)").await? {
        sleep(Duration::from_millis(100)).await;
    }
    println!("  all folded after {:.1} s; {}", begin.elapsed().as_secs_f64(), outbox(&client).await?);
    while is(&client, "select count(*) > 100000 from tierkeep_outbox").await? {
        sleep(Duration::from_millis(100)).await;
    }
    println!(
        "  pruned after {:.1} s, {:.0} MiB at most; {}",
        begin.elapsed().as_secs_f64(),
        node.memory_mib("VmHWM:")?,
        outbox(&client).await?
    );
    Ok(())
}

async fn is(client: &DatabaseClient, question: &str) -> Result<bool> {
    Ok(client.query_one(question, &[]).await?.try_get(0)?)
}

async fn outbox(client: &DatabaseClient) -> Result<String> {
    let size = "select count(*), pg_total_relation_size('tierkeep_outbox') / 1048576 from tierkeep_outbox";
    let row = client.query_one(size, &[]).await?;
    Ok(format!("{} changes in {} MiB", row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?))
}
