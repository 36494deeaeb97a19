-- The first number of each entry is that of the table's rows, whichever index it is of.
select
    tbl as name,
    max(cast(stat as real)) as row_count
from sqlite_stat1
group by tbl
