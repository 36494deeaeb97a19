-- What a learner's own row says; no row = unknown learner. ?1 learner.
select u.time_zone from users u where u.id = ?1
