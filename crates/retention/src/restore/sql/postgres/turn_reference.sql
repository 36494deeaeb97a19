-- A part of turn_back.sql: a column of one table. {places} come from checked identifiers.
update {table} as d set {reference} = cast(r.former as {type}) from back as r where {still_names} returning 1
