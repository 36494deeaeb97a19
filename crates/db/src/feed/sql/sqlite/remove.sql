drop table if exists tierkeep_outbox;
drop table if exists tierkeep_feed
