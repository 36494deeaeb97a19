delete from tierkeep_outbox;

update tierkeep_feed set floor = (select seq from sqlite_sequence where name = 'tierkeep_outbox');

insert into tierkeep_outbox (source) values ('')
