select
    l.name,
    l."unique" as is_unique,
    -- `c` was made by a statement of its own, the others by a constraint.
    l.origin <> 'c' as is_constraint,
    s.sql,
    i.seqno as place,
    i.name as "column",
    i."desc" as is_descending,
    i.coll = 'BINARY' collate nocase as is_default
from pragma_index_list(?1) as l
inner join pragma_index_xinfo(l.name) as i on i.key = 1
left join sqlite_schema as s on s.type = 'index' and s.name = l.name
order by l.name, i.seqno
