-- A learner's course progress in the order of its ids. $1 learner, $2 first id, $3 how many.
select id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, learning_hour_total, est_finish_hour,
       difficulty, created_at, updated_at
from course_progress
where user_id = $1::{key} and id >= $2::{key}
order by id
limit $3
