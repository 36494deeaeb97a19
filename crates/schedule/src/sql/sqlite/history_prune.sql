-- Removes a batch of runs that ended more than ?1 microseconds ago or after which ?2 of their task ended: never the last that
-- was done.
delete from tierkeep_schedule_run
where id in (
    select id
    from (
        select id, state, ended_at,
            row_number() over (partition by task order by ended_at desc, id desc) as place,
            row_number() over (partition by task, state order by ended_at desc, id desc) as place_in_state
        from tierkeep_schedule_run
        where state in ('done', 'failed', 'refused')) e
    where (e.ended_at < cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 - ?1 or e.place > ?2) and not (e.state = 'done' and e.place_in_state = 1)
    order by id
    limit ?3)
returning id
