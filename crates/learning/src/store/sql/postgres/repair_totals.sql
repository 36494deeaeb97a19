-- Removes the global sums; the caller puts those of the stored months in their place.
delete from tierkeep_global
