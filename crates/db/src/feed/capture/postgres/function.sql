declare
    noted bigint;
begin
    -- Before the subtransaction below: a row that only changes its place costs no more than this look.
    if tg_op <> 'TRUNCATE' and current_setting('tierkeep.origin', true) = 'move' then
        return null;
    end if;
    begin
        case tg_op
            when 'TRUNCATE' then
{truncate}
            when 'INSERT' then
{insert}
            when 'DELETE' then
{delete}
            else
{update}
        end case;
        get diagnostics noted = row_count;
        if random() < noted * 0.001 then
            perform tierkeep_bound_outbox();
        end if;
    exception when others then
        -- Whatever is wrong with the feed, the write it watches must not fail.
        begin
            insert into tierkeep_outbox (source, settled) values ('{source}', {settled});
        exception when others then
            begin
                perform nextval('tierkeep_feed_lost');
            exception when others then
                null;
            end;
        end;
    end;
    return null;
end
