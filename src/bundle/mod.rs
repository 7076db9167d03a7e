//! Reading and validating a bundle's `config.json`.
