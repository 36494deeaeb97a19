-- Gives the lease of fence $1 and holder $2 back.
update tierkeep_retention
set holder = '', since = null, until = '-infinity', session = null
where fence = $1 and holder = $2
