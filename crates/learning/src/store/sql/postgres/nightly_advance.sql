-- Notes from which day on nightly rows are due now, unless that has changed. $1 learners, $2 the day that was read, $3 the next.
update tierkeep_analytics_due d
set first_day = a.next
from unnest($1::{key}[], $2::integer[], $3::integer[]) as a (user_id, seen, next)
where d.user_id = a.user_id and d.first_day = a.seen
