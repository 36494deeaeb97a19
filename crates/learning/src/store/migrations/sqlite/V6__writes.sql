-- What the write API keeps: answers under idempotency keys, ids of deleted sessions, and integer ids that were made.

-- An answer belongs to the transaction that wrote what it tells. Kept for a day.
create table tierkeep_idempotency (
    key text primary key not null,
    request blob not null,
    answer blob not null,
    created_at integer not null
) strict;
create index tierkeep_idempotency_created on tierkeep_idempotency (created_at);

-- A retry of the create must not bring a deleted session back.
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
