-- Start of the oldest live session that has ended and began before a cutoff. ?1 the cutoff.
select start_time
from study_sessions
where start_time < ?1 and is_active is not true
order by start_time
limit 1
