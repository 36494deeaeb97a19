-- Changes that make the next fold build some learners anew: the zone they are in, else any span; for one who is gone, that
-- they left. $1 learners.
insert into tierkeep_outbox (source, key, first, last, note)
select case when u.id is not null and u.time_zone is null then 'study_sessions_archive' else 'users' end, a.id,
       case when u.id is not null and u.time_zone is null then now() end,
       case when u.id is not null and u.time_zone is null then now() end, u.time_zone
from unnest($1::{key}[]) as a (id)
left join users u on u.id = a.id
