insert into tierkeep_statement (text, calls, total_ms, min_ms, max_ms, squares)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (text) do update
set calls = calls + excluded.calls, total_ms = total_ms + excluded.total_ms, min_ms = min(min_ms, excluded.min_ms),
    max_ms = max(max_ms, excluded.max_ms), squares = squares + excluded.squares
