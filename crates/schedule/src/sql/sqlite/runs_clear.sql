-- What has not begun of a task that is switched.
delete from tierkeep_schedule_run
where task = ?1 and state = 'waiting' and not asked_for and attempts = 0
