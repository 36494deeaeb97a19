//! The programs that run inside the server.

use std::sync::LazyLock;

use redis::{Cmd, Script};

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("scripts/", $file))),+)));)+

        /// Commands that bring every program to a server that lost them.
        pub(super) fn load() -> Vec<Cmd> {
            vec![$({
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(concat!($(include_str!(concat!("scripts/", $file))),+));
                load
            }),+]
        }
    };
}

scripts! {
    ACQUIRE = "keys.lua" "acquire.lua";
    FILL = "keys.lua" "fill.lua";
    KEEP = "keep.lua";
    READ = "read.lua";
    RELEASE = "keys.lua" "release.lua";
    INVALIDATE = "keys.lua" "invalidate.lua";
    BUMP = "keys.lua" "bump.lua";
    ADD_RULE = "keys.lua" "add_rule.lua";
    ANNOUNCE = "counter.lua" "announce.lua";
    HEARTBEAT = "counter.lua" "heartbeat.lua";
    LEAVE = "leave.lua";
}

/// The call of a program, to which its keys and then its arguments are added.
pub(super) fn call(script: &Script, keys: usize) -> Cmd {
    let mut command = Cmd::with_capacity(16, 256);
    command.arg("EVALSHA").arg(script.get_hash()).arg(keys);
    command
}
