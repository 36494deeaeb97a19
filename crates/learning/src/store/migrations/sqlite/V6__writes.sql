-- What the write API keeps: answers under idempotency keys, ids of deleted sessions, and integer ids that were made.

-- An answer belongs to the transaction that wrote what it tells. Kept for a day.
create table tierkeep_idempotency (
    key text primary key not null,
    request blob not null,
    answer blob not null,
    created_at integer not null
) strict;
create index tierkeep_idempotency_created on tierkeep_idempotency (created_at);
-- Whom an answer speaks of: erasing a learner finds it by this. Goes with the key, by a trigger.
create table tierkeep_idempotency_learner (
    user_id {key} not null,
    key text not null,
    primary key (user_id, key)
) strict, without rowid;
create index tierkeep_idempotency_learner_key on tierkeep_idempotency_learner (key);
create trigger tierkeep_idempotency_forgotten after delete on tierkeep_idempotency
begin
    delete from tierkeep_idempotency_learner where key = old.key;
end;

-- A retry of the create must not bring a deleted session back. Says nothing of whose it was, so it outlives an erasure.
create table tierkeep_deleted_session (
    id {key} primary key not null,
    deleted_at integer not null
) strict;

-- Where ids are integers and nobody chose one: the last that was made, so that no id is used twice.
create table tierkeep_made_ids (
    only_row integer primary key not null default 1,
    last integer not null default 0
) strict;
insert into tierkeep_made_ids default values;
