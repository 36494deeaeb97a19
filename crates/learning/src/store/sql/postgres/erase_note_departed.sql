-- Remembers since when learners are gone of whom rows are left: from their changes, which the fold is about to consume.
-- $1 learners.
insert into tierkeep_departed (user_id, since)
select o.key, min(o.at)
from tierkeep_outbox o
where o.key = any($1::{key}[]) and o.source = 'users' and o.note is null and not o.settled
  and (
      exists (select from study_sessions s where s.user_id = o.key)
      or exists (select from study_sessions_archive s where s.user_id = o.key)
      or exists (select from course_progress p where p.user_id = o.key)
      or exists (select from tierkeep_base b where b.user_id = o.key)
      or exists (select from tierkeep_quarantine q where q.owner = o.key::text)
  )
group by o.key
on conflict (user_id) do nothing
