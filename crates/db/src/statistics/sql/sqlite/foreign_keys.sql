select
    t.name as table_name,
    f.id as number,
    f."from" as column_name,
    f."table" as other_name
from main.sqlite_schema as t
join pragma_foreign_key_list(t.name, 'main') as f
where t.type = 'table' and t.name not like 'sqlite\_%' escape '\' and coalesce(t.sql, '') not like 'create virtual%'
    -- A column that is the row number needs no index.
    and f."from" not in (
        select c.name
        from pragma_table_xinfo(t.name, 'main') as c
        where c.pk = 1 and c.type = 'INTEGER' collate nocase
        and (select count(*) from pragma_table_xinfo(t.name, 'main') as k where k.pk > 0) = 1
    )
order by t.name, f.id, f.seq
