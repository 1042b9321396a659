//! XOR windows.
