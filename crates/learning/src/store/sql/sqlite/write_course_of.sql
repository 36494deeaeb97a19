-- A row if course progress belongs to a learner. ?1 course progress, ?2 learner.
select 1 from course_progress where id = ?1 and user_id = ?2
