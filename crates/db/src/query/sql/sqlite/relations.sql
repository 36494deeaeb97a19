select
    s.name,
    c.name as "column",
    case when s.type = 'view' then s.sql end as view,
    c.cid = max(c.cid) over (partition by s.name) as is_last
from sqlite_schema as s, pragma_table_xinfo(s.name) as c
where s.type in ('table', 'view') and c.hidden <> 1
order by s.name, c.cid
