-- API tokens: the hash of a secret, never the secret. They do not depend on the type of the keys, so they outlive a change of
-- it, after which this runs again.
create table if not exists tierkeep_token (
    id text primary key not null,
    name text not null,
    hash blob not null,
    scopes text not null,
    created_at integer not null,
    expires_at integer,
    last_used_at integer,
    revoked_at integer
) strict;
create unique index if not exists tierkeep_token_name on tierkeep_token (name) where revoked_at is null;
