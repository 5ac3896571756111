//! Checking a closed log from its start to its end, and setting damaged ranges aside when an operator says so.
