-- Moves a batch: what is deleted is what is inserted. {places} come from checked identifiers. $1 rows at most, $2 run,
-- $3 and $4 age and key of the last row of the batch before.
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
    using pick
    where t.{key} = pick.key and {condition}
    returning {returned}
),
came as (
    insert into {into} ({columns}, {by}, {at})
    select {columns}, $2, now() from gone
    returning {columns}
)
select
    (select count(*) from pick),
    (select count(*) from gone),
    (select count(*) from came),
    (select cast(sum({digest_gone}) as text) from gone),
    (select cast(sum({digest_came}) as text) from came),
    (select cast(age as text) from pick order by age, key limit 1),
    (select cast(age as text) from pick order by age desc, key desc limit 1),
    (select cast(key as text) from pick order by age desc, key desc limit 1)
