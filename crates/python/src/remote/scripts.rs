//! The programs that run inside the server.

use redis::{Cmd, Script};

tierkeep_cache::redis_scripts! {
    READ = "values.lua" "read.lua";
    REPLACING = "values.lua" "replacing.lua";
    SET = "values.lua" "set.lua";
    DELETE = "values.lua" "delete.lua";
    TIME = "values.lua" "time.lua";
    INCR = "values.lua" "incr.lua";
    REPLACE = "values.lua" "replace.lua";
    MOVE = "values.lua" "move.lua";
    STAMPS = "values.lua" "stamps.lua";
    ANY_TAG = "values.lua" "any_tag.lua";
    LOCK = "lock.lua";
}

/// The call of a program with its keys, to which its arguments are added.
pub(super) fn call<K: AsRef<[u8]>>(script: &Script, keys: &[K]) -> Cmd {
    let mut command = Cmd::with_capacity(8, 256);
    command.arg("EVALSHA").arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}
