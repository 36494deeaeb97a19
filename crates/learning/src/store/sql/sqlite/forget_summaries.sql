-- Removes all that is derived from rows; the next folds build it anew. Histories of zones stay: rows do not tell them. What
-- others kept does not count any more.
delete from tierkeep_month;
delete from tierkeep_global;
update tierkeep_learner set active_days = x'', sessions = 0;
update tierkeep_state set epoch = epoch + 1;
insert into tierkeep_outbox (source, settled) values ('', 1);
