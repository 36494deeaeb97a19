-- Course progress of some learners. $1 learners (one, or an array).
select a.ord, p.id, p.content_id, p.subject_name, p.proficiency_level, p.learning_hour_week, p.learning_hour_total,
       p.est_finish_hour, p.updated_at
from {learners}
join course_progress p on p.user_id = a.id
