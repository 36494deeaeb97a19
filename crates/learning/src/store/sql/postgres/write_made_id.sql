-- An integer id that was not made before; it may be taken all the same.
select nextval('tierkeep_made_ids_last_seq')
