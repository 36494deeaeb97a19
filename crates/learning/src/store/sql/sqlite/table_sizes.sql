-- How large tables are in the file, with their indexes, and how many rows their last pages hold.
select s.tbl_name, sum(d.pgsize), sum(case when s.type = 'table' and d.pagetype = 'leaf' then d.ncell else 0 end)
from dbstat d
join sqlite_schema s on s.name = d.name
group by s.tbl_name
order by s.tbl_name
