select
    s.name,
    -- `pragma_table_list` with a name loads that table only.
    coalesce((select l.wr from pragma_table_list(s.name) as l where l.schema = 'main'), false) as is_without_rowid
from main.sqlite_schema as s
where s.type = 'table' and s.name not like 'sqlite\_%' escape '\' and coalesce(s.sql, '') not like 'create virtual%'
order by s.name
