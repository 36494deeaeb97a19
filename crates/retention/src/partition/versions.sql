-- The rows of {table} and the digest of their versions: what it was as long as no row was written, changed or deleted.
select count(*), cast(sum({version}) as text) from only {table} as t
