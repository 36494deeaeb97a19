-- Overwrites columns of a batch. {places} come from checked identifiers. $1 rows at most, $2 first and $3 end of the pages
-- that are looked at.
with pick as materialized (
    select t.{key} as key
    from {table} as t
    where t.ctid >= cast(cast($2 as text) as tid) and t.ctid < cast(cast($3 as text) as tid) and {condition} and {differs}
    limit $1
    for update of t skip locked
),
done as (
    update {table} as t
    set {assignments}
    where t.{key} = any (array(select pick.key from pick)) and {condition}
    returning 1
)
select (select count(*) from pick), (select count(*) from done)
