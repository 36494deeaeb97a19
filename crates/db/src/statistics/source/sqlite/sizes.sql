select
    coalesce(sum(d.pgsize) filter (where d.name = ?1), 0),
    coalesce(sum(d.pgsize) filter (where d.name <> ?1), 0)
from dbstat as d
where d.aggregate = true and d.name in (select name from main.sqlite_schema where tbl_name = ?1)
