-- Overwrites columns of a batch. {places} come from checked identifiers. ?1 rows at most, ?2 first and ?3 end of the rows that
-- are looked at.
update {table}
set {assignments}
where {rowid} in (
    select t.{rowid}
    from {table} as t
    where t.{rowid} >= ?2 and t.{rowid} < ?3 and {condition} and {differs}
    limit ?1
)
