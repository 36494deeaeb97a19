select version, name, checksum from tierkeep_migrations order by version
