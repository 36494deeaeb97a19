-- What a learner's own row says. $1 learners (one, or an array).
select a.ord, u.id is not null, u.time_zone, now()
from {learners}
left join users u on u.id = a.id
order by a.ord
