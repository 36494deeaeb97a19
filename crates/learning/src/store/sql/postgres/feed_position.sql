-- The position; whether a change may not be in it yet; the mark of what changed until now; and whether all 16 triggers
-- that move the mark are there and fire for everybody. A sequence moves before its transaction commits, and one that
-- committed cannot be told from one that did not: so a moved mark, or the end of a transaction that ran when the mark
-- moved, is a change. In the mark is also when the server started (one that crashed, or took over, may have forgotten
-- commits) and who wrote the triggers (what was written while one was missing is unknown). Keys instead of joins of whole
-- tables: the planner takes small tables without statistics for large ones, and compiles what seems expensive for 0.4 s.
select f.position,
       f.mark <> now.mark or f.unlisted is not null or exists (
           select from unnest(f.pending) as p (id)
           where p.id not in (select id::text::bigint from pg_snapshot_xip(pg_current_snapshot()) as x (id))
       ),
       now.mark,
       now.triggers = 16
from tierkeep_feed f
cross join (
    select concat_ws(
               ' ', (select concat_ws(' ', last_value, is_called) from tierkeep_outbox_id_seq),
               (select concat_ws(' ', last_value, is_called) from tierkeep_feed_courses),
               (select epoch from tierkeep_state where only_row),
               extract(epoch from pg_postmaster_start_time()), sum(xmin::text::bigint)
           ) as mark,
           count(*) as triggers
    from pg_trigger
    where tgfoid in ('tierkeep_note_sessions'::regproc, 'tierkeep_note_users'::regproc, 'tierkeep_note_courses'::regproc)
      and tgenabled = 'A'
) as now
where f.only_row
