-- Ids are made beyond all that are taken; those from 2^62 on, which somebody chose to be the last, do not count.
select setval('tierkeep_made_ids_last_seq', greatest(
    (select last_value from tierkeep_made_ids_last_seq),
    (select max(id) from study_sessions where id < 4611686018427387904),
    (select max(id) from study_sessions_archive where id < 4611686018427387904),
    (select max(id) from tierkeep_deleted_session where id < 4611686018427387904),
    (select max(id) from course_progress where id < 4611686018427387904)
))
