select
    coalesce(sum(d.pgsize) filter (where d.name = ?1), 0),
    coalesce(sum(d.pgsize) filter (where d.name <> ?1), 0),
    -- A table with row numbers has its rows in its leaves, one without in all its pages.
    coalesce(sum(d.ncell) filter (where d.name = ?1 and (d.pagetype = 'leaf' or (?2 and d.pagetype = 'internal'))), 0)
from dbstat as d
where d.name in (select name from main.sqlite_schema where tbl_name = ?1)
