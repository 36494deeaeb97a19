-- What sessions that were deleted by age contributed to their days, a calendar month of a learner to a row. It cannot be
-- computed again: what is derived from rows may be dropped and built anew, this only goes when the learner is erased.
create table tierkeep_base (
    user_id {key} not null,
    month integer not null,
    days bytea not null,
    primary key (user_id, month)
);
