-- KEYS: the state of the bus. ARGV: the 8 bytes of the node.
redis.pcall('HDEL', KEYS[1], 'l' .. ARGV[1])
return 1
