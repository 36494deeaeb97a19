select name, hidden in (2, 3) as is_generated
from pragma_table_xinfo(?1, ?2)
where hidden <> 1
order by cid
