//! Every way to write to a watched table on PostgreSQL.

use anyhow::Result;
use tierkeep_db::feed::FeedHealth;

use crate::fixture::{Platform, everything, noted, touched};

/// Instants in the tests: seconds after 1970, in microseconds.
const SECOND: i64 = 1_000_000;

#[tokio::test]
async fn insert_names_each_key_with_the_span_of_its_rows() -> Result<()> {
    let mut platform = Platform::watched().await?;
    assert_eq!(platform.poll().await?.health, FeedHealth::Whole);

    let news = platform
        .noted("insert into learners values (1, 'Asia/Tokyo'), (2, null);
            insert into sessions values (10, 1, 'epoch', ''), (11, 1, to_timestamp(9), ''), (12, 2, to_timestamp(5), ''),
                (13, null, to_timestamp(7), '')")
        .await?;

    assert_eq!(
        news,
        [
            noted(1, Some("Asia/Tokyo")),
            noted(2, Some("")),
            touched("sessions", 1, 0, 9 * SECOND),
            touched("sessions", 2, 5 * SECOND, 5 * SECOND),
        ]
    );
    assert_eq!(platform.noted("truncate archive").await?, [everything("archive")]);
    Ok(())
}
