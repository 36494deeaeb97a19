-- An integer id that was not made before; it may be taken all the same.
update tierkeep_made_ids set last = last + 1 returning last
