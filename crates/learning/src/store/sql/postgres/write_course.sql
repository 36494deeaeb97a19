-- A learner's progress in a content: of several rows the one that counts. $1 learner, $2 content, as text, because its
-- ids may be of another type than the learners'.
select id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, learning_hour_total,
       est_finish_hour, difficulty, created_at, updated_at
from course_progress
where user_id = $1::{key} and cast(content_id as text) = $2::text
order by updated_at desc nulls last, id desc
limit 1
