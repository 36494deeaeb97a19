-- A run ends.
update tierkeep_run
set ended = ?2, ended_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, reason = ?3, report = ?4
where id = ?1 and ended_at is null
