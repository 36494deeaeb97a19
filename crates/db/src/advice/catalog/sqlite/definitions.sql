-- Tables first, then what speaks of them.
select sql
from sqlite_schema
where type in ('table', 'index', 'view') and sql is not null and name not like 'sqlite\_%' escape '\'
order by type = 'index', type = 'view', rowid
