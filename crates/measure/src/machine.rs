//! What a measurement was taken on.

use serde::{Deserialize, Serialize};

/// Facts about the machine and the program that a measurement depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Machine {
    /// Such as `linux`.
    pub system: String,
    /// Such as `x86_64`.
    pub architecture: String,
    /// The processor's name, where the system tells it.
    pub processor: Option<String>,
    /// Threads that can run at a time.
    pub parallelism: usize,
    /// Whether the program was compiled with its debug assertions, so most likely without optimisation.
    pub debug: bool,
}

impl Machine {
    /// This machine, as far as it tells; reads one small file on Linux.
    #[must_use]
    pub fn read() -> Self {
        Self {
            system: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            processor: std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(processor),
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            debug: cfg!(debug_assertions),
        }
    }

    /// In which facts another machine differs, such as `processor`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let facts = [
            ("system", self.system == other.system),
            ("architecture", self.architecture == other.architecture),
            ("processor", self.processor == other.processor),
            ("parallelism", self.parallelism == other.parallelism),
            ("debug", self.debug == other.debug),
        ];
        facts.into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect()
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let (_, name) = cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_found_where_it_is_told() {
        assert_eq!(
            processor("processor\t: 0\nmodel name\t: Abacus 5000\nflags\t: x\n").as_deref(),
            Some("Abacus 5000")
        );
        assert_eq!(processor("CPU implementer\t: 0x41\n"), None);
    }

    #[test]
    fn differences_are_named() {
        let here = Machine::read();
        let there = Machine { parallelism: here.parallelism + 1, debug: !here.debug, ..here.clone() };

        assert_eq!(here.differences(&here), [""; 0]);
        assert_eq!(here.differences(&there), ["parallelism", "debug"]);
    }
}
