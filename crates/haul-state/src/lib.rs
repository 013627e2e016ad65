//! what haul remembers between runs: the index of contents that stores have.
