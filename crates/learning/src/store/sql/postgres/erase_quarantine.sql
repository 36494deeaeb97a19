-- Removes a learner's quarantined rows. $1 learner.
delete from tierkeep_quarantine where owner = $1::{key}::text
