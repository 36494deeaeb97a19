-- What partition {table} holds, in one snapshot: rows, those that are not to be archived, those whose key is in the archive,
-- the digest of the rows and of their versions, and their ages.
select
    count(*),
    count(*) filter (where not coalesce({condition}, false)),
    count(*) filter (where exists (select from {archive} as a where a.{key} = t.{key})),
    cast(sum({digest}) as text),
    cast(sum({version}) as text),
    cast(min({age}) as text),
    cast(max({age}) as text)
from only {table} as t
