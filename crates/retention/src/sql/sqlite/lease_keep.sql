-- Renews the lease of fence ?1 and holder ?2 for ?3 microseconds, if it still is theirs; ?4 says that they have the lock of
-- the file, which a holder that replaced one that stood still gets later.
update tierkeep_retention
set until = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 + ?3, session = case when ?4 then 1 end
where fence = ?1 and holder = ?2
returning stop
