-- Learners who departed and are back.
delete from tierkeep_departed where exists (select 1 from users u where u.id = tierkeep_departed.user_id)
