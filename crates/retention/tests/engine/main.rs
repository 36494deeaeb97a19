//! The engine with rules of its own making, on tables that have nothing to do with learning.

#[cfg(test)]
mod anonymise;
