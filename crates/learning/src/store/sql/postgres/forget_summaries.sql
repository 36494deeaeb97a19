-- Removes all that is derived from rows; the next folds build it anew. Histories of zones stay: rows do not tell them. What
-- others kept does not count any more.
delete from tierkeep_month;
delete from tierkeep_global;
update tierkeep_learner set active_days = '', sessions = 0;
update tierkeep_state set epoch = epoch + 1;
insert into tierkeep_outbox (source, settled) values ('', true);
-- whatever it comes to, the nightly rows are looked at again from the first day there is
insert into tierkeep_analytics_due (user_id, first_day) select user_id, -719161 from tierkeep_learner where true
on conflict (user_id) do update set first_day = excluded.first_day;
