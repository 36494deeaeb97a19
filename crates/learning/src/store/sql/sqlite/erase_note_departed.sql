-- Remembers since when a learner is gone of whom rows are left: from the changes, which the fold is about to consume.
-- ?1 learner.
insert into tierkeep_departed (user_id, since)
select o.key, min(o.at)
from tierkeep_outbox o
where o.key = ?1 and o.source = 'users' and o.note is null and o.settled = 0
  and (
      exists (select 1 from study_sessions s where s.user_id = ?1)
      or exists (select 1 from study_sessions_archive s where s.user_id = ?1)
      or exists (select 1 from course_progress p where p.user_id = ?1)
      or exists (select 1 from tierkeep_base b where b.user_id = ?1)
      or exists (select 1 from tierkeep_quarantine q where q.owner = cast(?1 as text))
  )
group by o.key
on conflict (user_id) do nothing
