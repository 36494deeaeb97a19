-- Stored months of some learners. $1 learners, $2 the first month of each.
select a.ord, m.month, m.days
from unnest($1::{key}[], $2::integer[]) with ordinality as a (user_id, first_month, ord)
join tierkeep_month m on m.user_id = a.user_id and m.month >= a.first_month
