-- The bases of all learners who are there.
select b.user_id, b.month, b.days from tierkeep_base b join users u on u.id = b.user_id
