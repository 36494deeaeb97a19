                if
                    {unless_shadowed}(select count(*) = 1 from (select from {rows} limit 2) as few)
                then
                    -- Measured, a third of what a one-row insert pays: no grouping.
                    insert into tierkeep_outbox (source, key, first, last, settled)
                    select
                        '{source}', cast({key} as {type}), to_timestamp(extract(epoch from {at})),
                        to_timestamp(extract(epoch from {at})), {settled}
                    from {rows}
                    where {key} is not null;
                elsif