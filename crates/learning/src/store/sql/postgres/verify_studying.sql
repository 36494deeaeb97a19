-- Learners with a valid session, by what is stored of them.
select count(*) from tierkeep_learner where sessions > 0
