-- How the file fares: its pages, those of them that are free, the size of one, and whether free ones can be given back one by
-- one.
select p.page_count, f.freelist_count, s.page_size, v.auto_vacuum = 2
from pragma_page_count as p, pragma_freelist_count as f, pragma_page_size as s, pragma_auto_vacuum as v
