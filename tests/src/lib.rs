//! Whole machines: boot, power cut and remount, the peek examples.
