-- Stored months of some learners, and their bases. $1 learners, $2 first and $3 last month of each.
select a.ord, m.month, m.days, false as is_base
from unnest($1::{key}[], $2::integer[], $3::integer[]) with ordinality as a (user_id, first_month, last_month, ord)
join tierkeep_month m on m.user_id = a.user_id and m.month between a.first_month and a.last_month
union all
select a.ord, b.month, b.days, true
from unnest($1::{key}[], $2::integer[], $3::integer[]) with ordinality as a (user_id, first_month, last_month, ord)
join tierkeep_base b on b.user_id = a.user_id and b.month between a.first_month and a.last_month
