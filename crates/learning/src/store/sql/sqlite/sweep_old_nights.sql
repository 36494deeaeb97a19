-- Removes nightly rows of days before a date. ?1 the date, ?2 how many.
delete from tierkeep_learning_analytics
where (user_id, date) in (
    select user_id, date from tierkeep_learning_analytics where date < ?1 order by date limit ?2
)
