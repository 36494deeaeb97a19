select name
from main.sqlite_schema
where type = 'table' and name not like 'sqlite\_%' escape '\' and coalesce(sql, '') not like 'create virtual%'
order by name
