with moved as (
    delete from {archive} as a where {conditions} returning *
)
insert into {sessions} ({names}) overriding system value
select {values} from moved
