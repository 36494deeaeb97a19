                    insert into tierkeep_outbox (source, key, first, last, note, settled)
                    select '{source}', key, first, last, note, {settled}
                    from (
{touched}
                    ) as touched;
