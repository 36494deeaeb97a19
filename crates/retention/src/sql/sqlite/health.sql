-- Writes back what can be without waiting: whether somebody else is at it, pages in the log, pages written back.
pragma wal_checkpoint(passive)
