drop table if exists tierkeep_feed_quiet;
drop table if exists tierkeep_outbox;
drop table if exists tierkeep_feed
