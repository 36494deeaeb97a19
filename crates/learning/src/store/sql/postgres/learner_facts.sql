-- What a learner's own row says. $1 learners.
select a.ord, u.id is not null, u.time_zone, now()
from unnest($1::{key}[]) with ordinality as a (id, ord)
left join users u on u.id = a.id
order by a.ord
