                insert into tierkeep_outbox (source, key, settled)
                select '{source}', known.key, {settled}
                from (
                    select cast({key} as {type}) as key from {roster}
                    union
                    select key from tierkeep_outbox where source = '{source}' and not settled
                ) as known
                where known.key is not null;
                -- Those who are not on the roster.
                insert into tierkeep_outbox (source, settled) values ('{source}', true);
