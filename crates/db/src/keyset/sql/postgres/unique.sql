-- The columns of each unique index that holds every row, in its order.
select array_agg(a.attname::text order by k.place) as columns
from pg_index as i
cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
where
    i.indrelid = to_regclass($1)
    and i.indisunique
    and i.indisvalid
    and i.indpred is null
    and i.indexprs is null
    and k.place <= i.indnkeyatts
group by i.indexrelid
