-- Whether a learner has been gone for a grace and still is; the caller holds off those who would bring them back.
-- $1 learner, $2 the present, null = the database's clock, $3 the grace in microseconds.
select exists (
    select from tierkeep_departed d
    where d.user_id = $1::{key}
      and d.since <= coalesce($2::timestamptz, now()) - $3::bigint * interval '1 microsecond'
      and not exists (select from users u where u.id = d.user_id)
)
