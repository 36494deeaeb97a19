-- Moves a batch: what is deleted is what is inserted. {places} come from checked identifiers. $1 rows at most, $2 run,
-- $3 and $4 age and key of the last row of the batch before. The keys are an array, since a join may be planned as a merge,
-- which reads the entries of all rows that went before.
with pick as materialized (
    select t.{key} as key, {age} as age
    from {table} as t
    where {after} and {condition}
    order by {age}, t.{key}
    limit $1
    for update of t skip locked
),
gone as (
    delete from {table} as t
    where t.{key} = any (array(select pick.key from pick)) and {condition}
        -- one that is there already cannot go there; it is for another rule
        and not exists (select 1 from {into} as a where a.{into_key} = t.{key})
    returning {returned}
),
came as (
    insert into {into} ({columns}, {by}, {at})
    select {columns}, $2, now() from gone
    returning {columns}
),
last as (
    select pick.age, pick.key from pick order by pick.age desc, pick.key desc limit 1
)
select
    (select count(*) from pick),
    g.rows,
    c.rows,
    cast(g.digest as text),
    cast(c.digest as text),
    cast((select min(pick.age) from pick) as text),
    (select cast(last.age as text) from last),
    (select cast(last.key as text) from last)
from (select count(*) as rows, sum({digest_gone}) as digest from gone) as g
cross join (select count(*) as rows, sum({digest_came}) as digest from came) as c
