                insert into tierkeep_outbox (source, settled) values ('{source}', {settled});
