select text, calls, total_ms, min_ms, max_ms, squares
from tierkeep_statement
order by text
