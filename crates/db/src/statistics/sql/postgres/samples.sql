select at_us, row_count, byte_count
from tierkeep_table_sample
where table_name = $1 and at_us >= $2
order by at_us
