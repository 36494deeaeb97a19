                -- Rows are counted before keys: a statement on few rows cannot touch many keys, and is the usual one.
{if} (select count(*) < 250 from (select from {rows} limit 250) as few) then
{small}
                else
                    with touched as materialized (
{touched}
                    ),
                    size as materialized (
                        select count(*) > 500 and coalesce(current_setting('tierkeep.origin', true), '') <> 'import' as is_large
                        from (select from touched limit 501) as few
                    )
                    insert into tierkeep_outbox (source, key, first, last, note, settled)
                    select '{source}', key, first, last, note, {settled}
                    from touched
                    where not (select is_large from size)
                    union all
                    select '{source}', null, min(first), max(last), null, {settled}
                    from touched
                    having (select is_large from size);
                end if;
