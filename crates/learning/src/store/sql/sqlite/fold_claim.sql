-- A row for a learner that has none. ?1 learner.
insert or ignore into tierkeep_learner (user_id) values (?1)
