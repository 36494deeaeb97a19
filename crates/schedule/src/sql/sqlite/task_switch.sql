-- Switches a task on or off; when it is due next; whether somebody did it.
update tierkeep_schedule
set enabled = ?2, next_at = ?3, switched = ?4
where name = ?1
