-- What run $1 has come to with its batch $2.
update tierkeep_run
set batches = $2, rows = rows + $3, chain = $4, report = $5
where id = $1
