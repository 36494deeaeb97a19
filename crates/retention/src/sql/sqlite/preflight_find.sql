-- A temporary table hides one of the file, and that one those of attached files.
select t.schema, t.name
from pragma_table_list as t
join pragma_database_list as d on d.name = t.schema
where t.name = ?2 collate nocase and (?1 is null or t.schema = ?1 collate nocase)
order by case t.schema when 'temp' then -1 else d.seq end
limit 1
