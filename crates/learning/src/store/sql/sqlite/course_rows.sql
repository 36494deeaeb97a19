-- Course progress of a learner. ?1 learner.
select p.id, p.content_id, p.subject_name, p.proficiency_level, p.learning_hour_week, p.learning_hour_total,
       p.est_finish_hour, p.updated_at
from course_progress p
where p.user_id = ?1
