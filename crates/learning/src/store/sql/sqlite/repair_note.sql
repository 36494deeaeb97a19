-- Changes that make the next fold build a learner anew: the zone they are in, else any span; for one who is gone, that they
-- left. ?1 learner.
insert into tierkeep_outbox (source, key, first, last, note)
select case when u.id is not null and u.time_zone is null then 'study_sessions_archive' else 'users' end, ?1,
       case when u.id is not null and u.time_zone is null then 0 end,
       case when u.id is not null and u.time_zone is null then 0 end, u.time_zone
from tierkeep_state s
left join users u on u.id = ?1
