-- Bases of some months. $1 learners, $2 the month of each.
select a.ord, b.days
from unnest($1::{key}[], $2::integer[]) with ordinality as a (user_id, month, ord)
join tierkeep_base b on b.user_id = a.user_id and b.month = a.month
