-- What there is of the watched tables $1 and their columns $2, $3 but for the table $4: moves when anybody changes anything there.
with recursive relations (oid) as (
    select to_regclass(w.name)::oid from unnest($1::text[]) as w (name)
    union
    select i.inhrelid from relations as r join pg_inherits as i on i.inhparent = r.oid
)
select concat_ws(
    ' ',
    pg_relation_filenode('tierkeep_outbox'),
    (
        select string_agg(concat_ws(',', r.oid, t.oid, t.xmin, p.oid, p.xmin), ' ' order by r.oid, t.oid)
        from relations as r
        left join pg_trigger as t
            on
                t.tgrelid = r.oid
                and t.tgname in ('tierkeep_insert', 'tierkeep_update', 'tierkeep_delete', 'tierkeep_truncate')
        left join pg_proc as p on p.oid = t.tgfoid
        where r.oid is distinct from $4
    ),
    (
        select string_agg(concat_ws(',', a.attrelid, a.attnum, a.attname, a.xmin), ' ' order by a.attrelid, a.attnum)
        from unnest($2::text[], $3::text[]) as w (name, column_name)
        join pg_attribute as a
            on a.attrelid = to_regclass(w.name) and a.attname = w.column_name and not a.attisdropped
    )
)
