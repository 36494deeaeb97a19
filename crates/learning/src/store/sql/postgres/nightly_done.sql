-- Notes that no nightly rows are due, unless that has changed. $1 learners, $2 the day that was read.
delete from tierkeep_analytics_due d
using unnest($1::{key}[], $2::integer[]) as a (user_id, seen)
where d.user_id = a.user_id and d.first_day = a.seen
