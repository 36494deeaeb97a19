-- Every global sum.
select day, kind, name, sessions, minutes from tierkeep_global
