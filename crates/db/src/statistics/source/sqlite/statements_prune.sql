delete from tierkeep_statement
where text not in (select text from tierkeep_statement order by total_ms desc, text limit ?1)
