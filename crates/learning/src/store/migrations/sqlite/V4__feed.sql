-- What tells every node that something changed on which an answer rests.

-- One row: how often course progress changed. Sessions and learners are counted by the outbox's own sequence.
create table tierkeep_feed (
    only_row integer primary key not null default 1,
    courses integer not null default 0
) strict;
insert into tierkeep_feed default values;

-- REPLACE removes a row without firing the delete trigger, but the row it puts in its place fires this one.
create trigger tierkeep_courses_insert after insert on course_progress
begin
    update tierkeep_feed set courses = courses + 1;
end;

create trigger tierkeep_courses_update after update on course_progress
begin
    update tierkeep_feed set courses = courses + 1;
end;

create trigger tierkeep_courses_delete after delete on course_progress
begin
    update tierkeep_feed set courses = courses + 1;
end;
