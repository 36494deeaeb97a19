-- Removes nightly rows in spans of days, those excepted that were just written. $1 learners, $2 first and $3 last day of each,
-- $4 learners and $5 days of the rows that stay.
delete from tierkeep_learning_analytics k
using unnest($1::{key}[], $2::integer[], $3::integer[]) as a (user_id, first_day, last_day)
where k.user_id = a.user_id
  and k.date between date '1970-01-01' + a.first_day and date '1970-01-01' + a.last_day
  and not exists (
      select from unnest($4::{key}[], $5::integer[]) as n (user_id, day)
      where n.user_id = k.user_id and date '1970-01-01' + n.day = k.date
  )
