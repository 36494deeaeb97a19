-- The position moves by itself on SQLite: its counters are committed with the change.
select 1
