select max(cast(stat as integer))
from main.sqlite_stat1
where tbl = ?1
