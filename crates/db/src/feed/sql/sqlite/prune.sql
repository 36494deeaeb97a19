-- A batch of settled events that are older than ?1 microseconds or more than ?2 positions back.
delete from tierkeep_outbox
where id in (
    select o.id
    from tierkeep_outbox as o
    where
        o.settled = 1
        and (
            o.at < cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 - ?1
            or o.id <= (select s.seq from sqlite_sequence as s where s.name = 'tierkeep_outbox') - ?2
        )
    order by o.id
    limit 10000
)
returning id
