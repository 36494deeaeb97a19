-- $1 learners, $2 months.
delete from tierkeep_month m
using unnest($1::{key}[], $2::integer[]) as a (user_id, month)
where m.user_id = a.user_id and m.month = a.month
