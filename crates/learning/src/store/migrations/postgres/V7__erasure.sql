-- Learners who were erased: an import or a write of their rows is refused. Nothing but the id is kept.
create table tierkeep_erased (
    user_id {key} primary key,
    erased_at timestamptz not null
);

-- Learners whose own row went while rows about them stayed, and since when. They are erased after a grace.
create table tierkeep_departed (
    user_id {key} primary key,
    since timestamptz not null
);
create index tierkeep_departed_since on tierkeep_departed (since);
