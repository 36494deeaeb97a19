-- What would be tried again of a task that is switched.
update tierkeep_schedule_run
set state = 'failed', error = coalesce(error, 'the task was switched off')
where task = ?1 and state = 'waiting' and not asked_for and attempts > 0
