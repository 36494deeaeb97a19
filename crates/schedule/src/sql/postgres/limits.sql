-- Nobody waits long for a row: a batch of a former holder may be in flight, and there is another look soon.
select set_config('lock_timeout', '250ms', true)
