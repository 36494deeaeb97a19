-- What was written while a trigger was missing is unknown.
insert into tierkeep_outbox (source)
select ''
where
    exists (select 1 from tierkeep_feed where fingerprint <> '{fingerprint}')
    or exists (
        select 1
        from (values
        {expected}
        ) as expected
        where
            expected.column1 is not null
            and not exists (
                select 1 from sqlite_schema as s
                where s.type = 'trigger' and s.name = expected.column1 and s.sql = expected.column2
            )
    );

update tierkeep_feed set fingerprint = '{fingerprint}' where fingerprint <> '{fingerprint}';

-- Notes "everything" if there is one.
update tierkeep_feed_quiet set is_over = 0;

delete from tierkeep_feed_quiet
