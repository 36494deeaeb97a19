-- Why a row cannot come back; null: it can. {places} come from checked identifiers. ?1 key of where it is kept, ?2 its own, ?3
-- run or owner, the others its values.
select {why} from (select ?1 as place, ?2 as row_key, ?3 as scope, {values}) as o
