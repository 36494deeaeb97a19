-- The key of the row that stays in the place of row t. {places} come from checked identifiers.
(
    select o.{key}
    from {table} as o
    where {same}
    order by {newest} desc nulls last, o.{key} desc
    limit 1
)
