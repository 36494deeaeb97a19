-- Whether a session lies in the archive, and whether it was deleted. $1 id.
select exists (select 1 from study_sessions_archive where id = $1::{key}),
       exists (select 1 from tierkeep_deleted_session where id = $1::{key})
