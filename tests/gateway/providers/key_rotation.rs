//! Key sets that change: nodes that differ, withdrawn keys, warnings.
