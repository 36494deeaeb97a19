-- Takes or keeps a lease, by the clock of the database. ?1 name, ?2 holder, ?3 microseconds.
insert into tierkeep_lease as l (name, holder, until)
values (?1, ?2, cast(unixepoch('subsec') * 1000000 as integer) + ?3)
on conflict (name) do update
set holder = excluded.holder,
    until = excluded.until,
    fence = l.fence + case when l.holder = excluded.holder then 0 else 1 end
where l.holder = excluded.holder or l.until < cast(unixepoch('subsec') * 1000000 as integer)
returning fence
