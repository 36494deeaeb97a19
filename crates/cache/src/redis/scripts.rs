//! The programs that run inside the server.

use redis::{Cmd, Script};

/// Programs that run inside the server, each of files in the folder `scripts` beside the one that names them; and `load`,
/// the commands that bring all to a server that has not got them. For the crates of this workspace.
#[doc(hidden)]
#[macro_export]
macro_rules! redis_scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(super) static $name: ::std::sync::LazyLock<::redis::Script> = ::std::sync::LazyLock::new(|| {
            ::redis::Script::new(concat!($(include_str!(concat!("scripts/", $file))),+))
        });)+

        pub(super) fn load() -> Vec<::redis::Cmd> {
            vec![$({
                let mut load = ::redis::cmd("SCRIPT");
                load.arg("LOAD").arg(concat!($(include_str!(concat!("scripts/", $file))),+));
                load
            }),+]
        }
    };
}

redis_scripts! {
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
