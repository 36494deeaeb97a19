-- The columns of each unique index that holds every row; the row number, where it has a name, is an index without one.
select i.name as index_name, c.name as column_name
from pragma_index_list(?1, ?2) as i
join pragma_index_info(i.name, ?2) as c
where i."unique" and not i.partial
union all
select '' as index_name, name as column_name
from pragma_table_xinfo(?1, ?2)
where
    pk = 1
    and type = 'INTEGER' collate nocase
    and not exists (select 1 from pragma_table_xinfo(?1, ?2) where pk > 1)
