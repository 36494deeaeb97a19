-- Turns what was turned from some rows back to them, wherever it is now, if it still names the row that stayed, and forgets
-- that it was turned. {places} come from checked identifiers. $1 runs and $2 keys of the rows that are back.
with back as (
    select r.source, r.row_key, r.former, r.survivor
    from tierkeep_repointed as r
    join unnest(cast($1 as bigint[]), cast($2 as text[])) as b (run, key) on b.run = r.run_id and b.key = r.former
),
{turned},
forgotten as (
    delete from tierkeep_repointed as r
    using unnest(cast($1 as bigint[]), cast($2 as text[])) as b (run, key)
    where b.run = r.run_id and b.key = r.former
)
select {counts}
