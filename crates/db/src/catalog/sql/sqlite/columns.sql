select
    name,
    type as type_name,
    -- The key that is the row number is never null, though nothing says so.
    "notnull" = 0
    and not (
        pk = 1
        and type = 'INTEGER' collate nocase
        and not exists (select 1 from pragma_table_xinfo(?1, ?2) where pk > 1)
    ) as nullable
from pragma_table_xinfo(?1, ?2)
where hidden <> 1
order by cid
