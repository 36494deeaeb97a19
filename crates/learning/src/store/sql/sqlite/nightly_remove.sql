-- Removes a learner's nightly rows in a span of dates, those excepted that were just written. ?1 learner, ?2 first and ?3 last
-- date, ?4 a JSON array of the dates that stay.
delete from tierkeep_learning_analytics
where user_id = ?1 and date between ?2 and ?3 and date not in (select value from json_each(?4))
