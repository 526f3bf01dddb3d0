//! Scenarios of the session's mind.
