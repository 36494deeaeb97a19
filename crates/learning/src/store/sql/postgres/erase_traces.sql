-- Every place that may hold something about a learner, and how many rows it holds: the one list of places. What
-- is left of a change that every node is still to be told, the id, is no trace: the tombstone has it as well. $1 learner.
select 'users', count(*) from users where id = $1::{key}
union all select 'study_sessions', count(*) from study_sessions where user_id = $1::{key}
union all select 'study_sessions_archive', count(*) from study_sessions_archive where user_id = $1::{key}
union all select 'course_progress', count(*) from course_progress where user_id = $1::{key}
union all select 'tierkeep_month', count(*) from tierkeep_month where user_id = $1::{key}
union all select 'tierkeep_learner', count(*) from tierkeep_learner where user_id = $1::{key}
union all select 'tierkeep_outbox', count(*) from tierkeep_outbox
    where key = $1::{key} and (not settled or first is not null or note is not null)
union all select 'tierkeep_idempotency', count(*) from tierkeep_idempotency
    where key in (select key from tierkeep_idempotency_learner where user_id = $1::{key})
union all select 'tierkeep_idempotency_learner', count(*) from tierkeep_idempotency_learner
    where user_id = $1::{key}
union all select 'tierkeep_departed', count(*) from tierkeep_departed where user_id = $1::{key}
union all select 'tierkeep_base', count(*) from tierkeep_base where user_id = $1::{key}
union all select 'tierkeep_learning_analytics', count(*) from tierkeep_learning_analytics
    where user_id = $1::{key}
union all select 'tierkeep_analytics_due', count(*) from tierkeep_analytics_due where user_id = $1::{key}
union all select 'tierkeep_quarantine', count(*) from tierkeep_quarantine where owner = $1::{key}::text
