select
    name,
    seqno as place,
    coll || iif("desc", ' desc', ' asc') as rules
from pragma_index_xinfo(?1)
where key = 1
order by seqno
