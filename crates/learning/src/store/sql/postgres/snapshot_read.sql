-- What was kept under a name. $1 name.
select content from tierkeep_snapshot where name = $1
