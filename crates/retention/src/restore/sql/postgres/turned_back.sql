-- How much would be turned back to some rows. {places} come from checked identifiers. $1 runs and $2 keys of the rows.
with back as (
    select r.source, r.row_key, r.former, r.survivor
    from tierkeep_repointed as r
    join unnest(cast($1 as bigint[]), cast($2 as text[])) as b (run, key) on b.run = r.run_id and b.key = r.former
)
select {counts}
