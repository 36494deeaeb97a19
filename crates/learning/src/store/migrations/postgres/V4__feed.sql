-- What tells every node that something changed on which an answer rests.

-- One row. A cached answer counts if whoever computed it had been told the present position before. A change is in the
-- position once it has moved `mark` and its transaction is not among those that were running then: `pending`, and all
-- from `unlisted` on; see feed_position.sql.
create table tierkeep_feed (
    only_row boolean primary key default true,
    position bigint not null default 1,
    mark text not null default '',
    pending bigint[] not null default '{}',
    unlisted bigint
);
insert into tierkeep_feed default values;

-- Moved by every statement that may change course progress. A sequence: writers never wait for each other.
create sequence tierkeep_feed_courses owned by tierkeep_feed.position;

create function tierkeep_note_courses() returns trigger
language plpgsql security definer set search_path from current as $$
begin
    perform nextval('tierkeep_feed_courses');
    return null;
end
$$;

create trigger tierkeep_insert after insert on course_progress
    for each statement execute function tierkeep_note_courses();
create trigger tierkeep_update after update on course_progress
    for each statement execute function tierkeep_note_courses();
create trigger tierkeep_delete after delete on course_progress
    for each statement execute function tierkeep_note_courses();
create trigger tierkeep_truncate after truncate on course_progress
    for each statement execute function tierkeep_note_courses();

alter table course_progress enable always trigger tierkeep_insert;
alter table course_progress enable always trigger tierkeep_update;
alter table course_progress enable always trigger tierkeep_delete;
alter table course_progress enable always trigger tierkeep_truncate;
