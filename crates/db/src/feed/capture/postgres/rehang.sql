-- Gives the table {table} the triggers of the function {function} in the place of those of another watched table.
do $tierkeep$
declare
    event record;
begin
    for event in
        select * from (values
            ('insert', 'referencing new table as after_rows'),
            ('update', 'referencing old table as before_rows new table as after_rows'),
            ('delete', 'referencing old table as before_rows'),
            ('truncate', '')
        ) as events (name, referencing)
    loop
        execute format('drop trigger if exists tierkeep_%s on %s', event.name, {table}::regclass);
        execute format(
            'create trigger tierkeep_%s after %s on %s %s for each statement execute function %I.{function}()',
            event.name, event.name, {table}::regclass, event.referencing,
            (select c.relnamespace::regnamespace::name from pg_class as c where c.oid = 'tierkeep_feed'::regclass)
        );
        execute format('alter table %s enable always trigger tierkeep_%s', {table}::regclass, event.name);
    end loop;
end
$tierkeep$
