-- One pass over a table: how many rows go by each rule. -1 is none of them.
select c.code, count(*), min(c.sample), max(c.sample), cast(min(c.age) as text), cast(max(c.age) as text)
from (
    select {code} as code, {sample} as sample, {age} as age
    from {table} as t
) as c
group by c.code
