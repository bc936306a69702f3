//! ESR_EL1 in words.
