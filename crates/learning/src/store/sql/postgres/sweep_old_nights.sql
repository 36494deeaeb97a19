-- Removes nightly rows of days before a day. $1 the day since 1970, $2 how many.
delete from tierkeep_learning_analytics
where ctid = any (array (
    select ctid from tierkeep_learning_analytics where date < date '1970-01-01' + $1::integer order by date limit $2
))
