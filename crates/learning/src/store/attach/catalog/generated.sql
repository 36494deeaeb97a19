-- Columns of the table $1 whose values the database makes itself, and which therefore cannot be given.
select a.attname::text
from pg_attribute as a
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated <> ''
