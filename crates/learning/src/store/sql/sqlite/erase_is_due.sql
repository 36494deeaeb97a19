-- Whether a learner has been gone for a grace and still is; the transaction holds the write lock. ?1 learner, ?2 the
-- present, null = the database's clock, ?3 the grace in microseconds.
select exists (
    select 1 from tierkeep_departed d
    where d.user_id = ?1
      and d.since <= coalesce(?2, cast(unixepoch('subsec') * 1000 as integer) * 1000) - ?3
      and not exists (select 1 from users u where u.id = d.user_id)
)
