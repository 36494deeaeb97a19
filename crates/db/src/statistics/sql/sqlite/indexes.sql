select
    t.name as table_name,
    i.name as index_name,
    i.origin,
    i."unique" as is_unique,
    i.partial as is_partial,
    (select s.sql from main.sqlite_schema as s where s.type = 'index' and s.name = i.name) as definition
from main.sqlite_schema as t
join pragma_index_list(t.name, 'main') as i
where t.type = 'table' and t.name not like 'sqlite\_%' escape '\' and coalesce(t.sql, '') not like 'create virtual%'
order by t.name, i.name
