//! Days computed from a platform's rows: one statement, hence one snapshot and one round trip.

use std::ops::RangeInclusive;

use futures_util::{StreamExt, pin_mut};

use super::super::tables::zone_of;
use super::super::{Basis, LearnerClock, LearnerDays, StoreError};
use super::reading::place_of;
use super::wire::PgInstant;
use super::{PostgresStore, session_facts};
use crate::fold::{Fold, Standing};
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::store::totals::starts_in_any_zone;

/// Column of `platform_rows` that says whether the learner exists; the zone and the clock follow.
const EXISTS: usize = 12;

impl PostgresStore {
    /// The learner's zone comes with the rows, so the span asked for holds these days in any zone; the fold leaves out
    /// what lies beside them.
    pub(super) async fn platform_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        let db = self.connection().await?;
        let (sql, keys) = self.about(users);
        let statement = db.prepared(&sql.platform_rows).await?;
        let starts = starts_in_any_zone(&days);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&keys, &PgInstant(starts.start), &PgInstant(starts.end)];
        let rows = db.query_raw(&statement, parameters).await?;
        pin_mut!(rows);
        let mut learners: Vec<Option<(Fold, PgInstant)>> = users.iter().map(|_| None).collect();
        while let Some(row) = rows.next().await {
            let row = row?;
            let place = place_of(&row, users.len())?;
            if !row.try_get::<_, bool>(EXISTS)? {
                continue;
            }
            let learner = match &mut learners[place] {
                Some(learner) => learner,
                empty => {
                    let zone = zone_of(row.try_get(EXISTS + 1)?);
                    let standing = Standing { exists: true, zone, ..Standing::default() };
                    let fold = standing.plan_for(days.clone(), &self.rules).begin(true);
                    empty.insert((fold, row.try_get(EXISTS + 2)?))
                }
            };
            if row.try_get::<_, Option<PgInstant>>(1)?.is_some() {
                learner.0.add([&session_facts(&row)?]);
            }
        }
        Ok(learners
            .into_iter()
            .map(|learner| {
                let (fold, as_of) = learner?;
                let (calendar, days) = fold.into_days(&std::collections::BTreeMap::new());
                Some(LearnerDays { clock: LearnerClock { calendar, as_of: as_of.0, basis: Basis::Rows }, days })
            })
            .collect())
    }
}
