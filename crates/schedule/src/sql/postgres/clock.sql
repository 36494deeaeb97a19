-- The clock that counts.
select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)
