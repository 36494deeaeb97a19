select
    (select query_only from pragma_query_only) as is_reader,
    sqlite_version() as version,
    (select journal_mode from pragma_journal_mode) as journal_mode,
    (select synchronous from pragma_synchronous) as synchronous,
    (select page_size from pragma_page_size) as page_size,
    (select page_count from pragma_page_count) as pages,
    (select freelist_count from pragma_freelist_count) as free_pages,
    cast(round(unixepoch('now', 'subsec') * 1000) as integer) as clock
